//! What a certificate says about itself, for people.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

use super::identity::addresses;

/// What a certificate says about itself; whether that is true is another question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// Whom it is for, as `CN=…, O=…`.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Host names and addresses it stands for.
    pub names: Vec<String>,
    /// Valid from.
    pub not_before: SystemTime,
    /// Valid until.
    pub not_after: SystemTime,
    /// Its own issuer.
    pub self_signed: bool,
}

impl Certificate {
    /// Reads DER; `None` if it is no certificate.
    pub(crate) fn read(der: &[u8]) -> Option<Self> {
        let (_, cert) = X509Certificate::from_der(der).ok()?;
        let time = |seconds: i64| {
            let seconds = u64::try_from(seconds).unwrap_or(0);
            SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
        };
        let mut names: Vec<String> = Vec::new();
        if let Ok(Some(alternative)) = cert.subject_alternative_name() {
            names.extend(alternative.value.general_names.iter().filter_map(|name| match name {
                GeneralName::DNSName(name) => Some((*name).to_owned()),
                _ => None,
            }));
        }
        names.extend(addresses(der).iter().map(IpAddr::to_string));
        let (subject, issuer) = (cert.subject().to_string(), cert.issuer().to_string());
        Some(Self {
            self_signed: subject == issuer,
            subject,
            issuer,
            names,
            not_before: time(cert.validity().not_before.timestamp())?,
            not_after: time(cert.validity().not_after.timestamp())?,
        })
    }

    /// Reads the first certificate of a PEM file.
    ///
    /// # Errors
    /// [`super::TlsError::File`] if there is none.
    pub fn load(path: &std::path::Path) -> Result<Self, super::TlsError> {
        let chain = super::identity::read_certificates(path)?;
        chain.first().and_then(|der| Self::read(der)).ok_or_else(|| super::TlsError::File {
            path: path.to_path_buf(),
            what: "holds no certificate that can be read".into(),
        })
    }

    /// Whether it stands for this host name or address (RFC 9525 §6.3: a `*` stands for one whole label).
    #[must_use]
    pub fn is_for(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        self.names.iter().any(|name| {
            let name = name.to_ascii_lowercase();
            match name.strip_prefix("*.") {
                Some(rest) => {
                    host.split_once('.').is_some_and(|(label, tail)| !label.is_empty() && tail == rest)
                }
                None => name == host,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Identity;

    #[test]
    fn a_certificate_tells_its_names_and_days() {
        let names = ["ftp.example.org", "*.example.net", "192.0.2.1"].map(str::to_owned);
        let (_, pem, _) = Identity::self_signed(&names).unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cert.pem");
        std::fs::write(&path, pem).unwrap();
        let cert = Certificate::load(&path).unwrap();
        assert!(cert.self_signed);
        assert!(cert.not_before < cert.not_after);
        for (host, fits) in [
            ("ftp.example.org", true),
            ("FTP.Example.org.", true),
            ("a.example.net", true),
            ("a.b.example.net", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
        ] {
            assert_eq!(cert.is_for(host), fits, "{host}");
        }
        std::fs::write(&path, "nothing").unwrap();
        assert!(Certificate::load(&path).is_err());
    }
}
