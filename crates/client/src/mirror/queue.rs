//! Work for all sessions of a mirror; it ends when nothing is left and nobody is looking for more.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::Notify;

use super::across::Passing;
use super::trail::Trail;
use crate::batch::SMALL;
use crate::{Offered, Wanted};

/// With so many files waiting, no more directories are listed: memory stays bounded, however large the tree.
const ENOUGH: usize = 10_000;
/// With so few files waiting, directories come first.
const FEW: usize = 256;
/// A notice may go to a session that has just ended.
const PATIENCE: Duration = Duration::from_millis(50);

/// A directory to be compared, or a file to be moved.
#[derive(Debug)]
pub(super) enum Work {
    Dir { below: Vec<u8>, trail: Trail },
    Down(Wanted),
    Up(Offered),
    Across(Passing),
}

impl Work {
    pub(super) fn is_small(&self) -> bool {
        match self {
            Self::Dir { .. } => false,
            Self::Down(wanted) => wanted.size <= SMALL,
            Self::Up(offered) => offered.size <= SMALL,
            Self::Across(file) => file.size <= SMALL,
        }
    }
}

#[derive(Default)]
pub(super) struct Queue {
    state: Mutex<State>,
    more: Notify,
}

#[derive(Default)]
struct State {
    dirs: VecDeque<Work>,
    large: VecDeque<Work>,
    small: VecDeque<Work>,
    /// Directories that are being compared, from which more may come.
    looking: usize,
}

impl State {
    fn files(&self) -> usize {
        self.large.len() + self.small.len()
    }

    fn is_done(&self) -> bool {
        self.dirs.is_empty() && self.files() == 0 && self.looking == 0
    }
}

impl Queue {
    pub(super) fn push(&self, work: Work) {
        if let Ok(mut state) = self.state.lock() {
            match &work {
                Work::Dir { .. } => state.dirs.push_front(work),
                file if file.is_small() => state.small.push_back(work),
                _ => state.large.push_back(work),
            }
        }
        self.more.notify_one();
    }

    /// The next piece; `None` at the end of all work. After a directory say [`Self::looked`].
    pub(super) async fn pop(&self) -> Option<Work> {
        loop {
            let more = self.more.notified();
            {
                let mut state = self.state.lock().ok()?;
                if state.files() < ENOUGH
                    && let Some(dir) = state.dirs.pop_front()
                {
                    state.looking += 1;
                    return Some(dir);
                }
                let file = match state.large.pop_front() {
                    Some(large) => Some(large),
                    None => state.small.pop_front(),
                };
                if file.is_some() {
                    return file;
                }
                if state.is_done() {
                    self.more.notify_waiters();
                    return None;
                }
            }
            let _ = tokio::time::timeout(PATIENCE, more).await;
        }
    }

    /// Another small file for a session that is moving some; `None` if there is none, or if directories wait
    /// and files become few.
    pub(super) fn next_small(&self) -> Option<Work> {
        let mut state = self.state.lock().ok()?;
        if !state.dirs.is_empty() && state.small.len() < FEW {
            return None;
        }
        state.small.pop_front()
    }

    /// A directory has been compared.
    pub(super) fn looked(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.looking = state.looking.saturating_sub(1);
        }
        self.more.notify_waiters();
    }

    /// Waits until something is there to be done, or all is done.
    pub(super) async fn wait(&self) {
        loop {
            let more = self.more.notified();
            match self.state.lock() {
                Ok(state) if state.dirs.is_empty() && state.files() == 0 && state.looking > 0 => {}
                _ => return,
            }
            let _ = tokio::time::timeout(PATIENCE, more).await;
        }
    }

    pub(super) fn is_done(&self) -> bool {
        self.state.lock().is_ok_and(|state| state.is_done())
    }

    /// What is left when no session is: each is a failure.
    pub(super) fn abandoned(&self) -> usize {
        self.state.lock().map_or(0, |state| state.dirs.len() + state.files())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dir() -> Work {
        Work::Dir { below: Vec::new(), trail: Trail::default() }
    }

    fn file(size: u64) -> Work {
        Work::Up(Offered { path: Vec::new(), name: portway_vfs::VPath::root(), size, modified: 0, mode: 0 })
    }

    #[tokio::test]
    async fn directories_come_before_files_until_enough_files_wait() {
        let queue = Queue::default();
        queue.push(file(1));
        queue.push(dir());
        assert!(queue.next_small().is_none(), "few files, and a directory waits");
        assert!(matches!(queue.pop().await, Some(Work::Dir { .. })));
        assert!(queue.next_small().is_some());
        queue.looked();
        for _ in 0..ENOUGH {
            queue.push(file(1));
        }
        queue.push(dir());
        assert!(matches!(queue.pop().await, Some(Work::Up(_))));
        assert!(queue.next_small().is_some());
        assert!(matches!(queue.pop().await, Some(Work::Dir { .. })));
    }

    #[tokio::test]
    async fn it_ends_only_when_nobody_looks_for_more() {
        let queue = std::sync::Arc::new(Queue::default());
        queue.push(dir());
        assert!(queue.pop().await.is_some());
        let waiting = tokio::spawn({
            let queue = queue.clone();
            async move { queue.pop().await }
        });
        queue.push(file(SMALL + 1));
        assert!(matches!(waiting.await, Ok(Some(Work::Up(_)))));
        queue.looked();
        assert!(queue.pop().await.is_none() && queue.is_done());
    }
}
