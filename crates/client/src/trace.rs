//! What happens on both channels, as it happens: for `explain`, `--trace` and tests.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde::Serialize;

/// One thing that happened.
#[derive(Clone, Debug, Serialize)]
pub struct Record {
    /// Since the trace began, in seconds.
    #[serde(serialize_with = "seconds")]
    pub at: Duration,
    /// Which control connection, counted from 1.
    pub connection: u32,
    /// What happened.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A happening on the control or the data channel.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
#[serde(tag = "event", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Seen {
    /// The control connection stands.
    Connected {
        /// Our end.
        local: SocketAddr,
        /// The server's.
        peer: SocketAddr,
        /// Time for the TCP handshake, in microseconds: one round trip.
        round_trip_us: u64,
    },
    /// A command left; secrets are hidden.
    Sent {
        /// The line.
        line: String,
    },
    /// A reply came.
    Received {
        /// Its code.
        code: u16,
        /// Its lines, made printable.
        lines: Vec<String>,
    },
    /// TLS was agreed on.
    Tls {
        /// `control` or `data`.
        channel: &'static str,
        /// `1.2` or `1.3`.
        version: String,
        /// The cipher suite.
        cipher: String,
        /// An earlier session was resumed.
        resumed: bool,
    },
    /// Somebody announced where the data connection goes.
    Announced {
        /// `PASV`, `EPSV`, `PORT` or `EPRT`.
        by: &'static str,
        /// What was said.
        addr: SocketAddr,
        /// Where it goes in truth, if the announced address was not believed.
        instead: Option<SocketAddr>,
    },
    /// The data connection stands.
    DataOpen {
        /// `passive`: we connected; `active`: the server did.
        mode: &'static str,
        /// Our end.
        local: SocketAddr,
        /// The server's.
        peer: SocketAddr,
        /// How long it took, in microseconds.
        took_us: u64,
    },
    /// No data connection came about.
    DataFailed {
        /// `PASV`, `EPSV`, `PORT` or `EPRT`.
        by: &'static str,
        /// Where it should have gone.
        to: Option<SocketAddr>,
        /// What was seen.
        why: String,
        /// How long it took to know, in microseconds.
        took_us: u64,
    },
    /// The data connection ended.
    DataDone {
        /// Octets that moved.
        octets: u64,
        /// True if they came from the server.
        down: bool,
        /// `clean`, or what was wrong.
        end: String,
    },
    /// A decision of ours, in words.
    Note {
        /// The words.
        text: String,
    },
    /// The control connection is closed.
    Closed,
}

/// Takes records; called from the task that drives the connection, so it must not block.
pub trait Observer: Send + Sync {
    /// One more thing happened.
    fn seen(&self, record: Record);
}

/// Where happenings go. Cheap to clone; silent by default.
#[derive(Clone)]
pub struct Trace {
    observer: Option<Arc<dyn Observer>>,
    began: Instant,
    connections: Arc<AtomicU32>,
    connection: u32,
}

impl Default for Trace {
    fn default() -> Self {
        Self { observer: None, began: Instant::now(), connections: Arc::default(), connection: 0 }
    }
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Trace(connection {})", self.connection)
    }
}

impl Trace {
    /// A trace that goes to `observer`; its time begins now.
    #[must_use]
    pub fn new(observer: Arc<dyn Observer>) -> Self {
        Self { observer: Some(observer), ..Self::default() }
    }

    /// The same trace for one more connection, with the next number.
    #[must_use]
    pub(crate) fn next_connection(&self) -> Self {
        let connection = self.connections.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        Self { connection, ..self.clone() }
    }

    /// Records; `seen` is called only if somebody listens.
    pub(crate) fn record(&self, seen: impl FnOnce() -> Seen) {
        if let Some(observer) = &self.observer {
            observer.seen(Record { at: self.began.elapsed(), connection: self.connection, seen: seen() });
        }
    }

    pub(crate) fn note(&self, text: impl fmt::Display) {
        self.record(|| Seen::Note { text: text.to_string() });
    }
}

pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn seconds<S: serde::Serializer>(at: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_f64((at.as_secs_f64() * 1e6).round() / 1e6)
}
