//! Certificates made on the way, for a proxy that stands in for servers whose clients trust its authority.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use zeroize::Zeroizing;

use super::provider::provider;
use super::{Issued, TlsError};

/// Certificates kept; with more names than that the cache begins anew.
const KEPT: usize = 4096;

/// The longest name of DNS.
const LONGEST: usize = 253;

/// An authority that makes a certificate for whatever host it is asked for. Whoever trusts it trusts its owner with
/// everything said to any server.
pub struct Leaves {
    issuer: Issuer<'static, KeyPair>,
    authority: rustls::pki_types::CertificateDer<'static>,
    /// One key for all, as servers with many names have it: making one takes longer than signing.
    key: KeyPair,
    made: Mutex<HashMap<String, Arc<CertifiedKey>>>,
}

impl Leaves {
    /// A new authority (ECDSA P-256) and what to keep of it.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if the system gives no randomness.
    pub fn create() -> Result<Issued, TlsError> {
        let key = KeyPair::generate().map_err(setup)?;
        let cert = params().self_signed(&key).map_err(setup)?.pem();
        Ok(Issued { cert, key: Zeroizing::new(key.serialize_pem()) })
    }

    /// The authority that [`Self::create`] made, by its key in PEM.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if it is none.
    pub fn load(key: &str) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(key).map_err(setup)?;
        let authority = params().self_signed(&key).map_err(setup)?.der().clone();
        let issuer = Issuer::new(params(), key);
        Ok(Self { issuer, authority, key: KeyPair::generate().map_err(setup)?, made: Mutex::default() })
    }

    /// The certificate for a host name or address; made at the first call.
    fn leaf(&self, host: &str) -> Option<Arc<CertifiedKey>> {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let sound = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || host.len() > LONGEST || !host.chars().all(sound) {
            return None;
        }
        if let Some(known) = self.lock().get(&host) {
            return Some(Arc::clone(known));
        }
        let fresh = Arc::new(self.make(&host).ok()?);
        let mut made = self.lock();
        if made.len() >= KEPT {
            made.clear();
        }
        made.insert(host, Arc::clone(&fresh));
        Some(fresh)
    }

    fn make(&self, host: &str) -> Result<CertifiedKey, TlsError> {
        let mut params = CertificateParams::new([host.to_owned()]).map_err(setup)?;
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, host);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let cert = params.signed_by(&self.key, &self.issuer).map_err(setup)?;
        let secret =
            PrivateKeyDer::try_from(self.key.serialize_der()).map_err(|e| TlsError::Setup(e.into()))?;
        let chain = vec![cert.der().clone(), self.authority.clone()];
        CertifiedKey::from_der(chain, secret, provider()).map_err(|e| TlsError::Setup(e.to_string()))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.made.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Leaves {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Leaves")
    }
}

/// Shows the certificate of the server that the client asks for, or of the one it was on its way to.
#[derive(Debug)]
pub(super) struct ByName {
    pub(super) leaves: Arc<Leaves>,
    pub(super) otherwise: String,
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // Clients name no addresses there (RFC 6066 §3).
        let asked = hello.server_name().and_then(|name| self.leaves.leaf(name));
        asked.or_else(|| self.leaves.leaf(&self.otherwise))
    }
}

/// The same for every authority: its key tells one from the other.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "portway proxy authority");
    params
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn setup(error: rcgen::Error) -> TlsError {
    TlsError::Setup(format!("no certificate: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_once_for_each_name_and_for_none_that_is_no_name() {
        let issued = Leaves::create().unwrap();
        let leaves = Leaves::load(&issued.key).unwrap();
        let first = leaves.leaf("Ftp.Example.org").unwrap();
        assert!(Arc::ptr_eq(&first, &leaves.leaf("ftp.example.org.").unwrap()));
        assert!(!Arc::ptr_eq(&first, &leaves.leaf("192.0.2.7").unwrap()));
        assert!(leaves.leaf("2001:db8::7").is_some());
        let long = "x".repeat(254);
        for name in ["", ".", "a b", "a/b", "\u{e9}", long.as_str()] {
            assert!(leaves.leaf(name).is_none(), "{name:?}");
        }
        assert_eq!(leaves.lock().len(), 3);
        assert!(Leaves::load("no key").is_err());
    }
}
