//! What the exit code of `notafter` says. Where several apply, the one further down this list of
//! [`WORST_FIRST`] gives way.

use crate::{
    check::Summary,
    error::{Error, Kind},
    runner::Finished,
};

/// Every scenario gave the verdict that it must give.
pub const AS_EXPECTED: u8 = 0;
/// A scenario gave another verdict.
pub const NOT_AS_EXPECTED: u8 = 1;
/// Of a scenario nobody can say what its verdict is: it was interrupted, a phase went wrong, or a
/// control did not hold.
pub const UNKNOWN: u8 = 2;
/// A runtime that is required is missing, or can do nothing of what was asked for.
pub const MISSING: u8 = 3;
/// What was asked for makes no sense (`EX_USAGE` of sysexits.h).
pub const USAGE: u8 = 64;
/// A bug of notafter (`EX_SOFTWARE` of sysexits.h).
pub const BUG: u8 = 70;

/// The worst first. A wrong verdict goes before an unknown one: it is certain.
pub const WORST_FIRST: [u8; 6] = [BUG, USAGE, MISSING, NOT_AS_EXPECTED, UNKNOWN, AS_EXPECTED];

/// The worst of several.
pub(super) fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let rank = |code: &u8| WORST_FIRST.iter().position(|known| known == code).unwrap_or(0);
    codes.into_iter().min_by_key(rank).unwrap_or(AS_EXPECTED)
}

/// What an error says.
pub(crate) fn of_error(error: &Error) -> u8 {
    match error.kind() {
        Kind::Run | Kind::Interrupted => UNKNOWN,
        Kind::Usage => USAGE,
        Kind::Missing => MISSING,
        Kind::Bug => BUG,
    }
}

/// What a run says.
pub(crate) fn of_run(finished: &Finished) -> u8 {
    match (&finished.error, finished.overall.verdict) {
        (Some(error), _) => of_error(error),
        (None, Summary::Unknown) => UNKNOWN,
        (None, _) if finished.overall.as_expected => AS_EXPECTED,
        (None, _) => NOT_AS_EXPECTED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bug_hides_behind_nothing_and_a_wrong_verdict_not_behind_an_unknown_one() {
        assert_eq!(worst([AS_EXPECTED, UNKNOWN, BUG, NOT_AS_EXPECTED]), BUG);
        assert_eq!(worst([AS_EXPECTED, UNKNOWN, NOT_AS_EXPECTED]), NOT_AS_EXPECTED);
        assert_eq!(worst([AS_EXPECTED, UNKNOWN]), UNKNOWN);
        assert_eq!(worst([]), AS_EXPECTED);
    }
}
