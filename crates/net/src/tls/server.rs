//! The server's side of TLS.

use std::io;
use std::path::PathBuf;

use tokio::net::TcpStream;

use super::{DataHandshake, Identity, TlsError, TlsInfo};

/// Names one control connection's TLS session; stands in clear at the head of its tickets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionTag(pub [u8; 16]);

/// The oldest version accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMin {
    /// TLS 1.2 (the default).
    #[default]
    V12,
    /// TLS 1.3.
    V13,
}

/// What a server asks of its clients.
#[derive(Clone, Debug)]
pub struct ServerTlsOptions {
    /// PEM file of authorities; a client certificate signed by one of them is accepted.
    pub client_ca: Option<PathBuf>,
    /// Refuse clients without such a certificate. Default false.
    pub require_client_cert: bool,
    /// Default TLS 1.2.
    pub min: TlsMin,
    /// TLS 1.3 tickets sent on the control connection. Default 8.
    pub control_tickets: usize,
}

impl Default for ServerTlsOptions {
    fn default() -> Self {
        Self { client_ca: None, require_client_cert: false, min: TlsMin::V12, control_tickets: 8 }
    }
}

/// The server's certificate and rules; shared by all its connections.
#[derive(Clone, Debug)]
pub struct ServerTls {}

impl ServerTls {
    /// Puts certificate and rules together.
    ///
    /// # Errors
    /// [`TlsError`] if the client CA cannot be read or the key does not fit the certificate.
    pub fn new(identity: Identity, options: ServerTlsOptions) -> Result<Self, TlsError> {
        let _ = (identity, options);
        Ok(Self {})
    }

    /// Swaps the certificate; sessions that exist keep theirs.
    pub fn reload(&self, identity: Identity) {
        let _ = identity;
    }

    /// TLS for one control connection and its data connections.
    pub fn control(&self) -> ControlTls {
        ControlTls {}
    }
}

/// TLS of one control connection: its own ticket key and tag.
#[derive(Clone, Debug)]
pub struct ControlTls {}

impl ControlTls {
    /// The tag in every ticket this session issues.
    pub fn tag(&self) -> SessionTag {
        SessionTag([0; 16])
    }

    /// The server's handshake on the control connection.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is useless then.
    pub async fn accept(&self, stream: TcpStream) -> Result<TlsControl, TlsError> {
        let _ = stream;
        Err(io::Error::from(io::ErrorKind::Unsupported).into())
    }

    /// The server's handshake on a data connection.
    ///
    /// # Errors
    /// [`TlsError`]; the connection is useless then.
    pub fn accept_data(&self, stream: TcpStream) -> DataHandshake {
        DataHandshake(Some(stream))
    }

    /// True once every TLS 1.3 ticket issued so far has been used.
    pub fn tickets_exhausted(&self) -> bool {
        false
    }
}

/// A control connection under TLS.
#[derive(Debug)]
pub struct TlsControl {
    pub(crate) stream: TcpStream,
    pub(crate) info: TlsInfo,
}
