//! What a subject writes while it runs.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::Value;

/// The lines of one output of a running program, kept as they come.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    shared: Arc<(Mutex<Vec<String>>, Condvar)>,
}

impl Lines {
    /// Reads `output` in a thread of its own until it ends.
    pub fn follow(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let shared = lines.shared.clone();
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line).is_ok_and(|n| n > 0) {
                let text = String::from_utf8_lossy(&line).trim_end().to_owned();
                shared.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
                shared.1.notify_all();
                line.clear();
            }
        });
        lines
    }

    /// All lines so far.
    #[must_use]
    pub fn so_far(&self) -> Vec<String> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// All lines so far that are JSON objects.
    #[must_use]
    pub fn objects(&self) -> Vec<Value> {
        self.so_far().iter().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    /// Waits until a line satisfies `wanted`, and returns what that makes of it.
    ///
    /// # Errors
    /// Names `what` and quotes all lines when none came within `limit`.
    pub fn wait_for<T>(
        &self,
        what: &str,
        limit: Duration,
        mut wanted: impl FnMut(&str) -> Option<T>,
    ) -> Result<T> {
        let (mutex, arrived) = &*self.shared;
        let begun = Instant::now();
        let mut seen = 0;
        let mut lines = mutex.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            for line in lines.iter().skip(seen) {
                if let Some(found) = wanted(line) {
                    return Ok(found);
                }
            }
            seen = lines.len();
            let Some(left) = limit.checked_sub(begun.elapsed()) else {
                bail!("no line is {what}; the lines are:\n{}", lines.join("\n"));
            };
            lines = arrived.wait_timeout(lines, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}
