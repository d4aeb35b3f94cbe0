//! What a server is made of.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use portway_accounts::{Accounts, Throttle};
use portway_data::{Broker, Network};
use portway_net::ServerTls;
use portway_ops::{Limits, Log, Registry};
use portway_proto::Policy;
use portway_vfs::Vfs;
use tokio::net::TcpListener;

/// The parts that all sessions share.
pub struct ServerConfig {
    /// What the dialogue allows.
    pub policy: Arc<Policy>,
    /// Who may log in; swapped when the settings are read again, and then for new logins only.
    pub accounts: ArcSwap<Accounts>,
    /// Who has failed to.
    pub throttle: Throttle,
    /// What is served; a user sees it from his home on.
    pub storage: Arc<dyn Vfs>,
    /// Opens the data connections.
    pub broker: Broker,
    /// TLS, unless it is off.
    pub tls: Option<ServerTls>,
    /// How many may be connected.
    pub limits: Limits,
    /// Who is connected.
    pub registry: Registry,
    /// Where events go.
    pub log: Log,
    /// Balancers: a connection from one of these begins with a PROXY header, which says whose it is. Nobody
    /// else's may.
    pub balancers: Vec<Network>,
    /// How long silence is borne.
    pub timeouts: Timeouts,
}

/// How long silence is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// No command and no transfer for so long ends a session with 421. Default 300 s (RFC 1123 §4.1.3.2 wants
    /// at least five minutes).
    pub idle: Duration,
    /// A data connection that does not come, or brings nothing for so long, is given up. Default 30 s.
    pub data: Duration,
    /// From the connection to the end of the login, TLS handshake included. Default 60 s.
    pub login: Duration,
    /// How long running transfers may take to end after a shutdown has begun. Default 30 s.
    pub drain: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle: Duration::from_secs(300),
            data: Duration::from_secs(30),
            login: Duration::from_secs(60),
            drain: Duration::from_secs(30),
        }
    }
}

/// A port that is open for control connections.
#[derive(Debug)]
pub struct Listener {
    /// Bound and listening.
    pub socket: TcpListener,
    /// Whether TLS comes before the greeting.
    pub implicit_tls: bool,
}
