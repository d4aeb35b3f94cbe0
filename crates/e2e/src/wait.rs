//! Waiting for conditions.

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// How long anything that should happen soon may take before a test fails. 20 s: long for an idle
/// machine, short enough for a suite that shares two busy cores.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks `ask` until it returns a value, for at most `limit`.
///
/// # Errors
/// Names `what` when the limit has passed, and passes on an error of `ask` at once.
pub fn until<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if begun.elapsed() > limit {
            bail!("waited {limit:?} in vain until {what}");
        }
        std::thread::park_timeout(Duration::from_millis(3));
    }
}
