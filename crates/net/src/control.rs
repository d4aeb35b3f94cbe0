//! A control connection: plain, or under TLS.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::{ClientControlTls, ControlTls, TlsControl, TlsError, TlsInfo};

/// A control connection: plain, or under TLS. Reads and writes by the traits of tokio; flush after writing.
///
/// It holds no buffer while idle: wait by [`Self::readable`], then make a buffer and [`Self::try_read`].
#[derive(Debug)]
pub struct Control(State);

#[derive(Debug)]
enum State {
    Plain {
        io: TcpStream,
        /// What came in one segment with the end of TLS; goes before what the socket brings.
        ahead: Vec<u8>,
    },
    Tls(Box<TlsControl>),
}

impl From<TcpStream> for Control {
    fn from(io: TcpStream) -> Self {
        Self(State::Plain { io, ahead: Vec::new() })
    }
}

impl From<TlsControl> for Control {
    fn from(tls: TlsControl) -> Self {
        Self(State::Tls(Box::new(tls)))
    }
}

impl Control {
    /// The other side's address.
    ///
    /// # Errors
    /// As `getpeername(2)`.
    pub fn peer_addr(&self) -> io::Result<SocketAddr> {
        self.stream().peer_addr()
    }

    /// Our address.
    ///
    /// # Errors
    /// As `getsockname(2)`.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.stream().local_addr()
    }

    /// What the handshake agreed on; `None` while plain.
    pub fn tls(&self) -> Option<&TlsInfo> {
        match &self.0 {
            State::Plain { .. } => None,
            State::Tls(tls) => Some(&tls.info),
        }
    }

    /// The socket beneath; for socket options only, not for octets.
    pub fn stream(&self) -> &TcpStream {
        match &self.0 {
            State::Plain { io, .. } => io,
            State::Tls(tls) => &tls.stream.io,
        }
    }

    /// Turns to TLS as its server, after the 234 reply (RFC 4217 §4.1).
    ///
    /// The caller must not hold octets it read past the AUTH line: they came in clear, from anybody.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is closed then.
    pub async fn start_tls(self, tls: &ControlTls) -> Result<Self, TlsError> {
        tls.accept(self.into_stream()?).await.map(Self::from)
    }

    /// Turns to TLS as its client, after the 234 reply (RFC 4217 §4.1).
    ///
    /// # Errors
    /// [`TlsError`]; the connection is closed then.
    pub async fn connect_tls(self, tls: &ClientControlTls) -> Result<Self, TlsError> {
        tls.connect_control(self.into_stream()?).await.map(Self::from)
    }

    /// Turns back to plain text, after the 200 reply to CCC (RFC 4217 §6). Works the same on both sides: sends
    /// close_notify, waits for the peer's, and keeps the TCP connection with every octet behind it. A peer that
    /// goes on in clear without one is heard, too. The caller sets the deadline.
    ///
    /// # Errors
    /// `InvalidData` if the peer went on talking under TLS; `UnexpectedEof` if it left.
    pub async fn clear_tls(self) -> io::Result<Self> {
        let State::Tls(mut tls) = self.0 else { return Ok(self) };
        tls.stream.close()?;
        poll_fn(|cx| tls.stream.poll_send(cx)).await?;
        poll_fn(|cx| tls.stream.poll_end(cx)).await?;
        let (io, ahead) = tls.stream.into_plain();
        Ok(Self(State::Plain { io, ahead }))
    }

    /// Waits until [`Self::try_read`] has something, or the end; holds no buffer meanwhile. May be dropped and
    /// called again. A plain connection may wake up for nothing; `try_read` says `WouldBlock` then.
    ///
    /// # Errors
    /// As the socket; `InvalidData` if what came is not TLS.
    pub async fn readable(&mut self) -> io::Result<()> {
        match &mut self.0 {
            State::Plain { ahead, .. } if !ahead.is_empty() => Ok(()),
            State::Plain { io, .. } => io.readable().await,
            State::Tls(tls) => match poll_fn(|cx| tls.stream.poll_readable(cx)).await {
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(()),
                other => other,
            },
        }
    }

    /// Reads what is there now; `Ok(0)` is the end. Under TLS it is the same whether close_notify came or only
    /// FIN: nearly no client says goodbye on the control connection, and a command that was cut short has no
    /// line end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there; else as [`Self::readable`].
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            State::Plain { ahead, .. } if !ahead.is_empty() => Ok(take_ahead(ahead, buf)),
            State::Plain { io, .. } => io.try_read(buf),
            State::Tls(tls) => end_is_end(tls.stream.try_read(buf)),
        }
    }

    /// The socket, if the connection is plain and nothing was read ahead.
    fn into_stream(self) -> io::Result<TcpStream> {
        match self.0 {
            State::Plain { io, ahead } if ahead.is_empty() => Ok(io),
            State::Plain { .. } => Err(io::Error::new(io::ErrorKind::InvalidData, "plain text before TLS")),
            State::Tls(_) => Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS within TLS")),
        }
    }
}

fn take_ahead(ahead: &mut Vec<u8>, buf: &mut [u8]) -> usize {
    let n = ahead.len().min(buf.len());
    for (to, from) in buf.iter_mut().zip(ahead.drain(..n)) {
        *to = from;
    }
    if ahead.is_empty() {
        *ahead = Vec::new();
    }
    n
}

fn end_is_end(result: io::Result<usize>) -> io::Result<usize> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        other => other,
    }
}

impl AsyncRead for Control {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            State::Plain { ahead, .. } if !ahead.is_empty() => {
                let n = take_ahead(ahead, buf.initialize_unfilled());
                buf.advance(n);
                Poll::Ready(Ok(()))
            }
            State::Plain { io, .. } => Pin::new(io).poll_read(cx, buf),
            State::Tls(tls) => {
                let n = end_is_end(ready!(tls.stream.poll_read(cx, buf.initialize_unfilled())))?;
                buf.advance(n);
                Poll::Ready(Ok(()))
            }
        }
    }
}

impl AsyncWrite for Control {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            State::Plain { io, .. } => Pin::new(io).poll_write(cx, buf),
            State::Tls(tls) => tls.stream.poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            State::Plain { io, .. } => Pin::new(io).poll_flush(cx),
            State::Tls(tls) => tls.stream.poll_send(cx),
        }
    }

    /// Says goodbye (close_notify under TLS) and sends FIN.
    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            State::Plain { io, .. } => Pin::new(io).poll_shutdown(cx),
            State::Tls(tls) => {
                tls.stream.close()?;
                ready!(tls.stream.poll_send(cx))?;
                Pin::new(&mut tls.stream.io).poll_shutdown(cx)
            }
        }
    }
}
