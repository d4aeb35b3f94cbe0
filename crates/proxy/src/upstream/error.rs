//! Why there is no session with a server, or no longer one.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_net::TlsError;
use portway_proto::{RawReply, printable};

use crate::Denied;

/// Why there is no session with a server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoServer {
    #[error("{0}")]
    NotAllowed(#[from] Denied),
    #[error("the name {host} leads nowhere ({source})")]
    UnknownHost { host: String, source: io::Error },
    #[error("{to} cannot be reached ({source})")]
    Unreachable { to: SocketAddr, source: io::Error },
    #[error("the server said: {}", shown(.0))]
    Refused(RawReply),
    #[error(
        "the server has no TLS ({}); the proxy never goes on in the clear by itself, its administrator may choose --upstream-tls off",
        shown(.0)
    )]
    NoTls(RawReply),
    #[error(
        "the server encrypts no data connections ({}); the proxy's administrator may choose --upstream-tls off",
        shown(.0)
    )]
    NoDataTls(RawReply),
    #[error("the proxy's own TLS with the server failed: {0}{cure}", cure = cure(.0))]
    Tls(#[from] TlsError),
    #[error("the server sent text in the clear behind its AUTH reply: somebody may be in between")]
    Injected,
    #[error("{0}")]
    Lost(#[from] Lost),
    #[error("no server is available")]
    NoneLeft,
}

/// How a control connection to a server ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the server closed the connection{}", .0.as_ref().map(|reply| format!(": {}", shown(reply))).unwrap_or_default())]
    Closed(Option<RawReply>),
    #[error("the connection to the server broke ({0})")]
    Broken(#[source] io::Error),
    #[error("the server did not answer within {} s", .0.as_secs())]
    Silent(Duration),
    #[error("the server's reply fits no command of ours: {}", shown(.0))]
    OutOfStep(RawReply),
    #[error("the server's reply is longer than {} KiB", super::dialogue::HELD / 1024)]
    TooLong,
    #[error("the server does not speak FTP ({0})")]
    NotFtp(#[from] portway_proto::ReplyError),
}

impl NoServer {
    /// One word for the log.
    pub(crate) fn cause(&self) -> &'static str {
        match self {
            Self::NotAllowed(_) => "not_allowed",
            Self::UnknownHost { .. } => "unknown_host",
            Self::Unreachable { .. } => "unreachable",
            Self::Refused(_) => "refused",
            Self::NoTls(_) | Self::NoDataTls(_) => "no_tls",
            Self::Tls(_) | Self::Injected => "tls",
            Self::Lost(_) => "lost",
            Self::NoneLeft => "none_left",
        }
    }

    /// Whether another try later may succeed (421), or nothing but a change of settings helps (530).
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Lost(_) | Self::NoneLeft => true,
            Self::Refused(reply) => reply.code < 500,
            _ => false,
        }
    }
}

/// Whose it is to mend: never the client's, whose own TLS ends at the proxy.
fn cure(error: &TlsError) -> &'static str {
    match error {
        TlsError::ServerCertificate(_) => {
            "; your own TLS is not meant: the proxy's administrator names who signs such certificates by --upstream-ca"
        }
        _ => "; your own TLS is not meant",
    }
}

/// A reply as a person reads it, on one line.
pub(crate) fn shown(reply: &RawReply) -> String {
    let lines: Vec<String> = reply.lines.iter().map(|line| printable(line.trim_ascii())).collect();
    format!("{} {}", reply.code, lines.join(" / "))
}
