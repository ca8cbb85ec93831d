//! The command line: every scenario crate, linked together.

use notafter::suite::Suite;

fn main() -> std::process::ExitCode {
    notafter::cli::main(suite())
}

fn suite() -> Suite {
    let own = stack::suite().and(faults::suite()).and(startup::suite()).and(aware_2022::suite());
    let others = quorum::suite().and(mixed::suite()).and(kubernetes::suite()).and(servers::suite());
    own.and(others).and(secrets::suite())
}

#[cfg(test)]
mod tests {
    use notafter::{
        check::Expect,
        suite::{Settings, Specimen, Template},
    };

    use super::suite;

    fn must(template: &Template) -> Expect {
        template.scenario(&Settings::default()).expect
    }

    #[test]
    fn every_scenario_that_breaks_something_and_must_pass_has_a_control() {
        let suite = suite();
        let breaks = |template: &&Template| {
            let scenario = template.scenario(&Settings::default());
            !(scenario.faults.is_empty() && scenario.during_repair.is_empty())
        };
        let sound = suite.templates.iter().filter(breaks).filter(|one| must(one) == Expect::Pass);
        let without = sound.filter(|one| !suite.zoo.iter().any(|specimen| specimen.sound == one.name));
        assert_eq!(without.map(|one| &one.name).collect::<Vec<_>>(), [""; 0], "no control in any `zoo`");
    }

    #[test]
    fn every_way_in_which_certificates_fail_has_scenarios_that_must_pass() {
        let suite = suite();
        let shown = suite.modes.iter().flat_map(|mode| mode.scenarios);
        let passes = |name: &&&str| {
            suite.templates.iter().any(|one| one.name == ***name && must(one) == Expect::Pass)
                && suite.zoo.iter().any(|specimen| specimen.sound == ***name)
        };
        assert_eq!(shown.filter(|name| !passes(name)).collect::<Vec<_>>(), Vec::<&&str>::new());
        assert!(suite.modes.iter().all(|mode| !mode.scenarios.is_empty() && !mode.seen.is_empty()));
    }

    /// The behaviours of known software that notafter must tell apart, by where each was seen.
    const BEHAVIOURS: [&str; 27] = [
        "redis/redis#8756",
        "valkey-io/valkey#3549",
        "envoyproxy/envoy#39498",
        "hashicorp/consul#8198",
        "envoyproxy/envoy#9359",
        "envoyproxy/envoy#29406",
        "envoyproxy/gateway#5074",
        "caddyserver/caddy#7589",
        "etcd-io/etcd#11555",
        "nats-io/nats-server#1921",
        "rabbitmq/rabbitmq-server#2229",
        "strimzi/proposals#117",
        "strimzi/strimzi-kafka-operator#6136",
        "canonical/mongodb-operator#106",
        "grpc/grpc#15735",
        "rwf2/Rocket#2683",
        "golang/go#77217",
        "nodejs/node#20434",
        "kubernetes/kubernetes#102556",
        "linkerd/linkerd2#4287",
        "spiffe/spire#1562",
        "cert-manager/cert-manager#6378",
        "confidential-dot-ai/c8s#511",
        "istio/istio#16222",
        "kubernetes-sigs/controller-runtime#1148",
        "scylladb/python-driver#1017",
        "envoyproxy/envoy#17999",
    ];

    #[test]
    fn every_behaviour_of_known_software_is_a_defect_that_a_control_has() {
        let suite = suite();
        let shown = |seen: &&&str| suite.zoo.iter().any(|specimen| specimen.seen.contains(*seen));
        assert_eq!(BEHAVIOURS.iter().filter(|seen| !shown(seen)).collect::<Vec<_>>(), Vec::<&&str>::new());
        let defects = stack::defects::DEFECTS.iter().flat_map(|defect| defect.seen);
        assert_eq!(defects.filter(|seen| !shown(seen)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }

    #[test]
    fn every_control_must_fail_what_passes_without_its_defect() {
        let suite = suite();
        let expect = |name: &String| suite.templates.iter().find(|one| one.name == *name).map(must);
        let is_control = |specimen: &&Specimen| {
            matches!(expect(&specimen.control), Some(Expect::Fail(checks)) if !checks.is_empty())
                && expect(&specimen.sound) == Some(Expect::Pass)
        };
        let wrong = suite.zoo.iter().filter(|one| !is_control(one));
        assert_eq!(wrong.map(|one| &one.control).collect::<Vec<_>>(), [""; 0]);
    }

    #[test]
    fn every_scenario_that_is_called_a_control_is_one() {
        let suite = suite();
        let called = suite.templates.iter().filter(|one| one.family().starts_with("control"));
        let unknown = called.filter(|one| !suite.zoo.iter().any(|specimen| specimen.control == one.name));
        assert_eq!(unknown.map(|one| &one.name).collect::<Vec<_>>(), [""; 0]);
    }
}
