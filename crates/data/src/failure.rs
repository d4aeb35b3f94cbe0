//! Why a data connection did not come about, or broke.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_net::TlsError;
use portway_proto::{BlockError, Code};
use rustix::io::Errno;

/// Why a data connection did not come about, or broke.
///
/// Displays as the sentence for the reply and the log: what happened on the data channel, and what to do
/// about it where something can be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// Passive mode: the port was announced and no connection arrived.
    #[error(
        "no data connection came to port {port} within {} s; a firewall or NAT in front of the server must let this port in",
        waited.as_secs()
    )]
    NobodyCame {
        /// The port that was announced.
        port: u16,
        /// Since the transfer was asked for.
        waited: Duration,
    },
    /// Passive mode: only connections from other addresses arrived; they were closed.
    #[error(
        "{count} data connections came to port {port}, none from your address; control and data must leave by the same address"
    )]
    OnlyStrangersCame {
        /// The port that was announced.
        port: u16,
        /// Connections that were closed.
        count: u32,
    },
    /// Passive mode on a shared port: connections came that could be one of several sessions'.
    #[error(
        "{count} data connections to port {port} could not be told apart from those of another session of your address; resume the TLS session, or try again"
    )]
    Ambiguous {
        /// The port that was announced.
        port: u16,
        /// Connections that were closed.
        count: u32,
    },
    /// A connection came from the right address and sent no TLS handshake.
    #[error(
        "the data connection to port {port} began no TLS handshake; PROT P asks for TLS on the data channel"
    )]
    NoHandshake {
        /// The port that was announced.
        port: u16,
    },
    /// TLS was not agreed on.
    #[error("no TLS on the data channel: {0}")]
    HandshakeFailed(#[source] TlsError),
    /// The handshake did not resume the control connection's TLS session, so it proves nothing.
    #[error("the data connection did not resume the TLS session of the control connection")]
    NotResumed,
    /// Active mode: the network knows no way to the client's address.
    #[error("{to} cannot be reached for the data connection ({source}); passive mode may work")]
    Unreachable {
        /// What PORT or EPRT announced.
        to: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Active mode: the client's machine answered with a reset.
    #[error(
        "{to} refused the data connection; nothing listens there, or a firewall rejects it; passive mode may work"
    )]
    Refused {
        /// What PORT or EPRT announced.
        to: SocketAddr,
    },
    /// Active mode: no answer.
    #[error(
        "{to} did not answer the data connection within {} s; a firewall at the client drops it; use passive mode",
        after.as_secs()
    )]
    TimedOut {
        /// What PORT or EPRT announced.
        to: SocketAddr,
        /// How long we tried.
        after: Duration,
    },
    /// The peer reset the connection in the middle.
    #[error("the data connection was reset by the other side")]
    Reset,
    /// The peer closed the connection before it had everything.
    #[error("the other side closed the data connection before the end")]
    PeerClosedEarly,
    /// TLS ended without close_notify, or compressed data without its end: the file may be cut short.
    #[error("the data connection ended without its end mark; what arrived may be cut short")]
    Truncated,
    /// Not one octet moved for so long.
    #[error("the data connection stood still for {} s", quiet.as_secs())]
    Stalled {
        /// The limit.
        quiet: Duration,
    },
    /// The connection moves, but below the floor.
    #[error("the data connection moves {rate} octets per second, less than {floor}")]
    TooSlow {
        /// Octets per second, over the last seconds.
        rate: u64,
        /// The least allowed.
        floor: u64,
    },
    /// MODE Z: what came is not zlib data.
    #[error("the compressed data is damaged")]
    Damaged,
    /// MODE B: what came is not blocks.
    #[error("block mode has lost its place: {0}")]
    BadBlock(#[source] BlockError),
    /// Any other error of the network.
    #[error("the data connection broke: {0}")]
    Broken(#[source] io::Error),
    /// The file became shorter while it was sent.
    #[error("the file became shorter by {missing} octets while it was sent")]
    Shrunk {
        /// Octets promised and not there.
        missing: u64,
    },
    /// This machine has no socket, port or memory left for the connection.
    #[error("no data connection could be opened here: {0}")]
    NoSocket(#[source] io::Error),
    /// Reading or writing the file failed.
    #[error("local error: {0}")]
    Local(#[source] io::Error),
}

impl Failure {
    /// One word for logs and metrics; never changes.
    #[must_use]
    pub fn cause(&self) -> &'static str {
        match self {
            Self::NobodyCame { .. } => "nobody_came",
            Self::OnlyStrangersCame { .. } => "stranger",
            Self::Ambiguous { .. } => "ambiguous",
            Self::NoHandshake { .. } => "no_handshake",
            Self::HandshakeFailed(_) => "handshake",
            Self::NotResumed => "not_resumed",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused { .. } => "refused",
            Self::TimedOut { .. } => "timed_out",
            Self::Reset => "reset",
            Self::PeerClosedEarly => "closed_early",
            Self::Truncated => "truncated",
            Self::Stalled { .. } => "stalled",
            Self::TooSlow { .. } => "too_slow",
            Self::Damaged => "damaged",
            Self::BadBlock(_) => "bad_block",
            Self::Broken(_) => "broken",
            Self::Shrunk { .. } => "shrunk",
            Self::NoSocket(_) => "no_socket",
            Self::Local(_) => "local",
        }
    }

    /// The reply code (RFC 959 §4.2): 425 if there never was a connection, 426 if it broke, 451, 452 or 552
    /// if the file system is at fault.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::NobodyCame { .. }
            | Self::OnlyStrangersCame { .. }
            | Self::Ambiguous { .. }
            | Self::NoHandshake { .. }
            | Self::HandshakeFailed(_)
            | Self::NotResumed
            | Self::Unreachable { .. }
            | Self::Refused { .. }
            | Self::TimedOut { .. }
            | Self::NoSocket(_) => Code::CANT_OPEN_DATA,
            Self::Reset
            | Self::PeerClosedEarly
            | Self::Truncated
            | Self::Stalled { .. }
            | Self::TooSlow { .. }
            | Self::Damaged
            | Self::BadBlock(_)
            | Self::Broken(_) => Code::TRANSFER_ABORTED,
            Self::Shrunk { .. } => Code::LOCAL_ERROR,
            Self::Local(error) => match Errno::from_io_error(error) {
                Some(Errno::NOSPC) => Code::INSUFFICIENT_STORAGE,
                Some(Errno::DQUOT | Errno::FBIG) => Code::STORAGE_EXCEEDED,
                _ => Code::LOCAL_ERROR,
            },
        }
    }

    /// An error of the data socket while octets move.
    pub(crate) fn of_socket(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => Self::Reset,
            io::ErrorKind::BrokenPipe | io::ErrorKind::NotConnected => Self::PeerClosedEarly,
            io::ErrorKind::UnexpectedEof => Self::Truncated,
            _ => Self::Broken(error),
        }
    }

    /// An error of a call between the data socket and a file, which does not say whose it is: known errors of
    /// networks are the socket's, all others the file's.
    pub(crate) fn of_either(error: io::Error) -> Self {
        match Errno::from_io_error(&error) {
            Some(
                Errno::PIPE
                | Errno::CONNRESET
                | Errno::CONNABORTED
                | Errno::NOTCONN
                | Errno::TIMEDOUT
                | Errno::HOSTUNREACH
                | Errno::HOSTDOWN
                | Errno::NETUNREACH
                | Errno::NETDOWN
                | Errno::NETRESET,
            ) => Self::of_socket(error),
            _ => Self::Local(error),
        }
    }

    /// An error of `connect(2)` towards `to`.
    pub(crate) fn of_connect(error: io::Error, to: SocketAddr, after: Duration) -> Self {
        match error.kind() {
            io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => Self::Refused { to },
            io::ErrorKind::TimedOut => Self::TimedOut { to, after },
            io::ErrorKind::HostUnreachable
            | io::ErrorKind::NetworkUnreachable
            | io::ErrorKind::NetworkDown
            | io::ErrorKind::PermissionDenied => Self::Unreachable { to, source: error },
            _ => Self::NoSocket(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_and_a_broken_connection_get_the_codes_of_the_rfc() {
        let of = |errno: Errno| Failure::of_either(errno.into());
        for (errno, code, cause) in [
            (Errno::NOSPC, Code::INSUFFICIENT_STORAGE, "local"),
            (Errno::DQUOT, Code::STORAGE_EXCEEDED, "local"),
            (Errno::IO, Code::LOCAL_ERROR, "local"),
            (Errno::CONNRESET, Code::TRANSFER_ABORTED, "reset"),
            (Errno::PIPE, Code::TRANSFER_ABORTED, "closed_early"),
            (Errno::NETDOWN, Code::TRANSFER_ABORTED, "broken"),
        ] {
            assert_eq!((of(errno).code(), of(errno).cause()), (code, cause), "{errno:?}");
        }
    }

    #[test]
    fn the_sentence_names_port_and_cure() {
        let text = Failure::NobodyCame { port: 61234, waited: Duration::from_secs(30) }.to_string();
        assert!(text.contains("61234") && text.contains("30 s") && text.contains("firewall"), "{text}");
    }
}
