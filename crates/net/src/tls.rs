//! TLS for both channels.

mod authority;
mod certificate;
mod client;
mod data;
mod engine;
mod error;
mod handshake;
mod identity;
mod kin;
mod leaves;
mod octets;
mod provider;
mod server;
mod store;
mod stream;
mod tickets;
mod trust;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};

pub use authority::{Authority, GATE_NAME, Issued};
pub use certificate::Certificate;
pub use client::{ClientControlTls, ClientDataHandshake, ClientTls, ClientTlsOptions, Trust};
pub use data::DataTls;
pub use error::{Party, TlsError};
pub use identity::Identity;
pub use leaves::Leaves;
pub use server::{ControlTls, DataHandshake, ServerTls, ServerTlsOptions};
pub use tickets::SessionTag;

pub(crate) use stream::TlsStream;

/// The oldest version accepted. There is nothing older than TLS 1.2 here (RFC 8996).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMin {
    /// TLS 1.2 and 1.3; the default.
    #[default]
    V12,
    /// TLS 1.3 only.
    V13,
}

static NEWER: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
static NEWEST: [&SupportedProtocolVersion; 1] = [&TLS13];

impl TlsMin {
    fn versions(self) -> &'static [&'static SupportedProtocolVersion] {
        match self {
            Self::V12 => &NEWER,
            Self::V13 => &NEWEST,
        }
    }

    fn on_the_wire(self) -> u16 {
        match self {
            Self::V12 => 0x0303,
            Self::V13 => 0x0304,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::V12 => "TLS 1.2",
            Self::V13 => "TLS 1.3",
        }
    }
}

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// `"1.2"` or `"1.3"`.
    pub version: &'static str,
    /// The cipher suite, as `TLS13_AES_128_GCM_SHA256`.
    pub cipher: &'static str,
    /// True if an earlier session was resumed. On a server's data connection this proves that it belongs to
    /// the control connection.
    pub resumed: bool,
    /// True if the session resumed was another one of the same owner ([`ControlTls::belong_to`]); servers only.
    pub sibling: bool,
    /// The host name the client asked for (RFC 6066 §3); servers only.
    pub sni: Option<String>,
    /// The protocol agreed on (RFC 7301), if the client offered any.
    pub alpn: Option<Vec<u8>>,
    /// The subject of the client's certificate, as `CN=…, O=…`, if it showed one and we trust it; servers
    /// only.
    pub client_cert_subject: Option<String>,
    /// The addresses in that certificate (RFC 5280 §4.2.1.6); servers only.
    pub client_cert_addresses: Vec<std::net::IpAddr>,
}

/// A control connection under TLS; becomes a [`Control`](crate::Control) by `from`.
pub struct TlsControl {
    pub(crate) stream: TlsStream,
    pub(crate) info: TlsInfo,
}

impl TlsControl {
    /// What the handshake agreed on.
    pub fn info(&self) -> &TlsInfo {
        &self.info
    }
}

impl std::fmt::Debug for TlsControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsControl").field("info", &self.info).finish_non_exhaustive()
    }
}
