//! The client's side of a control connection: commands go out, replies find the command they answer.

use std::collections::VecDeque;

use crate::{Command, EmitError, Mode, Protection, RawReply, ReplyError, ReplyReader, Representation, Verb};
use crate::{ReplyLimits, printable};

mod features;
mod login;
mod proof;
mod reading;
#[cfg(test)]
mod tests;

pub use features::Features;
pub use login::{Credentials, Login, LoginError, LoginStep};
pub use proof::{DataEnd, Evidence, Judgement};
pub use reading::{
    AddressTrust, Passive, PassiveError, Rewrite, Temper, accepted_address, digest, found_nothing,
    is_out_of_turn, modified, passive, quoted_path, says_empty, size, size_hint, temper,
};

/// The client's side of one control connection, without I/O.
///
/// Any number of commands may be sent before the first reply; replies answer them in order (RFC 959 §5.4),
/// whatever surplus lines a server mixes in. Octets to send collect in [`take_output`](Self::take_output),
/// octets received go to [`feed`](Self::feed), and [`next_event`](Self::next_event) tells what they mean.
#[derive(Clone, Debug)]
pub struct ClientSession {
    reader: ReplyReader,
    out: Vec<u8>,
    waiting: VecDeque<Waiting>,
    next: u64,
    /// The last final reply ended a transfer, so that a second one like it may follow.
    after_transfer: bool,
    /// The code of the last final reply.
    said: u16,
    closing: bool,
    representation: Option<Representation>,
    mode: Option<Mode>,
    protection: Protection,
    restart: u64,
}

/// Names one command of a session; greater means later. The greeting is answered to number 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CommandId(u64);

impl CommandId {
    /// What the greeting answers: the connection itself.
    pub const GREETING: Self = Self(0);
}

/// A command whose final reply has not come.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    id: CommandId,
    verb: Option<Verb>,
}

/// What the server said, and about what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The reply to a command (or the greeting).
    Answer(Answer),
    /// A reply too many, as some servers send after a transfer: nothing to do.
    Surplus(RawReply),
    /// A reply to nothing; a 421 here means that the server is closing.
    Unsolicited(RawReply),
}

/// One reply and the command it answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Which command.
    pub id: CommandId,
    /// Its verb; `None` for the greeting and for verbs that are none of the table's.
    pub verb: Option<Verb>,
    /// What the server said.
    pub reply: RawReply,
    /// False for 1yz: another reply to the same command follows.
    pub last: bool,
    /// False if no server would answer that command like this: the dialogue is out of step, as behind
    /// servers that lose pipelined commands. Give the connection up.
    pub fits: bool,
}

impl Default for ClientSession {
    fn default() -> Self {
        Self::new()
    }
}

impl ClientSession {
    /// A session that waits for the greeting.
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(ReplyLimits::default())
    }

    /// The same, with other bounds on what the server may say.
    #[must_use]
    pub fn with_limits(limits: ReplyLimits) -> Self {
        Self {
            reader: ReplyReader::with_limits(limits),
            out: Vec::new(),
            waiting: VecDeque::from([Waiting { id: CommandId::GREETING, verb: None }]),
            next: 1,
            after_transfer: false,
            said: 0,
            closing: false,
            representation: None,
            mode: Some(Mode::Stream),
            protection: Protection::Clear,
            restart: 0,
        }
    }

    /// Queues a command. It is written as a whole line, so that one segment carries it.
    ///
    /// # Errors
    /// [`EmitError`]: nothing was queued. Names with CR, LF or NUL cannot be sent.
    pub fn send(&mut self, command: &Command<'_>) -> Result<CommandId, EmitError> {
        command.emit(&mut self.out)?;
        match *command {
            Command::Type(wanted) => self.representation = Some(wanted),
            Command::Mode(wanted) => self.mode = Some(wanted),
            Command::Prot(wanted) => self.protection = wanted,
            Command::Rest(offset) => self.restart = offset,
            _ => {}
        }
        let id = CommandId(self.next);
        self.next = self.next.saturating_add(1);
        self.waiting.push_back(Waiting { id, verb: command.verb() });
        Ok(id)
    }

    /// Takes the octets to be sent; empty when there is nothing.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Reads octets from the server, cut anywhere.
    pub fn feed(&mut self, octets: &[u8]) {
        self.reader.feed(octets);
    }

    /// The next thing the server said, if it is complete.
    ///
    /// # Errors
    /// [`ReplyError`]: these are no replies. Close the connection.
    pub fn next_event(&mut self) -> Option<Result<Event, ReplyError>> {
        let reply = self.reader.next_reply()?;
        Some(reply.map(|reply| self.place(reply)))
    }

    /// The server has paused for a second in the middle of a reply: takes what can be taken for one, such as
    /// a block that ends with another code.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn next_event_after_pause(&mut self) -> Option<Result<Event, ReplyError>> {
        let reply = self.reader.finish_by_pause()?;
        Some(reply.map(|reply| self.place(reply)))
    }

    /// The server has closed the connection: what it last said counts, with or without a line end.
    ///
    /// # Errors
    /// As [`next_event`](Self::next_event).
    pub fn next_event_at_end(&mut self) -> Option<Result<Event, ReplyError>> {
        let reply = self.reader.finish_at_end()?;
        Some(reply.map(|reply| self.place(reply)))
    }

    /// Whether a reply has begun and not ended: the time for [`Self::next_event_after_pause`].
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.reader.has_partial()
    }

    /// As [`ReplyReader::take_part`].
    pub fn take_part(&mut self) -> Option<RawReply> {
        self.reader.take_part()
    }

    /// Octets of text that wait to be taken, as [`ReplyReader::buffered`].
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.reader.buffered()
    }

    /// TLS begins (RFC 4217 §4): whatever the server said in the clear behind its 234 is forgotten. Returns
    /// true if there was anything; that is an injection or a broken server, and no reason to go on.
    pub fn tls_started(&mut self) -> bool {
        self.reader.clear()
    }

    /// Commands whose final reply has not come, the greeting included.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.waiting.len()
    }

    /// True once the server has said 421: it closes the connection.
    #[must_use]
    pub fn closing(&self) -> bool {
        self.closing
    }

    /// Whether TYPE must be sent before a transfer of this kind. ASCII is where every session starts
    /// (RFC 959 §5.1), but not every server knows, so the first transfer always sends it.
    #[must_use]
    pub fn needs_type(&self, wanted: Representation) -> bool {
        self.representation != Some(wanted)
    }

    /// Whether MODE must be sent before a transfer of this kind.
    #[must_use]
    pub fn needs_mode(&self, wanted: Mode) -> bool {
        self.mode != Some(wanted)
    }

    /// How data connections are protected now (RFC 4217 §9).
    #[must_use]
    pub fn protection(&self) -> Protection {
        self.protection
    }

    /// Whether REST must be sent before a transfer from `offset`: also for 0 where an earlier offset may
    /// still stand, since not every server forgets it (RFC 959 §4.1.3 says the next transfer uses it up). A
    /// refused `REST 0` is no failure.
    #[must_use]
    pub fn needs_rest(&self, offset: u64) -> bool {
        offset != 0 || self.restart != 0
    }

    fn place(&mut self, reply: RawReply) -> Event {
        let class = reply.code / 100;
        self.closing |= reply.code == 421;
        let Some(&Waiting { id, verb }) = self.waiting.front() else {
            let surplus = class == 2 && self.after_transfer;
            return if surplus { Event::Surplus(reply) } else { Event::Unsolicited(reply) };
        };
        let greeting = id == CommandId::GREETING;
        let doubled = reply.code == 200 && self.said == 200 && verb.is_some_and(has_own_code);
        if (doubled || self.after_transfer && is_surplus(verb, reply.code)) && !greeting {
            return Event::Surplus(reply);
        }
        if reply.code == 200
            && verb.is_some_and(moves_data)
            && let Some(at) = self.waiting.iter().position(|waiting| waiting.verb == Some(Verb::Noop))
            && let Some(Waiting { id, verb }) = self.waiting.remove(at)
        {
            // A server that reads while it transfers answers NOOP at once; 200 ends no transfer (RFC 959 §5.4).
            return Event::Answer(Answer { id, verb, reply, last: true, fits: true });
        }
        let last = class != 1;
        if last {
            self.waiting.pop_front();
            self.after_transfer = class == 2 && verb.is_some_and(moves_data);
            self.said = reply.code;
            self.failed(verb, class);
        }
        Event::Answer(Answer { id, verb, last, fits: fits(verb, greeting, reply.code), reply })
    }

    /// A refused setting leaves the old one in force, whatever that was.
    fn failed(&mut self, verb: Option<Verb>, class: u16) {
        match (verb, class) {
            (_, 2) | (Some(Verb::Rest), 3) => {}
            (Some(Verb::Type), _) => self.representation = None,
            (Some(Verb::Mode), _) => self.mode = None,
            (Some(Verb::Prot), _) => self.protection = Protection::Clear,
            (Some(Verb::Rest), _) => self.restart = 0,
            _ => {}
        }
    }
}

/// A command as a trace may show it: secrets are hidden, control characters made visible.
#[must_use]
pub fn shown(command: &Command<'_>) -> String {
    match command {
        Command::Pass(_) => "PASS ****".to_owned(),
        Command::Acct(_) => "ACCT ****".to_owned(),
        _ => {
            let mut line = Vec::new();
            match command.emit(&mut line) {
                Ok(()) => printable(line.strip_suffix(b"\r\n").unwrap_or(&line)),
                Err(error) => format!("({error})"),
            }
        }
    }
}

/// A command as a line without its end; empty if no line can carry it.
#[must_use]
pub fn line(command: &Command<'_>) -> Vec<u8> {
    let mut line = Vec::new();
    match command.emit(&mut line) {
        Ok(()) => line.strip_suffix(b"\r\n").unwrap_or(&line).to_vec(),
        Err(_) => Vec::new(),
    }
}

fn moves_data(verb: Verb) -> bool {
    use Verb::{Appe, List, Mlsd, Nlst, Retr, Stor, Stou};
    matches!(verb, Retr | Stor | Appe | Stou | List | Nlst | Mlsd)
}

/// Whether success has a code of its own, so that a second 200 behind another cannot be meant.
fn has_own_code(verb: Verb) -> bool {
    matches!(verb, Verb::Pasv | Verb::Epsv | Verb::Size | Verb::Mdtm | Verb::Pwd)
}

/// A second 226 or 250 after a transfer, where the command that waits cannot have got it.
fn is_surplus(verb: Option<Verb>, code: u16) -> bool {
    let Some(verb) = verb else { return false };
    match code {
        225 | 226 => !moves_data(verb) && !matches!(verb, Verb::Abor | Verb::Rein | Verb::Stat),
        250 => matches!(verb, Verb::Pasv | Verb::Epsv | Verb::Size | Verb::Mdtm | Verb::Rest | Verb::Pwd),
        _ => false,
    }
}

/// Whether a server that is in step could give this reply. Refusals fit everything.
fn fits(verb: Option<Verb>, greeting: bool, code: u16) -> bool {
    let class = code / 100;
    if class >= 4 {
        return true;
    }
    if greeting {
        return class == 2 || code == 120;
    }
    let Some(verb) = verb else { return true };
    match code {
        227..=229 => matches!(verb, Verb::Pasv | Verb::Epsv | Verb::Lpsv),
        230..=232 => {
            matches!(verb, Verb::User | Verb::Pass | Verb::Acct | Verb::Auth | Verb::Host | Verb::Rein)
        }
        331..=336 => matches!(verb, Verb::User | Verb::Pass | Verb::Acct | Verb::Auth | Verb::Adat),
        350 => matches!(verb, Verb::Rest | Verb::Rnfr),
        150 | 125 => moves_data(verb),
        _ => !(class == 2 && matches!(verb, Verb::Pasv | Verb::Epsv)),
    }
}
