//! One scenario for each way in which certificates fail: `fault/NAME`, with one thing wrong and what a
//! sound system makes of it. Beside each stands its control, `control-of/NAME`: the same fault on a
//! system with one defect switched on, which the named checks must catch.
//!
//! All run on three services of the reference system, manager, archive and search, so that each says
//! one thing: archive presents a certificate to search, search shows one to archive.

mod modes;
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
        modes: modes::MODES.into(),
        ..Suite::default()
    }
}
