//! What a user decides about connections.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portway_proto::client::{AddressTrust, Credentials};

use crate::{KnownServers, Memory, Reach, Trace};

/// How connections behave. The default works against any server that can be reached at all.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Who opens the data connection. Default [`ModeChoice::Auto`].
    pub mode: ModeChoice,
    /// Default [`TlsChoice::Auto`].
    pub tls: TlsChoice,
    /// Whose certificates count. Default: the system's authorities.
    pub trust: TlsTrust,
    /// Certificates that the user has taken before; they count besides [`TlsTrust::System`]. Default none.
    pub known: Arc<KnownServers>,
    /// Certificate chain and key in PEM, for servers that ask for one. Default none.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Go no further than TLS 1.2, for servers whose TLS 1.3 tickets run out. Default false.
    pub tls12_only: bool,
    /// Default anonymous.
    pub credentials: Credentials,
    /// How long each phase may take.
    pub timeouts: Timeouts,
    /// Ports to listen on in active mode. Default `None`: any.
    pub active_ports: Option<RangeInclusive<u16>>,
    /// The address to announce in active mode, where it is not our own (NAT). Default `None`.
    pub active_address: Option<IpAddr>,
    /// Whose word counts about passive addresses. Default: the control peer.
    pub address_trust: AddressTrust,
    /// Proxies, packet filters and the like. Default the straight way.
    pub reach: Reach,
    /// Octets per second at most, per transfer. Default `None`.
    pub limit_rate: Option<u64>,
    /// Attempts per transfer after failures that may pass. Default 5.
    pub attempts: u32,
    /// What worked before; shared by all connections.
    pub memory: Arc<Memory>,
    /// Where happenings go.
    pub trace: Trace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: ModeChoice::Auto,
            tls: TlsChoice::Auto,
            trust: TlsTrust::System,
            known: Arc::default(),
            identity: None,
            tls12_only: false,
            credentials: Credentials::default(),
            timeouts: Timeouts::default(),
            active_ports: None,
            active_address: None,
            address_trust: AddressTrust::Peer,
            reach: Reach::default(),
            limit_rate: None,
            attempts: 5,
            memory: Arc::new(Memory::in_process()),
            trace: Trace::default(),
        }
    }
}

/// Who opens the data connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ModeChoice {
    /// Whatever works: passive before active unless memory says otherwise.
    #[default]
    Auto,
    /// We do (EPSV, PASV).
    Passive,
    /// The server does (EPRT, PORT).
    Active,
}

/// Whether the channels are encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsChoice {
    /// AUTH TLS if the server has it; a plain session if it does not.
    #[default]
    Auto,
    /// No session without it.
    Required,
    /// Never.
    Off,
}

/// Whose certificates count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TlsTrust {
    /// The authorities that the system trusts.
    #[default]
    System,
    /// The authorities (or the server certificate itself) in this PEM file.
    File(PathBuf),
    /// The one certificate with this SHA-256 fingerprint.
    Pinned(String),
    /// Anybody's: encryption against listeners only.
    Nobody,
}

/// How long each phase may take; each failure names its phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// Name lookup. Default 10 s.
    pub resolve: Duration,
    /// TCP to the control port, all addresses together. Default 15 s.
    pub connect: Duration,
    /// From there to 220. Default 30 s: some servers look names up first.
    pub greeting: Duration,
    /// A TLS handshake. Default 15 s.
    pub tls: Duration,
    /// Any reply. Default 30 s.
    pub reply: Duration,
    /// The least that a data connection gets to come about; four round trips if that is longer. Default 1 s
    /// and a tenth, so that one lost SYN is repaired.
    pub data_connect: Duration,
    /// Active mode: the least that the server gets to connect. Default 2 s.
    pub data_accept: Duration,
    /// A transfer in which nothing moves. Default 60 s.
    pub stall: Duration,
    /// The final reply after the last octet. Default 20 s; then the size decides.
    pub final_reply: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            resolve: Duration::from_secs(10),
            connect: Duration::from_secs(15),
            greeting: Duration::from_secs(30),
            tls: Duration::from_secs(15),
            reply: Duration::from_secs(30),
            data_connect: Duration::from_millis(1100),
            data_accept: Duration::from_secs(2),
            stall: Duration::from_secs(60),
            final_reply: Duration::from_secs(20),
        }
    }
}
