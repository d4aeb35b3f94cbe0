//! One transfer: both channels at once, until each has said its last.

use std::fs::File;
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use portway_data::{
    DataConn, Failure, Options, Progress, receive_file, receive_stream, send_file, send_stream,
};
use portway_net::ClientControlTls;
use portway_proto::client::{self, DataEnd, Event, Temper, size_hint, temper};
use portway_proto::{Command, ListArg, Protection, RawReply, Representation};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use super::{Channel, Connection, Opened};
use crate::error::shown;
use crate::trace::micros;
use crate::verdict::{Attempt, Outcome};
use crate::{Cause, Error, Phase, Seen, Timeouts, Trace};

/// How long data that has begun may go on behind a refusal on the control channel.
const GRACE: Duration = Duration::from_secs(2);
/// How long an upload waits for the 150 that some servers never send.
const PATIENCE: Duration = Duration::from_secs(3);

/// What to transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the verbs of their RFCs; names are the server's")]
pub enum Job<'a> {
    Retr { path: &'a [u8], offset: u64 },
    Stor { path: &'a [u8], offset: u64 },
    Appe { path: &'a [u8] },
    List { path: Option<&'a [u8]>, flags: Option<&'a [u8]> },
    Nlst { path: Option<&'a [u8]> },
    Mlsd { path: Option<&'a [u8]> },
}

impl<'a> Job<'a> {
    /// The command.
    #[must_use]
    pub fn command(self) -> Command<'a> {
        match self {
            Self::Retr { path, .. } => Command::Retr(path),
            Self::Stor { path, .. } => Command::Stor(path),
            Self::Appe { path } => Command::Appe(path),
            Self::List { path, flags } => Command::List(ListArg { flags, path }),
            Self::Nlst { path } => Command::Nlst(ListArg { flags: None, path }),
            Self::Mlsd { path } => Command::Mlsd(path),
        }
    }

    fn offset(self) -> u64 {
        match self {
            Self::Retr { offset, .. } | Self::Stor { offset, .. } => offset,
            _ => 0,
        }
    }

    fn upload(self) -> bool {
        matches!(self, Self::Stor { .. } | Self::Appe { .. })
    }
}

/// Where octets come from or go to.
pub enum Body<'a> {
    /// Into a file, at its position.
    ToFile(&'a File),
    /// To a function, piece by piece.
    To(&'a mut (dyn FnMut(&[u8]) -> io::Result<()> + Send)),
    /// Out of a file, from an offset, so many octets or to its end.
    FromFile(&'a File, u64, Option<u64>),
    /// From a function that appends the next piece and says whether more follows.
    From(&'a mut (dyn FnMut(&mut Vec<u8>) -> io::Result<bool> + Send)),
}

/// How a transfer ended that had begun.
#[derive(Debug)]
pub struct Done {
    /// Octets that moved on the data channel.
    pub octets: u64,
    /// How the data connection ended.
    pub end: DataEnd,
    /// What was wrong with it.
    pub failure: Option<Failure>,
    /// The final reply, if one came.
    pub reply: Option<RawReply>,
    /// The size in the 150; a hint.
    pub hint: Option<u64>,
    /// Why no final reply came.
    pub control: Option<Error>,
}

/// Why a run came to nothing.
enum NoRun {
    /// This way to data does not work; `stuck` is true if the server still waits for it.
    Way {
        attempt: Attempt,
        took: Duration,
        stuck: bool,
    },
    Error(Error),
}

impl From<Error> for NoRun {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// What both sides of a run tell each other.
#[derive(Default)]
struct Gate {
    linked: AtomicBool,
    go: Notify,
}

struct DataSide {
    octets: u64,
    end: DataEnd,
    failure: Option<Failure>,
}

impl Connection {
    /// Does one transfer, over whatever way to data works.
    ///
    /// # Errors
    /// [`Error`] if nothing was transferred: no way to data, or the server refused. A transfer that began is
    /// [`Done`], whatever became of it; judge it by [`portway_proto::client::Evidence`].
    pub async fn transfer(
        &mut self,
        job: Job<'_>,
        mut body: Body<'_>,
        representation: Representation,
        progress: &Progress,
    ) -> Result<Done, Error> {
        self.next = Some(client::line(&job.command()));
        loop {
            if !self.is_usable() && !self.ways().is_empty() {
                self.reconnect().await?;
            }
            self.renew_tickets().await?;
            if self.session.needs_mode(portway_proto::Mode::Stream) {
                self.leave_blocks().await?;
            }
            if self.session.needs_type(representation) {
                self.demand(&Command::Type(representation)).await?;
            }
            if self.needs_protection() {
                self.demand(&Command::Prot(Protection::Private)).await?;
            }
            let opened = self.open_data().await?;
            let ended = self.run(opened, job, &mut body, representation, progress).await;
            self.unmap().await;
            match ended {
                Ok(done) if done.octets == 0 && self.wants_reuse(done.reply.as_ref()) => {}
                Ok(done) => return Ok(done),
                Err(NoRun::Error(Error { cause: Cause::Refused { reply, .. }, .. }))
                    if self.wants_reuse(Some(&reply)) => {}
                Err(NoRun::Error(error)) => return Err(error),
                Err(NoRun::Way { attempt, took, stuck }) => {
                    self.broken |= stuck;
                    self.way_failed(attempt, took);
                }
            }
        }
    }

    /// Some servers send no TLS 1.3 tickets on uploads, and each counts once. Before the last one is gone the
    /// control connection is made anew under TLS 1.2, whose session can be resumed at will.
    pub(crate) async fn renew_tickets(&mut self) -> Result<(), Error> {
        let Some(tls) = self.tls.as_ref().filter(|_| self.private) else { return Ok(()) };
        if tls.tickets_left() > 0 {
            self.had_tickets = true;
            return Ok(());
        }
        if !self.had_tickets || self.tls12 {
            return Ok(());
        }
        self.trace.note("the TLS tickets are used up: a new control connection, under TLS 1.2");
        self.tls12 = true;
        self.reconnect().await
    }

    /// Whether another data connection could not resume.
    pub(crate) fn short_of_tickets(&self) -> bool {
        let tls = self.tls.as_ref().filter(|_| self.private);
        self.had_tickets && !self.tls12 && tls.is_some_and(|tls| tls.tickets_left() == 0)
    }

    /// Whether the server refused because the data connection did not resume; the next one will be able to.
    fn wants_reuse(&mut self, reply: Option<&RawReply>) -> bool {
        let wants = reply.is_some_and(|reply| reply.code >= 400 && temper(reply) == Temper::SessionReuse);
        if !wants || !self.private || self.tls12 {
            return false;
        }
        self.trace.note("the server wants the TLS session resumed: a new control connection, under TLS 1.2");
        self.tls12 = true;
        self.broken = true;
        true
    }

    async fn run(
        &mut self,
        opened: Opened,
        job: Job<'_>,
        body: &mut Body<'_>,
        representation: Representation,
        progress: &Progress,
    ) -> Result<Done, NoRun> {
        let way = opened.way;
        self.restart(job.offset()).await?;
        let goal = match &opened.channel {
            Channel::Link(link) => link.facts().peer,
            Channel::Listening(listening) => listening.addr(),
        };
        let command = job.command();
        let id = self.queue(&command)?;
        self.flush(Phase::Command).await?;

        let gate = Gate::default();
        let mut options = Options { stall: self.settings.timeouts.stall, ..Options::default() };
        options.limit_rate = self.settings.limit_rate;
        if representation == Representation::Ascii {
            options.representation = portway_data::Representation::Ascii;
        }
        let context = Context {
            peer: self.peer.ip(),
            tls: self.tls.clone().filter(|_| self.private),
            timeouts: self.settings.timeouts,
            trace: self.trace.clone(),
        };
        let before = progress.octets();
        let data = context.drive(opened.channel, body, options, progress, &gate);
        tokio::pin!(data);

        let began = Instant::now();
        let accept = self.data_budget(self.settings.timeouts.data_accept);
        let (mut side, mut last, mut hint, mut control): (Option<DataSide>, Option<RawReply>, _, _) =
            (None, None, None, None);
        let mut changed = began;
        let mut begun = false;
        let mut keep = self.keep_alive();
        while side.is_none() || (last.is_none() && control.is_none()) {
            let linked = gate.linked.load(Ordering::Relaxed);
            let ended = side.is_some();
            let failed = last.as_ref().is_some_and(|reply| reply.code >= 400) || control.is_some();
            let limit = if ended {
                Some(self.settings.timeouts.final_reply)
            } else if failed {
                Some(if begun && linked { GRACE } else { Duration::ZERO })
            } else if !linked {
                Some(accept)
            } else if !begun && last.is_none() {
                Some(self.settings.timeouts.reply.max(self.settings.timeouts.stall))
            } else {
                None
            };
            let deadline = changed + limit.unwrap_or(Duration::from_secs(24 * 3600));
            let listening = last.is_none() && control.is_none();
            tokio::select! {
                () = tokio::time::sleep_until(keep.due()), if keep.is_on() && begun && control.is_none() => {
                    control = self.nudge(&mut keep).await.err();
                }
                out = &mut data, if !ended => {
                    changed = Instant::now();
                    side = Some(out);
                }
                event = self.event(deadline), if listening => match event {
                    Ok(Some(Event::Answer(answer))) => {
                        if answer.id != id {
                            keep.answered(answer.id);
                            continue; // the reply to REST 0, or to NOOP
                        }
                        changed = Instant::now();
                        if !answer.fits {
                            control = Some(self.out_of_step(Phase::FinalReply, shown_command(job), answer.reply));
                        } else if answer.last {
                            last = Some(answer.reply);
                        } else {
                            begun = true;
                            hint = hint.or_else(|| size_hint(&answer.reply));
                            gate.go.notify_one();
                        }
                    }
                    Ok(Some(Event::Unsolicited(reply))) if reply.code == 421 => {
                        control = Some(self.fail(Phase::FinalReply, Cause::Closed(Some(reply))));
                    }
                    Ok(Some(_)) => {}
                    Ok(None) if gate.linked.load(Ordering::Relaxed) && !linked => changed = Instant::now(),
                    Ok(None) if !linked && !ended => {
                        let detail = format!("no connection from the server within {:.1} s", accept.as_secs_f64());
                        let attempt = Attempt { by: way.name(), to: Some(goal), outcome: Outcome::Silent, detail };
                        return Err(NoRun::Way { attempt, took: began.elapsed(), stuck: true });
                    }
                    Ok(None) => {
                        let waited = changed.elapsed();
                        control = Some(self.fail(Phase::FinalReply, Cause::Silence(waited)));
                        changed = Instant::now();
                    }
                    Err(cause) => {
                        control = Some(self.fail(Phase::FinalReply, cause));
                        changed = Instant::now();
                    }
                },
                () = tokio::time::sleep_until(deadline), if !listening => {
                    if gate.linked.load(Ordering::Relaxed) && !linked {
                        changed = Instant::now();
                        continue;
                    }
                    let octets = progress.octets().saturating_sub(before);
                    side = Some(DataSide { octets, end: DataEnd::Never, failure: None });
                }
            }
        }
        self.hear_out(&mut keep).await;
        let linked = gate.linked.load(Ordering::Relaxed);
        let mut side = side.unwrap_or(DataSide { octets: 0, end: DataEnd::Never, failure: None });
        if linked {
            self.way_works(way);
        }
        if let Some(reply) = last.as_ref().filter(|reply| reply.code >= 400) {
            if !way.is_passive() && !linked && matches!(reply.code, 425 | 426) {
                let outcome = Outcome::ServerCouldNot;
                let attempt = Attempt { by: way.name(), to: Some(goal), outcome, detail: shown(reply) };
                return Err(NoRun::Way { attempt, took: began.elapsed(), stuck: false });
            }
            if !begun && side.octets == 0 {
                let reply = reply.clone();
                return Err(Error::new(
                    Phase::Command,
                    Cause::Refused { command: shown_command(job), reply },
                )
                .into());
            }
            if side.end == DataEnd::Never && side.octets > 0 {
                side.end = DataEnd::Broken;
            }
        }
        let nothing = !begun && side.octets == 0 && last.is_none() && side.end != DataEnd::Clean;
        let control = match control {
            Some(error) if nothing => return Err(error.into()),
            control => control,
        };
        let (octets, down) = (side.octets, !job.upload());
        let end = side.failure.as_ref().map_or("clean".to_owned(), ToString::to_string);
        self.trace.record(|| Seen::DataDone { octets, down, end });
        Ok(Done { octets, end: side.end, failure: side.failure, reply: last, hint, control })
    }

    /// REST, where an offset is wanted or an old one may stand.
    async fn restart(&mut self, offset: u64) -> Result<(), Error> {
        if !self.session.needs_rest(offset) {
            return Ok(());
        }
        let command = Command::Rest(offset);
        if offset == 0 {
            // Refused by some servers, which is as good.
            return self.queue(&command).map(drop);
        }
        let reply = self.call(&command).await?;
        if reply.code == 350 {
            return Ok(());
        }
        Err(Error::new(Phase::Command, Cause::Refused { command: format!("REST {offset}"), reply }))
    }
}

fn shown_command(job: Job<'_>) -> String {
    portway_proto::client::shown(&job.command())
}

/// What the data side needs of the connection, which the control side is using meanwhile.
struct Context {
    peer: IpAddr,
    tls: Option<ClientControlTls>,
    timeouts: Timeouts,
    trace: Trace,
}

impl Connection {
    /// Tells of a data connection that is not one transfer's.
    pub(crate) fn trace_data_open(&self, facts: &portway_data::Facts) {
        self.trace.record(|| Seen::DataOpen {
            mode: "passive",
            local: facts.local,
            peer: facts.peer,
            took_us: micros(facts.waited),
        });
    }
}

impl Context {
    async fn drive(
        self,
        channel: Channel,
        body: &mut Body<'_>,
        options: Options<'_>,
        progress: &Progress,
        gate: &Gate,
    ) -> DataSide {
        let before = progress.octets();
        match self.connect(channel, gate).await {
            Ok(conn) => {
                let outcome = pump(conn, body, options, progress, gate).await;
                let octets = progress.octets().saturating_sub(before);
                match outcome {
                    Ok(()) => DataSide { octets, end: DataEnd::Clean, failure: None },
                    Err(failure) => {
                        let end = match failure {
                            Failure::Truncated => DataEnd::Unfinished,
                            _ => DataEnd::Broken,
                        };
                        DataSide { octets, end, failure: Some(failure) }
                    }
                }
            }
            Err(failure) => DataSide { octets: 0, end: DataEnd::Never, failure: Some(failure) },
        }
    }

    async fn connect(&self, channel: Channel, gate: &Gate) -> Result<DataConn, Failure> {
        let link = match channel {
            Channel::Link(link) => link,
            Channel::Listening(mut listening) => {
                // The control side keeps the time.
                let far = Duration::from_secs(24 * 3600);
                listening
                    .accept(self.peer, far)
                    .await
                    .map_err(|error| Failure::Broken(io::Error::other(error)))?
            }
        };
        gate.linked.store(true, Ordering::Relaxed);
        let facts = link.facts().clone();
        let mode = match facts.mode {
            portway_data::ChannelMode::Passive => "passive",
            portway_data::ChannelMode::Active => "active",
        };
        self.trace.record(|| Seen::DataOpen {
            mode,
            local: facts.local,
            peer: facts.peer,
            took_us: micros(facts.waited),
        });
        let Some(tls) = &self.tls else { return Ok(link.plain()) };
        let conn = match timeout(self.timeouts.tls, link.secure(tls)).await {
            Err(_) => return Err(Failure::Stalled { quiet: self.timeouts.tls }),
            Ok(conn) => conn?,
        };
        if let Some(info) = conn.tls() {
            let (version, cipher, resumed) =
                (info.version.to_string(), info.cipher.to_string(), info.resumed);
            self.trace.record(|| Seen::Tls { channel: "data", version, cipher, resumed });
        }
        Ok(conn)
    }
}

async fn pump(
    mut conn: DataConn,
    body: &mut Body<'_>,
    options: Options<'_>,
    progress: &Progress,
    gate: &Gate,
) -> Result<(), Failure> {
    match body {
        Body::ToFile(file) => drop(receive_file(&mut conn, file, options, progress).await?),
        Body::To(sink) => drop(receive_stream(&mut conn, sink, options, progress).await?),
        Body::FromFile(file, from, len) => {
            // Data in front of the 150 would be lost on a server that refuses.
            let _ = timeout(PATIENCE, gate.go.notified()).await;
            send_file(&mut conn, file, *from, *len, options, progress).await?;
        }
        Body::From(source) => {
            let _ = timeout(PATIENCE, gate.go.notified()).await;
            send_stream(&mut conn, source, options, progress).await?;
        }
    }
    conn.finish().await
}
