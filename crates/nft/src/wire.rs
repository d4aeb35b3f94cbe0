//! What the privileged helper and its clients say to each other: records over a `SOCK_SEQPACKET` Unix socket, one
//! answer for each request, in order. Requests are of fixed size, and so are all answers but lists.
//!
//! Anybody whom the helper serves may ask for holes. The rest is for the gate that started it.

use std::net::SocketAddr;
use std::time::Duration;

use crate::{End, Flow, Key, Translation, Want};

mod fields;
#[cfg(test)]
mod tests;

use fields::{Fields, Record, end, ended, flow, how, narrow, one_ended, wide};

/// Where the helper listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/portway/holed.sock";
/// Octets of a request.
pub const REQUEST: usize = 80;
/// Octets of an answer that is no list.
pub const ANSWER: usize = 128;
/// Octets of the longest answer.
pub const LONGEST_ANSWER: usize = HEAD + MOST_LISTED * FLOW;
/// Items of the longest list; what is missing is asked for once more.
pub const MOST_LISTED: usize = 512;

const MAGIC: [u8; 4] = *b"PWH2";
/// Octets before the text, the address or the items of an answer.
const HEAD: usize = 32;
const TEXT: usize = ANSWER - HEAD;
/// Octets of an address with its port, and of the items of lists.
const END: usize = 19;
const ENDED: usize = 9;
const FLOW: usize = 4 + 3 * END + 18;

/// What a client asks. `tag` comes back in the answer, so that a late answer is not taken for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// Any number of the client's choice.
    pub tag: u64,
    /// What is wanted.
    pub ask: Ask,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Open a hole.
    Open(Want),
    /// Close one that this connection opened.
    Close(u64),
    /// A gate: which of its holes have ended since it asked last, but for those that it closed.
    Ended,
    /// A gate: translate addresses for so long.
    Translate(Translation, Duration),
    /// A gate: translate them no more.
    Restore(Translation),
    /// A gate: as [`answered_to`](crate::answered_to).
    AnsweredTo(SocketAddr, SocketAddr),
    /// A gate: as [`asked_for`](crate::asked_for).
    AskedFor(SocketAddr, SocketAddr),
    /// A gate: the connections that came through holes, from this one on; 0 looks anew.
    Flows(u32),
    /// A gate: the connection from here to there.
    Look(SocketAddr, SocketAddr),
    /// A gate: its rules and routes are to go, since it ends.
    Leave,
    /// A gate: how often its rules and routes had to be put back since it asked last. The first time says that they are as
    /// they are to be.
    Mended,
}

/// What the helper answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// As in the request.
    pub tag: u64,
    /// The result.
    pub result: Outcome,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The hole is in place; its number is for [`Ask::Close`].
    Opened(u64),
    /// It is closed; how it ended, unless it was over before.
    Closed(Option<End>),
    /// Policy forbids it, for this reason (at most 96 octets).
    Refused(String),
    /// So many holes are open, and no more are allowed.
    Full(u32),
    /// The kernel did not do it; the error number, 0 if there is none.
    Failed(i32, String),
    /// What was asked is done.
    Done,
    /// How often.
    Times(u32),
    /// An address that was asked for, if there is one.
    Address(Option<SocketAddr>),
    /// Holes that have ended; [`MOST_LISTED`] of them say that there may be more.
    Ended(Vec<(u64, End)>),
    /// Connections; [`MOST_LISTED`] of them say that there may be more.
    Flows(Vec<Flow>),
}

/// A request as it is written, whatever it asks.
#[derive(Clone, Copy, Default)]
struct Form {
    op: u8,
    family: u8,
    number: u32,
    from: [u8; 16],
    from_port: u16,
    to: [u8; 16],
    to_port: u16,
    into: [u8; 16],
    into_port: u16,
}

impl Form {
    /// A question of one number.
    fn plain(op: u8, number: u32) -> Self {
        Self { op, number, ..Self::default() }
    }

    /// A question about a connection.
    fn between(op: u8, from: SocketAddr, to: SocketAddr) -> Self {
        let family = if to.is_ipv4() { 4 } else { 6 };
        let (from, from_port) = (wide(from.ip()), from.port());
        Self { op, family, from, from_port, to: wide(to.ip()), to_port: to.port(), ..Self::default() }
    }

    fn of(ask: Ask) -> Self {
        let key = |op, key: Key, within: Duration| {
            let number = u32::try_from(within.as_millis()).unwrap_or(u32::MAX);
            Self { number, ..Self::between(op, SocketAddr::new(key.from, 0), key.to) }
        };
        let translation = |to, from, what, within| match what {
            Translation::To { key: before, into } => {
                Self { into: wide(into.ip()), into_port: into.port(), ..key(to, before, within) }
            }
            Translation::From { key: before, into } => Self { into: wide(into), ..key(from, before, within) },
        };
        match ask {
            Ask::Open(want) => key(1, want.key, want.within),
            Ask::Close(id) => {
                let mut form = Self::plain(2, 0);
                form.from = u128::from(id).to_be_bytes();
                form
            }
            Ask::Ended => Self::plain(3, 0),
            Ask::Translate(what, within) => translation(4, 5, what, within),
            Ask::Restore(what) => translation(6, 7, what, Duration::ZERO),
            Ask::AnsweredTo(from, to) => Self::between(8, from, to),
            Ask::AskedFor(from, to) => Self::between(9, from, to),
            Ask::Flows(skip) => Self::plain(10, skip),
            Ask::Look(from, to) => Self::between(11, from, to),
            Ask::Leave => Self::plain(12, 0),
            Ask::Mended => Self::plain(13, 0),
        }
    }

    /// What it asks, as far as one can tell without comparing it with what would be written for that.
    fn ask(&self) -> Option<Ask> {
        let ip = |octets| narrow(octets, self.family);
        let from = || Some(SocketAddr::new(ip(self.from)?, self.from_port));
        let to = || Some(SocketAddr::new(ip(self.to)?, self.to_port));
        let key = || Some(Key { from: ip(self.from)?, to: to()? });
        let into = || Some(SocketAddr::new(ip(self.into)?, self.into_port));
        let within = Duration::from_millis(self.number.into());
        Some(match self.op {
            1 => Ask::Open(Want { key: key()?, within }),
            2 => Ask::Close(u64::try_from(u128::from_be_bytes(self.from)).ok()?),
            3 => Ask::Ended,
            4 => Ask::Translate(Translation::To { key: key()?, into: into()? }, within),
            5 => Ask::Translate(Translation::From { key: key()?, into: into()?.ip() }, within),
            6 => Ask::Restore(Translation::To { key: key()?, into: into()? }),
            7 => Ask::Restore(Translation::From { key: key()?, into: into()?.ip() }),
            8 => Ask::AnsweredTo(from()?, to()?),
            9 => Ask::AskedFor(from()?, to()?),
            10 => Ask::Flows(self.number),
            11 => Ask::Look(from()?, to()?),
            12 => Ask::Leave,
            13 => Ask::Mended,
            _ => return None,
        })
    }
}

impl Request {
    /// The record.
    #[must_use]
    pub fn emit(&self) -> [u8; REQUEST] {
        let form = Form::of(self.ask);
        let mut record = Record::new();
        record.put(&[form.op, form.family]);
        record.put(&form.to_port.to_be_bytes());
        record.put(&form.number.to_be_bytes());
        record.put(&self.tag.to_be_bytes());
        record.put(&form.from_port.to_be_bytes());
        record.put(&form.into_port.to_be_bytes());
        record.put(&form.from);
        record.put(&form.to);
        record.put(&form.into);
        let mut octets = [0; REQUEST];
        record.fill(&mut octets);
        octets
    }

    /// Reads a record; `None` for anything but what [`emit`](Self::emit) writes.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut fields = Fields::of(<&[u8; REQUEST]>::try_from(octets).ok()?)?;
        let [op, family] = fields.take()?;
        let to_port = u16::from_be_bytes(fields.take()?);
        let number = u32::from_be_bytes(fields.take()?);
        let tag = u64::from_be_bytes(fields.take()?);
        let from_port = u16::from_be_bytes(fields.take()?);
        let into_port = u16::from_be_bytes(fields.take()?);
        let (from, to, into) = (fields.take()?, fields.take()?, fields.take()?);
        let form = Form { op, family, number, from, from_port, to, to_port, into, into_port };
        let request = Self { tag, ask: form.ask()? };
        // Whatever a request has no use for is zero.
        (request.emit() == octets).then_some(request)
    }
}

impl Answer {
    /// The record.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let (status, number, id, rest) = match &self.result {
            Outcome::Opened(id) => (1, 0, *id, Vec::new()),
            Outcome::Closed(how) => (2, how.map_or(0, |how| u32::from(ended(how))), 0, Vec::new()),
            Outcome::Refused(why) => (3, 0, 0, text(why)),
            Outcome::Full(limit) => (4, *limit, 0, Vec::new()),
            Outcome::Failed(errno, why) => (5, errno.cast_unsigned(), 0, text(why)),
            Outcome::Done => (6, 0, 0, Vec::new()),
            Outcome::Address(address) => (7, 0, 0, address.map(end).unwrap_or_default()),
            Outcome::Ended(all) => (8, count(all.len()), 0, all.iter().flat_map(one_ended).collect()),
            Outcome::Flows(all) => (9, count(all.len()), 0, all.iter().flat_map(flow).collect()),
            Outcome::Times(times) => (10, *times, 0, Vec::new()),
        };
        let mut record = Record::new();
        record.put(&[status, 0, 0, 0]);
        record.put(&number.to_be_bytes());
        record.put(&[0; 4]);
        record.put(&self.tag.to_be_bytes());
        record.put(&id.to_be_bytes());
        record.put(&rest);
        record.0.resize(record.0.len().max(ANSWER), 0);
        record.0
    }

    /// Reads a record.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut fields = Fields::of(octets)?;
        let [status, 0, 0, 0] = fields.take()? else { return None };
        let number = u32::from_be_bytes(fields.take()?);
        let [0, 0, 0, 0] = fields.take()? else { return None };
        let (tag, id) = (u64::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?));
        let text = fields.0.split(|&b| b == 0).next().unwrap_or_default();
        let text = || String::from_utf8_lossy(text).into_owned();
        let listed = usize::try_from(number).ok().filter(|count| *count <= MOST_LISTED);
        let result = match status {
            1 => Outcome::Opened(id),
            2 if number == 0 => Outcome::Closed(None),
            2 => Outcome::Closed(Some(how(u8::try_from(number).ok()?)?)),
            3 => Outcome::Refused(text()),
            4 => Outcome::Full(number),
            5 => Outcome::Failed(number.cast_signed(), text()),
            6 => Outcome::Done,
            7 => Outcome::Address(fields.end()?),
            8 => Outcome::Ended((0..listed?).map(|_| fields.one_ended()).collect::<Option<_>>()?),
            9 => Outcome::Flows((0..listed?).map(|_| fields.flow()).collect::<Option<_>>()?),
            10 => Outcome::Times(number),
            _ => return None,
        };
        Some(Self { tag, result })
    }
}

/// As much of it as there is room for.
fn text(why: &str) -> Vec<u8> {
    let end = (0..=why.len().min(TEXT)).rev().find(|&at| why.is_char_boundary(at)).unwrap_or(0);
    why.as_bytes().get(..end).unwrap_or_default().to_vec()
}

fn count(items: usize) -> u32 {
    u32::try_from(items).unwrap_or(u32::MAX)
}
