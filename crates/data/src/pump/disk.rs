//! Disk calls that must not hold up other tasks.

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::runtime::{Handle, RuntimeFlavor};

/// A call that takes longer waited for a disk; the page cache answers within a fraction of this.
const SLOW: Duration = Duration::from_millis(5);

/// So many quick calls in a row, and the file counts as warm again.
const QUICK_AGAIN: u32 = 32;

/// What is asked to be read ahead when a file is found cold.
const AHEAD: u64 = 4 * 1024 * 1024;

/// Transfers of the whole process that may wait for a disk beside the worker threads at a time. Half of what the
/// runtime has for blocking calls: a crowd that reads cold files leaves the other half to logins and storage.
const ASIDE: usize = 256;

/// How many do.
static WAITING: AtomicUsize = AtomicUsize::new(0);

/// A place among those who wait aside; given back when dropped.
struct Aside<'a>(&'a AtomicUsize);

impl<'a> Aside<'a> {
    /// `None` where all places are taken: the call then runs in the task.
    fn step(waiting: &'a AtomicUsize) -> Option<Self> {
        let more = |now: usize| (now < ASIDE).then_some(now + 1);
        waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Self(waiting))
    }
}

impl Drop for Aside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The disk side of one transfer: warm calls run in the task, cold ones give the worker thread free first.
#[derive(Debug)]
pub(super) struct Disk {
    cold: bool,
    quick: u32,
    can_step_aside: bool,
}

impl Disk {
    pub(super) fn new() -> Self {
        let flavor = Handle::try_current().map(|handle| handle.runtime_flavor());
        let can_step_aside = matches!(flavor, Ok(RuntimeFlavor::MultiThread));
        Self { cold: false, quick: 0, can_step_aside }
    }

    /// Runs a call that may wait for the disk.
    pub(super) fn run<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let start = Instant::now();
        let aside = if self.cold && self.can_step_aside { Aside::step(&WAITING) } else { None };
        let result = if aside.is_some() { tokio::task::block_in_place(call) } else { call() };
        drop(aside);
        if start.elapsed() > SLOW {
            (self.cold, self.quick) = (true, 0);
        } else if self.cold {
            self.quick += 1;
            self.cold = self.quick < QUICK_AGAIN;
        }
        result
    }

    /// Finds out whether `len` octets from `from` are in memory; if not, has them read ahead, and the next
    /// call steps aside.
    pub(super) fn look_ahead(&mut self, file: &File, from: u64, len: u64) {
        if self.cold {
            return;
        }
        let last = from.saturating_add(len).saturating_sub(1);
        if in_memory(file, from) == Some(false) || (len > 4096 && in_memory(file, last) == Some(false)) {
            (self.cold, self.quick) = (true, 0);
            read_ahead(file, from, AHEAD);
        }
    }

    /// Reads at `from`; `Ok(0)` is the end of the file.
    pub(super) fn read_at(&mut self, file: &File, buf: &mut [u8], from: u64) -> io::Result<usize> {
        if !self.cold {
            match read_if_in_memory(file, buf, from) {
                Some(Ok(n)) => return Ok(n),
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    (self.cold, self.quick) = (true, 0);
                    read_ahead(file, from, AHEAD);
                }
                Some(Err(error)) => return Err(error),
                None => {}
            }
        }
        self.run(|| std::os::unix::fs::FileExt::read_at(file, buf, from))
    }
}

/// `None` where the file system cannot tell.
#[cfg(target_os = "linux")]
fn read_if_in_memory(file: &File, buf: &mut [u8], from: u64) -> Option<io::Result<usize>> {
    use rustix::io::{Errno, ReadWriteFlags, preadv2};
    match preadv2(file, &mut [io::IoSliceMut::new(buf)], from, ReadWriteFlags::NOWAIT) {
        Ok(n) => Some(Ok(n)),
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL | Errno::SPIPE) => None,
        Err(errno) => Some(Err(errno.into())),
    }
}

#[cfg(not(target_os = "linux"))]
fn read_if_in_memory(_file: &File, _buf: &mut [u8], _from: u64) -> Option<io::Result<usize>> {
    None
}

/// Whether the octet at `at` could be read without waiting; `None` if that cannot be told.
fn in_memory(file: &File, at: u64) -> Option<bool> {
    match read_if_in_memory(file, &mut [0], at)? {
        Ok(_) => Some(true),
        Err(error) => (error.kind() == io::ErrorKind::WouldBlock).then_some(false),
    }
}

#[cfg(target_os = "linux")]
fn read_ahead(file: &File, from: u64, len: u64) {
    // Only advice: the read that follows waits for what it needs.
    let _ = rustix::fs::fadvise(file, from, std::num::NonZeroU64::new(len), rustix::fs::Advice::WillNeed);
}

#[cfg(not(target_os = "linux"))]
fn read_ahead(_file: &File, _from: u64, _len: u64) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_crowd_takes_all_threads() {
        let waiting = AtomicUsize::new(0);
        let mut crowd: Vec<_> = std::iter::from_fn(|| Aside::step(&waiting)).take(2 * ASIDE).collect();
        assert_eq!(crowd.len(), ASIDE);
        crowd.pop();
        assert!(Aside::step(&waiting).is_some(), "a place that is given back is free");
    }
}
