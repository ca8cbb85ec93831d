//! The credentials that a fault installed, and what became of each.

use crate::history::{Landed, Leaf, Micros, Purpose, What};

use super::reading::Reading;

/// A credential that a fault installed, and what became of it.
#[derive(Clone, Debug)]
pub struct Credential<'h> {
    /// Whose.
    pub service: &'h str,
    /// Which of its mounts.
    pub mount: &'h str,
    /// The leaf that the fault put there.
    pub leaf: &'h Leaf,
    /// When it was put there.
    pub installed: Micros,
    /// How it showed on the wire; none if it never did everywhere.
    pub landed: Option<&'h Landed>,
    /// When its end was seen to pass, and whether it was still in use then.
    pub expired: Option<(Micros, bool)>,
    /// When its end is, on the run's own clock: its not-after, or what ended before it in its chain.
    pub ends: Micros,
}

impl Credential<'_> {
    /// From when on it hurts: it shows on the wire, and its not-after, if that lies within the run,
    /// has passed. For one that was replaced in time, when it would have hurt. None if the run ended
    /// before.
    pub fn bite(&self, until: Micros) -> Option<Micros> {
        let stable = self.landed.map(|landed| landed.stable_since);
        match self.expired {
            Some((at, true)) => Some(at.max(stable.unwrap_or(0))),
            Some((at, false)) => Some(at),
            // Nothing that works by its end: a wrong name, a foreign issuer.
            None => stable.filter(|_| self.ends > until),
        }
    }

    /// Whether its end passed while the service still used it.
    pub fn expired_in_use(&self) -> bool {
        matches!(self.expired, Some((_, true)))
    }

    /// Whether it was replaced before its end.
    pub fn averted(&self) -> bool {
        matches!(self.expired, Some((_, false)))
    }

    /// `archive/mesh`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.service, self.mount)
    }
}

/// Every credential that a fault installed, in the order of installation.
pub fn installed_by_faults<'h>(reading: &Reading<'h>) -> Vec<Credential<'h>> {
    let mut credentials: Vec<_> = reading
        .rare
        .iter()
        .filter_map(|event| match &event.what {
            What::Installed { service, mount, leaf, why: Purpose::Fault } => Some(Credential {
                service,
                mount,
                leaf,
                installed: event.at,
                landed: None,
                expired: None,
                ends: reading.end_of(leaf),
            }),
            _ => None,
        })
        .collect();
    for event in &reading.rare {
        match &event.what {
            What::Landed(landed) => {
                let same = |c: &&mut Credential<'_>| {
                    c.service == landed.service && c.mount == landed.mount && *c.leaf == landed.leaf
                };
                // Seen by several, it has landed when the last of them sees nothing else any more.
                for credential in credentials.iter_mut().filter(same) {
                    let later = credential.landed.is_none_or(|seen| seen.stable_since < landed.stable_since);
                    if later {
                        credential.landed = Some(landed);
                    }
                }
            }
            What::Expired { service, mount, leaf, in_use, chain_ends } => {
                let same =
                    |c: &&mut Credential<'_>| c.service == service && c.mount == mount && c.leaf == leaf;
                for credential in credentials.iter_mut().filter(same) {
                    credential.expired.get_or_insert((event.at, *in_use));
                    if let Some(ends) = chain_ends {
                        credential.ends = reading.end_of(&Leaf { not_after: *ends, ..(*leaf).clone() });
                    }
                }
            }
            _ => {}
        }
    }
    credentials
}
