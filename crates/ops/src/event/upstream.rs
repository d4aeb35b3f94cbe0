//! What a proxy adds: the leg towards the server. Its `session` is the client's, which ties the two together.

use std::net::SocketAddr;

use serde::Serialize;

use super::Seconds;
use crate::Shown;

/// See [`Event::UpstreamOpened`](super::Event::UpstreamOpened).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpstreamOpened {
    /// The number of the client's session.
    pub session: u64,
    /// The server's address.
    pub server: SocketAddr,
    /// The server as the client or the configuration named it.
    pub host: Shown,
    /// Our end of the control connection, which is what the server's log shows.
    pub from: SocketAddr,
    /// The TLS version of the control channel, `1.2` or `1.3`; `None` in clear.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<&'static str>,
}

/// See [`Event::UpstreamFailed`](super::Event::UpstreamFailed).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct UpstreamFailed {
    /// The number of the client's session.
    pub session: u64,
    /// The server as the client or the configuration named it.
    pub host: Shown,
    /// The server's address, if it got that far.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<SocketAddr>,
    /// Why, as a word: `not_allowed`, `unknown_host`, `unreachable`, `no_tls`, `tls`, `refused`, `lost`, …
    pub cause: &'static str,
    /// For a person.
    pub detail: Shown,
}

/// See [`Event::Relayed`](super::Event::Relayed).
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Relayed {
    /// The number of the client's session.
    pub session: u64,
    /// The server's address.
    pub server: SocketAddr,
    /// The command.
    pub verb: &'static str,
    /// The file or folder, as it was sent.
    pub path: Shown,
    /// Octets that were passed on.
    pub bytes: u64,
    /// From the command to the final reply.
    pub seconds: Seconds,
    /// How the server's data connection came about: `PASV`, `EPSV`, `PORT`, `EPRT`.
    pub mode: &'static str,
    /// Whether it was encrypted.
    pub tls: bool,
    /// Under TLS, whether it resumed the control channel's session.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resumed: Option<bool>,
    /// The server's final reply; 0 if none came.
    pub code: u16,
}
