//! Why TLS did not come about, in words for a person.

/// Why TLS did not come about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// The connection broke while TLS was being agreed on.
    #[error("the connection broke during the TLS handshake: {0}")]
    Io(#[from] std::io::Error),
}
