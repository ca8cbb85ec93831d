//! The clocks that a fault moved, and what became of each.

use crate::{
    history::{Micros, What},
    words,
};

use super::reading::Reading;

/// The clock of one service that a fault moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MovedClock<'h> {
    /// Whose.
    pub service: &'h str,
    /// By how many milliseconds it was put ahead; negative if behind.
    pub ahead_ms: i64,
    /// When.
    pub moved: Micros,
    /// When the service first told another time; none if it never did.
    pub landed: Option<Micros>,
    /// When somebody put it right again.
    pub put_right: Option<Micros>,
    /// When the service told the right time again.
    pub right: Option<Micros>,
}

impl MovedClock<'_> {
    /// `the clock of archive was 48 h ahead`.
    pub fn words(&self) -> String {
        let by = words::span(self.ahead_ms.unsigned_abs().saturating_mul(1_000));
        let where_to = if self.ahead_ms < 0 { "behind" } else { "ahead" };
        format!("the clock of {} was {by} {where_to}", self.service)
    }
}

/// Every clock that a fault moved, in the order in which it did.
pub fn moved_by_faults<'h>(reading: &Reading<'h>) -> Vec<MovedClock<'h>> {
    let mut clocks: Vec<MovedClock<'h>> = Vec::new();
    for event in &reading.rare {
        let at = event.at;
        match &event.what {
            What::ClockSet { service, ahead_ms: 0 } => {
                if let Some(clock) = clocks.iter_mut().rfind(|clock| clock.service == service) {
                    clock.put_right.get_or_insert(at);
                }
            }
            What::ClockSet { service, ahead_ms } => clocks.push(MovedClock {
                service,
                ahead_ms: *ahead_ms,
                moved: at,
                landed: None,
                put_right: None,
                right: None,
            }),
            What::ClockSeen { service, ahead_ms } => {
                let Some(clock) = clocks.iter_mut().rfind(|clock| clock.service == service) else { continue };
                if *ahead_ms != 0 {
                    clock.landed.get_or_insert(at);
                } else if clock.landed.is_some() {
                    clock.right.get_or_insert(at);
                }
            }
            _ => {}
        }
    }
    clocks
}
