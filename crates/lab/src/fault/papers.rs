//! Certificates: an authority that the client's system trusts, and what it issued.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};

use super::setting::Paper;
use crate::error::LabError;

/// The authority of a set-up.
pub(super) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Its own certificate, PEM.
    pub(super) pem: String,
}

/// Two files.
#[derive(Clone, Debug)]
pub(super) struct Files {
    /// Chain, PEM.
    pub(super) certificate: PathBuf,
    /// Key, PEM.
    pub(super) key: PathBuf,
    /// Both in one file, as vsftpd and Pure-FTPd want them.
    pub(super) both: PathBuf,
}

impl Authority {
    /// A new one.
    pub(super) fn new() -> Result<Self, LabError> {
        let made = || -> Result<Self, rcgen::Error> {
            let mut params = CertificateParams::default();
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params.distinguished_name.push(DnType::CommonName, "Root of Trust Services");
            let key = KeyPair::generate()?;
            let pem = params.self_signed(&key)?.pem();
            Ok(Self { issuer: Issuer::new(params, key), pem })
        };
        made().map_err(|why| failed(&why))
    }

    /// Issues one for `name`, or one with what `paper` says is wrong, and writes it to files called `file`.
    pub(super) fn issue(&self, paper: Paper, name: &str, file: &Path) -> Result<Files, LabError> {
        let made = || -> Result<(String, String), rcgen::Error> {
            let name = if paper == Paper::OtherName { format!("old.{name}") } else { name.to_owned() };
            let mut params = CertificateParams::new(vec![name.clone()])?;
            params.distinguished_name.push(DnType::CommonName, name);
            if paper == Paper::Expired {
                params.not_before = date_time_ymd(2023, 1, 1);
                params.not_after = date_time_ymd(2024, 1, 1);
            }
            let key = KeyPair::generate()?;
            let chain = params.signed_by(&key, &self.issuer)?.pem();
            Ok((chain, key.serialize_pem()))
        };
        let (chain, key) = made().map_err(|why| failed(&why))?;
        let files = Files {
            certificate: file.with_extension("crt"),
            key: file.with_extension("key"),
            both: file.with_extension("pem"),
        };
        let write = |to: &Path, text: &str| {
            std::fs::write(to, text)?;
            std::fs::set_permissions(to, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        };
        write(&files.certificate, &chain)
            .and_then(|()| write(&files.key, &key))
            .and_then(|()| write(&files.both, &format!("{key}{chain}")))
            .map_err(LabError::system("no certificate"))?;
        Ok(files)
    }
}

fn failed(why: &rcgen::Error) -> LabError {
    LabError::Inside(format!("no certificate: {why}"))
}
