//! What each mitigation saves, alone and together.

use crate::{
    check::Overall,
    history::{History, Micros},
    measure::{Attribution, Measurements},
    words,
};

use super::{
    Style,
    table::{lines, mark, table, wrap},
};

/// A table of runs that differ in what is switched on; the first is the baseline that the others are
/// set against. Ends with a newline; empty without a run.
pub fn ablation(runs: &[(String, &History)], style: Style) -> String {
    let measured: Vec<_> = runs.iter().map(|(name, history)| (name, Measurements::of(history))).collect();
    let Some((baseline, base)) = measured.first() else { return String::new() };
    let header = ["what is on", "verdict", ">outage", ">saved", ">recover", ">first sign", ">late", ">lost"];
    let mut table = table(style, &header);
    for (index, (name, run)) in measured.iter().enumerate() {
        table.add_row(vec![
            name.into(),
            mark(Overall::of(run).verdict),
            run.outage.map_or("unknown".into(), |outage| outage.to_string()).into(),
            if index == 0 { "-".into() } else { saved(base, run).into() },
            recovery(run).into(),
            sign(run).into(),
            words::count(run.records().late).into(),
            words::count(run.records().lost).into(),
        ]);
    }
    let legend = format!(
        "Saved is outage against `{baseline}`. Recover is from the last repair step. The first sign is an alert \
         or a red health check, from the first bite of a certificate; negative is before it."
    );
    format!("What each mitigation saves\n{}{}", lines(&table), wrap(style, &legend, 0))
}

fn saved(base: &Measurements<'_>, run: &Measurements<'_>) -> String {
    let (Some(base), Some(run)) = (base.outage, run.outage) else { return "unknown".into() };
    let (base, run) = (base.value, run.value);
    let sign = if run > base { "-" } else { "" };
    let saved = base.abs_diff(run);
    match (saved * 100).checked_div(base) {
        None => format!("{sign}{}", words::span(saved)),
        Some(percent) => format!("{sign}{} ({sign}{percent} %)", words::span(saved)),
    }
}

fn recovery(run: &Measurements<'_>) -> String {
    match (&run.attribution, run.recovery.time_to_recover) {
        (Attribution::NothingFailed, _) => "nothing failed".into(),
        (_, Some(time)) => time.to_string(),
        (_, None) => "never".into(),
    }
}

fn sign(run: &Measurements<'_>) -> String {
    let signed = |time: i64| {
        let span = words::span(time.unsigned_abs() as Micros);
        if time < 0 { format!("-{span}") } else { format!("+{span}") }
    };
    run.time_to_detect.map_or("never".into(), signed)
}
