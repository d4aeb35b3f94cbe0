//! Turns at work that keeps a thread busy, so that no crowd of clients takes all threads.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Storage calls at a time that may block long; they mostly wait for a disk.
const STORAGE: usize = 64;

/// One for each kind of work: a crowd that waits for one of them does not hold up the others.
pub(crate) struct Turns {
    /// Digests of whole files, one per processor.
    pub(crate) digests: Kind,
    /// Everything else that may block long.
    pub(crate) storage: Kind,
}

/// Turns at one kind of work, given in the order they are asked for.
#[derive(Clone)]
pub(crate) struct Kind(Arc<Semaphore>);

/// A turn; it ends when this is dropped, so it goes along to the thread that works.
pub(crate) struct Turn {
    _permit: Option<OwnedSemaphorePermit>,
}

impl Turns {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self { digests: Kind::of(processors), storage: Kind::of(STORAGE) }
    }
}

impl Kind {
    fn of(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    pub(crate) async fn turn(&self) -> Turn {
        // It is never closed.
        Turn { _permit: Arc::clone(&self.0).acquire_owned().await.ok() }
    }
}
