//! How a client decides whether to believe a server.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use rustls::client::WantsClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, Error, RootCertStore,
    SignatureScheme, WantsVerifier,
};

use super::TlsError;
use super::client::Trust;
use super::identity::read_certificates;
use super::provider::provider;

/// Gives the configuration the verifier that `trust` asks for.
pub(crate) fn verify_by(
    builder: ConfigBuilder<ClientConfig, WantsVerifier>,
    trust: &Trust,
) -> Result<ConfigBuilder<ClientConfig, WantsClientCert>, TlsError> {
    let mut roots = RootCertStore::empty();
    if matches!(trust, Trust::System | Trust::SystemAnd(_)) {
        let store = rustls_native_certs::load_native_certs();
        roots.add_parsable_certificates(store.certs);
    }
    let anyone = |pin| {
        let verifier = Arc::new(Leaf { pin });
        builder.clone().dangerous().with_custom_certificate_verifier(verifier)
    };
    match trust {
        Trust::Insecure => return Ok(anyone(None)),
        Trust::Pinned(text) => {
            let pin = parse_fingerprint(text).ok_or_else(|| {
                TlsError::Setup(format!("{text:?} is no SHA-256 fingerprint (64 hex digits)"))
            })?;
            return Ok(anyone(Some(pin)));
        }
        Trust::SystemAnd(path) | Trust::Only(path) => {
            for cert in read_certificates(path)? {
                roots.add(cert).map_err(|e| TlsError::File { path: path.clone(), what: e.to_string() })?;
            }
        }
        Trust::System => {}
    }
    if roots.is_empty() {
        return Err(TlsError::Setup(
            "this system has no store of trusted authorities: install its ca-certificates package, or name a file"
                .into(),
        ));
    }
    Ok(builder.with_root_certificates(roots))
}

fn parse_fingerprint(text: &str) -> Option<[u8; 32]> {
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

impl ServerCertVerifier for Leaf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.pin {
            Some(pin) if digest(&SHA256, end_entity).as_ref() != pin => {
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
            _ => Ok(ServerCertVerified::assertion()),
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
        for wrong in ["", "0f", "zz", &"0f".repeat(33), &"0g".repeat(32)] {
            assert_eq!(parse_fingerprint(wrong), None, "{wrong}");
        }
    }
}
