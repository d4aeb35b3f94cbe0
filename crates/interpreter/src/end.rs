//! Why a session ended.

use portway_net::Left;

/// Why a session ended; the word goes to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End(pub(crate) &'static str);

impl End {
    /// The client said so.
    pub const QUIT: Self = Self("quit");
    /// No command, or no login, for too long.
    pub const IDLE: Self = Self("idle");
    /// The client closed the control connection.
    pub const PEER_CLOSED: Self = Self("peer_closed");
    /// The control connection broke, or replies were not read.
    pub const RESET: Self = Self("reset");
    /// This program ends.
    pub const SHUTDOWN: Self = Self("shutdown");
    /// A line came to no end.
    pub const FLOOD: Self = Self("line_too_long");
    /// The dialogue sent the client away.
    pub const REFUSED: Self = Self("refused");
    /// TLS did not come about, or did not end as agreed.
    pub const TLS: Self = Self("tls_failed");
    /// The server behind a proxy is gone.
    pub const SERVER_LOST: Self = Self("server_lost");
}

impl From<Left> for End {
    fn from(left: Left) -> Self {
        match left {
            Left::Closed => Self::PEER_CLOSED,
            Left::Reset => Self::RESET,
        }
    }
}
