//! An [`Engine`] on a socket: readiness, and as few system calls as the octets need.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustls::{Error, ProtocolVersion};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::engine::{Engine, RECORD, Wants};
use super::error::Fault;
use crate::hello::{Offer, Peek, peek};

/// First read: a ClientHello or a command line fits.
const SMALL: usize = 4 * 1024;
/// Largest read. A quarter of a megabyte keeps system calls rare; more no longer fits the processor's cache.
const LARGE: usize = 256 * 1024;
/// What a record of TLS begins with (RFC 8446 §5.1, and the heartbeat of RFC 6520).
const RECORD_TYPES: std::ops::RangeInclusive<u8> = 20..=24;
/// Plaintext encrypted before the socket is asked again.
const BURST: usize = 8 * RECORD;

/// What kind of connection this is, since idle ones must be small and busy ones fast.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Many and mostly idle: no buffer outlives its content, and a missing close_notify is a plain end.
    Control,
    /// Few and busy: buffers grow with the traffic and stay.
    Data,
}

/// TLS on a socket.
pub(crate) struct TlsStream {
    pub(crate) io: TcpStream,
    engine: Engine,
    usage: Use,
    /// Nothing is to be sent by itself: the peer may be gone before it reads, and octets it has not read
    /// reset the connection and take the tail of its file along.
    hold: bool,
    /// The client's hello, until the handshake is done.
    offer: Option<Box<Offer>>,
    /// The last read took all there was room for.
    greedy: bool,
}

impl TlsStream {
    pub(crate) fn new(io: TcpStream, engine: Engine, usage: Use) -> Self {
        Self { io, engine, usage, hold: false, offer: None, greedy: false }
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// True while tickets are kept back.
    pub(crate) fn holds(&self) -> bool {
        self.hold
    }

    /// The client's hello, once; servers only.
    pub(crate) fn take_offer(&mut self) -> Option<Box<Offer>> {
        self.offer.take()
    }

    /// The handshake. A server's data connection keeps its TLS 1.3 tickets back: [`Self::hold`].
    pub(crate) fn poll_handshake(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        loop {
            if self.engine.is_server() && self.offer.is_none() {
                match peek(self.engine.octets.incoming.filled()) {
                    Peek::Offer(offer) => self.offer = Some(Box::new(offer)),
                    // rustls answers what is no hello with an alert, and knows best why it is none.
                    Peek::NotTls => {}
                    Peek::NeedMore => {
                        ready!(self.poll_handshake_octets(cx))?;
                        continue;
                    }
                }
            }
            match self.engine.advance(&mut []) {
                Ok((_, Wants::Handshake)) => {
                    ready!(self.poll_send(cx))?;
                    ready!(self.poll_handshake_octets(cx))?;
                }
                // A short upload comes with its end in one segment.
                Ok(_) if !self.engine.state().is_handshaking() => {
                    let tls13 = self.engine.state().protocol_version() == Some(ProtocolVersion::TLSv1_3);
                    self.hold = tls13 && self.engine.is_server() && self.usage == Use::Data;
                    if !self.hold {
                        ready!(self.poll_send(cx))?;
                    }
                    self.release();
                    return Poll::Ready(Ok(()));
                }
                Ok(_) => return Poll::Ready(Err(Fault::Closed)),
                Err(error) => return Poll::Ready(Err(self.fail(error))),
            }
        }
    }

    fn poll_handshake_octets(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Fault>> {
        match ready!(self.poll_fill(cx))? {
            0 => Poll::Ready(Err(Fault::Closed)),
            _ => Poll::Ready(Ok(())),
        }
    }

    /// The first octets that came, for an error message.
    fn fail(&mut self, error: Error) -> Fault {
        let first = self.engine.octets.incoming.filled().iter().take(80).copied().collect();
        self.try_send();
        Fault::Tls { error, offer: self.offer.take(), first }
    }

    /// Reads data. `Ok(0)` after the peer's close_notify.
    ///
    /// # Errors
    /// `UnexpectedEof` if the socket ended before that; `InvalidData` if the octets are no TLS.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>, sink: &mut [u8]) -> Poll<io::Result<usize>> {
        if sink.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            let n = match self.read_waiting(sink)? {
                Some(n) => n,
                None => match ready!(self.poll_fill(cx))? {
                    0 => return Poll::Ready(Err(cut_short())),
                    _ => continue,
                },
            };
            return Poll::Ready(Ok(n));
        }
    }

    /// Waits until [`Self::try_read`] has data, or the end.
    pub(crate) fn poll_readable(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if !self.engine.octets.plain.is_empty() || self.engine.octets.peer_closed {
                return Poll::Ready(Ok(()));
            }
            match self.advance(&mut [])? {
                _ if !self.engine.octets.plain.is_empty() => {}
                (_, Wants::Nothing) => {}
                _ => match ready!(self.poll_fill(cx))? {
                    0 => return Poll::Ready(Err(cut_short())),
                    _ => continue,
                },
            }
            self.release();
        }
    }

    /// Reads without waiting.
    pub(crate) fn try_read(&mut self, sink: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(n) = self.read_waiting(sink)? {
                return Ok(n);
            }
            let room = self.room();
            let incoming = &mut self.engine.octets.incoming;
            match self.io.try_read(incoming.spare(room)) {
                Ok(0) => return Err(cut_short()),
                Ok(n) => incoming.commit(n),
                Err(error) => {
                    self.release();
                    return Err(error);
                }
            }
        }
    }

    /// Waits for the peer to end TLS, by close_notify or by going on in clear: no record begins as a command or a
    /// reply does.
    ///
    /// # Errors
    /// `InvalidData` if the peer went on under TLS; `UnexpectedEof` if it left.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if self.engine.octets.incoming.filled().first().is_some_and(|first| !RECORD_TYPES.contains(first))
            {
                return Poll::Ready(Ok(()));
            }
            match self.read_waiting(&mut [0; 1])? {
                Some(0) => return Poll::Ready(Ok(())),
                Some(_) => {
                    let what = "data under TLS after its end was agreed on";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, what)));
                }
                None if ready!(self.poll_fill(cx))? == 0 => return Poll::Ready(Err(cut_short())),
                None => {}
            }
        }
    }

    /// Data that has come already; `Some(0)` is the end, `None` that more must come.
    fn read_waiting(&mut self, sink: &mut [u8]) -> io::Result<Option<usize>> {
        let n = self.engine.octets.plain.pop_into(sink);
        if n > 0 {
            self.release();
            return Ok(Some(n));
        }
        let (n, wants) = self.advance(sink)?;
        if !self.hold {
            self.try_send();
        }
        Ok(match (n, wants) {
            (0, Wants::Nothing) => Some(0),
            (0, _) => None,
            (n, _) => {
                self.release();
                Some(n)
            }
        })
    }

    fn advance(&mut self, sink: &mut [u8]) -> io::Result<(usize, Wants)> {
        self.engine.advance(sink).map_err(|error| {
            self.try_send();
            io::Error::new(io::ErrorKind::InvalidData, error)
        })
    }

    /// Encrypts some of `data` and sends what the socket takes. Returns how much was encrypted: it will be
    /// sent, but perhaps only by [`Self::poll_send`].
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.hold = false;
        if self.engine.octets.outgoing.len() >= BURST {
            ready!(self.poll_send(cx))?;
        }
        let now = data.get(..BURST).unwrap_or(data);
        self.engine.encrypt(now).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        if let Poll::Ready(Err(error)) = self.poll_send(cx) {
            return Poll::Ready(Err(error));
        }
        Poll::Ready(Ok(now.len()))
    }

    /// Encrypts `data` without sending it, if it is short; says whether it was.
    pub(crate) fn put(&mut self, data: &[u8]) -> io::Result<bool> {
        if data.len() > BURST {
            return Ok(false);
        }
        self.hold = false;
        self.engine.encrypt(data).map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))?;
        Ok(true)
    }

    /// Sends all that is outgoing.
    pub(crate) fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outgoing = &mut self.engine.octets.outgoing;
        while !outgoing.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(cx, outgoing.filled()))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => outgoing.discard(n),
            }
        }
        if self.usage == Use::Control {
            outgoing.release();
        }
        Poll::Ready(Ok(()))
    }

    /// Sends what the socket takes at once; what it refuses is for later, errors are for the next reader.
    fn try_send(&mut self) {
        let outgoing = &mut self.engine.octets.outgoing;
        while !outgoing.is_empty() {
            match self.io.try_write(outgoing.filled()) {
                Ok(n) if n > 0 => outgoing.discard(n),
                _ => return,
            }
        }
    }

    /// Puts close_notify (RFC 8446 §6.1) behind what is outgoing. Send it with [`Self::poll_send`].
    pub(crate) fn close(&mut self) -> io::Result<()> {
        self.hold = false;
        self.engine.close().map_err(|error| io::Error::new(io::ErrorKind::BrokenPipe, error))
    }

    /// The socket, and what it brought behind the end of TLS.
    pub(crate) fn into_plain(mut self) -> (TcpStream, Vec<u8>) {
        (self.io, self.engine.octets.incoming.take())
    }

    /// Reads from the socket; no buffer is made before there is something to read.
    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if self.usage == Use::Control {
            self.release();
        }
        ready!(self.io.poll_read_ready(cx))?;
        let room = self.room();
        let incoming = &mut self.engine.octets.incoming;
        let mut space = ReadBuf::new(incoming.spare(room));
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut space))?;
        let n = space.filled().len();
        self.greedy = space.remaining() == 0;
        incoming.commit(n);
        Poll::Ready(Ok(n))
    }

    /// How much to make room for: a little, or, on a data connection, twice as much as long as the socket
    /// fills it. What is left of a record or a handshake message stays inside meanwhile; rustls refuses any
    /// of more than 64 KiB.
    fn room(&self) -> usize {
        let incoming = &self.engine.octets.incoming;
        match self.usage {
            Use::Control => SMALL,
            Use::Data if self.greedy => (incoming.capacity() * 2).min(LARGE).saturating_sub(incoming.len()),
            Use::Data => incoming.capacity() / 2,
        }
        .max(SMALL)
    }

    /// Gives memory back that holds nothing.
    fn release(&mut self) {
        if self.usage == Use::Control {
            let octets = &mut self.engine.octets;
            octets.incoming.release();
            octets.outgoing.release();
            octets.plain.release();
        }
    }
}

fn cut_short() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the connection ended without the end of TLS (close_notify)")
}
