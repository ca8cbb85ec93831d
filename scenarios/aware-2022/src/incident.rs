//! The incident's own timeline (EST), from its post-mortem.

use notafter::incident::{Incident, Instant, Milestone};

/// 26 January 2022, from the expiry to the recovery runs. The backfill of the next day is left out.
pub fn incident() -> Incident {
    let instants = [
        (0, "3:55 pm", "certificates expired: API down, containers cannot talk", Some(Milestone::Expired)),
        (0, "3:55 pm", "ingestion, processing, archival, search, login stop", Some(Milestone::FirstFailure)),
        (9, "4:04 pm", "the certificates are identified", Some(Milestone::CauseFound)),
        (25, "4:20 pm", "rotation by hand begins", Some(Milestone::RepairBegan)),
        (55, "4:50 pm", "every certificate is rotated", Some(Milestone::RepairDeployed)),
        (58, "4:53 pm", "refreshed deployments report errors: pods start in one order only", None),
        (99, "5:34 pm", "restored", Some(Milestone::Recovered)),
        (113, "5:48 pm", "recovery runs start", None),
    ];
    Incident {
        title: "Aware, 26 January 2022".into(),
        instants: instants
            .into_iter()
            .map(|(minute, clock, what, milestone)| Instant {
                minute,
                clock: clock.into(),
                what: what.into(),
                milestone,
            })
            .collect(),
    }
}
