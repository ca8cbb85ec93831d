//! When the harness was replacing the files of a service, so that whoever reads two of them may have got one of the
//! old and one of the new.

use std::collections::HashMap;

use crate::history::{Leaf, Micros, Outcome, Probe, Side, What};

use super::reading::{Reading, Try};

/// From when until when credentials were being installed, by service.
#[derive(Clone, Debug, Default)]
pub struct Swaps<'h>(HashMap<&'h str, Vec<(Micros, Micros)>>);

/// Each from the word that a credential will be installed, which comes before it, to the end of the step or the phase
/// that does it, and to the first handshake in which the service presents it, if it ever does: whoever runs a server
/// that others wrote brings it the files a moment after they are there.
pub fn swaps<'h>(reading: &Reading<'h>) -> Swaps<'h> {
    let mut swaps = Swaps::default();
    let mut going_on: Vec<(&str, &Leaf, Micros)> = Vec::new();
    for event in &reading.rare {
        match &event.what {
            What::Installed { service, leaf, .. } => going_on.push((service, leaf, event.at)),
            What::StepEnded { .. } | What::PhaseEnded { .. } => {
                for (service, leaf, from) in going_on.drain(..) {
                    let until = presented(reading, service, leaf).unwrap_or(0).max(event.at);
                    swaps.0.entry(service).or_default().push((from, until));
                }
            }
            _ => {}
        }
    }
    swaps
}

/// When a service first presented a leaf.
fn presented(reading: &Reading<'_>, service: &str, leaf: &Leaf) -> Option<Micros> {
    let leaf = reading.leaf(leaf)?;
    let hops = reading.hops.iter().filter(|hop| hop.server == service);
    // Whoever refuses may have had nothing to present.
    let refuses =
        |attempt: &Try<'_, Probe>| matches!(attempt.of.outcome, Outcome::Refused { by: Side::Server, .. });
    let presents = |attempt: &&Try<'_, Probe>| attempt.leaves[1] == leaf && !refuses(attempt);
    let tries = hops.flat_map(|hop| &hop.tries).filter(presents);
    tries.map(|attempt| attempt.answered).min()
}

impl Swaps<'_> {
    /// Whether one of a service went on at any time between these two.
    pub fn overlap(&self, service: &str, from: Micros, until: Micros) -> bool {
        let of = self.0.get(service).map(Vec::as_slice).unwrap_or_default();
        of.iter().any(|(began, ended)| *began <= until && from <= *ended)
    }
}
