//! A data connection under TLS: whole files, fast, and no octet lost at the end.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::net::TcpStream;

use super::TlsInfo;
use super::stream::TlsStream;
use super::tickets::ConnectionTickets;

/// How long to wait for the peer's end. IIS never answers close_notify; two seconds is what other clients
/// grant.
const LINGER: Duration = Duration::from_secs(2);

/// A data connection under TLS.
///
/// Under TLS 1.3 the server's tickets are held back: on a download they leave with the first data, on an
/// upload only after the client's close_notify. A client may close without reading, and tickets it has not
/// read would reset the connection and take the tail of its file along.
pub struct DataTls {
    stream: TlsStream,
    info: TlsInfo,
    /// The server's tickets for this connection.
    tickets: Option<Arc<ConnectionTickets>>,
}

impl DataTls {
    pub(crate) fn new(stream: TlsStream, info: TlsInfo, tickets: Option<Arc<ConnectionTickets>>) -> Self {
        Self { stream, info, tickets }
    }

    /// The tickets leave now, with whatever comes next.
    fn let_tickets_go(&mut self, late: bool) {
        if let Some(tickets) = self.tickets.take() {
            tickets.sent(late);
        }
    }

    /// What the handshake agreed on.
    pub fn info(&self) -> &TlsInfo {
        &self.info
    }

    /// The socket beneath; for addresses and socket options only, not for octets.
    pub fn stream(&self) -> &TcpStream {
        &self.stream.io
    }

    /// Reads; `Ok(0)` once the peer's close_notify has come. Takes what one system call brings, up to 256 KiB;
    /// a buffer of that size is best. May be dropped and called again.
    ///
    /// # Errors
    /// `UnexpectedEof` if the connection ended without close_notify: the file is cut short. `InvalidData` if
    /// somebody tampered with it.
    pub async fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        poll_fn(|cx| self.stream.poll_read(cx, buf)).await
    }

    /// Sends all of `buf`, in records of 16 KiB; give it 64 KiB or more where there is that much. Returns when
    /// the socket has taken it. If dropped half-way, an unknown part of `buf` has been sent.
    ///
    /// # Errors
    /// As the socket: mostly `BrokenPipe` or `ConnectionReset`.
    pub async fn write_all(&mut self, buf: &[u8]) -> io::Result<()> {
        self.let_tickets_go(false);
        let mut rest = buf;
        while !rest.is_empty() {
            let n = poll_fn(|cx| self.stream.poll_write(cx, rest)).await?;
            rest = rest.get(n..).unwrap_or_default();
        }
        poll_fn(|cx| self.stream.poll_send(cx)).await
    }

    /// The last of what is sent, and close_notify: in one segment if it is short. [`Self::send_end`] still follows.
    ///
    /// # Errors
    /// As [`Self::write_all`].
    pub async fn write_last(&mut self, buf: &[u8]) -> io::Result<()> {
        self.let_tickets_go(false);
        if self.stream.put(buf)? {
            self.stream.close()?;
            return poll_fn(|cx| self.stream.poll_send(cx)).await;
        }
        self.write_all(buf).await
    }

    /// Ends a transfer we sent: [`Self::send_end`], then [`Self::await_end`].
    ///
    /// # Errors
    /// As [`Self::send_end`].
    pub async fn finish_sending(&mut self) -> io::Result<()> {
        self.send_end().await?;
        self.await_end().await;
        Ok(())
    }

    /// Sends close_notify and FIN. Waits for nothing but room in the socket.
    ///
    /// # Errors
    /// As the socket: part of the file may not have arrived.
    pub async fn send_end(&mut self) -> io::Result<()> {
        self.let_tickets_go(false);
        self.stream.close()?;
        poll_fn(|cx| self.stream.poll_send(cx)).await?;
        poll_fn(|cx| Pin::new(&mut self.stream.io).poll_shutdown(cx)).await
    }

    /// Waits for the peer's end, at most two seconds, and takes in what comes meanwhile: on a client, the
    /// tickets for the next data connections.
    pub async fn await_end(&mut self) {
        let mut ignored = [0; 1024];
        let drain = async { while matches!(self.read(&mut ignored).await, Ok(1..)) {} };
        // Whether the peer ended well, badly or not at all: ours is done.
        let _ = tokio::time::timeout(LINGER, drain).await;
    }

    /// Ends a transfer we received, after `Ok(0)` from [`Self::read`]: sends what was held back, close_notify
    /// and FIN.
    ///
    /// # Errors
    /// None as yet: the file is here whole, and a peer that has gone already misses nothing.
    pub async fn finish_receiving(&mut self) -> io::Result<()> {
        self.let_tickets_go(true);
        // Most of the time the socket takes it at once; a peer that does not read must not hold us up.
        let _ = tokio::time::timeout(LINGER, self.send_end()).await;
        Ok(())
    }
}

impl std::fmt::Debug for DataTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DataTls").field("info", &self.info).finish_non_exhaustive()
    }
}
