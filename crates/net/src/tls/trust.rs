//! How a client decides whether to believe a server.

use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use super::TlsError;
use super::client::Trust;
use super::identity::{fingerprint, read_certificates};
use super::provider::provider;

/// Who is believed: whom an authority vouches for, and otherwise whose certificate is the right one.
#[derive(Debug)]
pub(crate) struct Rules {
    authorities: Option<Arc<dyn ServerCertVerifier>>,
    leaf: Option<Leaf>,
}

impl Rules {
    pub(crate) fn of(trust: &Trust) -> Result<Self, TlsError> {
        let pinned = |text: &str| -> Result<_, TlsError> {
            let pin = parse_fingerprint(text).ok_or_else(|| {
                TlsError::Setup(format!("{text:?} is no SHA-256 fingerprint (64 hex digits)"))
            })?;
            Ok(Some(Leaf { pin: Some(pin) }))
        };
        let leaf = match trust {
            Trust::Insecure | Trust::SystemOrAnyone => Some(Leaf { pin: None }),
            Trust::Pinned(text) | Trust::SystemOrPinned(text) => pinned(text)?,
            Trust::System | Trust::SystemAnd(_) | Trust::Only(_) => None,
        };
        let mut roots = RootCertStore::empty();
        match trust {
            Trust::Insecure | Trust::Pinned(_) => return Ok(Self { authorities: None, leaf }),
            Trust::Only(_) => {}
            _ => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        if let Trust::SystemAnd(path) | Trust::Only(path) = trust {
            for cert in read_certificates(path)? {
                roots.add(cert).map_err(|e| TlsError::File { path: path.clone(), what: e.to_string() })?;
            }
        }
        if roots.is_empty() && leaf.is_some() {
            return Ok(Self { authorities: None, leaf });
        }
        if roots.is_empty() {
            return Err(TlsError::Setup(
                "this system has no store of trusted authorities: install its ca-certificates package, or name a file"
                    .into(),
            ));
        }
        let verifier =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider())).build();
        let verifier = verifier.map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Self { authorities: Some(verifier), leaf })
    }
}

/// What the server showed.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) fingerprint: String,
    /// An authority vouches for it.
    pub(crate) vouched: bool,
}

/// Applies the rules for one control connection and its data connections, and remembers what was shown: the
/// user of a certificate that was refused wants to know which one it is.
#[derive(Debug)]
pub(crate) struct Watcher {
    rules: Arc<Rules>,
    shown: Mutex<Option<Shown>>,
}

impl Watcher {
    pub(crate) fn new(rules: &Arc<Rules>) -> Self {
        Self { rules: Arc::clone(rules), shown: Mutex::default() }
    }

    pub(crate) fn seen(&self) -> Option<Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
    let text = text.strip_prefix("SHA256:").or(text.strip_prefix("sha256:")).unwrap_or(text);
    let digits: Vec<u32> =
        text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
    let mut pin = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (octet, pair) in pin.iter_mut().zip(digits.as_chunks::<2>().0) {
        *octet = u8::try_from(pair[0] << 4 | pair[1]).ok()?;
    }
    Some(pin)
}

/// Looks at the certificate itself, not at who signed it. The server must still prove that it has the key.
#[derive(Debug)]
struct Leaf {
    /// SHA-256 of the only certificate accepted; `None` accepts any.
    pin: Option<[u8; 32]>,
}

impl Leaf {
    fn believes(&self, end_entity: &CertificateDer<'_>) -> Result<ServerCertVerified, Error> {
        match &self.pin {
            Some(pin) if digest(&SHA256, end_entity).as_ref() != pin => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
        }
    }
}

impl ServerCertVerifier for Watcher {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Rules { authorities, leaf } = &*self.rules;
        let vouched = authorities.as_ref().map(|authorities| {
            authorities.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        });
        let is_vouched = matches!(vouched, Some(Ok(_)));
        let shown = Shown { fingerprint: fingerprint(end_entity), vouched: is_vouched };
        *self.shown.lock().unwrap_or_else(PoisonError::into_inner) = Some(shown);
        match (vouched, leaf) {
            (Some(Ok(verified)), _) => Ok(verified),
            (_, Some(leaf)) => leaf.believes(end_entity),
            (Some(Err(error)), None) => Err(error),
            (None, None) => Err(CertificateError::UnknownIssuer.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &provider().signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::parse_fingerprint;

    #[test]
    fn a_fingerprint_is_64_hex_digits_with_or_without_colons() {
        let plain = "0f".repeat(32);
        let colons = ["0F"; 32].join(":");
        assert_eq!(parse_fingerprint(&plain), Some([15; 32]));
        assert_eq!(parse_fingerprint(&colons), Some([15; 32]));
        assert_eq!(parse_fingerprint(&format!("SHA256:{colons}")), Some([15; 32]));
        for wrong in ["", "0f", "zz", &"0f".repeat(33), &"0g".repeat(32)] {
            assert_eq!(parse_fingerprint(wrong), None, "{wrong}");
        }
    }
}
