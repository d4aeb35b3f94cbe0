//! Ways to a data connection, and what came of them.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::Reach;

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
