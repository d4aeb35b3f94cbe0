//! An authority of one's own: for programs of one house that must know each other.
//!
//! It issues two kinds of certificates, and neither can pass for the other: a gate's, which bears the name
//! [`GATE_NAME`] and may only serve, and a server's, which bears the server's addresses and may only ask.

use std::net::IpAddr;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use zeroize::Zeroizing;

use super::TlsError;

/// The name in every gate's certificate, wherever the gate is: its clients know it by the authority.
pub const GATE_NAME: &str = "gate.portway.invalid";

/// Signs certificates. Whoever has its key can open holes in every gate that believes it.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key, both as PEM.
pub struct Issued {
    /// The certificate.
    pub cert: String,
    /// The private key.
    pub key: Zeroizing<String>,
}

impl Authority {
    /// A new authority (ECDSA P-256), and what to keep of it.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if the system gives no randomness.
    pub fn create() -> Result<(Self, Issued), TlsError> {
        let key = KeyPair::generate().map_err(setup)?;
        let cert = params().self_signed(&key).map_err(setup)?.pem();
        let issued = Issued { cert, key: Zeroizing::new(key.serialize_pem()) };
        Ok((Self { issuer: Issuer::new(params(), key) }, issued))
    }

    /// The authority whose key this is, as PEM.
    ///
    /// # Errors
    /// [`TlsError::Setup`] if it is none.
    pub fn load(key: &str) -> Result<Self, TlsError> {
        let key = KeyPair::from_pem(key).map_err(setup)?;
        Ok(Self { issuer: Issuer::new(params(), key) })
    }

    /// A certificate for a gate.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn issue_gate(&self) -> Result<Issued, TlsError> {
        let mut params = CertificateParams::new([GATE_NAME.to_owned()]).map_err(setup)?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        self.issue(params, GATE_NAME)
    }

    /// A certificate for a server of this name with these addresses, for which alone it may speak.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub fn issue_server(&self, name: &str, addresses: &[IpAddr]) -> Result<Issued, TlsError> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = addresses.iter().copied().map(SanType::IpAddress).collect();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.issue(params, name)
    }

    fn issue(&self, mut params: CertificateParams, name: &str) -> Result<Issued, TlsError> {
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::CommonName, name);
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(setup)?;
        let cert = params.signed_by(&key, &self.issuer).map_err(setup)?.pem();
        Ok(Issued { cert, key: Zeroizing::new(key.serialize_pem()) })
    }
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("cert", &self.cert).finish_non_exhaustive()
    }
}

/// The same for every authority: its key tells one from the other.
fn params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.remove(DnType::CommonName);
    params.distinguished_name.push(DnType::CommonName, "portway gate authority");
    params
}

#[allow(clippy::needless_pass_by_value, reason = "for map_err")]
fn setup(error: rcgen::Error) -> TlsError {
    TlsError::Setup(format!("no certificate: {error}"))
}
