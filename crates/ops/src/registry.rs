//! Who is connected right now, and doing what.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::Shown;
use crate::event::{Direction, Seconds};

/// Parts of the session table with a lock each, so that logins on many cores do not meet.
const SHARDS: usize = 16;

/// The table of live sessions; a cheap handle, clone it freely.
#[derive(Clone, Debug, Default)]
pub struct Registry {
    table: Arc<Table>,
}

#[derive(Debug, Default)]
struct Table {
    shards: [Mutex<HashMap<u64, Arc<Session>>>; SHARDS],
    last_id: AtomicU64,
}

#[derive(Debug)]
struct Session {
    id: u64,
    peer: SocketAddr,
    since: SystemTime,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    now: Mutex<Now>,
}

/// What changes while a session lives; boxed text only where there is some, since idle sessions are many.
#[derive(Debug, Default)]
struct Now {
    state: SessionState,
    user: Option<Box<Shown>>,
    transfer: Option<Box<Running>>,
}

#[derive(Debug)]
struct Running {
    info: TransferInfo,
    began: SystemTime,
    bytes: Arc<AtomicU64>,
}

/// How far a session has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SessionState {
    /// Connected; nobody is logged in.
    #[default]
    Greeting,
    /// A password is being checked, or waits to be.
    LoggingIn,
    /// Logged in, waiting for a command.
    Idle,
    /// A data connection is awaited, or data flows.
    Transferring,
    /// Ending.
    Closing,
}

/// What is being transferred.
#[derive(Clone, Debug, PartialEq)]
pub struct TransferInfo {
    /// The command: `RETR`, `STOR`, `MLSD`, …
    pub verb: &'static str,
    /// The file or folder, as the user sees it.
    pub path: Shown,
    /// Which way the octets go.
    pub direction: Direction,
}

/// A session as it was at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct SessionInfo {
    /// The session's number.
    pub id: u64,
    /// Address and port at the other end of the control connection.
    pub peer: SocketAddr,
    /// When it connected.
    pub since: SystemTime,
    /// How far it has come.
    pub state: SessionState,
    /// Who is logged in, if anybody.
    pub user: Option<Shown>,
    /// What is being transferred, with the octets so far and for how long.
    pub transfer: Option<(TransferInfo, u64, Seconds)>,
    /// File and listing octets received since the session began, the running transfer's included.
    pub bytes_in: u64,
    /// File and listing octets sent, likewise.
    pub bytes_out: u64,
}

impl Registry {
    /// Enters a session and gives it the next number, from 1 on; it leaves when the value is dropped.
    pub fn enter(&self, peer: SocketAddr) -> SessionEntry {
        let id = self.table.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let session = Arc::new(Session {
            id,
            peer,
            since: SystemTime::now(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            now: Mutex::default(),
        });
        if let Some(mut shard) = self.table.shard(id) {
            shard.insert(id, Arc::clone(&session));
        }
        SessionEntry { session, table: Arc::clone(&self.table) }
    }

    /// How many sessions there are.
    pub fn len(&self) -> usize {
        self.table.shards.iter().map(|shard| lock(shard).len()).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All sessions, in order of their numbers; each as it was at some moment during the call.
    pub fn sessions(&self) -> Vec<SessionInfo> {
        let live: Vec<Arc<Session>> = self
            .table
            .shards
            .iter()
            .flat_map(|shard| lock(shard).values().cloned().collect::<Vec<_>>())
            .collect();
        let mut infos: Vec<SessionInfo> = live.iter().map(|session| session.info()).collect();
        infos.sort_unstable_by_key(|info| info.id);
        infos
    }
}

impl Table {
    fn shard(&self, id: u64) -> Option<MutexGuard<'_, HashMap<u64, Arc<Session>>>> {
        self.shards.get((id % SHARDS as u64) as usize).map(lock)
    }
}

impl Session {
    fn info(&self) -> SessionInfo {
        let now = lock(&self.now);
        SessionInfo {
            id: self.id,
            peer: self.peer,
            since: self.since,
            state: now.state,
            user: now.user.as_deref().cloned(),
            transfer: now.transfer.as_deref().map(|running| {
                let took = running.began.elapsed().unwrap_or_default();
                (running.info.clone(), running.bytes.load(Ordering::Relaxed), Seconds(took))
            }),
            bytes_in: self.bytes_in.load(Ordering::Relaxed),
            bytes_out: self.bytes_out.load(Ordering::Relaxed),
        }
    }
}

/// A session's own place in the registry.
#[derive(Debug)]
pub struct SessionEntry {
    session: Arc<Session>,
    table: Arc<Table>,
}

impl SessionEntry {
    /// The session's number: unique while the program runs.
    pub fn id(&self) -> u64 {
        self.session.id
    }

    /// Says how far the session has come.
    pub fn set_state(&self, state: SessionState) {
        lock(&self.session.now).state = state;
    }

    /// Says who is logged in; `None` after `REIN`.
    pub fn set_user(&self, user: Option<Shown>) {
        lock(&self.session.now).user = user.map(Box::new);
    }

    /// Begins a transfer; it ends when the value is dropped, and the session is idle again.
    pub fn transfer(&self, info: TransferInfo) -> Progress {
        let bytes = Arc::new(AtomicU64::new(0));
        let incoming = info.direction == Direction::In;
        let running = Running { info, began: SystemTime::now(), bytes: Arc::clone(&bytes) };
        let mut now = lock(&self.session.now);
        now.state = SessionState::Transferring;
        now.transfer = Some(Box::new(running));
        drop(now);
        Progress { session: Arc::clone(&self.session), bytes, incoming }
    }

    /// File and listing octets received and sent since the session began.
    pub fn bytes(&self) -> (u64, u64) {
        (self.session.bytes_in.load(Ordering::Relaxed), self.session.bytes_out.load(Ordering::Relaxed))
    }
}

impl Drop for SessionEntry {
    fn drop(&mut self) {
        if let Some(mut shard) = self.table.shard(self.session.id) {
            shard.remove(&self.session.id);
        }
    }
}

/// A running transfer's place in the registry; the pump tells it how far it is.
#[derive(Debug)]
pub struct Progress {
    session: Arc<Session>,
    bytes: Arc<AtomicU64>,
    incoming: bool,
}

impl Progress {
    /// So many octets more have been moved. Costs two atomic additions.
    pub fn add(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        let total = if self.incoming { &self.session.bytes_in } else { &self.session.bytes_out };
        total.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Octets moved so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        let mut now = lock(&self.session.now);
        // The next transfer may have begun before this value was dropped.
        if now.transfer.as_ref().is_some_and(|running| Arc::ptr_eq(&running.bytes, &self.bytes)) {
            now.transfer = None;
            now.state = SessionState::Idle;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is a single assignment or insertion: never half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer() -> SocketAddr {
        "192.0.2.7:50000".parse().unwrap()
    }

    fn upload() -> TransferInfo {
        TransferInfo { verb: "STOR", path: "/in/a".into(), direction: Direction::In }
    }

    #[test]
    fn a_session_is_seen_from_entering_to_leaving() {
        let registry = Registry::default();
        let (first, second) = (registry.enter(peer()), registry.enter(peer()));
        assert_eq!((first.id(), second.id(), registry.len()), (1, 2, 2));
        second.set_user(Some("ann".into()));
        second.set_state(SessionState::Idle);
        let seen = registry.sessions();
        assert_eq!(seen.iter().map(|info| info.id).collect::<Vec<_>>(), [1, 2]);
        assert_eq!(seen[0].state, SessionState::Greeting);
        assert_eq!((seen[1].user.clone(), seen[1].state), (Some("ann".into()), SessionState::Idle));
        drop(first);
        assert_eq!(registry.len(), 1);
        drop(second);
        assert!(registry.is_empty());
    }

    #[test]
    fn a_transfer_is_seen_while_it_runs_and_its_octets_stay_with_the_session() {
        let registry = Registry::default();
        let session = registry.enter(peer());
        let progress = session.transfer(upload());
        progress.add(700);
        progress.add(300);
        let seen = registry.sessions().remove(0);
        assert_eq!(seen.state, SessionState::Transferring);
        let (info, bytes, _) = seen.transfer.unwrap();
        assert_eq!((info, bytes, progress.bytes()), (upload(), 1000, 1000));
        drop(progress);
        let seen = registry.sessions().remove(0);
        assert_eq!(
            (seen.state, seen.transfer, seen.bytes_in, seen.bytes_out),
            (SessionState::Idle, None, 1000, 0)
        );
        session.transfer(TransferInfo { direction: Direction::Out, ..upload() }).add(5);
        assert_eq!(session.bytes(), (1000, 5));
    }

    #[test]
    fn the_end_of_one_transfer_does_not_hide_the_next() {
        let registry = Registry::default();
        let session = registry.enter(peer());
        let first = session.transfer(upload());
        let second = session.transfer(TransferInfo { verb: "RETR", ..upload() });
        drop(first);
        let seen = registry.sessions().remove(0);
        assert_eq!(seen.transfer.map(|(info, ..)| info.verb), Some("RETR"));
        drop(second);
    }

    #[test]
    fn sessions_come_and_go_on_many_threads_and_none_is_left_behind() {
        let registry = Registry::default();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    for _ in 0..500 {
                        let session = registry.enter(peer());
                        session.transfer(upload()).add(1);
                        assert!(!registry.is_empty());
                    }
                });
            }
        });
        assert!(registry.is_empty());
        assert_eq!(registry.enter(peer()).id(), 4001, "no number is given twice");
    }
}
