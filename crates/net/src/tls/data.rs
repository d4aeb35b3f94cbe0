//! A data connection under TLS.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::net::TcpStream;

use super::{TlsError, TlsInfo};

/// A data connection under TLS.
#[derive(Debug)]
pub struct DataTls {
    stream: TcpStream,
    info: TlsInfo,
}

impl DataTls {
    /// What the handshake agreed on.
    pub fn info(&self) -> &TlsInfo {
        &self.info
    }

    /// The socket beneath; for addresses and socket options only.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    /// Reads; `Ok(0)` once the peer's close_notify has come.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ended without close_notify: the file is cut short.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let _ = buf;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends all of `buf`.
    ///
    /// # Errors
    /// As the socket.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        let _ = buf;
        Err(io::ErrorKind::Unsupported.into())
    }

    /// [`Self::send_end`], then [`Self::await_end`].
    ///
    /// # Errors
    /// As the socket, until our end has been sent.
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Sends close_notify and FIN; waits for nothing but room in the socket.
    ///
    /// # Errors
    /// As the socket.
    pub async fn send_end(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// Waits for the peer's end, at most two seconds.
    pub async fn await_end(&mut self) {}

    /// After `Ok(0)` from [`Self::read`]: sends what was held back, close_notify and FIN.
    ///
    /// # Errors
    /// None; a peer that has gone already is no error.
    pub async fn finish_receiving(&mut self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

/// A handshake on a data connection. Owns all its state: poll it from a select loop by `&mut`.
#[derive(Debug)]
pub struct DataHandshake(pub(crate) Option<TcpStream>);

impl Future for DataHandshake {
    type Output = Result<DataTls, TlsError>;

    fn poll(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<Self::Output> {
        let _ = &self.0;
        Poll::Ready(Err(io::Error::from(io::ErrorKind::Unsupported).into()))
    }
}
