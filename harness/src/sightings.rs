//! Which certificate each service was last seen to use, on the wire.

use std::collections::HashMap;

use crate::{
    history::{Event, Leaf, Micros, What, Witness},
    system::{Hop, System},
};

/// A service and one of its mounts.
pub type Key = (String, String);

/// Which certificate each service was last seen to use.
#[derive(Clone, Debug)]
pub struct Sightings {
    /// The mount that each service presents.
    serves: HashMap<String, String>,
    /// The mount that each server of a hop presents to its client.
    entrances: HashMap<(String, String), String>,
    last: HashMap<Key, Sighting>,
}

/// One look at a certificate in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Which.
    pub leaf: Leaf,
    /// When.
    pub at: Micros,
    /// Who saw it.
    pub by: Witness,
}

impl Sightings {
    /// Nothing was seen yet.
    pub fn new(system: &System) -> Self {
        let serves =
            system.services.iter().map(|service| (service.name.clone(), service.serves.clone())).collect();
        let entrance = |hop: Hop| Some((system.entrance(&hop)?.0, (hop.client, hop.server)));
        let entrances = system.hops().into_iter().filter_map(entrance);
        let entrances = entrances.map(|(mount, hop)| (hop, mount)).collect();
        Self { serves, entrances, last: HashMap::new() }
    }

    /// Takes in one event; gives what it says about a certificate in use, if it does.
    pub fn take(&mut self, event: &Event) -> Option<(Key, Sighting)> {
        let (key, sighting) = match &event.what {
            What::Probe(probe) => {
                let leaf = probe.presented.clone()?;
                let hop = (probe.client.clone(), probe.server.clone());
                let mount = self.entrances.get(&hop).or_else(|| self.serves.get(&probe.server))?;
                // An open connection shows what was presented when it was opened.
                if probe.question == crate::history::Question::Open {
                    return None;
                }
                let sighting = Sighting { leaf, at: event.at + probe.took, by: Witness::Prober };
                ((probe.server.clone(), mount.clone()), sighting)
            }
            What::Using { service, mount, leaf } => (
                (service.clone(), mount.clone()),
                Sighting { leaf: leaf.clone(), at: event.at, by: Witness::Server },
            ),
            _ => return None,
        };
        // What a prober sees as a client outranks what some server saw last.
        let outranked = sighting.by == Witness::Server
            && self.last.get(&key).is_some_and(|known| known.by == Witness::Prober);
        if outranked {
            return None;
        }
        self.last.insert(key.clone(), sighting.clone());
        Some((key, sighting))
    }

    /// What was last seen of a mount.
    pub fn of(&self, key: &Key) -> Option<&Sighting> {
        self.last.get(key)
    }

    /// Everything that is in use, as last seen.
    pub fn all(&self) -> impl Iterator<Item = (&Key, &Sighting)> {
        self.last.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Outcome, Probe, Question};

    fn system() -> System {
        let text = r#"
            name = "one"
            authorities = ["mesh"]
            [[services]]
            name = "archive"
            program = "archive"
            serves = "workload"
            mounts.workload.authority = "mesh"
        "#;
        System::from_toml(text, "test").expect("a system")
    }

    fn leaf(serial: &str) -> Leaf {
        Leaf { serial: serial.into(), not_before: 0, not_after: 1 }
    }

    fn probe(at: Micros, question: Question, serial: Option<&str>) -> Event {
        let probe = Probe {
            client: "search".into(),
            server: "archive".into(),
            question,
            took: 5,
            shown: None,
            presented: serial.map(leaf),
            outcome: Outcome::Served(200),
        };
        Event { at, what: What::Probe(probe) }
    }

    fn using(at: Micros, serial: &str) -> Event {
        let (service, mount) = key();
        Event { at, what: What::Using { service, mount, leaf: leaf(serial) } }
    }

    fn key() -> Key {
        ("archive".into(), "workload".into())
    }

    #[test]
    fn what_a_server_presents_is_its_serving_mount_at_the_end_of_the_probe() {
        let mut sightings = Sightings::new(&system());
        let (seen, sighting) = sightings.take(&probe(10, Question::Fresh, Some("a"))).expect("a sighting");
        assert_eq!((seen, sighting.at, sighting.by), (key(), 15, Witness::Prober));
        assert_eq!(sightings.of(&key()).map(|sighting| &sighting.leaf), Some(&leaf("a")));
    }

    #[test]
    fn an_open_connection_says_nothing_of_what_is_served_now() {
        let mut sightings = Sightings::new(&system());
        assert_eq!(sightings.take(&probe(10, Question::Open, Some("old"))), None);
    }

    #[test]
    fn a_probe_that_saw_no_certificate_says_nothing() {
        let mut sightings = Sightings::new(&system());
        assert_eq!(sightings.take(&probe(10, Question::Fresh, None)), None);
    }

    #[test]
    fn a_prober_outranks_what_some_server_saw() {
        let mut sightings = Sightings::new(&system());
        assert!(sightings.take(&using(1, "old")).is_some());
        sightings.take(&probe(10, Question::Fresh, Some("new")));
        assert_eq!(sightings.take(&using(20, "old")), None);
        assert_eq!(sightings.of(&key()).map(|sighting| &sighting.leaf), Some(&leaf("new")));
    }
}
