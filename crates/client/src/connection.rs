//! One session with a server: commands and replies on the control channel.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::{DataConn, Through};
use portway_net::{ClientControlTls, Control};
use portway_proto::client::{ClientSession, Features};
use portway_proto::{Command, Protection};
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::{Phase, Seen, Settings, Target, Trace, Verdict};

mod dialogue;
mod doorway;
mod keep_alive;
mod open;
mod route;
mod tickets;
mod transfer;
mod trust;
mod way;

pub use transfer::{Body, Done, Job};
pub use way::Way;

pub(crate) use transfer::data_open;
pub(crate) use way::Opened;

/// One control connection, logged in, and the data connections it asks for.
///
/// One transfer at a time; every method takes it by `&mut`. After an error whose
/// [`ends_session`](crate::Error::ends_session) is true only [`Self::reconnect`] helps.
#[derive(Debug)]
pub struct Connection {
    settings: Arc<Settings>,
    target: Target,
    trace: Trace,
    control: Control,
    session: ClientSession,
    peer: std::net::SocketAddr,
    local: std::net::SocketAddr,
    round_trip: Duration,
    /// The proxy in between.
    through: Option<Through>,
    /// What our router does for active mode.
    doorway: doorway::Doorway,
    tls: Option<ClientControlTls>,
    /// True if data connections are to be encrypted.
    private: bool,
    features: Features,
    greeting: String,
    /// Ways that failed on this connection or the ones before it.
    tried: Verdict,
    /// The way that worked last.
    chosen: Option<Way>,
    /// The public address as a server told it when it refused PORT.
    public: Option<IpAddr>,
    memory_key: String,
    /// TLS 1.2 at most: the server is short of tickets.
    tls12: bool,
    had_tickets: bool,
    /// The transfer that comes next, for servers that want to know (PRET).
    next: Option<Vec<u8>>,
    swallows_noop: bool,
    /// It opens passive ports only after PRET.
    wants_pret: bool,
    broken: bool,
    /// In block mode: the data connection of the transfer before, for the next.
    kept: Option<Box<DataConn>>,
    /// Block mode did not work out.
    no_blocks: bool,
}

impl Connection {
    /// The server this is a session with.
    #[must_use]
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// The settings it was opened with.
    #[must_use]
    pub fn settings(&self) -> &Arc<Settings> {
        &self.settings
    }

    /// What the server said in answer to FEAT.
    #[must_use]
    pub fn features(&self) -> &Features {
        &self.features
    }

    /// The words of the greeting.
    #[must_use]
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// The time a packet takes to the server and back, as the TCP handshake showed it.
    #[must_use]
    pub fn round_trip(&self) -> Duration {
        self.round_trip
    }

    /// The server's address.
    #[must_use]
    pub fn peer(&self) -> std::net::SocketAddr {
        self.peer
    }

    /// Whether the control channel is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// False once it can no longer be used.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        !self.broken && !self.session.closing()
    }

    /// Gives the session up, as after a method whose future was dropped half-way: the replies to come would answer
    /// other commands. [`Self::reconnect`] makes a new one.
    pub fn abandon(&mut self) {
        self.broken = true;
    }

    /// Whether PROT P has to be sent before the next transfer.
    pub(crate) fn needs_protection(&self) -> bool {
        self.private && self.session.protection() != Protection::Private
    }

    /// Says goodbye; waits for the answer a second at most.
    pub async fn quit(mut self) {
        self.unmap().await;
        if self.is_usable() && self.queue(&Command::Quit).is_ok() && self.flush(Phase::Command).await.is_ok()
        {
            let deadline = Instant::now() + Duration::from_secs(1);
            // A server that just closes is as good.
            let _ = self.answer(Phase::Command, deadline).await;
        }
        let _ = self.control.shutdown().await;
        self.trace.record(|| Seen::Closed);
    }
}

/// What the batch of small files needs.
impl Connection {
    pub(crate) fn wants_pret(&self) -> bool {
        self.wants_pret
    }

    pub(crate) fn memory_key(&self) -> &str {
        &self.memory_key
    }

    pub(crate) fn local(&self) -> std::net::SocketAddr {
        self.local
    }

    pub(crate) fn data_tls(&self) -> Option<ClientControlTls> {
        self.tls.clone().filter(|_| self.private)
    }

    pub(crate) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Whether the server names block mode in FEAT, and it has not failed.
    pub(crate) fn offers_blocks(&self) -> bool {
        !self.no_blocks && self.features.has_with("MODE", "B")
    }

    pub(crate) fn refuse_blocks(&mut self) {
        self.kept = None;
        self.no_blocks = true;
    }

    pub(crate) fn kept(&self) -> Option<&DataConn> {
        self.kept.as_deref()
    }

    /// Puts a data connection by, or takes it out.
    pub(crate) fn keep(&mut self, conn: Option<DataConn>) -> Option<DataConn> {
        std::mem::replace(&mut self.kept, conn.map(Box::new)).map(|conn| *conn)
    }

    pub(crate) fn needs_mode(&self, wanted: portway_proto::Mode) -> bool {
        self.session.needs_mode(wanted)
    }

    /// Whether commands have been sent whose final reply has not come.
    pub(crate) fn awaits_replies(&self) -> bool {
        self.session.outstanding() > 0
    }

    pub(crate) fn needs_type(&self, wanted: portway_proto::Representation) -> bool {
        self.session.needs_type(wanted)
    }

    /// Whether no proxy is in between.
    pub(crate) fn is_direct(&self) -> bool {
        self.through.is_none()
    }
}
