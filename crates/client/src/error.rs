//! What went wrong: in which phase, on which channel, by whose doing, and what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_data::Failure;
use portway_net::{ProxyError, TlsError};
use portway_proto::client::{LoginError, Temper, temper};
use portway_proto::{EmitError, RawReply, ReplyError, printable};
use serde::Serialize;

use crate::{ChangedCertificate, Verdict};

/// The step of a session in which something failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Phase {
    /// Looking the host name up.
    Resolve,
    /// TCP to the control port.
    Connect,
    /// Waiting for 220.
    Greeting,
    /// AUTH and the handshake on the control channel.
    Tls,
    /// USER, PASS, ACCT.
    Login,
    /// A command that moves no data.
    Command,
    /// Getting a data connection.
    DataConnect,
    /// The handshake on the data channel.
    DataTls,
    /// Octets on the data channel.
    Transfer,
    /// Waiting for 226.
    FinalReply,
    /// Reading or writing here.
    Local,
}

impl Phase {
    /// The channel the phase belongs to.
    #[must_use]
    pub const fn channel(self) -> &'static str {
        match self {
            Self::DataConnect | Self::DataTls | Self::Transfer => "data",
            Self::Local => "local",
            _ => "control",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Resolve => "looking up the host name",
            Self::Connect => "connecting to the control port",
            Self::Greeting => "waiting for the greeting",
            Self::Tls => "starting TLS on the control channel",
            Self::Login => "logging in",
            Self::Command => "on the control channel",
            Self::DataConnect => "opening the data channel",
            Self::DataTls => "starting TLS on the data channel",
            Self::Transfer => "on the data channel",
            Self::FinalReply => "waiting for the end of the transfer on the control channel",
            Self::Local => "on this machine",
        })
    }
}

/// Whose doing it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// What was asked for cannot be done: a wrong name, password or option.
    User,
    /// This machine: its disk, its sockets.
    Here,
    /// The network or a firewall on our side.
    OurNetwork,
    /// The network or a firewall on the server's side.
    TheirNetwork,
    /// The network somewhere.
    Network,
    /// The server.
    Server,
}

/// A failure. Displays as a sentence; [`Self::remedy`] says what to do.
#[derive(Debug)]
pub struct Error {
    /// When.
    pub phase: Phase,
    /// Whose doing.
    pub blame: Blame,
    /// What.
    pub cause: Cause,
    pub(crate) remedy: Option<String>,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Cause {
    /// A name that no command can carry.
    #[error("{0}")]
    Name(#[from] EmitError),
    /// The server refused.
    #[error("the server answered {} to {command}", shown(reply))]
    Refused {
        /// The command, without its secrets.
        command: String,
        /// The reply.
        reply: RawReply,
    },
    /// The login failed.
    #[error("{0}")]
    Login(#[from] LoginError),
    /// The server has no TLS and we insist, or the other way round.
    #[error("{0}")]
    Policy(&'static str),
    /// TLS was not agreed on.
    #[error("{0}")]
    Tls(#[from] TlsError),
    /// Another certificate than the one that was taken at first sight.
    #[error("{0}")]
    Changed(#[from] ChangedCertificate),
    /// No address for that name.
    #[error("{host} has no address ({source})")]
    Unknown {
        /// The name.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// No TCP connection to any address.
    #[error("no connection to {to} ({source})")]
    NoConnection {
        /// The last address tried.
        to: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The proxy does not lead there.
    #[error("{0}")]
    Proxy(#[from] ProxyError),
    /// Nothing came for too long.
    #[error("no answer for {:.1} s", .0.as_secs_f64())]
    Silence(Duration),
    /// The server closed the control connection.
    #[error("the server closed the control connection{}", closing(.0))]
    Closed(Option<RawReply>),
    /// What came is no FTP, or too much of it.
    #[error("{}", not_ftp(.0))]
    NotFtp(#[from] ReplyError),
    /// Reply and command do not belong together.
    #[error("the server answered {} to {command}: the dialogue is out of step", shown(reply))]
    OutOfStep {
        /// The command.
        command: String,
        /// The reply.
        reply: RawReply,
    },
    /// Every way to a data connection failed.
    #[error("no data connection: {0}")]
    NoData(Verdict),
    /// The data connection broke.
    #[error("{0}")]
    Data(#[from] Failure),
    /// The control connection broke.
    #[error("the control connection broke ({0})")]
    Control(#[source] io::Error),
    /// The sizes do not agree.
    #[error("{reached} of {} octets arrived", expected.map_or("an unknown number of".to_owned(), |n| n.to_string()))]
    Cut {
        /// How many there should be, if known.
        expected: Option<u64>,
        /// How many there are.
        reached: u64,
    },
    /// The digests do not agree.
    #[error("the {algorithm} of the file differs: {ours} here, {theirs} at the server")]
    Digest {
        /// Its name.
        algorithm: &'static str,
        /// Ours.
        ours: String,
        /// The server's.
        theirs: String,
    },
    /// A server's name for a file that would lead out of the target folder, or that cannot be sent back.
    #[error("the name {0:?} from the server is not safe to use here")]
    UnsafeName(String),
    /// Reading or writing here.
    #[error("{what}: {why}")]
    Local {
        /// Which file.
        what: String,
        /// What the system said.
        why: String,
    },
    /// A listing that is too large, or cannot be read.
    #[error("{0}")]
    Listing(String),
}

impl Error {
    /// A failure with the blame that usually fits.
    #[must_use]
    pub fn new(phase: Phase, cause: impl Into<Cause>) -> Self {
        let cause = cause.into();
        let (blame, remedy) = usual(phase, &cause);
        Self { phase, blame, cause, remedy }
    }

    pub(crate) fn local(what: impl fmt::Display, why: impl fmt::Display) -> Self {
        Self::new(Phase::Local, Cause::Local { what: what.to_string(), why: why.to_string() })
    }

    /// What to do about it, if that is known.
    #[must_use]
    pub fn remedy(&self) -> Option<&str> {
        self.remedy.as_deref()
    }

    /// Whether the same may work later or on another connection.
    #[must_use]
    pub fn temper(&self) -> Temper {
        match &self.cause {
            Cause::Refused { reply, .. } => temper(reply),
            Cause::Login(LoginError::Busy { .. }) => Temper::FewerConnections,
            Cause::Closed(Some(reply)) => temper(reply),
            Cause::Closed(None)
            | Cause::Control(_)
            | Cause::Silence(_)
            | Cause::OutOfStep { .. }
            | Cause::Cut { .. } => Temper::Later,
            Cause::NoConnection { .. } => Temper::Later,
            Cause::Proxy(ProxyError::NoConnection(_) | ProxyError::Broke(_) | ProxyError::Closed) => {
                Temper::Later
            }
            Cause::Data(failure) => match failure {
                Failure::Local(_) | Failure::Shrunk { .. } => Temper::Never,
                _ => Temper::DataChannel,
            },
            _ => Temper::Never,
        }
    }

    /// Whether the control connection is of no more use.
    #[must_use]
    pub fn ends_session(&self) -> bool {
        matches!(
            self.cause,
            Cause::Closed(_)
                | Cause::Control(_)
                | Cause::Silence(_)
                | Cause::OutOfStep { .. }
                | Cause::NotFtp(_)
                | Cause::Tls(_)
                | Cause::Login(_)
        ) || matches!(&self.cause, Cause::Refused { reply, .. } if reply.code == 421)
    }

    /// One word for scripts; never changes.
    #[must_use]
    pub fn class(&self) -> &'static str {
        match &self.cause {
            Cause::Name(_) => "name",
            // AUTH or PROT refused where TLS is demanded, or text in the clear behind AUTH.
            Cause::Refused { reply, .. } if self.phase == Phase::Tls && reply.code != 421 => "tls",
            Cause::Refused { .. } => "refused",
            Cause::Login(_) => "login",
            Cause::Policy(_) if self.phase == Phase::Tls => "tls",
            Cause::Policy(_) => "policy",
            Cause::Tls(_) | Cause::Changed(_) => "tls",
            Cause::Unknown { .. } => "unknown-host",
            Cause::NoConnection { .. } => "no-connection",
            Cause::Proxy(_) => "proxy",
            Cause::Silence(_) => "timeout",
            Cause::Closed(_) | Cause::Control(_) => "closed",
            Cause::NotFtp(_) => "not-ftp",
            Cause::OutOfStep { .. } => "out-of-step",
            Cause::NoData(_) => "no-data-connection",
            // A full disk, say: the channel has done nothing wrong.
            Cause::Data(Failure::Local(_) | Failure::NoSocket(_)) => "local",
            Cause::Data(_) => "data-connection",
            Cause::Cut { .. } => "incomplete",
            Cause::Digest { .. } => "digest",
            Cause::UnsafeName(_) => "unsafe-name",
            Cause::Local { .. } => "local",
            Cause::Listing(_) => "listing",
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::Local => write!(f, "{}", self.cause),
            phase => write!(f, "{phase}: {}", self.cause),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&self.cause)
    }
}

/// TLS 1.3 servers say so only after the handshake.
const WANTS_OURS: &str =
    "the server may want a certificate of ours, or another one than it got: --cert FILE --key FILE";

fn usual(phase: Phase, cause: &Cause) -> (Blame, Option<String>) {
    let (blame, remedy) = match cause {
        Cause::NoData(verdict) => {
            let (blame, remedy) = verdict.judge();
            return (blame, Some(remedy));
        }
        Cause::Name(_) | Cause::Policy(_) | Cause::UnsafeName(_) => (Blame::User, None),
        Cause::Login(LoginError::NeedsTls { .. }) => (Blame::User, Some("use --tls required or --tls auto")),
        Cause::Login(LoginError::Busy { .. }) => {
            (Blame::Server, Some("try again later, or with fewer --jobs"))
        }
        Cause::Login(LoginError::Proxy { .. }) => (
            Blame::Network,
            Some(
                "nothing here changes that: it is between the proxy and the server, and its administrator can mend it",
            ),
        ),
        Cause::Login(_) => (Blame::User, Some("check user name and password")),
        Cause::Unknown { .. } => (Blame::User, Some("check the host name and the resolver")),
        Cause::NoConnection { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => (
                Blame::Server,
                Some("nothing listens on that port, or a firewall rejects it; check the port"),
            ),
            _ => (Blame::Network, Some("the host is down, or a firewall drops the control port")),
        },
        Cause::Proxy(ProxyError::Unreachable { .. } | ProxyError::Refused { .. }) => {
            (Blame::Network, Some("check host name and port as the proxy sees them"))
        }
        Cause::Proxy(_) => {
            (Blame::OurNetwork, Some("check --proxy, ftp_proxy and all_proxy; --proxy '' goes without one"))
        }
        Cause::Silence(_) if phase == Phase::Greeting => {
            (Blame::Server, Some("the port is open but says nothing; it may want TLS at once: try ftps://"))
        }
        Cause::Silence(_) => {
            (Blame::Network, Some("a firewall or NAT may have dropped the idle control connection"))
        }
        Cause::Tls(TlsError::Alert { .. }) => (Blame::Server, Some(WANTS_OURS)),
        Cause::Control(error) if error.to_string().contains("fatal alert") => {
            (Blame::Server, Some(WANTS_OURS))
        }
        Cause::Tls(TlsError::NotTls { .. }) => (Blame::Server, None),
        Cause::Tls(_) => {
            (Blame::Server, Some("give the authority with --ca FILE, or --insecure to trust anybody"))
        }
        Cause::NotFtp(error) if error.speaks().is_some() => {
            (Blame::User, Some("another protocol answers on that port"))
        }
        Cause::Refused { reply, .. } if temper(reply) == Temper::SessionReuse => (
            Blame::Server,
            Some("the server wants the data channel to resume the control channel's TLS session"),
        ),
        Cause::Local { .. } | Cause::Data(Failure::Local(_) | Failure::NoSocket(_)) => (Blame::Here, None),
        Cause::Data(_) | Cause::Control(_) => (Blame::Network, None),
        _ => (Blame::Server, None),
    };
    (blame, remedy.map(str::to_owned))
}

/// A reply as a person reads it: code and words.
#[must_use]
pub fn shown(reply: &RawReply) -> String {
    let lines: Vec<String> = reply.lines.iter().map(|line| printable(line.trim_ascii())).collect();
    format!("\"{} {}\"", reply.code, lines.join(" / ").trim())
}

fn closing(reply: &Option<RawReply>) -> String {
    reply.as_ref().map_or(String::new(), |reply| format!(": {}", shown(reply)))
}

fn not_ftp(error: &ReplyError) -> String {
    match error.speaks() {
        Some(what) => format!("this is {what}, not FTP"),
        None => error.to_string(),
    }
}
