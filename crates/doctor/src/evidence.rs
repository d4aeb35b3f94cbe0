//! What was seen.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use crate::trace::Trace;
use crate::{Software, firewall};

/// All that was seen of one server.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The URL without its password.
    pub url: String,
    /// The host as asked for.
    pub host: String,
    /// The control port.
    pub port: u16,
    /// `ftps://`: TLS from the first octet.
    pub implicit_tls: bool,
    /// What the resolver said.
    pub lookup: Lookup,
    /// Every address tried, best first.
    pub roads: Vec<Road>,
    /// What the server calls itself.
    pub software: Software,
    /// TLS on the control channel.
    pub tls: Tls,
    /// What is wrong with the certificate.
    pub certificate: Option<CertificateFault>,
    /// How the login ended.
    pub login: Login,
    /// Every way to a data connection that was tried.
    pub attempts: Vec<Attempt>,
    /// Whether FEAT names EPSV.
    pub names_epsv: bool,
    /// Every passive port that was offered, those of the attempts included, and whether it answered.
    pub offers: Vec<Offered>,
    /// Whether a data connection without TLS resumption was refused, where one with it was served.
    pub resumption_required: Option<bool>,
    /// What became of a large transfer.
    pub bulk: Option<Bulk>,
    /// What a silent control connection was worth.
    pub idle: Option<Idle>,
    /// Our address on the control connection.
    pub local: Option<IpAddr>,
    /// Our address as the server says it sees it.
    pub seen_as: Option<IpAddr>,
    /// Whether active mode worked once we had opened our own firewall by a connection the other way.
    pub punch: Option<bool>,
    /// The server's port 20, and another closed port beside it.
    pub port_20: Option<(Reach, Reach)>,
    /// How far SYNs went to the control port.
    pub control_trace: Option<Trace>,
    /// How far SYNs went to a passive port that could not be reached.
    pub data_trace: Option<Trace>,
    /// What this machine's own rules do.
    pub local_rules: Option<firewall::Findings>,
    /// How far SYNs of a portway server to our announced port went.
    pub far_trace: Option<Trace>,
    /// What a portway server saw, line by line.
    pub far_side: Vec<String>,
    /// Commands that were answered as if something else had been sent, in words.
    pub rewritten: Vec<String>,
    /// Seconds all this took.
    pub seconds: f64,
}

/// What the resolver said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Lookup {
    /// The host was given as an address, or has these.
    #[default]
    Found,
    /// There is no such name, or it has no address.
    NotFound(String),
    /// The resolver did not answer.
    Silent,
}

/// One address of the server.
#[derive(Clone, Debug, PartialEq)]
pub struct Road {
    /// Where.
    pub to: SocketAddr,
    /// What came of the control connection.
    pub reach: Reach,
    /// The round trip in seconds, if it stands.
    pub round_trip: Option<f64>,
    /// What the server said first.
    pub greeting: Greeting,
}

/// What came back to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// A connection.
    Open,
    /// A reset.
    Reset,
    /// Nothing.
    Silent,
    /// ICMP: a firewall rejects.
    Prohibited(Option<IpAddr>),
    /// ICMP: there is no such host or network.
    NoWay(Option<IpAddr>),
}

/// What the server said first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Greeting {
    /// The connection does not stand.
    #[default]
    None,
    /// 220.
    Ready,
    /// 421 or 5yz.
    Busy(String),
    /// Nothing, for seconds.
    Silent,
    /// The connection ended.
    Closed,
    /// Something that is no FTP.
    Foreign(String),
}

/// TLS on the control channel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Tls {
    /// It was not asked for.
    #[default]
    NotTried,
    /// The handshake succeeded.
    Works,
    /// AUTH TLS was refused, and nothing says that it should not have been.
    NotOffered,
    /// AUTH TLS was refused on the way: the reason we know.
    Stripped(String),
    /// The handshake failed, for another reason than the certificate.
    Failed(String),
}

/// Why the certificate is not good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CertificateFault {
    /// Its time is over, or has not come: until (or from) when.
    Expired(String),
    /// Names it is for.
    WrongName(Vec<String>),
    /// What the verifier said.
    Untrusted(String),
}

/// How the login ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Login {
    /// It did not come to that.
    #[default]
    NotTried,
    /// We are in.
    In,
    /// In under TLS; in the clear the server refuses.
    InUnderTlsOnly,
    /// The server refused.
    Refused(String),
    /// The server wants TLS and we have none.
    NeedsTls(String),
    /// The control connection died, or said nothing, in the middle of it.
    Lost(String),
}

/// Who connects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The client does.
    Passive,
    /// The server does.
    Active,
}

/// Who announces, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Command {
    /// RFC 2428 §3.
    Epsv,
    /// RFC 959 §4.1.2.
    Pasv,
    /// RFC 2428 §2.
    Eprt,
    /// RFC 959 §4.1.2.
    Port,
}

impl Command {
    /// Who connects.
    #[must_use]
    pub const fn mode(self) -> Mode {
        match self {
            Self::Epsv | Self::Pasv => Mode::Passive,
            Self::Eprt | Self::Port => Mode::Active,
        }
    }

    /// The verb.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epsv => "EPSV",
            Self::Pasv => "PASV",
            Self::Eprt => "EPRT",
            Self::Port => "PORT",
        }
    }
}

/// Of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl Family {
    /// The family of an address.
    #[must_use]
    pub fn of(ip: IpAddr) -> Self {
        if ip.to_canonical().is_ipv4() { Self::Ipv4 } else { Self::Ipv6 }
    }
}

/// One way to a data connection, tried.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Who announced, and how.
    pub command: Command,
    /// Whether both channels were encrypted.
    pub tls: bool,
    /// IPv4 or IPv6.
    pub family: Family,
    /// What came of it.
    pub outcome: Outcome,
    /// The address in a 227, 229 or PORT, as it was said.
    pub announced: Option<SocketAddr>,
    /// Seconds.
    pub seconds: f64,
    /// In words.
    pub detail: String,
}

/// What came of one way to a data connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A listing came through it.
    Works,
    /// The announcing command was refused.
    CommandRefused {
        /// The code.
        code: u16,
        /// The words.
        text: String,
    },
    /// The announcing command was never answered, or ended the connection.
    CommandLost,
    /// The server has no port left (421, 425 or 426 to PASV or EPSV).
    Full {
        /// The code.
        code: u16,
        /// The words.
        text: String,
    },
    /// 227 names another host; nothing is said about the port itself.
    OtherAddress(Passive),
    /// Passive: no answer.
    Silent,
    /// Passive: a reset.
    Reset,
    /// Passive: ICMP said no.
    Prohibited(Option<IpAddr>),
    /// Active: no connection came, and the server did not say why.
    NobodyCame,
    /// Active: the server said that it could not connect.
    ServerCouldNot {
        /// The code.
        code: u16,
        /// The words.
        text: String,
    },
    /// The connection stands, and then something else went wrong.
    NoTransfer(NoTransfer),
}

/// A passive port that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// EPSV or PASV.
    pub command: Command,
    /// Whether the control channel was encrypted.
    pub tls: bool,
    /// IPv4 or IPv6.
    pub family: Family,
    /// The port.
    pub port: u16,
    /// Whether it answered, at the host we talk to.
    pub reach: Reach,
}

/// What is at an announced passive port of a 227 that names another host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passive {
    /// The host in the 227.
    pub said: IpAddr,
    /// The announced port at the announced host.
    pub there: Reach,
    /// The same port at the host we talk to.
    pub here: Reach,
}

/// Why nothing came through a data connection that stood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTransfer {
    /// The server wants the TLS session resumed (522, 425, 450).
    NotResumed(String),
    /// TLS on the data channel was refused otherwise, by PROT or in the handshake.
    TlsRefused(String),
    /// No octet came.
    NoOctets,
    /// Some octets came and no more.
    Stalled(u64),
    /// The control connection ended meanwhile.
    ControlLost(String),
    /// The server refused the listing.
    Refused {
        /// The code.
        code: u16,
        /// The words.
        text: String,
    },
}

/// What became of a large transfer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Bulk {
    /// Enough came through.
    Works(u64),
    /// It stood still after so many octets.
    Stalled {
        /// Octets.
        after: u64,
        /// The largest segment with which it came through, if one was found.
        works_with_mss: Option<u16>,
    },
}

/// What a control connection was worth after a silence.
#[derive(Clone, Debug, PartialEq)]
pub enum Idle {
    /// It answered.
    Works(f64),
    /// It did not, after so many seconds of silence.
    Dead(f64),
    /// The server itself ended it (421).
    ServerClosed(f64),
}

impl Outcome {
    /// `works`, `blocked` or `refused`, as in the lab.
    #[must_use]
    pub const fn result(&self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::CommandRefused { .. }
            | Self::Full { .. }
            | Self::Reset
            | Self::Prohibited(_)
            | Self::ServerCouldNot { .. }
            | Self::NoTransfer(
                NoTransfer::NotResumed(_) | NoTransfer::TlsRefused(_) | NoTransfer::Refused { .. },
            ) => "refused",
            _ => "blocked",
        }
    }

    /// One word for machines.
    #[must_use]
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Works => "none",
            Self::CommandRefused { .. } => "command_refused",
            Self::CommandLost => "command_lost",
            Self::Full { .. } => "no_port_left",
            Self::OtherAddress(_) => "other_address",
            Self::Silent => "no_answer",
            Self::Reset => "reset",
            Self::Prohibited(_) => "icmp_prohibited",
            Self::NobodyCame => "nobody_came",
            Self::ServerCouldNot { .. } => "server_could_not_connect",
            Self::NoTransfer(NoTransfer::NotResumed(_)) => "not_resumed",
            Self::NoTransfer(NoTransfer::TlsRefused(_)) => "tls_refused",
            Self::NoTransfer(NoTransfer::NoOctets) => "no_octets",
            Self::NoTransfer(NoTransfer::Stalled(_)) => "stalled",
            Self::NoTransfer(NoTransfer::ControlLost(_)) => "control_lost",
            Self::NoTransfer(NoTransfer::Refused { .. }) => "transfer_refused",
        }
    }

    /// Whether a firewall or NAT may be behind it: the connection itself did not come about.
    #[must_use]
    pub const fn no_connection(&self) -> bool {
        matches!(
            self,
            Self::Silent | Self::Reset | Self::Prohibited(_) | Self::NobodyCame | Self::ServerCouldNot { .. }
        )
    }
}
