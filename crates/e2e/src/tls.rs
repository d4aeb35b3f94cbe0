//! A TLS client that takes tickets once, as its specification advises (RFC 8446 §C.4).

use std::net::{IpAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{CipherSuite, ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use crate::Certificate;

/// A connection under TLS.
pub type TlsStream = StreamOwned<ClientConnection, TcpStream>;

/// How a [`Tls`] behaves.
#[derive(Clone, Debug)]
pub struct TlsOptions {
    /// TLS 1.2 in place of 1.3.
    pub old: bool,
    /// Whether tickets are kept and used. Default true.
    pub resume: bool,
    /// Offers AES-128-GCM alone, so that servers with other preferences do the same work.
    pub aes128: bool,
    /// Protocols offered by ALPN. RFC 7301.
    pub alpn: Vec<Vec<u8>>,
}

impl Default for TlsOptions {
    fn default() -> Self {
        Self { old: false, resume: true, aes128: false, alpn: Vec::new() }
    }
}

/// One user's ticket store and settings; connections made by clones share tickets.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<ClientConfig>,
}

impl Tls {
    /// A client that trusts the authority of `certificate` alone.
    ///
    /// # Errors
    /// When that cannot be read.
    pub fn new(certificate: &Certificate, options: TlsOptions) -> Result<Self> {
        Self::trusting(&certificate.authority(), options)
    }

    /// A client that trusts this authority alone, PEM.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn trusting(authority: &Path, options: TlsOptions) -> Result<Self> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(authority)?)?;
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if options.aes128 {
            let alike = [
                CipherSuite::TLS13_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            ];
            provider.cipher_suites.retain(|suite| alike.contains(&suite.suite()));
        }
        let versions = if options.old { &[&rustls::version::TLS12] } else { &[&rustls::version::TLS13] };
        let mut config = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(versions)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = options.alpn;
        config.resumption =
            if options.resume { Resumption::in_memory_sessions(64) } else { Resumption::disabled() };
        Ok(Self { config: Arc::new(config) })
    }

    /// Wraps a connection to `server`; the handshake has not begun.
    ///
    /// # Errors
    /// When the settings do not fit.
    pub fn wrap(&self, server: IpAddr, stream: TcpStream) -> Result<TlsStream> {
        let session = ClientConnection::new(self.config.clone(), ServerName::IpAddress(server.into()))?;
        Ok(StreamOwned::new(session, stream))
    }

    /// Wraps a connection and completes the handshake.
    ///
    /// # Errors
    /// When the handshake fails.
    pub fn shake(&self, server: IpAddr, stream: TcpStream) -> Result<TlsStream> {
        let mut wrapped = self.wrap(server, stream)?;
        while wrapped.conn.is_handshaking() {
            wrapped.conn.complete_io(&mut wrapped.sock).context("the TLS handshake failed")?;
        }
        Ok(wrapped)
    }
}
