//! Large buffers that exist only while octets pass through them.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// 16 full TLS records, and what tokio, files and sockets like best (measured: larger gains nothing).
pub(super) const LARGE: usize = 256 * 1024;

/// Files up to this size get a buffer of their own size from the allocator.
const SMALL: usize = 32 * 1024;

/// Large buffers kept for the next transfer, 4 MiB in all. Fresh ones cost a page fault per 4 KiB.
const KEPT: usize = 16;

static POOL: Mutex<Vec<Box<[u8]>>> = Mutex::new(Vec::new());

/// A buffer; goes back to the pool when dropped.
#[derive(Debug, Default)]
pub(super) struct Buffer(Box<[u8]>);

impl Buffer {
    /// A buffer for `expected` octets in all: at least one octet, at most 256 KiB.
    pub(super) fn of(expected: u64) -> Self {
        if expected <= SMALL as u64 {
            return Self(vec![0; (expected as usize).max(1)].into_boxed_slice());
        }
        let kept = POOL.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Self(kept.unwrap_or_else(|| vec![0; LARGE].into_boxed_slice()))
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.0.len() == LARGE {
            let mut pool = POOL.lock().unwrap_or_else(PoisonError::into_inner);
            if pool.len() < KEPT {
                pool.push(std::mem::take(&mut self.0));
            }
        }
    }
}
