//! What a server and all its processes have spent, by `/proc`.

use std::fs;

use anyhow::{Context, Result};

/// A server's processes: those given and all their descendants.
pub(crate) struct Processes {
    roots: Vec<u32>,
}

impl Processes {
    pub(crate) fn new(roots: Vec<u32>) -> Self {
        Self { roots }
    }

    /// CPU seconds, user and system, so far: of all that run, and of those that ended and were
    /// waited for. A resolution of 10 ms.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let mut ticks = 0;
        for pid in self.all()? {
            // A child may end while its siblings are counted; its parent has its time then.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            // Fields 14 to 17 (utime, stime, cutime, cstime); the name before them may hold blanks.
            let (_, rest) = stat.rsplit_once(") ").context("a stat line has a name")?;
            ticks +=
                rest.split(' ').skip(11).take(4).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>();
        }
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Proportional set size of all that run, in KiB: pages shared by several processes count once.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) fn memory(&self) -> Result<f64> {
        let mut kib = 0;
        for pid in self.all()? {
            let Ok(rollup) = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")) else { continue };
            let line = rollup.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
            kib += line
                .split_whitespace()
                .nth(1)
                .and_then(|field| field.parse::<u64>().ok())
                .unwrap_or_default();
        }
        Ok(kib as f64)
    }

    fn all(&self) -> Result<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Some(pid) = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            let parent =
                stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse::<u32>().ok());
            parents.push((pid, parent.unwrap_or_default()));
        }
        let mut found = self.roots.clone();
        let mut at = 0;
        while let Some(&parent) = found.get(at) {
            found.extend(parents.iter().filter(|(_, above)| *above == parent).map(|(pid, _)| *pid));
            at += 1;
        }
        Ok(found)
    }
}
