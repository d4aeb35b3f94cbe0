//! TLS for both channels.

mod data;
mod error;
mod identity;
mod server;

pub use data::{DataHandshake, DataTls};
pub use error::TlsError;
pub use identity::Identity;
pub use server::{ControlTls, ServerTls, ServerTlsOptions, SessionTag, TlsControl, TlsMin};

/// What a handshake agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsInfo {
    /// `"1.2"` or `"1.3"`.
    pub version: &'static str,
    /// The cipher suite, as IANA spells it.
    pub cipher: &'static str,
    /// True if an earlier session was resumed.
    pub resumed: bool,
    /// The host name the client asked for (RFC 6066 §3).
    pub sni: Option<String>,
    /// The protocol agreed on (RFC 7301), if the client offered any.
    pub alpn: Option<Vec<u8>>,
    /// The subject of the client's certificate, if it showed one and we trust it.
    pub client_cert_subject: Option<String>,
}
