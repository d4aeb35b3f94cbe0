//! Pipes for `splice(2)`: the kernel's buffer between a socket and a file.

use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};

use rustix::pipe::{PipeFlags, fcntl_getpipe_size, fcntl_setpipe_size, pipe_with};

/// What one call may move; the kernel grants a pipe of this size to every user until their sum is 64 MiB.
pub(super) const LARGEST: usize = 1024 * 1024;

/// Pipes kept for the next transfer.
const KEPT: usize = 16;

static POOL: Mutex<Vec<Pipe>> = Mutex::new(Vec::new());

/// An empty pipe.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) reader: OwnedFd,
    pub(super) writer: OwnedFd,
    /// Octets it holds.
    pub(super) size: usize,
}

impl Pipe {
    /// A pipe, of 1 MiB if the kernel grants it.
    pub(super) fn new() -> std::io::Result<Self> {
        if let Some(pipe) = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop() {
            return Ok(pipe);
        }
        let (reader, writer) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        let size = fcntl_setpipe_size(&writer, LARGEST).or_else(|_| fcntl_getpipe_size(&writer))?;
        Ok(Self { reader, writer, size })
    }

    /// Keeps the pipe for the next transfer. It must be empty.
    pub(super) fn put_back(self) {
        let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
        if pool.len() < KEPT {
            pool.push(self);
        }
    }
}
