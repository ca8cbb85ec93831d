//! Whether every record is there, and once.

use crate::{
    measure::{Measurements, Records},
    words,
};

use super::{Check, Early, failed, passed, rule, unknown};

/// Every record that was sent is stored, and a user finds it.
pub fn nothing_lost() -> Box<dyn Check> {
    rule("nothing-lost", judge_lost)
}

/// No record is stored more than once.
pub fn nothing_duplicated() -> Box<dyn Check> {
    rule("nothing-duplicated", judge_duplicated)
}

fn judge_lost(measured: &Measurements<'_>) -> Early {
    let records = accounted(measured)?;
    let mut evidence = Vec::new();
    if records.lost > 0 {
        let acknowledged = match records.lost_acknowledged {
            0 => "none of them had been acknowledged".to_owned(),
            all if all == records.lost => "although they had been acknowledged".to_owned(),
            some => format!("{} of them although acknowledged", words::count(some)),
        };
        evidence.push(format!(
            "{} of {} sent are not stored, {acknowledged} ({})",
            words::count(records.lost),
            words::count(records.sent),
            numbers(&records.lost_examples, records.lost),
        ));
    }
    if records.unfound > 0 {
        evidence.push(format!("{} stored but found by no user", words::count(records.unfound)));
    }
    if evidence.is_empty() {
        return Ok(passed(format!("{} sent, all stored and found", words::counted(records.sent, "record"))));
    }
    Ok(failed(evidence.join("; ")))
}

fn judge_duplicated(measured: &Measurements<'_>) -> Early {
    let records = accounted(measured)?;
    if records.duplicated > 0 {
        return Ok(failed(format!(
            "{} of {} are stored more than once ({})",
            words::count(records.duplicated),
            words::counted(records.sent, "record"),
            numbers(&records.duplicated_examples, records.duplicated),
        )));
    }
    Ok(passed(format!("{} stored once each", words::counted(records.stored, "record"))))
}

fn accounted<'a>(measured: &'a Measurements<'_>) -> Result<&'a Records, super::Verdict> {
    match measured.records() {
        Records { sent: 0, .. } => Err(unknown("there is no final account of any record")),
        records => Ok(records),
    }
}

fn numbers(examples: &[u64], all: u64) -> String {
    let named = examples.iter().map(|number| format!("#{number}")).collect::<Vec<_>>().join(", ");
    if all > examples.len() as u64 { format!("{named}, ...") } else { named }
}
