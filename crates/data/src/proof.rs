//! Connections that came to an announced port and have not yet shown whose they are.

use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::task::{Context, Poll};

use portway_net::{ControlTls, DataHandshake, DataTls, Hello, TlsError, TlsInfo, read_hello};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::conn::Proven;
use crate::{History, Proof, sys};

/// A ClientHello longer than this is taken for one without a ticket. Those with post-quantum key shares and a
/// ticket have about 2 KiB.
const LONGEST_HELLO: usize = 8192;

/// Handshakes run at the same time for one offer.
const HANDSHAKES: usize = 8;

/// Connections that have not sent a whole ClientHello yet.
///
/// Bounded: the oldest gives way. A client that is slow to speak (most wait for the reply 150) must not be
/// driven out by its neighbour's first few silent connections, hence a generous bound.
#[derive(Debug)]
pub(crate) struct Lobby {
    waiting: Vec<Waiting>,
    room: usize,
}

/// One connection in the lobby.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) stream: TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) since: Instant,
    /// More than one session could have been meant when it came.
    pub(crate) disputed: bool,
}

/// A connection from the right address, on its way to an offer.
#[derive(Debug)]
pub(crate) enum Came {
    /// Just accepted.
    Raw(std::net::TcpStream, SocketAddr),
    /// Its ClientHello is there to be read; `named` if it names the session.
    Spoken { stream: TcpStream, peer: SocketAddr, named: bool },
}

/// What a connection turned out to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spoke {
    Hello(Hello),
    /// It ended before it had said anything of use.
    Gone,
}

impl Lobby {
    pub(crate) fn new(room: usize) -> Self {
        Self { waiting: Vec::new(), room }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets a connection in; the oldest of the same address, or the oldest of all, is closed when it is full.
    pub(crate) fn enter(&mut self, stream: TcpStream, peer: SocketAddr, disputed: bool) {
        if self.waiting.len() >= self.room {
            let ip = peer.ip();
            let same = self.waiting.iter().position(|w| w.peer.ip() == ip).unwrap_or(0);
            sys::reset_on_close(&self.waiting.remove(same).stream);
        }
        self.waiting.push(Waiting { stream, peer, since: Instant::now(), disputed });
    }

    /// Closes those for whom `stay` is false.
    pub(crate) fn retain(&mut self, mut stay: impl FnMut(&Waiting) -> bool) {
        self.waiting.retain(|waiting| {
            let stays = stay(waiting);
            if !stays {
                sys::reset_on_close(&waiting.stream);
            }
            stays
        });
    }

    /// The next connection that has spoken. Wakes the task when another one does.
    pub(crate) fn poll_spoke(&mut self, cx: &mut Context<'_>) -> Option<(Waiting, Spoke)> {
        for at in 0..self.waiting.len() {
            if let Some(spoke) = self.waiting.get(at).and_then(|waiting| listen(&waiting.stream, cx)) {
                return Some((self.waiting.remove(at), spoke));
            }
        }
        None
    }
}

/// What the connection has said, or `None` if not enough.
fn listen(stream: &TcpStream, cx: &mut Context<'_>) -> Option<Spoke> {
    loop {
        match stream.poll_read_ready(cx) {
            Poll::Pending => return None,
            Poll::Ready(Err(_)) => return Some(Spoke::Gone),
            Poll::Ready(Ok(())) => {}
        }
        // Peeking leaves the octets where they are, so the runtime would go on calling the socket ready. To
        // claim that it would block makes the runtime wait for news.
        let peeked = stream.try_io(Interest::READABLE, || {
            let mut buf = [0; LONGEST_HELLO];
            let octets = sys::peek(stream.as_fd(), &mut buf)?;
            match read_hello(buf.get(..octets).unwrap_or_default()) {
                _ if octets == 0 => Ok(Spoke::Gone),
                Hello::NeedMore if octets == LONGEST_HELLO => Ok(Spoke::Hello(Hello::NoSession)),
                Hello::NeedMore if sys::peer_is_gone(stream.as_fd()) => Ok(Spoke::Gone),
                Hello::NeedMore => Err(std::io::ErrorKind::WouldBlock.into()),
                hello => Ok(Spoke::Hello(hello)),
            }
        });
        match peeked {
            Ok(spoke) => return Some(spoke),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => return Some(Spoke::Gone),
        }
    }
}

/// Handshakes under way for one offer; the first good one wins.
pub(crate) struct Handshakes {
    running: Vec<Running>,
}

struct Running {
    handshake: Pin<Box<DataHandshake>>,
    peer: SocketAddr,
    /// The ClientHello named the session; only its client and those who watched the wire know the name.
    named: bool,
}

impl Handshakes {
    pub(crate) fn new() -> Self {
        Self { running: Vec::new() }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Answers a ClientHello. When too many run, one that did not name the session gives way.
    pub(crate) fn start(&mut self, tls: &ControlTls, stream: TcpStream, peer: SocketAddr, named: bool) {
        if self.running.len() >= HANDSHAKES {
            self.running.remove(self.running.iter().position(|r| !r.named).unwrap_or(0));
        }
        self.running.push(Running { handshake: Box::pin(tls.accept_data(stream)), peer, named });
    }

    /// The next handshake that ended, well or badly.
    pub(crate) fn poll_done(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Option<(SocketAddr, Result<DataTls, TlsError>)> {
        for at in 0..self.running.len() {
            if let Some(running) = self.running.get_mut(at)
                && let Poll::Ready(result) = running.handshake.as_mut().poll(cx)
            {
                let peer = running.peer;
                self.running.remove(at);
                return Some((peer, result));
            }
        }
        None
    }
}

/// What to do with a connection whose handshake is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// It is the owner's.
    Serve(Proven),
    /// It is the user's, and may be meant for another session of his: the owner's own comes first.
    Hold,
    /// It must not be served.
    Refuse,
}

/// Judges a finished handshake.
pub(crate) fn judge(proof: Proof, info: &TlsInfo, tls: &ControlTls, history: &History) -> Judgement {
    if info.resumed && !info.sibling {
        history.resumed();
        return Judgement::Serve(Proven::Resumed);
    }
    match proof {
        Proof::Off => Judgement::Serve(Proven::Address),
        Proof::Required => Judgement::Refuse,
        Proof::Auto if info.sibling && history.mixes_tickets() => Judgement::Serve(Proven::Sibling),
        Proof::Auto if info.sibling => Judgement::Hold,
        Proof::Auto if !history.has_resumed() || history.is_unproven() => {
            history.unproven();
            Judgement::Serve(Proven::Address)
        }
        Proof::Auto if tls.tickets_exhausted() => Judgement::Serve(Proven::TicketsExhausted),
        // A cache shared by several control connections may be empty at times.
        Proof::Auto if tls.has_sibling() => Judgement::Hold,
        Proof::Auto => Judgement::Refuse,
    }
}
