//! Whether somebody was told in time.

use std::time::Duration;

use crate::{
    clock::micros,
    history::{AlertRule, Micros, What},
    measure::{Credential, Measurements},
    words,
};

use super::{Check, Early, failed, passed, rule, timed, unknown};

/// For each certificate of the fault whose end passed, in use or not, an expiry alert about it came at
/// least `lead` before.
pub fn alerted_before_expiry(lead: Duration) -> Box<dyn Check> {
    rule("alerted-before-expiry", move |measured| judge(measured, micros(lead)))
}

/// Somebody was told, or a health check turned red, at most `budget` after the first credential of the
/// fault began to hurt, and before a repair began.
pub fn detected_within(budget: Duration) -> Box<dyn Check> {
    rule("detected-within", move |measured| judge_detected(measured, micros(budget)))
}

fn judge_detected(measured: &Measurements<'_>, budget: Micros) -> Early {
    timed(measured)?;
    let hurt = measured.bite().ok_or_else(|| unknown("no credential of the fault began to hurt"))?;
    let allowed = words::span(budget);
    let repaired = measured.milestones.repair_began.unwrap_or(measured.reading.until);
    let watched = repaired.saturating_sub(hurt);
    let noticed = measured.time_to_detect.filter(|taken| hurt.saturating_add_signed(*taken) <= repaired);
    match noticed.map(|taken| u64::try_from(taken).unwrap_or(0)) {
        Some(taken) if taken <= budget => {
            Ok(passed(format!("noticed after {}, {allowed} allowed", words::span(taken))))
        }
        Some(taken) => Ok(failed(format!("noticed after {} only, {allowed} allowed", words::span(taken)))),
        None if watched < budget => Err(unknown(format!(
            "nobody had noticed when the repair began, {} after it; {allowed} are allowed",
            words::span(watched)
        ))),
        None => Ok(failed(format!("nobody noticed for {}, until the repair began", words::span(watched)))),
    }
}

fn judge(measured: &Measurements<'_>, lead: Micros) -> Early {
    timed(measured)?;
    let ended: Vec<_> = measured.credentials.iter().filter_map(|c| Some((c, c.expired?.0))).collect();
    let mut leads = Vec::new();
    let mut missing = Vec::new();
    for (credential, end) in &ended {
        let name = credential.name();
        match alert(measured, credential) {
            Some(at) if at.saturating_add(lead) <= *end => leads.push(end - at),
            Some(at) if at <= *end => missing.push(format!("{name} only {} before", words::span(end - at))),
            Some(at) => missing.push(format!("{name} {} after", words::span(at - end))),
            None => missing.push(format!("{name} never")),
        }
    }
    let Some(least) = leads.iter().min().filter(|_| missing.is_empty()) else {
        if ended.is_empty() {
            return Err(unknown("no certificate of the fault reached its end"));
        }
        return Ok(failed(format!(
            "{} of {} without an alert {} before the end: {}",
            missing.len(),
            words::counted(ended.len() as u64, "certificate"),
            words::span(lead),
            words::list(&missing, 4)
        )));
    };
    Ok(passed(format!(
        "alerts for all of {}, at least {} before the end",
        words::counted(ended.len() as u64, "certificate"),
        words::span(*least)
    )))
}

/// The first expiry alert about a credential.
fn alert(measured: &Measurements<'_>, credential: &Credential<'_>) -> Option<Micros> {
    let about = |what: &What| match what {
        What::Alert(alert) if alert.rule == AlertRule::Expiry => match (&alert.leaf, &alert.mount) {
            (Some(leaf), _) => leaf == credential.leaf,
            (None, Some(mount)) => alert.service == credential.service && mount == credential.mount,
            (None, None) => alert.service == credential.service,
        },
        _ => false,
    };
    let alerts = measured.reading.rare.iter().filter(|event| event.at >= credential.installed);
    alerts.filter(|event| about(&event.what)).map(|event| event.at).min()
}
