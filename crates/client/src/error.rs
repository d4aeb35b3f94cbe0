//! What went wrong: in which phase, on which channel, by whose doing, and what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use portway_data::{Failure, LinkError};
use portway_net::{ProxyError, TlsError};
use portway_proto::client::{LoginError, Temper, temper};
use portway_proto::{EmitError, RawReply, ReplyError, printable};
use serde::Serialize;

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

/// What the attempts to open a data connection showed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Each attempt in order.
    pub attempts: Vec<Attempt>,
}

/// One attempt to open a data connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Attempt {
    /// `EPSV`, `PASV`, `EPRT` or `PORT`.
    pub by: &'static str,
    /// Where the connection was to go.
    pub to: Option<SocketAddr>,
    /// What came of it.
    pub outcome: Outcome,
    /// In words.
    pub detail: String,
}

/// What came of an attempt to open a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The command was refused.
    CommandRefused,
    /// No answer to our SYN, or no SYN from the server.
    Silent,
    /// A reset.
    Reset,
    /// ICMP said no.
    Unreachable,
    /// The server says it could not connect (425).
    ServerCouldNot,
    /// The proxy does not do it.
    Proxy,
    /// Something of this machine.
    Local,
}

impl Verdict {
    /// Who is to blame, and what to do, from the pattern of the attempts.
    #[must_use]
    pub fn judge(&self) -> (Blame, String) {
        let passive = |a: &&Attempt| matches!(a.by, "EPSV" | "PASV");
        let count = |outcome: Outcome, want_passive: bool| {
            self.attempts.iter().filter(|a| passive(a) == want_passive && a.outcome == outcome).count()
        };
        let tried_active = self.attempts.iter().any(|a| !passive(&a) && a.outcome != Outcome::CommandRefused);
        let mut ports: Vec<String> = self
            .attempts
            .iter()
            .filter(|a| passive(a) && a.outcome != Outcome::CommandRefused)
            .filter_map(|a| a.to.map(|to| to.port().to_string()))
            .collect();
        ports.dedup();
        let ports = ports.join(", ");
        let refused = |want_passive: bool| count(Outcome::CommandRefused, want_passive) > 0;
        let and_active = if tried_active {
            "; active mode failed as well: a firewall or NAT on this side lets no connection from the server in"
        } else if refused(false) {
            "; the server refuses active mode"
        } else {
            "; until then --mode active or --mode auto may work"
        };
        if self.attempts.iter().any(|a| a.outcome == Outcome::Proxy) {
            let text = "the proxy leads to the control port and not to the data port: its rules must allow the \
                        server's passive ports; a proxy for the web alone is of no use for FTP";
            return (Blame::OurNetwork, text.to_owned());
        }
        if count(Outcome::Silent, true) > 0 {
            let text = format!(
                "a firewall at the server drops its passive ports ({ports} seen): its administrator must open the passive range{and_active}"
            );
            return (Blame::TheirNetwork, text);
        }
        if count(Outcome::Unreachable, true) > 0 {
            let text = format!(
                "a firewall rejects connections to the passive ports ({ports} seen); it is on the way to the server{and_active}"
            );
            return (Blame::Network, text);
        }
        if count(Outcome::Reset, true) > 0 {
            let text = format!(
                "the passive ports ({ports} seen) are rejected: the server's firewall or NAT does not forward its passive range{and_active}"
            );
            return (Blame::TheirNetwork, text);
        }
        if tried_active {
            let text = if refused(true) {
                "the server refuses passive mode, and its own connection does not reach this machine: a firewall or NAT on \
                 this side drops it; let the server in (--active-ports, --active-address), or have its administrator allow \
                 passive mode"
            } else {
                "the server's connection does not reach this machine: a firewall or NAT on this side drops it; \
                 use passive mode, or set --active-ports and --active-address and let that range in"
            };
            return (Blame::OurNetwork, text.to_owned());
        }
        if refused(true) && !refused(false) {
            return (
                Blame::Server,
                "the server refuses passive mode; try --mode active or --mode auto".to_owned(),
            );
        }
        if refused(false) && !refused(true) {
            return (
                Blame::Server,
                "the server refuses active mode; try --mode passive or --mode auto".to_owned(),
            );
        }
        (Blame::Server, "the server refuses every data mode; --mode or --tls may change that".to_owned())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, attempt) in self.attempts.iter().enumerate() {
            let separator = if i == 0 { "" } else { "; " };
            match attempt.to {
                Some(to) => write!(f, "{separator}{} {to}: {}", attempt.by, attempt.detail)?,
                None => write!(f, "{separator}{}: {}", attempt.by, attempt.detail)?,
            }
        }
        Ok(())
    }
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
            Cause::Refused { .. } => "refused",
            Cause::Login(_) => "login",
            Cause::Policy(_) => "policy",
            Cause::Tls(_) => "tls",
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

pub(crate) fn outcome_of(error: &LinkError) -> Outcome {
    match error {
        LinkError::Refused => Outcome::Reset,
        LinkError::Unreachable(_) => Outcome::Unreachable,
        LinkError::Proxy(_) => Outcome::Proxy,
        LinkError::Silent { .. } | LinkError::NobodyCame { .. } => Outcome::Silent,
        _ => Outcome::Local,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(by: &'static str, outcome: Outcome) -> Attempt {
        Attempt { by, to: Some("198.51.100.1:40000".parse().unwrap()), outcome, detail: "x".to_owned() }
    }

    #[test]
    fn the_pattern_of_attempts_names_the_side_to_blame() {
        use Outcome::{CommandRefused, Reset, Silent, Unreachable};
        for (name, attempts, blame, says) in [
            (
                "server firewall drops",
                vec![("EPSV", Silent), ("PASV", Silent)],
                Blame::TheirNetwork,
                "open the passive range",
            ),
            (
                "both blocked",
                vec![("EPSV", Silent), ("PORT", Silent)],
                Blame::TheirNetwork,
                "active mode failed as well",
            ),
            ("rejected", vec![("EPSV", Reset), ("EPSV", Reset)], Blame::TheirNetwork, "does not forward"),
            ("ICMP", vec![("EPSV", Unreachable)], Blame::Network, "rejects"),
            ("active alone", vec![("PORT", Silent)], Blame::OurNetwork, "use passive mode"),
            (
                "passive refused, active blocked",
                vec![("EPSV", CommandRefused), ("PORT", Silent)],
                Blame::OurNetwork,
                "this side",
            ),
            (
                "passive refused and forced",
                vec![("EPSV", CommandRefused)],
                Blame::Server,
                "try --mode active",
            ),
            (
                "active refused and forced",
                vec![("PORT", CommandRefused)],
                Blame::Server,
                "try --mode passive",
            ),
            (
                "passive silent, active refused",
                vec![("EPSV", Silent), ("PORT", CommandRefused)],
                Blame::TheirNetwork,
                "the server refuses active mode",
            ),
            (
                "all refused",
                vec![("EPSV", CommandRefused), ("PORT", CommandRefused)],
                Blame::Server,
                "refuses every",
            ),
        ] {
            let attempts = attempts.into_iter().map(|(by, outcome)| attempt(by, outcome)).collect();
            let error = Error::new(Phase::DataConnect, Cause::NoData(Verdict { attempts }));
            assert_eq!(error.blame, blame, "{name}");
            assert!(error.remedy().unwrap().contains(says), "{name}: {}", error.remedy().unwrap());
        }
    }
}
