//! One data connection, ready to move octets.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use portway_net::{DataTls, TlsInfo};
use tokio::net::TcpStream;

use crate::hole::OpenHole;
use crate::pump::Ahead;
use crate::{Failure, sys};

/// One data connection that belongs to the session it was made for.
///
/// [`Self::finish`] ends it so that everything sent arrives. Dropping it in the middle of a transfer (ABOR, an
/// error) resets it, so that the other side sees the end at once.
#[derive(Debug)]
pub struct DataConn {
    socket: Socket,
    facts: Facts,
    /// Octets that came behind the end of a file in block mode: the beginning of the next.
    pub(crate) ahead: Ahead,
    _hole: Option<OpenHole>,
}

/// How a data connection came about; for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Facts {
    /// The other end.
    pub peer: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// Who opened it.
    pub mode: ChannelMode,
    /// What shows that it is the session's own.
    pub proven: Proven,
    /// Connections of others that were closed meanwhile. On a shared port: all strangers, whoever's offer
    /// they were after.
    pub strangers: u32,
    /// From the request for the transfer until it was ready; zero if it was ready before.
    pub waited: Duration,
}

/// Who opens the data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelMode {
    /// The client (PASV, EPSV).
    Passive,
    /// The server (PORT, EPRT).
    Active,
}

/// What shows that a data connection belongs to its session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proven {
    /// It resumed the TLS session of the control connection.
    Resumed,
    /// It resumed the TLS session of another control connection of the same user at the same address.
    Sibling,
    /// Only the address; the client has not resumed and policy does not ask for it.
    Address,
    /// Only the address; the client has resumed before and has no ticket left.
    TicketsExhausted,
}

impl Proven {
    /// Whether it resumed a TLS session, for logs.
    #[must_use]
    pub const fn by_resumption(self) -> bool {
        matches!(self, Self::Resumed | Self::Sibling)
    }
}

#[derive(Debug)]
pub(crate) enum Stream {
    Plain(TcpStream),
    Tls(Box<DataTls>),
}

/// Which way the octets go; decides how the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Unused,
    Sending,
    Receiving,
    /// Everything has been received and the peer has said that it is the end.
    Received,
}

/// The stream, and how to let go of it.
#[derive(Debug)]
struct Socket {
    stream: Option<Stream>,
    way: Way,
}

impl DataConn {
    pub(crate) fn new(stream: Stream, facts: Facts, hole: Option<OpenHole>) -> Self {
        Self {
            socket: Socket { stream: Some(stream), way: Way::Unused },
            facts,
            ahead: Ahead::default(),
            _hole: hole,
        }
    }

    /// How it came about.
    #[must_use]
    pub fn facts(&self) -> &Facts {
        &self.facts
    }

    /// What the TLS handshake agreed on; `None` for a plain connection.
    #[must_use]
    pub fn tls(&self) -> Option<&TlsInfo> {
        match &self.socket.stream {
            Some(Stream::Tls(tls)) => Some(tls.info()),
            _ => None,
        }
    }

    /// From now on dropping it is a reset, also before the first octet: the other side must not take the end of
    /// a connection that carried nothing for an empty file.
    pub fn hold(&mut self) {
        if self.socket.way == Way::Unused {
            self.socket.way = Way::Sending;
        }
    }

    /// The stream, for a transfer in direction `way`.
    pub(crate) fn begin(&mut self, way: Way) -> Result<&mut Stream, Failure> {
        self.socket.way = way;
        self.socket.stream.as_mut().ok_or(Failure::PeerClosedEarly)
    }

    pub(crate) fn received_all(&mut self) {
        self.socket.way = Way::Received;
    }

    /// Keeps the connection for the next transfer in block mode; the one before must be complete. From here on
    /// dropping it closes it without a reset, so that what was sent still arrives.
    #[must_use]
    pub fn rest(mut self) -> Self {
        self.socket.way = Way::Unused;
        self
    }

    /// Ends the connection so that everything sent arrives, and returns when the reply 226 may leave. Waits
    /// for no acknowledgement: what the peer still owes (its close_notify) is awaited in the background.
    ///
    /// # Errors
    /// [`Failure`] if the connection broke before our end mark was sent. After an upload none: the octets are
    /// here, whatever becomes of the connection.
    pub async fn finish(mut self) -> Result<(), Failure> {
        match (self.socket.stream.take(), self.socket.way) {
            (None, _) => Ok(()),
            (Some(Stream::Plain(stream)), way) => {
                if way != Way::Received {
                    sys::discard_input(stream.as_fd());
                }
                Ok(())
            }
            (Some(Stream::Tls(mut tls)), Way::Receiving | Way::Received) => {
                let _ = tls.finish_receiving().await;
                Ok(())
            }
            (Some(Stream::Tls(mut tls)), Way::Unused | Way::Sending) => {
                tls.send_end().await.map_err(Failure::of_socket)?;
                tokio::spawn(async move { tls.await_end().await });
                Ok(())
            }
        }
    }
}

impl Stream {
    pub(crate) fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => tls.stream(),
        }
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.tcp().as_fd()
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        if let Some(stream) = &self.stream
            && self.way != Way::Unused
        {
            sys::reset_on_close(stream);
        }
    }
}
