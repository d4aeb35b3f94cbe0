//! What a proxy is made of.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use portway_data::OwnListeners;
use portway_interpreter::Door;
use portway_net::{ClientTls, Leaves};

use crate::{Allow, Filter, Guesses, Inspect, Routes, UserLimits};

/// What a proxy has besides the [`Parts`](portway_interpreter::Parts) of all who play a server.
pub struct ProxyConfig {
    /// Whose proxy it is.
    pub kind: Kind,
    /// Who may use the proxy; `None` lets everybody.
    pub door: Option<Door>,
    /// Makes certificates in the name of the servers that clients ask for; `None` shows our own always.
    pub leaves: Option<Arc<Leaves>>,
    /// The leg towards servers.
    pub leg: LegConfig,
    /// Which commands pass.
    pub filter: Filter,
    /// How much of it one user may have.
    pub user_limits: UserLimits,
    /// Who has given servers wrong passwords.
    pub guesses: Guesses,
    /// Who looks into files that pass. Default `None`.
    pub inspect: Option<Inspect>,
    /// Where this program listens, which no client gets to by way of us.
    pub own_listeners: OwnListeners,
}

/// Whose proxy it is.
#[derive(Debug)]
pub enum Kind {
    /// The clients': they say where they want to go.
    Forward(Allow),
    /// The servers': clients see one server where there are several.
    Reverse(Routes),
    /// Nobody's: clients think that they talk to the server they called.
    Transparent(Allow),
}

/// The leg towards servers.
#[derive(Clone, Debug)]
pub struct LegConfig {
    /// Whether it is encrypted. Default [`ServerTlsChoice::Auto`].
    pub tls: ServerTlsChoice,
    /// Which certificates count; `None` if TLS is off.
    pub client_tls: Option<ClientTls>,
    /// Whether the administrator named the authority: then `Auto` asks for TLS on a plain client's behalf, too.
    pub named_authority: bool,
    /// Who opens the data connections. Default [`WayChoice::Auto`].
    pub mode: WayChoice,
    /// Tell the server by a PROXY header whose connection it is. Default `None`. Data connections still come from
    /// this proxy: a server that insists on the client's address for them must be told to let ours in.
    pub header: Option<ProxyHeader>,
    /// Ports that no data connection leads to, besides those below 1024; on either leg. Default none.
    pub denied_ports: BTreeSet<u16>,
    /// Ports to listen on in active mode. Default `None`: any.
    pub active_ports: Option<RangeInclusive<u16>>,
    /// How long a server's silence is borne.
    pub timeouts: LegTimeouts,
}

/// Whether the leg towards the server is encrypted. A certificate that cannot be verified, and a server that
/// refuses to encrypt data, are always the end of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ServerTlsChoice {
    /// As the client's leg: a client under TLS gets TLS all the way or no session at all. A client in the clear
    /// gets TLS if an authority was named and the server has TLS.
    #[default]
    Auto,
    /// Always.
    Required,
    /// Never; also behind clients that use TLS.
    Off,
}

/// Who opens the server's data connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WayChoice {
    /// We do, and if that does not work, the server.
    #[default]
    Auto,
    /// We do (EPSV, PASV).
    Passive,
    /// The server does (EPRT, PORT).
    Active,
}

/// The form of a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyHeader {
    /// A line of text.
    V1,
    /// Octets.
    V2,
}

/// How long a server's silence is borne.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LegTimeouts {
    /// From the name of a server to its greeting, TLS included. Default 15 s.
    pub connect: Duration,
    /// A server's reply. Default 60 s: a digest of a large file takes its time.
    pub reply: Duration,
    /// Passive mode towards the server: how long its port may take to answer. Default 5 s.
    pub data_connect: Duration,
}

impl Default for LegTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(15),
            reply: Duration::from_secs(60),
            data_connect: Duration::from_secs(5),
        }
    }
}
