//! The command line: every scenario crate, linked together.

use notafter::suite::Suite;

fn main() -> std::process::ExitCode {
    notafter::cli::main(suite())
}

fn suite() -> Suite {
    let own = stack::suite().and(faults::suite()).and(startup::suite()).and(aware_2022::suite());
    own.and(quorum::suite()).and(mixed::suite()).and(servers::suite())
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
