//! What all control connections of one program share.

use std::sync::Arc;
use std::time::Duration;

use portway_data::{Broker, Network};
use portway_net::ServerTls;
use portway_ops::{Limits, Log, Registry};
use portway_proto::Policy;

/// The parts that all sessions share, whatever the role.
pub struct Parts {
    /// What the dialogue allows.
    pub policy: Arc<Policy>,
    /// Opens the data connections.
    pub broker: Broker,
    /// TLS towards clients, unless it is off.
    pub tls: Option<ServerTls>,
    /// Balancers: a connection from one of these begins with a PROXY header, which says whose it is. Nobody
    /// else's may.
    pub balancers: Vec<Network>,
    /// How many may be connected.
    pub limits: Limits,
    /// Who is connected.
    pub registry: Registry,
    /// Where events go.
    pub log: Log,
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
