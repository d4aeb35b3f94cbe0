//! A certificate chain and its key.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, DnType, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use zeroize::Zeroizing;

use super::TlsError;
use super::provider::provider;

/// A certificate chain and its private key, known to fit each other. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Identity(pub(crate) Arc<CertifiedKey>);

impl Identity {
    /// Reads a PEM chain (own certificate first) and a PEM key (PKCS#8, PKCS#1 or SEC1).
    ///
    /// # Errors
    /// [`TlsError::File`] names the file at fault; [`TlsError::Setup`] says the two are not a pair.
    pub fn load(cert: &Path, key: &Path) -> Result<Self, TlsError> {
        let chain = read_certificates(cert)?;
        let file = |what: String| TlsError::File { path: key.to_path_buf(), what };
        let pem = Zeroizing::new(std::fs::read(key).map_err(|error| file(error.to_string()))?);
        let secret =
            PrivateKeyDer::from_pem_slice(&pem).map_err(|_| file("holds no private key in PEM".into()))?;
        Self::from_parts(chain, secret).map_err(|what| match what {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::Setup(format!("{} is not the key of {}", key.display(), cert.display()))
            }
            other => file(other.to_string()),
        })
    }

    /// Makes a self-signed certificate (ECDSA P-256) for these host names and addresses, without an end of
    /// validity worth mentioning; returns it with its PEM texts: certificate, key.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if a name cannot stand in a certificate.
    pub fn self_signed(names: &[String]) -> Result<(Self, String, Zeroizing<String>), TlsError> {
        let setup = |error: rcgen::Error| TlsError::Setup(format!("no certificate for {names:?}: {error}"));
        let mut params = CertificateParams::new(names).map_err(setup)?;
        let common_name = names.first().map_or("portway", String::as_str);
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, common_name);
        let key = KeyPair::generate().map_err(setup)?;
        let cert = params.self_signed(&key).map_err(setup)?;
        let secret = PrivateKeyDer::try_from(key.serialize_der()).map_err(|e| TlsError::Setup(e.into()))?;
        let identity = Self::from_parts(vec![cert.der().clone()], secret)
            .map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok((identity, cert.pem(), Zeroizing::new(key.serialize_pem())))
    }

    /// SHA-256 of the certificate, as `AB:CD:…`: what clients show for comparison.
    pub fn fingerprint_sha256(&self) -> String {
        self.0.end_entity_cert().map(|cert| fingerprint(cert)).unwrap_or_default()
    }

    /// When the certificate expires; `None` if it does not say so in a way we understand.
    pub fn not_after(&self) -> Option<SystemTime> {
        let (_, cert) = X509Certificate::from_der(self.0.end_entity_cert().ok()?).ok()?;
        let seconds = u64::try_from(cert.validity().not_after.timestamp()).ok()?;
        SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
    }

    fn from_parts(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, rustls::Error> {
        let key = CertifiedKey::from_der(chain, key, provider())?;
        Ok(Self(Arc::new(key)))
    }
}

/// SHA-256 of a certificate, as `AB:CD:…`.
pub(crate) fn fingerprint(cert: &[u8]) -> String {
    let mut text = String::new();
    for octet in digest(&SHA256, cert).as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{octet:02X}", if text.is_empty() { "" } else { ":" });
    }
    text
}

/// Who a certificate is for, as `CN=…, O=…`.
pub(crate) fn subject(cert: &[u8]) -> Option<String> {
    X509Certificate::from_der(cert).ok().map(|(_, cert)| cert.subject().to_string())
}

/// The addresses in a certificate's alternative names.
pub(crate) fn addresses(cert: &[u8]) -> Vec<IpAddr> {
    let Ok((_, cert)) = X509Certificate::from_der(cert) else { return Vec::new() };
    let Ok(Some(names)) = cert.subject_alternative_name() else { return Vec::new() };
    let address = |name: &GeneralName<'_>| match name {
        GeneralName::IPAddress(octets) => match octets.len() {
            4 => octets.first_chunk::<4>().map(|octets| IpAddr::from(*octets)),
            _ => octets.first_chunk::<16>().filter(|o| o.len() == octets.len()).map(|o| IpAddr::from(*o)),
        },
        _ => None,
    };
    names.value.general_names.iter().filter_map(address).collect()
}

/// Reads all certificates of a PEM file; one at least.
pub(crate) fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let file = |what: String| TlsError::File { path: path.to_path_buf(), what };
    let pem = std::fs::read(path).map_err(|error| file(error.to_string()))?;
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match chain {
        Ok(chain) if !chain.is_empty() => Ok(chain),
        _ => Err(file("holds no certificate in PEM".into())),
    }
}
