//! Commands out and replies in, on the server's control connection.

use std::time::Duration;

use portway_proto::client::{Answer, CommandId, Event};
use portway_proto::{Command, EmitError, RawReply};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};

use super::{Lost, Upstream};

/// How long a server may take to answer QUIT.
const GOODBYE: Duration = Duration::from_secs(2);

/// Servers that may take their time for that. Without a limit a client that goes from one to the next would have as many
/// connections of ours open as it can ask for.
static GOODBYES: Semaphore = Semaphore::const_new(256);

/// A server that is silent for so long in the middle of a reply has said all of it, and ended it wrongly.
const PAUSE: Duration = Duration::from_millis(1500);

/// Replies that decide nothing, between two that do. A server that sends more has all of our attention in mind.
const CHATTER: u32 = 1000;

/// Octets of replies that a server may have here at a time; longer ones are passed on in parts as the client reads them,
/// or the server has to go.
pub(super) const HELD: usize = 64 * 1024;

/// A part of a long reply.
const PART: usize = 16 * 1024;

/// What the server has said in answer to a command.
#[derive(Debug)]
pub(crate) enum Said {
    /// Lines of a reply that goes on.
    Part(RawReply),
    /// The reply, or what is left of it.
    End(RawReply),
}

impl Upstream {
    /// Sends one command and waits for its final reply, whatever that is.
    pub(crate) async fn call(&mut self, command: &Command<'_>) -> Result<RawReply, Lost> {
        let id = match self.send(command).await? {
            Ok(id) => id,
            Err(refused) => return Ok(refused),
        };
        let deadline = Instant::now() + self.timeouts.reply;
        loop {
            let answer = self.answer(deadline).await?;
            if !answer.fits {
                return Err(Lost::OutOfStep(answer.reply));
            }
            if answer.id == id && answer.last {
                return if answer.reply.code == 421 {
                    Err(Lost::Closed(Some(answer.reply)))
                } else {
                    Ok(answer.reply)
                };
            }
        }
    }

    /// The next part of the final reply to this command, within the time of a whole one; the last one comes back as the
    /// reply. May be dropped and called again.
    pub(crate) async fn next_part(&mut self, id: CommandId) -> Result<Said, Lost> {
        let deadline = Instant::now() + self.timeouts.reply;
        loop {
            match self.event_or_part(deadline, true).await? {
                Some(Event::Answer(answer)) if !answer.fits => return Err(Lost::OutOfStep(answer.reply)),
                Some(Event::Answer(Answer { reply, .. }) | Event::Unsolicited(reply))
                    if reply.code == 421 =>
                {
                    return Err(Lost::Closed(Some(reply)));
                }
                Some(Event::Answer(answer)) if answer.id == id && answer.last => {
                    return Ok(Said::End(answer.reply));
                }
                Some(_) => {}
                None if self.session.buffered() > PART => match self.session.take_part() {
                    // What is longer than that is a status or a listing; nothing else is begun before it is judged.
                    Some(part) if matches!(part.code, 200 | 211..=219 | 250) => return Ok(Said::Part(part)),
                    _ => return Err(Lost::TooLong),
                },
                None => return Err(Lost::Silent(self.timeouts.reply)),
            }
        }
    }

    /// Sends a command; its answers come as events. The inner error is a reply in the server's place, for what
    /// no line can hold.
    pub(crate) async fn send(&mut self, command: &Command<'_>) -> Result<Result<CommandId, RawReply>, Lost> {
        let id = match self.session.send(command) {
            Ok(id) => id,
            Err(error) => {
                let text = match error {
                    // Our server takes CR NUL for a CR in a name (RFC 2640 §3.1).
                    EmitError::LineBreak => {
                        "Names with CR do not pass the proxy: some servers take what is behind it for a command.".to_owned()
                    }
                    error => format!("{error}."),
                };
                return Ok(Err(RawReply { code: 501, lines: vec![text.into_bytes()] }));
            }
        };
        let octets = self.session.take_output();
        let limit = self.timeouts.reply;
        let sent = timeout(limit, async {
            self.control.write_all(&octets).await?;
            self.control.flush().await
        });
        match sent.await {
            Ok(Ok(())) => Ok(Ok(id)),
            Ok(Err(error)) => Err(self.last_words().await.unwrap_or(Lost::Broken(error))),
            Err(_) => Err(Lost::Silent(limit)),
        }
    }

    /// What the server said before it closed.
    async fn last_words(&mut self) -> Option<Lost> {
        let deadline = Instant::now() + Duration::from_millis(200);
        match self.event(deadline).await {
            Ok(Some(Event::Answer(Answer { reply, .. }) | Event::Unsolicited(reply))) => {
                Some(Lost::Closed(Some(reply)))
            }
            Ok(_) => None,
            Err(lost) => Some(lost),
        }
    }

    /// The next answer to a command of ours.
    pub(crate) async fn answer(&mut self, deadline: Instant) -> Result<Answer, Lost> {
        let began = Instant::now();
        loop {
            match self.event(deadline).await? {
                Some(Event::Answer(answer)) => return Ok(answer),
                Some(Event::Unsolicited(reply)) if reply.code == 421 => {
                    return Err(Lost::Closed(Some(reply)));
                }
                Some(_) => {}
                None => return Err(Lost::Silent(began.elapsed())),
            }
        }
    }

    /// The next thing the server says; `None` at the deadline. May be dropped and called again.
    pub(crate) async fn event(&mut self, deadline: Instant) -> Result<Option<Event>, Lost> {
        self.event_or_part(deadline, false).await
    }

    /// The same; `None` also as soon as a part of a long reply is here, if that is wanted.
    async fn event_or_part(&mut self, deadline: Instant, parts: bool) -> Result<Option<Event>, Lost> {
        loop {
            if let Some(event) = self.session.next_event() {
                return self.bearable(event?).map(Some);
            }
            match self.session.buffered() {
                octets if parts && octets > PART => return Ok(None),
                octets if octets > HELD => return Err(Lost::TooLong),
                _ => {}
            }
            let mut buf = [0_u8; 4096];
            let pause = Instant::now() + PAUSE;
            let partial = self.session.has_partial() && pause < deadline;
            let until = if partial { pause } else { deadline };
            match timeout_at(until, self.control.read(&mut buf)).await {
                Ok(Ok(0)) => {
                    return match self.session.next_event_at_end() {
                        Some(event) => Ok(Some(event?)),
                        None => Err(Lost::Closed(None)),
                    };
                }
                Ok(Ok(n)) => self.session.feed(buf.get(..n).unwrap_or_default()),
                Ok(Err(error)) => return Err(Lost::Broken(error)),
                Err(_) if partial => {
                    if let Some(event) = self.session.next_event_after_pause() {
                        return self.bearable(event?).map(Some);
                    }
                }
                Err(_) => return Ok(None),
            }
        }
    }

    fn bearable(&mut self, event: Event) -> Result<Event, Lost> {
        self.chatter = match &event {
            Event::Answer(Answer { last: true, .. }) => 0,
            _ => self.chatter + 1,
        };
        match event {
            Event::Answer(Answer { reply, .. }) | Event::Surplus(reply) | Event::Unsolicited(reply)
                if self.chatter > CHATTER =>
            {
                Err(Lost::OutOfStep(reply))
            }
            event => Ok(event),
        }
    }

    /// Waits until the server ends the session by itself; other words in between mean nothing. May be dropped.
    pub(crate) async fn ends(&mut self) -> Lost {
        loop {
            let far = Instant::now() + Duration::from_secs(24 * 3600);
            match self.event(far).await {
                Err(lost) => return lost,
                Ok(Some(Event::Unsolicited(reply))) if reply.code == 421 => return Lost::Closed(Some(reply)),
                Ok(_) => {}
            }
        }
    }

    /// Says goodbye; whoever called need not wait for it. Where too many are at it, the connection is just closed.
    pub(crate) async fn quit(mut self) {
        let Ok(_turn) = GOODBYES.try_acquire() else { return };
        let _ = timeout(GOODBYE, async {
            if self.call(&Command::Quit).await.is_ok() {
                let _ = self.control.shutdown().await;
            }
        })
        .await;
    }
}
