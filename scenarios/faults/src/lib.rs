//! One scenario for each way in which certificates fail: `fault/NAME`, with one thing wrong and what a
//! sound system makes of it. Beside each stands its control, `control-of/NAME`: the same fault on a
//! system with one defect switched on, which the named checks must catch.
//!
//! All run on three services of the reference system, manager, archive and search, so that each says
//! one thing: archive presents a certificate to search, search shows one to archive.

mod rows;
mod shape;

use notafter::suite::Suite;

/// Every fault, with its control.
pub fn suite() -> Suite {
    let (templates, zoo): (Vec<_>, Vec<_>) = rows::rows().into_iter().unzip();
    Suite {
        programs: stack::programs(),
        templates: templates.into_iter().flatten().collect(),
        zoo: zoo.into_iter().flatten().collect(),
        ..Suite::default()
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_defect_of_the_zoo_has_a_scenario_with_it_and_one_without() {
        let suite = super::suite().and(stack::suite());
        let known = |name: &String| suite.templates.iter().any(|template| template.name == *name);
        let unknown = suite.zoo.iter().filter(|one| !known(&one.control) || !known(&one.sound));
        assert_eq!(unknown.map(|one| &one.control).collect::<Vec<_>>(), Vec::<&String>::new());
        let controls = suite.templates.iter().filter(|template| template.family().starts_with("control"));
        assert_eq!(controls.count(), suite.zoo.len());
    }
}
