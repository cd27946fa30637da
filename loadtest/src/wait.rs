//! Waiting for what has to happen.

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::{Instant, sleep};

/// Waits until `look` has something.
///
/// # Errors
/// When it fails, or [`PATIENCE`] is over: `what` did not happen then.
pub(crate) async fn until<T>(what: &str, mut look: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{what}: not in {} s", PATIENCE.as_secs());
        sleep(LOOK_AGAIN).await;
    }
}

/// Hundreds of players come in within it.
const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
