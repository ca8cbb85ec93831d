//! One service believes another time than all others: nodes disagree about now.

use std::time::Duration;

use super::{AnyFault, Fault, Injected};
use crate::{
    context::Context,
    error::Result,
    history::{Tail, What},
    runtime::Ability,
};

/// A clock that nobody has seen to be off by then is not looked at.
const SEEN_LIMIT: Duration = Duration::from_secs(10);

/// The clock of one service is off.
struct ClockOff {
    service: String,
    /// How far it is ahead; behind, if negative.
    seconds: i64,
}

/// The clock of `service` is so far ahead, to the second, as on a node that has lost its time server
/// (istio/istio#32176). Certificates and everybody else's clock are good; for this service they have ended.
pub fn clock_ahead(service: impl Into<String>, by: Duration) -> Box<dyn AnyFault> {
    Box::new(ClockOff { service: service.into(), seconds: seconds(by) })
}

/// The clock of `service` is so far behind, to the second: for this service certificates have not begun yet.
/// Behind by less than the age of one that has ended, it takes that one for good.
pub fn clock_behind(service: impl Into<String>, by: Duration) -> Box<dyn AnyFault> {
    Box::new(ClockOff { service: service.into(), seconds: -seconds(by) })
}

fn seconds(by: Duration) -> i64 {
    by.as_secs().try_into().unwrap_or(i64::MAX)
}

impl Fault for ClockOff {
    fn describe(&self) -> String {
        let by = crate::words::span(self.seconds.unsigned_abs().saturating_mul(1_000_000));
        let where_to = if self.seconds < 0 { "behind" } else { "ahead" };
        format!("the clock of {} is {by} {where_to}", self.service)
    }

    fn needs(&self) -> &'static [Ability] {
        &[Ability::MoveClock]
    }

    /// It has landed when the service itself tells another time.
    async fn inject(&self, context: &Context) -> Result<Vec<Injected>> {
        let Self { service, seconds } = self;
        let was = context.cluster.clock(service)?;
        context.journal.will_move_clock(service, was, *seconds)?;
        context.set_clock(service, *seconds)?;
        let is_off = |what: &What| matches!(what, What::ClockSeen { service: whose, ahead_ms } if whose == service && *ahead_ms != 0);
        let mut seen = false;
        let mut tail = Tail::from_start(&context.recorder);
        let waited = tail.until(SEEN_LIMIT, |tail| {
            tail.look(|event| seen |= is_off(&event.what));
            if seen { Ok(()) } else { Err(format!("{service} goes by the clock of the machine still")) }
        });
        waited
            .await
            .map_err(|error| error.hint("a service has to look at the clock that it is told to go by"))?;
        Ok(Vec::new())
    }
}
