//! Every scenario of this crate, controls of the checks that it brings, and orders of a control plane's own components,
//! as tests: `cargo test --test run kubernetes`.

use std::{collections::BTreeSet, process::ExitCode, time::Duration};

use notafter::{
    order::{Choice, Kind, Limits, Strength},
    runtime::Runtime,
    testing::{self, Trial},
};

/// Each control takes a cluster of its own. `notafter zoo --on kubernetes` runs all of them.
const CONTROLS: [&str; 2] = ["control-of/kubernetes-looks-well", "control-of/kubernetes-authority"];

fn main() -> ExitCode {
    let mut suite = kubernetes::suite();
    suite.templates.retain(|one| one.family() == "kubernetes" || CONTROLS.contains(&one.name.as_str()));
    testing::main_with(suite, vec![after_a_rotation()])
}

/// When every authority and certificate was replaced, the components come up in any order, and nobody waits to be
/// started again. Without its kubelet none of them runs.
fn after_a_rotation() -> Trial {
    let choice = Choice {
        strength: Strength::Two,
        first: ["kubelet-control-plane", "kubelet-worker-1"].map(Into::into).into(),
        ways: BTreeSet::from([Kind::AtOnce]),
        rotated: true,
        ..Choice::default()
    };
    let limits = Limits { within: Duration::from_mins(2), ..Limits::default() };
    testing::orders(Runtime::Kubernetes, kubernetes::system(), choice, limits, move |outcome| {
        match outcome.tried.iter().find(|one| one.stuck.is_some() || one.crashes() > 0) {
            None if outcome.order_works == Some(true) => Ok(()),
            None => Err("the order that follows does not work".into()),
            Some(one) => {
                Err(format!("start {}: {} crashes, stuck: {:?}", one.number, one.crashes(), one.stuck))
            }
        }
    })
}
