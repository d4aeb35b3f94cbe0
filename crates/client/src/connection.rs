//! One session with a server: commands and replies on the control channel.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::{DataConn, Through};
use portway_net::{ClientControlTls, Control};
use portway_proto::client::{self, Answer, ClientSession, CommandId, Event, Features};
use portway_proto::{Command, Protection, RawReply, printable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout_at};

use crate::{Cause, Error, Phase, Seen, Settings, Target, Trace, Verdict};

mod doorway;
mod keep_alive;
mod open;
mod route;
mod transfer;
mod trust;
mod way;

pub use transfer::{Body, Done, Job};
pub use way::Way;

pub(crate) use way::{Channel, Opened};

/// Silence in the middle of a reply after which it is taken as it is.
const PAUSE: Duration = Duration::from_millis(1500);

/// Octets per second that a server reads or copies at the least.
const SLOW_DISK: u64 = 10 * 1024 * 1024;

/// One control connection, logged in, and the data connections it asks for.
///
/// One transfer at a time; every method takes it by `&mut`. After an error whose [`Error::ends_session`] is
/// true only [`Self::reconnect`] helps.
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

    /// Sends one command and waits for its final reply, whatever that is.
    ///
    /// # Errors
    /// [`Error`] if there is no reply, or none that fits.
    pub async fn call(&mut self, command: &Command<'_>) -> Result<RawReply, Error> {
        self.call_in(Phase::Command, command).await
    }

    /// As [`Self::call`], and takes 4yz and 5yz for failures.
    ///
    /// # Errors
    /// [`Error`]; [`Cause::Refused`] holds the reply.
    pub async fn demand(&mut self, command: &Command<'_>) -> Result<RawReply, Error> {
        let reply = self.call(command).await?;
        if reply.code >= 400 {
            return Err(Error::new(
                Phase::Command,
                Cause::Refused { command: client::shown(command), reply },
            ));
        }
        Ok(reply)
    }

    pub(crate) async fn call_in(&mut self, phase: Phase, command: &Command<'_>) -> Result<RawReply, Error> {
        self.call_within(self.settings.timeouts.reply, phase, command).await
    }

    /// How long to wait for a reply to a command for which the server reads so many octets.
    pub(crate) fn patience(&self, octets: u64) -> Duration {
        self.settings.timeouts.reply + Duration::from_secs(octets / SLOW_DISK)
    }

    /// As [`Self::call`], for what takes the server longer than other commands.
    pub(crate) async fn call_within(
        &mut self,
        limit: Duration,
        phase: Phase,
        command: &Command<'_>,
    ) -> Result<RawReply, Error> {
        let id = self.queue(command)?;
        self.flush(phase).await?;
        let deadline = Instant::now() + limit;
        loop {
            let answer = self.answer(phase, deadline).await?;
            if !answer.fits {
                return Err(self.out_of_step(phase, client::shown(command), answer.reply));
            }
            if answer.id == id && answer.last {
                return Ok(answer.reply);
            }
        }
    }

    /// Queues a command; [`Self::flush`] sends it.
    pub(crate) fn queue(&mut self, command: &Command<'_>) -> Result<CommandId, Error> {
        let id = self.session.send(command).map_err(|error| Error::new(Phase::Command, error))?;
        self.trace.record(|| Seen::Sent { line: client::shown(command) });
        Ok(id)
    }

    /// Sends what is queued, in one piece.
    pub(crate) async fn flush(&mut self, phase: Phase) -> Result<(), Error> {
        let octets = self.session.take_output();
        if octets.is_empty() {
            return Ok(());
        }
        let limit = self.settings.timeouts.reply;
        let sent = tokio::time::timeout(limit, async {
            self.control.write_all(&octets).await?;
            self.control.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => {
                // The server may have said why before it closed.
                let last = self.last_words().await;
                self.broken = true;
                Err(match last {
                    Some(reply) => Error::new(phase, Cause::Closed(Some(reply))),
                    None => Error::new(phase, Cause::Control(error)),
                })
            }
            Err(_) => {
                self.broken = true;
                Err(Error::new(phase, Cause::Silence(limit)))
            }
        }
    }

    async fn last_words(&mut self) -> Option<RawReply> {
        let deadline = Instant::now() + Duration::from_millis(200);
        loop {
            match self.event(deadline).await {
                Ok(Some(Event::Answer(Answer { reply, .. }) | Event::Unsolicited(reply)))
                    if reply.code >= 400 =>
                {
                    return Some(reply);
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
    }

    /// The next answer. Surplus replies are passed over.
    pub(crate) async fn answer(&mut self, phase: Phase, deadline: Instant) -> Result<Answer, Error> {
        let began = Instant::now();
        loop {
            match self.event(deadline).await.map_err(|cause| self.fail(phase, cause))? {
                Some(Event::Answer(answer)) => return Ok(answer),
                Some(Event::Unsolicited(reply)) if reply.code == 421 => {
                    return Err(self.fail(phase, Cause::Closed(Some(reply))));
                }
                Some(_) => {}
                None => return Err(self.fail(phase, Cause::Silence(began.elapsed()))),
            }
        }
    }

    /// The next thing the server says; `None` at the deadline. May be dropped and called again.
    pub(crate) async fn event(&mut self, deadline: Instant) -> Result<Option<Event>, Cause> {
        loop {
            if let Some(event) = self.session.next_event() {
                return Ok(Some(self.seen(event?)));
            }
            let pause = Instant::now() + PAUSE;
            let partial = self.session.has_partial();
            let until = if partial { deadline.min(pause) } else { deadline };
            let mut buf = [0_u8; 4096];
            match timeout_at(until, self.control.read(&mut buf)).await {
                Ok(Ok(0)) => {
                    self.broken = true;
                    return match self.session.next_event_at_end() {
                        Some(event) => Ok(Some(self.seen(event?))),
                        None => Err(Cause::Closed(None)),
                    };
                }
                Ok(Ok(n)) => {
                    self.session.feed(buf.get(..n).unwrap_or_default());
                    if self.session.outstanding() > 1 {
                        // A server with Nagle's algorithm sends its next reply when this one is acknowledged,
                        // and with commands sent ahead no command of ours carries the acknowledgement.
                        let _ = rustix::net::sockopt::set_tcp_quickack(self.control.stream(), true);
                    }
                }
                Ok(Err(error)) => {
                    self.broken = true;
                    return match self.session.next_event_at_end() {
                        Some(event) => Ok(Some(self.seen(event?))),
                        None => Err(Cause::Control(error)),
                    };
                }
                Err(_) if partial && pause < deadline => {
                    if let Some(event) = self.session.next_event_after_pause() {
                        return Ok(Some(self.seen(event?)));
                    }
                }
                Err(_) => return Ok(None),
            }
        }
    }

    fn seen(&self, event: Event) -> Event {
        self.trace.record(|| {
            let (Event::Answer(Answer { reply, .. }) | Event::Surplus(reply) | Event::Unsolicited(reply)) =
                &event;
            received(reply)
        });
        event
    }

    fn fail(&mut self, phase: Phase, cause: Cause) -> Error {
        self.broken = true;
        Error::new(phase, cause)
    }

    pub(crate) fn out_of_step(&mut self, phase: Phase, command: String, reply: RawReply) -> Error {
        self.fail(phase, Cause::OutOfStep { command, reply })
    }

    /// Sends what is still outstanding of settings that the next transfer needs.
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

pub(crate) fn received(reply: &RawReply) -> Seen {
    let lines = reply.lines.iter().map(|line| printable(line)).collect();
    Seen::Received { code: reply.code, lines }
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

    pub(crate) fn trace_note(&self, text: &str) {
        self.trace.note(text);
    }

    pub(crate) fn mark_broken(&mut self) {
        self.broken = true;
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

    pub(crate) async fn next_event(&mut self, deadline: Instant) -> Result<Option<Event>, Cause> {
        self.event(deadline).await
    }

    /// Whether no proxy is in between.
    pub(crate) fn is_direct(&self) -> bool {
        self.through.is_none()
    }

    pub(crate) async fn send_ahead(&mut self) -> Result<(), Error> {
        self.flush(Phase::Command).await
    }
}
