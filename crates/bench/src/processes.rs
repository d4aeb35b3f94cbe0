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
    /// waited for. To the microsecond for threads that live, in steps of 10 ms for what has ended.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) fn cpu(&self) -> Result<f64> {
        let tick = rustix::param::clock_ticks_per_second() as f64;
        let mut seconds = 0.0;
        for pid in self.all()? {
            // A child may end while its siblings are counted; its parent has its time then.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            // Fields 14 to 17 (utime, stime, cutime, cstime); the name before them may hold blanks.
            let (_, rest) = stat.rsplit_once(") ").context("a stat line has a name")?;
            let ticks: Vec<u64> =
                rest.split(' ').skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
            let [user, system, ended @ ..] = ticks.as_slice() else { continue };
            // The former knows threads that have ended, too.
            let (coarse, fine) = ((user + system) as f64 / tick, threads(pid));
            seconds += coarse.max(fine) + ended.iter().sum::<u64>() as f64 / tick;
        }
        Ok(seconds)
    }

    /// Forgets how much memory was in use at most: [`Processes::peak`] begins anew.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) fn forget_peak(&self) -> Result<()> {
        for pid in self.all()? {
            // 5 resets the peak of the resident set; see proc_pid_clear_refs(5). Not there without root.
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
        Ok(())
    }

    /// Resident memory in KiB, now and at most since [`Processes::forget_peak`], of all that run.
    ///
    /// # Errors
    /// When the server is gone.
    pub(crate) fn peak(&self) -> Result<(f64, f64)> {
        let (mut now, mut most) = (0, 0);
        for pid in self.all()? {
            let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else { continue };
            let field = |name: &str| {
                let rest = status.lines().find_map(|line| line.strip_prefix(name))?;
                rest.split_whitespace().next()?.parse::<u64>().ok()
            };
            now += field("VmRSS:").unwrap_or_default();
            most += field("VmHWM:").unwrap_or_default();
        }
        Ok((now as f64, most as f64))
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

/// CPU seconds of the threads of a process that live.
fn threads(pid: u32) -> f64 {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else { return 0.0 };
    let nanos = |entry: fs::DirEntry| {
        let text = fs::read_to_string(entry.path().join("schedstat")).ok()?;
        text.split(' ').next()?.parse::<u64>().ok()
    };
    tasks.flatten().filter_map(nanos).sum::<u64>() as f64 / 1e9
}
