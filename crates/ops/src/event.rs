//! What happened, as values: one struct per kind of event, one log line per value.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::Shown;

mod upstream;

pub use upstream::{Relayed, UpstreamFailed, UpstreamOpened};

/// Something worth a line in the log. No variant can hold a password.
///
/// Field names are the keys of both log formats; scripts rely on them. Words (`&'static str` fields) are lower
/// case with underscores and stable too; texts are for people and may change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// The program began.
    Start(Start),
    /// A port is open for control connections.
    Listening(Listening),
    /// A control connection was accepted.
    SessionOpened(SessionOpened),
    /// A control connection ended.
    SessionClosed(SessionClosed),
    /// A login was tried.
    Login(Login),
    /// A file or a listing was moved, or began to be.
    Transfer(Transfer),
    /// A data connection did not come about, or not as it must.
    DataFailed(DataFailed),
    /// A connection or command was turned away by a rule or a limit.
    Refused(Refused),
    /// A hole in a firewall, over its whole life.
    Hole(Box<Hole>),
    /// A TLS handshake or TLS connection went wrong.
    TlsFailed(TlsFailed),
    /// A proxy has a session with a server on a client's behalf.
    UpstreamOpened(UpstreamOpened),
    /// A proxy has none, or lost it.
    UpstreamFailed(UpstreamFailed),
    /// The server's side of a transfer through a proxy.
    Relayed(Relayed),
    /// Something that an operator should look at.
    Warning(Warning),
    /// Something good to know.
    Notice(Notice),
}

/// How much a line matters when there is no room for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Ordinary business.
    Info,
    /// Something failed or needs a look.
    Warning,
}

/// See [`Event::Start`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Start {
    /// The program's version.
    pub version: &'static str,
    /// The folder that is served.
    pub root: Shown,
}

/// See [`Event::Listening`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Listening {
    /// What is spoken there: `ftp`, `ftps` (implicit TLS), `admin`.
    pub what: &'static str,
    /// The bound address.
    pub address: SocketAddr,
}

/// See [`Event::SessionOpened`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionOpened {
    /// The session's number, unique while the program runs.
    pub session: u64,
    /// Who connected.
    pub peer: IpAddr,
    /// From which of his ports.
    pub port: u16,
    /// To which of our addresses.
    pub local: SocketAddr,
    /// Whether TLS comes first (implicit FTPS).
    pub implicit_tls: bool,
}

/// See [`Event::SessionClosed`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SessionClosed {
    /// The session's number.
    pub session: u64,
    /// Who was connected.
    pub peer: IpAddr,
    /// Who was logged in, if anybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Shown>,
    /// Why it ended, as a word: `quit`, `idle`, `peer_closed`, `reset`, `shutdown`, `line_too_long`, …
    pub reason: &'static str,
    /// How long it lasted.
    pub seconds: Seconds,
    /// File and listing octets received.
    pub bytes_in: u64,
    /// File and listing octets sent.
    pub bytes_out: u64,
}

/// See [`Event::Login`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Login {
    /// The session's number.
    pub session: u64,
    /// Who tries.
    pub peer: IpAddr,
    /// The name given.
    pub user: Shown,
    /// Whether he is in.
    pub result: LoginResult,
    /// The TLS version of the control channel, `1.2` or `1.3`; `None` in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<&'static str>,
    /// Why not, as a word: `wrong_credentials`, `throttled`, `tls_required`, `too_many_tries`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
}

/// How a login ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LoginResult {
    /// Logged in.
    Ok,
    /// Not logged in.
    Failed,
}

/// See [`Event::Transfer`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Transfer {
    /// The session's number.
    pub session: u64,
    /// Who asked.
    pub peer: IpAddr,
    /// The account.
    pub user: Shown,
    /// Whether that account is anonymous.
    pub anonymous: bool,
    /// The command: `RETR`, `STOR`, `MLSD`, …
    pub verb: &'static str,
    /// The file or folder, as the user sees it.
    pub path: Shown,
    /// Which way the octets went.
    pub direction: Direction,
    /// Octets on the wire, without TLS's own.
    pub bytes: u64,
    /// From the command to the final reply.
    pub seconds: Seconds,
    /// How the data connection came about: `PASV`, `EPSV`, `PORT`, `EPRT`.
    pub mode: &'static str,
    /// The announced data port.
    pub port: u16,
    /// Whether the data connection was encrypted.
    pub tls: bool,
    /// Under TLS, whether it resumed the control channel's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// Whether line ends were converted (`TYPE A`).
    pub ascii: bool,
    /// Whether it was compressed (`MODE Z`).
    pub compressed: bool,
    /// Where it was to begin (`REST`), 0 for the whole file.
    pub restart_offset: u64,
    /// How it ended.
    pub result: TransferResult,
    /// The final reply's code.
    pub code: u16,
    /// Why it did not complete, as a word: `reset`, `stalled`, `disk_full`, `no_close_notify`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<&'static str>,
}

/// Which way octets go, seen from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// A file to us.
    In,
    /// A file from us.
    Out,
    /// A listing from us.
    List,
}

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TransferResult {
    /// Everything arrived and is stored.
    Complete,
    /// Something broke.
    Failed,
    /// The client said `ABOR` or went away.
    Aborted,
}

/// See [`Event::DataFailed`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DataFailed {
    /// The session's number.
    pub session: u64,
    /// Who is at the control connection.
    pub peer: IpAddr,
    /// How it should have come about: `PASV`, `EPSV`, `PORT`, `EPRT`.
    pub mode: &'static str,
    /// The address that was announced to the other side or by it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<SocketAddr>,
    /// Why, as a word: `nobody_came`, `stranger`, `reset`, `handshake`, `not_resumed`, `unreachable`, …
    pub cause: &'static str,
    /// For a person: what happened and which setting cures it.
    pub detail: Shown,
}

/// See [`Event::Refused`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Refused {
    /// The session's number, if it got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub session: Option<u64>,
    /// Who was refused.
    pub peer: IpAddr,
    /// What he wanted, as a word: `session`, `login`, `port`, …
    pub what: &'static str,
    /// Why not, as a word: `too_many_sessions`, `foreign_address`, `privileged_port`, …
    pub why: &'static str,
}

/// See [`Event::Hole`]: one line for each hole, when it is over.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Hole {
    /// Its number, unique while the program runs; 0 if it was never opened.
    pub id: u64,
    /// The session that it was for.
    pub session: u64,
    /// Who announced it: `relay`, `inspect`, or the name in an agent's certificate.
    pub by: Shown,
    /// Whose session it is, if that could be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<Shown>,
    /// Who was let through.
    pub from: IpAddr,
    /// The port he came from, if he came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from_port: Option<u16>,
    /// Where to.
    pub to: SocketAddr,
    /// What was announced in place of `to`, where addresses are translated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub announced: Option<SocketAddr>,
    /// How long it was to wait for its connection.
    pub within: Seconds,
    /// How it ended: `used`, `expired`, `closed` (unused, by whoever asked for it) or `refused`.
    pub result: &'static str,
    /// From its opening to the end of its connection; without one, to its own end.
    pub seconds: Seconds,
    /// Octets to `to`, headers of IP and TCP included, if the kernel counts them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_there: Option<u64>,
    /// Octets back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_back: Option<u64>,
    /// Why it was refused, for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<Shown>,
}

/// See [`Event::TlsFailed`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TlsFailed {
    /// The session's number.
    pub session: u64,
    /// Who was at the other end.
    pub peer: IpAddr,
    /// `control` or `data`.
    pub channel: &'static str,
    /// What the TLS library says.
    pub detail: Shown,
}

/// See [`Event::Warning`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Warning {
    /// What it is about, as a word: `certificate`, `log_lines_dropped`, `accept`, …
    pub what: &'static str,
    /// For a person: what happened and what to do.
    pub detail: Shown,
}

/// See [`Event::Notice`].
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Notice {
    /// What it is about, as a word: `reloaded`, `draining`, `stopped`, …
    pub what: &'static str,
    /// For a person.
    pub detail: Shown,
}

/// A length of time, written as seconds with up to six decimals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seconds(pub Duration);

impl Seconds {
    /// Seconds as a number, rounded down to whole microseconds.
    pub fn as_f64(self) -> f64 {
        self.0.as_micros() as f64 / 1e6
    }
}

impl From<Duration> for Seconds {
    fn from(duration: Duration) -> Self {
        Self(duration)
    }
}

impl Serialize for Seconds {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_f64(self.as_f64())
    }
}

impl Event {
    /// Warnings are the last to be dropped when the log cannot keep up.
    pub fn severity(&self) -> Severity {
        match self {
            Self::DataFailed(_)
            | Self::Refused(_)
            | Self::TlsFailed(_)
            | Self::UpstreamFailed(_)
            | Self::Warning(_) => Severity::Warning,
            Self::Hole(hole) if hole.result == "refused" => Severity::Warning,
            Self::Login(login) if login.result == LoginResult::Failed => Severity::Warning,
            Self::Transfer(transfer) if transfer.result == TransferResult::Failed => Severity::Warning,
            _ => Severity::Info,
        }
    }
}

macro_rules! events_from {
    ($($name:ident),*) => { $(
        impl From<$name> for Event {
            fn from(event: $name) -> Self {
                Self::$name(event)
            }
        }
    )* };
}
events_from!(
    Start,
    Listening,
    SessionOpened,
    SessionClosed,
    Login,
    Transfer,
    DataFailed,
    Refused,
    TlsFailed,
    UpstreamOpened,
    UpstreamFailed,
    Relayed,
    Warning,
    Notice
);

impl From<Hole> for Event {
    fn from(hole: Hole) -> Self {
        Self::Hole(Box::new(hole))
    }
}
