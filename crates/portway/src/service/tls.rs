//! The certificate: given, or made at the first start and kept.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use portway_net::Identity;

use super::{Service, TlsMode};

/// The certificate in use.
pub(crate) struct Found {
    pub(crate) identity: Identity,
    /// Where a self-signed one is kept; `None` for one that was given.
    pub(crate) self_signed: Option<Kept>,
}

/// Where a self-signed certificate lives.
pub(crate) enum Kept {
    /// In this file.
    File(PathBuf),
    /// Nowhere: the next start makes another.
    Nowhere,
}

/// Loads or makes the certificate; `None` where TLS is off.
pub(crate) fn identity(service: &Service) -> Result<Option<Found>> {
    if service.tls == TlsMode::Off { Ok(None) } else { find(service.cert.as_ref()).map(Some) }
}

/// The certificate that was given, or the kept one, or a new one.
pub(crate) fn find(given: Option<&(PathBuf, PathBuf)>) -> Result<Found> {
    if let Some((cert, key)) = given {
        let identity =
            Identity::load(cert, key).with_context(|| format!("certificate {}", cert.display()))?;
        return Ok(Found { identity, self_signed: None });
    }
    if let Some(dir) = state_dir() {
        let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        if let Ok(identity) = Identity::load(&cert, &key) {
            return Ok(Found { identity, self_signed: Some(Kept::File(cert)) });
        }
        let (identity, cert_pem, key_pem) =
            Identity::self_signed(&names()).context("self-signed certificate")?;
        let kept = match keep(&dir, &[(&key, key_pem.as_bytes()), (&cert, cert_pem.as_bytes())]) {
            Ok(()) => Kept::File(cert),
            Err(_) => Kept::Nowhere,
        };
        return Ok(Found { identity, self_signed: Some(kept) });
    }
    let (identity, ..) = Identity::self_signed(&names()).context("self-signed certificate")?;
    Ok(Found { identity, self_signed: Some(Kept::Nowhere) })
}

/// `$XDG_STATE_HOME/portway`, or `~/.local/state/portway`.
pub(crate) fn state_dir() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")))?;
    let dir = base.join("portway");
    // Before the server is confined to it. Where it cannot be made, nothing is kept.
    let _ = fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir);
    Some(dir)
}

/// Writes each file whole or not at all, readable by its owner only.
fn keep(dir: &Path, files: &[(&PathBuf, &[u8])]) -> std::io::Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    for (path, text) in files {
        let fresh = path.with_extension("new");
        let _ = fs::remove_file(&fresh);
        let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text)?;
        fs::rename(&fresh, path)?;
    }
    Ok(())
}

fn names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if !host.is_empty() && !names.contains(&host) {
        names.push(host);
    }
    names
}
