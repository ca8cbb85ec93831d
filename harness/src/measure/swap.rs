//! When the harness was replacing the files of a service, so that whoever reads two of them may have got one of the
//! old and one of the new.

use std::collections::HashMap;

use crate::history::{Micros, What};

use super::reading::Reading;

/// From when until when credentials were being installed, by service.
#[derive(Clone, Debug, Default)]
pub struct Swaps<'h>(HashMap<&'h str, Vec<(Micros, Micros)>>);

/// Each from the word that a credential will be installed, which comes before it, to the end of the step or the phase
/// that does it.
pub fn swaps<'h>(reading: &Reading<'h>) -> Swaps<'h> {
    let mut swaps = Swaps::default();
    let mut going_on: Vec<(&str, Micros)> = Vec::new();
    for event in &reading.rare {
        match &event.what {
            What::Installed { service, .. } => going_on.push((service, event.at)),
            What::StepEnded { .. } | What::PhaseEnded { .. } => {
                for (service, from) in going_on.drain(..) {
                    swaps.0.entry(service).or_default().push((from, event.at));
                }
            }
            _ => {}
        }
    }
    swaps
}

impl Swaps<'_> {
    /// Whether one of a service went on at any time between these two.
    pub fn overlap(&self, service: &str, from: Micros, until: Micros) -> bool {
        let of = self.0.get(service).map(Vec::as_slice).unwrap_or_default();
        of.iter().any(|(began, ended)| *began <= until && from <= *ended)
    }
}
