//! A control connection: plain, or under TLS.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::{ControlTls, TlsControl, TlsError, TlsInfo};

/// A control connection: plain, or under TLS. Reads and writes by the traits of tokio.
#[derive(Debug)]
pub struct Control(State);

#[derive(Debug)]
enum State {
    Plain(TcpStream),
    Tls(Box<TlsControl>),
}

impl From<TcpStream> for Control {
    fn from(stream: TcpStream) -> Self {
        Self(State::Plain(stream))
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
            State::Plain(_) => None,
            State::Tls(tls) => Some(&tls.info),
        }
    }

    /// Turns to TLS as its server (RFC 4217 §4).
    ///
    /// # Errors
    /// [`TlsError`]; the connection is closed then.
    pub async fn start_tls(self, tls: &ControlTls) -> Result<Self, TlsError> {
        match self.0 {
            State::Plain(stream) => tls.accept(stream).await.map(Self::from),
            State::Tls(_) => Err(io::Error::from(io::ErrorKind::InvalidInput).into()),
        }
    }

    /// Turns back to plain text (CCC, RFC 4217 §6).
    ///
    /// # Errors
    /// As the socket.
    pub async fn clear_tls(self) -> io::Result<Self> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits until [`Self::try_read`] may have something; holds no buffer meanwhile.
    ///
    /// # Errors
    /// As the socket.
    pub async fn readable(&mut self) -> io::Result<()> {
        self.stream().readable().await
    }

    /// Reads what is there now; `Ok(0)` is the end.
    ///
    /// # Errors
    /// `WouldBlock` if nothing is there.
    pub fn try_read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.stream().try_read(buf)
    }

    fn stream(&self) -> &TcpStream {
        match &self.0 {
            State::Plain(stream) => stream,
            State::Tls(tls) => &tls.stream,
        }
    }
}

impl AsyncRead for Control {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            State::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            State::Tls(tls) => Pin::new(&mut tls.stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Control {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match &mut self.get_mut().0 {
            State::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            State::Tls(tls) => Pin::new(&mut tls.stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.get_mut().0 {
            State::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            State::Tls(tls) => Pin::new(&mut tls.stream).poll_shutdown(cx),
        }
    }
}
