//! What the privileged helper and its clients say to each other: records of fixed size over a
//! `SOCK_SEQPACKET` Unix socket, one answer for each request, in order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use crate::{Key, Want};

/// Where the helper listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/run/portway/holed.sock";
/// Octets of a request.
pub const REQUEST: usize = 56;
/// Octets of an answer.
pub const ANSWER: usize = 128;

const MAGIC: [u8; 4] = *b"PWH1";
const TEXT: usize = ANSWER - 32;

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
    /// It is closed, whether or not it was open still.
    Closed,
    /// Policy forbids it, for this reason (at most 96 octets).
    Refused(String),
    /// So many holes are open, and no more are allowed.
    Full(u32),
    /// The kernel did not do it; the error number, 0 if there is none.
    Failed(i32, String),
}

impl Request {
    /// The record.
    #[must_use]
    pub fn emit(&self) -> [u8; REQUEST] {
        let mut record = Record::<REQUEST>::new();
        match self.ask {
            Ask::Open(Want { key, within }) => {
                let family = if key.to.is_ipv4() { 4 } else { 6 };
                record.put(&[1, family]);
                record.put(&key.to.port().to_be_bytes());
                record.put(&u32::try_from(within.as_millis()).unwrap_or(u32::MAX).to_be_bytes());
                record.put(&self.tag.to_be_bytes());
                record.put(&[0; 4]);
                record.put(&wide(key.from));
                record.put(&wide(key.to.ip()));
            }
            Ask::Close(id) => {
                record.put(&[2, 0, 0, 0, 0, 0, 0, 0]);
                record.put(&self.tag.to_be_bytes());
                record.put(&[0; 4]);
                record.put(&id.to_be_bytes());
            }
        }
        record.octets
    }

    /// Reads a record; `None` for anything but what [`emit`](Self::emit) writes.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut fields = Fields::of::<REQUEST>(octets)?;
        let [op, family] = fields.take()?;
        let port = u16::from_be_bytes(fields.take()?);
        let milliseconds = u32::from_be_bytes(fields.take()?);
        let tag = u64::from_be_bytes(fields.take()?);
        let [0, 0, 0, 0] = fields.take()? else { return None };
        let ask = match (op, family) {
            (1, 4 | 6) => {
                let (from, to) = (narrow(fields.take()?, family)?, narrow(fields.take()?, family)?);
                Ask::Open(Want {
                    key: Key { from, to: SocketAddr::new(to, port) },
                    within: Duration::from_millis(u64::from(milliseconds)),
                })
            }
            (2, 0) if (port, milliseconds) == (0, 0) => Ask::Close(u64::from_be_bytes(fields.take()?)),
            _ => return None,
        };
        fields.rest_is_zero().then_some(Self { tag, ask })
    }
}

impl Answer {
    /// The record.
    #[must_use]
    pub fn emit(&self) -> [u8; ANSWER] {
        let (status, number, id, text) = match &self.result {
            Outcome::Opened(id) => (1, 0, *id, ""),
            Outcome::Closed => (2, 0, 0, ""),
            Outcome::Refused(why) => (3, 0, 0, why.as_str()),
            Outcome::Full(limit) => (4, *limit, 0, ""),
            Outcome::Failed(errno, why) => (5, errno.cast_unsigned(), 0, why.as_str()),
        };
        let mut record = Record::<ANSWER>::new();
        record.put(&[status, 0, 0, 0]);
        record.put(&number.to_be_bytes());
        record.put(&[0; 4]);
        record.put(&self.tag.to_be_bytes());
        record.put(&id.to_be_bytes());
        let end = (0..=text.len().min(TEXT)).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        record.put(text.get(..end).unwrap_or_default().as_bytes());
        record.octets
    }

    /// Reads a record.
    #[must_use]
    pub fn parse(octets: &[u8]) -> Option<Self> {
        let mut fields = Fields::of::<ANSWER>(octets)?;
        let [status, 0, 0, 0] = fields.take()? else { return None };
        let number = u32::from_be_bytes(fields.take()?);
        let [0, 0, 0, 0] = fields.take()? else { return None };
        let (tag, id) = (u64::from_be_bytes(fields.take()?), u64::from_be_bytes(fields.take()?));
        let text = fields.0.split(|&b| b == 0).next().unwrap_or_default();
        let text = || String::from_utf8_lossy(text).into_owned();
        let result = match status {
            1 => Outcome::Opened(id),
            2 => Outcome::Closed,
            3 => Outcome::Refused(text()),
            4 => Outcome::Full(number),
            5 => Outcome::Failed(number.cast_signed(), text()),
            _ => return None,
        };
        Some(Self { tag, result })
    }
}

fn wide(ip: IpAddr) -> [u8; 16] {
    match ip {
        IpAddr::V4(v4) => {
            let mut octets = [0; 16];
            if let Some(front) = octets.first_chunk_mut() {
                *front = v4.octets();
            }
            octets
        }
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn narrow(octets: [u8; 16], family: u8) -> Option<IpAddr> {
    if family == 6 {
        return Some(IpAddr::V6(Ipv6Addr::from(octets)));
    }
    let (front, rest) = octets.split_first_chunk::<4>()?;
    rest.iter().all(|&b| b == 0).then_some(IpAddr::V4(Ipv4Addr::from(*front)))
}

struct Record<const N: usize> {
    octets: [u8; N],
    at: usize,
}

impl<const N: usize> Record<N> {
    fn new() -> Self {
        let mut record = Self { octets: [0; N], at: 0 };
        record.put(&MAGIC);
        record
    }

    fn put(&mut self, field: &[u8]) {
        if let Some(place) = self.octets.get_mut(self.at..self.at + field.len()) {
            place.copy_from_slice(field);
            self.at += field.len();
        }
    }
}

struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn of<const N: usize>(octets: &'a [u8]) -> Option<Self> {
        let octets: &[u8; N] = octets.try_into().ok()?;
        octets.strip_prefix(&MAGIC).map(Fields)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*field)
    }

    fn rest_is_zero(&self) -> bool {
        self.0.iter().all(|&b| b == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn wants() -> impl Strategy<Value = Want> {
        (any::<bool>(), any::<[u8; 16]>(), any::<[u8; 16]>(), any::<u16>(), any::<u32>()).prop_map(
            |(v4, from, to, port, ms)| {
                let ip = |octets: [u8; 16]| match octets.first_chunk::<4>() {
                    Some(front) if v4 => IpAddr::from(*front),
                    _ => IpAddr::from(octets),
                };
                let key = Key { from: ip(from), to: SocketAddr::new(ip(to), port) };
                Want { key, within: Duration::from_millis(u64::from(ms)) }
            },
        )
    }

    proptest! {
        #[test]
        fn requests_read_back(tag: u64, id: u64, want in wants(), open: bool) {
            let request = Request { tag, ask: if open { Ask::Open(want) } else { Ask::Close(id) } };
            prop_assert_eq!(Request::parse(&request.emit()), Some(request));
        }

        #[test]
        fn answers_read_back(tag: u64, id: u64, number: u32, why in "[ -~]{0,96}", which in 0..5) {
            let result = match which {
                0 => Outcome::Opened(id),
                1 => Outcome::Closed,
                2 => Outcome::Refused(why),
                3 => Outcome::Full(number),
                _ => Outcome::Failed(number.cast_signed(), why),
            };
            let answer = Answer { tag, result };
            prop_assert_eq!(Answer::parse(&answer.emit()), Some(answer));
        }

        #[test]
        fn what_parses_is_what_would_be_emitted(octets in proptest::collection::vec(any::<u8>(), 52)) {
            let octets = [&MAGIC[..], &octets].concat();
            if let Some(request) = Request::parse(&octets) {
                prop_assert_eq!(request.emit().to_vec(), octets);
            }
        }

        #[test]
        fn no_record_makes_the_readers_panic(octets: Vec<u8>) {
            let _ = Request::parse(&octets);
            let _ = Answer::parse(&octets);
        }
    }

    #[test]
    fn records_of_another_size_are_refused() {
        let request = Request { tag: 1, ask: Ask::Close(7) }.emit();
        assert_eq!(Request::parse(&request[..REQUEST - 1]), None);
        assert_eq!(Request::parse(&[&request[..], &[0]].concat()), None);
    }
}
