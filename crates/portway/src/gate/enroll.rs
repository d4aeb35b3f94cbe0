//! `portway gate enroll`: an authority of one's own, the gate's certificate, and one for each server.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use portway_net::{
    Authority, ClientTls, ClientTlsOptions, Identity, ServerTls, ServerTlsOptions, TlsMin, Trust,
};

use super::args::EnrollArgs;

use crate::out;

/// Where certificates of agents are kept unless told otherwise, on gates and on servers alike.
pub(crate) const AGENT_DIR: &str = "/etc/portway/agent";

/// Makes what is missing, and keeps what is there.
pub(crate) fn run(args: &EnrollArgs) -> Result<ExitCode> {
    let dir = folder(args.agent_dir.as_ref());
    let authority = authority(&dir)?;
    if !dir.join("gate.pem").exists() {
        let gate = authority.issue_gate()?;
        write_new(&dir.join("gate.key"), gate.key.as_bytes())?;
        write_new(&dir.join("gate.pem"), gate.cert.as_bytes())?;
        out::line(format_args!("gate      {}", dir.join("gate.pem").display()));
    }
    let Some(name) = &args.name else {
        out::line(format_args!("next      portway gate enroll NAME --address ADDR   for each server"));
        return Ok(ExitCode::SUCCESS);
    };
    if name.is_empty() || name.starts_with('.') || !name.bytes().all(is_plain) {
        bail!("{name:?}: a name has letters, digits, dots, dashes and underscores");
    }
    if args.addresses.is_empty() {
        bail!("--address is needed: the server may speak for these addresses and no others");
    }
    let server = authority.issue_server(name, &args.addresses)?;
    let theirs = dir.join(name);
    make(&theirs)?;
    write_new(&theirs.join("server.key"), server.key.as_bytes())
        .with_context(|| format!("{name} has a certificate; remove {} for a new one", theirs.display()))?;
    write_new(&theirs.join("server.pem"), server.cert.as_bytes())?;
    let ca = fs::read(dir.join("ca.pem")).context("ca.pem")?;
    write_new(&theirs.join("ca.pem"), &ca)?;
    out::line(format_args!("server    {name}, for {:?}", args.addresses));
    out::line(format_args!(
        "next      copy {}/ to the server as {AGENT_DIR}/, then there:",
        theirs.display()
    ));
    out::line(format_args!("          portway serve --pinholes agent:GATE:PORT …"));
    Ok(ExitCode::SUCCESS)
}

/// The gate's side of TLS.
pub(crate) fn gate_tls(dir: Option<&PathBuf>) -> Result<ServerTls> {
    let dir = folder(dir);
    let identity = Identity::load(&dir.join("gate.pem"), &dir.join("gate.key"))
        .context("--agent needs certificates; `portway gate enroll` makes them")?;
    let options = ServerTlsOptions {
        client_ca: Some(dir.join("ca.pem")),
        require_client_cert: true,
        min: TlsMin::V13,
        ..ServerTlsOptions::default()
    };
    Ok(ServerTls::new(identity, options)?)
}

/// A server's side of TLS.
pub(crate) fn server_tls(dir: Option<&PathBuf>) -> Result<ClientTls> {
    let dir = folder(dir);
    let identity = Identity::load(&dir.join("server.pem"), &dir.join("server.key"))
        .context("agent:… needs a certificate; `portway gate enroll NAME` on the gate makes it")?;
    let options = ClientTlsOptions {
        trust: Trust::Only(dir.join("ca.pem")),
        min: TlsMin::V13,
        identity: Some(identity),
        ..ClientTlsOptions::default()
    };
    Ok(ClientTls::new(&options)?)
}

fn folder(given: Option<&PathBuf>) -> PathBuf {
    given.cloned().unwrap_or_else(|| AGENT_DIR.into())
}

fn authority(dir: &Path) -> Result<Authority> {
    make(dir)?;
    let path = dir.join("authority.key");
    if path.exists() {
        let key = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        return Ok(Authority::load(&key)?);
    }
    let (authority, own) = Authority::create()?;
    write_new(&path, own.key.as_bytes())?;
    write_new(&dir.join("ca.pem"), own.cert.as_bytes())?;
    out::line(format_args!("authority {}, which is worth guarding", path.display()));
    Ok(authority)
}

fn make(dir: &Path) -> Result<()> {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))
}

/// Readable by its owner only; never over a file that is there.
fn write_new(path: &Path, text: &[u8]) -> Result<()> {
    let mut options = fs::OpenOptions::new();
    let mut file = options
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(text).with_context(|| format!("cannot write {}", path.display()))
}

fn is_plain(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'.' | b'-' | b'_')
}
