//! A certificate for the loopback addresses, signed by an authority made for the test.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

/// Certificate, key and authority as PEM files; gone when the last clone is dropped.
#[derive(Clone, Debug)]
pub struct Certificate {
    folder: Arc<TempDir>,
}

impl Certificate {
    /// Makes an authority and a certificate for `localhost`, 127.0.0.1 and ::1, named `name`.
    ///
    /// # Errors
    /// When the temporary folder cannot be written.
    pub fn new(name: &str) -> Result<Self> {
        Self::with_names(name, &["localhost", "127.0.0.1", "::1"])
    }

    /// The same for these host names and addresses.
    ///
    /// # Errors
    /// As [`Certificate::new`].
    pub fn with_names(name: &str, names: &[&str]) -> Result<Self> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, format!("{name} authority"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;

        let made = Self { folder: Arc::new(tempfile::Builder::new().prefix("portway-e2e-cert-").tempdir()?) };
        std::fs::write(made.authority(), authority.pem())?;
        std::fs::write(made.chain(), certificate.pem())?;
        std::fs::write(made.key(), key.serialize_pem())?;
        Ok(made)
    }

    /// The authority that a client must trust.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// The certificate that the server shows.
    #[must_use]
    pub fn chain(&self) -> PathBuf {
        self.folder.path().join("cert.pem")
    }

    /// The key of that certificate.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }
}
