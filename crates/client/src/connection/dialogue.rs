//! Commands out and replies in, on the control connection.

use std::time::Duration;

use portway_proto::client::{self, Answer, CommandId, Event};
use portway_proto::{Command, RawReply, printable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

use super::Connection;
use crate::{Cause, Error, Phase, Seen};

/// Silence in the middle of a reply after which it is taken as it is.
const PAUSE: Duration = Duration::from_millis(1500);

/// Octets per second that a server reads or copies at the least.
const SLOW_DISK: u64 = 10 * 1024 * 1024;

impl Connection {
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
        let sent = timeout(limit, async {
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

    pub(super) fn fail(&mut self, phase: Phase, cause: Cause) -> Error {
        self.broken = true;
        Error::new(phase, cause)
    }

    pub(crate) fn out_of_step(&mut self, phase: Phase, command: String, reply: RawReply) -> Error {
        self.fail(phase, Cause::OutOfStep { command, reply })
    }
}

fn received(reply: &RawReply) -> Seen {
    let lines = reply.lines.iter().map(|line| printable(line)).collect();
    Seen::Received { code: reply.code, lines }
}
