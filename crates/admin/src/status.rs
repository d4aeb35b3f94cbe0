//! How things stand, as one JSON object.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use portway_ops::{Direction, Log, MeterReading, Registry, Seconds, SessionInfo, SessionState};
use serde::{Deserialize, Serialize};

/// Where the facts come from; a cheap handle.
#[derive(Clone)]
pub struct Facts {
    registry: Registry,
    log: Log,
    began: Instant,
    draining: Arc<AtomicBool>,
    verdict: Arc<dyn Fn() -> Option<String> + Send + Sync>,
}

impl std::fmt::Debug for Facts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Facts").finish_non_exhaustive()
    }
}

impl Facts {
    /// The facts of the server with these sessions and this log; it began now.
    #[must_use]
    pub fn new(registry: Registry, log: Log) -> Self {
        Self { registry, log, began: Instant::now(), draining: Arc::default(), verdict: Arc::new(|| None) }
    }

    /// Asks this for a sentence on how the data connections fare; `None` when there is nothing to say.
    #[must_use]
    pub fn with_verdict(mut self, verdict: impl Fn() -> Option<String> + Send + Sync + 'static) -> Self {
        self.verdict = Arc::new(verdict);
        self
    }

    /// Says that no new sessions are taken any more: `/health` turns to 503.
    pub fn drain_begins(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(crate) fn drain_has_begun(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    pub(crate) fn reading(&self) -> MeterReading {
        self.log.meter().read()
    }

    /// Clients that never had a data connection, and clients that tried: passive, active.
    pub(crate) fn cut_off(&self) -> [(usize, usize); 2] {
        self.log.diagnosis().cut_off()
    }

    pub(crate) fn sessions(&self) -> Vec<SessionInfo> {
        self.registry.sessions()
    }

    pub(crate) fn session_count(&self) -> usize {
        self.registry.len()
    }

    pub(crate) fn up(&self) -> Duration {
        self.began.elapsed()
    }
}

/// What `/status` says.
#[derive(Debug, Serialize)]
pub struct Status {
    /// The program's version.
    pub version: &'static str,
    /// Seconds since the start.
    pub up_seconds: f64,
    /// Whether it is ending: no new sessions.
    pub draining: bool,
    /// How the data connections fare, in a sentence, if there is something to say.
    pub verdict: Option<String>,
    /// Everybody who is connected.
    pub sessions: Vec<SessionStatus>,
    /// What happened since the start.
    pub counters: MeterReading,
}

/// One session.
#[derive(Debug, Serialize, Deserialize)]
pub struct SessionStatus {
    /// Its number.
    pub session: u64,
    /// The other end of the control connection.
    pub peer: SocketAddr,
    /// When it connected, in seconds since 1970.
    pub since: f64,
    /// `greeting`, `logging_in`, `idle`, `transferring` or `closing`.
    pub state: String,
    /// Who is logged in.
    pub user: Option<String>,
    /// What is being transferred.
    pub transfer: Option<TransferStatus>,
    /// Octets of files and listings received.
    pub bytes_in: u64,
    /// Octets of files and listings sent.
    pub bytes_out: u64,
}

/// One running transfer.
#[derive(Debug, Serialize, Deserialize)]
pub struct TransferStatus {
    /// `RETR`, `STOR`, `MLSD`, …
    pub verb: String,
    /// The file or folder as the user sees it.
    pub path: String,
    /// `in`, `out` or `list`.
    pub direction: String,
    /// Octets so far.
    pub bytes: u64,
    /// Seconds so far.
    pub seconds: f64,
}

impl Status {
    /// How things stand now.
    #[must_use]
    pub fn of(facts: &Facts) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            up_seconds: Seconds(facts.up()).as_f64(),
            draining: facts.drain_has_begun(),
            verdict: (facts.verdict)(),
            sessions: facts.sessions().into_iter().map(SessionStatus::from).collect(),
            counters: facts.reading(),
        }
    }
}

impl From<SessionInfo> for SessionStatus {
    fn from(info: SessionInfo) -> Self {
        let state = match info.state {
            SessionState::Greeting => "greeting",
            SessionState::LoggingIn => "logging_in",
            SessionState::Idle => "idle",
            SessionState::Transferring => "transferring",
            SessionState::Closing => "closing",
            _ => "unknown",
        };
        let since = info.since.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            session: info.id,
            peer: info.peer,
            since: Seconds(since).as_f64(),
            state: state.to_owned(),
            user: info.user.map(|user| user.to_string()),
            transfer: info.transfer.map(|(transfer, bytes, seconds)| TransferStatus {
                verb: transfer.verb.to_owned(),
                path: transfer.path.to_string(),
                direction: match transfer.direction {
                    Direction::In => "in",
                    Direction::Out => "out",
                    Direction::List => "list",
                }
                .to_owned(),
                bytes,
                seconds: seconds.as_f64(),
            }),
            bytes_in: info.bytes_in,
            bytes_out: info.bytes_out,
        }
    }
}

/// Seconds since 1970, for the gauge of the start.
pub(crate) fn started_at(facts: &Facts) -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Seconds(now.saturating_sub(facts.up())).as_f64()
}
