//! Waits for a condition, with a limit that says what was waited for.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two looks at something that cannot tell by itself.
const EVERY: Duration = Duration::from_millis(20);

/// Asks until there is an answer.
///
/// # Errors
/// Why there still is none at the limit.
pub async fn until<T>(
    limit: Duration,
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<T, String>,
) -> Result<T, String> {
    let began = Instant::now();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(why) if began.elapsed() > limit => {
                return Err(format!("{what}: not within {limit:?}: {why}"));
            }
            Err(_) => sleep(EVERY).await,
        }
    }
}
