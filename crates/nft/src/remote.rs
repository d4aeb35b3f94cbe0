//! The packet filter through the helper, for a gate: what needs CAP_NET_ADMIN is asked for, and checked there once
//! more.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send, sockopt};

use crate::wire::{Answer, Ask, LONGEST_ANSWER, MOST_LISTED, Outcome, Request};
use crate::{End, Flow, Translation, Want};

/// The helper answers within microseconds; seconds mean that it hangs.
const PATIENCE: Duration = Duration::from_secs(2);

/// A connection to a helper that serves us alone, and ends with us.
#[derive(Debug)]
pub struct Remote {
    socket: OwnedFd,
    tag: u64,
    room: Vec<u8>,
    lost: bool,
}

/// Why the helper did not open a hole.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoteError {
    /// Its policy forbids it; no retry will help.
    #[error("{0}")]
    Refused(String),
    /// So many are open that there is no room.
    #[error("{0} holes are open already")]
    Full(u32),
    /// The kernel did not do it.
    #[error("{0}")]
    Failed(String),
    /// The helper does not answer.
    #[error("the helper of the packet filter does not answer: {0}")]
    Lost(#[source] io::Error),
}

impl Remote {
    /// Over the socket whose other end the helper was started with; waits until it is ready.
    ///
    /// # Errors
    /// `UnexpectedEof` if the program ended without a word; else why it cannot serve.
    pub fn over(socket: OwnedFd) -> io::Result<Self> {
        // A first start of a program may take long on a machine that has much to do.
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(PATIENCE * 5))?;
        let mut this = Self { socket, tag: 0, room: vec![0; LONGEST_ANSWER], lost: false };
        match this.ask(Ask::Close(0))? {
            Outcome::Closed(_) => {}
            other => return Err(unexpected(other)),
        }
        sockopt::set_socket_timeout(&this.socket, sockopt::Timeout::Recv, Some(PATIENCE))?;
        Ok(this)
    }

    /// Whether an answer has failed to come. Holes are shut then, and nobody can open any.
    #[must_use]
    pub const fn is_lost(&self) -> bool {
        self.lost
    }

    /// Opens a hole, and gives its number.
    ///
    /// # Errors
    /// [`RemoteError`]; nothing was opened.
    pub fn open(&mut self, want: &Want) -> Result<u64, RemoteError> {
        if want.key.from.is_ipv4() != want.key.to.is_ipv4() {
            return Err(RemoteError::Refused("IPv4 and IPv6 in one hole".to_owned()));
        }
        match self.ask(Ask::Open(*want)).map_err(RemoteError::Lost)? {
            Outcome::Opened(id) => Ok(id),
            Outcome::Refused(why) => Err(RemoteError::Refused(why)),
            Outcome::Full(limit) => Err(RemoteError::Full(limit)),
            other => Err(RemoteError::Failed(unexpected(other).to_string())),
        }
    }

    /// Closes a hole; how it ended, unless [`ended`](Self::ended) says or has said so.
    ///
    /// # Errors
    /// The helper does not answer.
    pub fn close(&mut self, id: u64) -> io::Result<Option<End>> {
        match self.ask(Ask::Close(id))? {
            Outcome::Closed(how) => Ok(how),
            other => Err(unexpected(other)),
        }
    }

    /// The holes that have ended by themselves since the last call.
    ///
    /// # Errors
    /// The helper does not answer.
    pub fn ended(&mut self) -> io::Result<Vec<(u64, End)>> {
        let mut all = Vec::new();
        loop {
            match self.ask(Ask::Ended)? {
                Outcome::Ended(some) => {
                    all.extend_from_slice(&some);
                    if some.len() < MOST_LISTED {
                        return Ok(all);
                    }
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// As [`Translations::add`](crate::Translations::add).
    ///
    /// # Errors
    /// As there; or the helper's policy forbids it.
    pub fn translate(&mut self, what: &Translation, within: Duration) -> io::Result<()> {
        if !what.is_of_one_family() {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.done(Ask::Translate(*what, within))
    }

    /// As [`Translations::remove`](crate::Translations::remove).
    ///
    /// # Errors
    /// As there.
    pub fn restore(&mut self, what: &Translation) -> io::Result<()> {
        self.done(Ask::Restore(*what))
    }

    /// As [`answered_to`](crate::answered_to).
    ///
    /// # Errors
    /// As there.
    pub fn answered_to(&mut self, from: SocketAddr, to: SocketAddr) -> io::Result<Option<SocketAddr>> {
        self.address(Ask::AnsweredTo(canonical(from), canonical(to)))
    }

    /// As [`asked_for`](crate::asked_for).
    ///
    /// # Errors
    /// As there.
    pub fn asked_for(&mut self, server: SocketAddr, client: SocketAddr) -> io::Result<Option<SocketAddr>> {
        self.address(Ask::AskedFor(canonical(server), canonical(client)))
    }

    /// As [`Flows::list`](crate::Flows::list).
    ///
    /// # Errors
    /// As there.
    pub fn flows(&mut self) -> io::Result<Vec<Flow>> {
        let mut all = Vec::new();
        loop {
            match self.ask(Ask::Flows(u32::try_from(all.len()).unwrap_or(u32::MAX)))? {
                Outcome::Flows(some) => {
                    let more = some.len() == MOST_LISTED;
                    all.extend(some);
                    if !more {
                        return Ok(all);
                    }
                }
                other => return Err(unexpected(other)),
            }
        }
    }

    /// How this connection is now; `None` if the kernel has forgotten it.
    ///
    /// # Errors
    /// As [`flows`](Self::flows).
    pub fn look(&mut self, flow: &Flow) -> io::Result<Option<Flow>> {
        match self.ask(Ask::Look(flow.from, flow.asked))? {
            Outcome::Flows(found) => Ok(found.into_iter().find(|now| now.id == flow.id)),
            other => Err(unexpected(other)),
        }
    }

    /// How often the gate's rules and routes had to be put back since this was asked last; somebody else takes them away
    /// now and then. The first time says that they are as they are to be.
    ///
    /// # Errors
    /// They cannot be read, or not be put back; asking again tries again.
    pub fn mended(&mut self) -> io::Result<u32> {
        match self.ask(Ask::Mended)? {
            Outcome::Times(times) => Ok(times),
            other => Err(unexpected(other)),
        }
    }

    /// Has the gate's rules and routes taken away.
    ///
    /// # Errors
    /// As the kernel says; some of it may be left.
    pub fn leave(&mut self) -> io::Result<()> {
        self.done(Ask::Leave)
    }

    fn done(&mut self, ask: Ask) -> io::Result<()> {
        match self.ask(ask)? {
            Outcome::Done => Ok(()),
            other => Err(unexpected(other)),
        }
    }

    fn address(&mut self, ask: Ask) -> io::Result<Option<SocketAddr>> {
        match self.ask(ask)? {
            Outcome::Address(address) => Ok(address),
            other => Err(unexpected(other)),
        }
    }

    /// One request and its answer. After the first that fails nothing is asked any more: what came then might be
    /// the answer to another question.
    fn ask(&mut self, ask: Ask) -> io::Result<Outcome> {
        if self.lost {
            return Err(io::ErrorKind::NotConnected.into());
        }
        self.tag += 1;
        let answer = self.exchange(&Request { tag: self.tag, ask });
        self.lost = answer.is_err();
        answer
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Outcome> {
        send(&self.socket, &request.emit(), SendFlags::NOSIGNAL)?;
        loop {
            let length = match recv(&self.socket, self.room.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok((length, _)) => length,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            let answer = Answer::parse(self.room.get(..length).unwrap_or_default());
            let answer = answer.filter(|answer| answer.tag == request.tag || answer.tag == 0);
            return answer.map(|answer| answer.result).ok_or_else(|| io::ErrorKind::InvalidData.into());
        }
    }
}

fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

fn unexpected(outcome: Outcome) -> io::Error {
    match outcome {
        Outcome::Failed(0, why) => io::Error::other(why),
        Outcome::Failed(errno, _) => io::Error::from_raw_os_error(errno),
        Outcome::Refused(why) => io::Error::new(io::ErrorKind::PermissionDenied, why),
        _ => io::ErrorKind::InvalidData.into(),
    }
}
