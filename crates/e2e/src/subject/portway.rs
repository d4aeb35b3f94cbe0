//! `portway serve` of this workspace.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};

use super::{Kind, Options, Subject};
use crate::wait::PATIENCE;
use crate::{Certificate, Lines, Tree};

pub(super) fn start(tree: Tree, certificate: Certificate, options: &Options) -> Result<Subject> {
    let binary = binary()?;
    // Whatever ends the test, the server ends with it.
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    if let Some(limit) = options.descriptors {
        command.arg("prlimit").arg(format!("--nofile={limit}"));
    }
    if let Some(octets) = options.disk {
        // As root of a user namespace of its own if it is not root already.
        command.args(["unshare", "--mount", "--map-root-user", "sh", "-c"]);
        command.arg(format!("mount -t tmpfs -o size={octets} tmpfs \"$3\" && exec \"$@\"")).arg("sh");
    }
    command.arg(binary).arg("serve").arg(tree.path());
    for address in &options.listen {
        command.arg("--listen").arg(std::net::SocketAddr::new(*address, 0).to_string());
    }
    if let Some(address) = options.implicit {
        command.arg("--implicit").arg(std::net::SocketAddr::new(address, 0).to_string());
    }
    for (user, password) in &options.users {
        command.arg("--user").arg(format!("{user}:{password}"));
    }
    if options.tls {
        command.arg("--cert").arg(certificate.chain()).arg("--key").arg(certificate.key());
    }
    command.args(["--log-format", "json"]).args(&options.flags);
    // It must find no configuration of the machine it runs on.
    command.env("HOME", tree.path()).env_remove("XDG_CONFIG_HOME").env_remove("XDG_STATE_HOME");
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());

    let mut child = command.spawn().context("cannot start portway")?;
    let summary = Lines::follow(child.stdout.take().context("no stdout")?);
    let log = Lines::follow(child.stderr.take().context("no stderr")?);
    let mut subject = Subject {
        tree,
        certificate,
        log,
        summary,
        kind: Kind::Portway,
        account: options
            .users
            .first()
            .cloned()
            .unwrap_or_else(|| ("anonymous".to_owned(), "e2e@".to_owned())),
        plain: Vec::new(),
        implicit: Vec::new(),
        children: vec![child],
        proxy: None,
    };
    let (mut plain, mut implicit) = (Vec::new(), Vec::new());
    let wanted = options.listen.len() + usize::from(options.implicit.is_some());
    let heard = subject.summary.wait_for("the last «listening URL»", PATIENCE, |line| {
        let url = line.trim().strip_prefix("listening ")?;
        let (scheme, address) = url.trim_end_matches('/').split_once("://")?;
        let list = if scheme == "ftps" { &mut implicit } else { &mut plain };
        list.push(address.parse().ok()?);
        (plain.len() + implicit.len() == wanted).then_some(())
    });
    heard.with_context(|| format!("portway said: {}", subject.log.so_far().join("\n")))?;
    (subject.plain, subject.implicit) = (plain, implicit);
    Ok(subject)
}

/// The binary of this workspace, in the profile that the test itself was built in; or what
/// `PORTWAY_BIN` names. It is built first when a source file is younger.
///
/// # Errors
/// When it cannot be built.
pub fn binary() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os("PORTWAY_BIN") {
        return Ok(named.into());
    }
    let test = std::env::current_exe()?;
    // Tests live in target/PROFILE/deps, programs in target/PROFILE.
    let folder = test.parent().context("a program has a folder")?;
    let target = if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder };
    let (binary, stamp) = (target.join("portway"), target.join(".portway-e2e-built"));
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("crates/e2e has a parent")?;
    let built =
        [&binary, &stamp].into_iter().filter_map(|file| fs::metadata(file).ok()?.modified().ok()).max();
    if fs::metadata(&binary).is_err() || built < Some(youngest(crates)?) {
        build(crates, target)?;
        fs::write(&stamp, b"")?;
    }
    ensure!(binary.is_file(), "{} is missing", binary.display());
    Ok(binary)
}

fn build(crates: &Path, target: &Path) -> Result<()> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "-p", "portway"]).current_dir(crates);
    if target.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "cargo build -p portway:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// When a source of the product changed last.
fn youngest(folder: &Path) -> Result<SystemTime> {
    let mut found = SystemTime::UNIX_EPOCH;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        if kind.is_dir() && !["tests", "e2e", "bench", "xtask"].iter().any(|other| name == *other) {
            found = found.max(youngest(&entry.path())?);
        } else if kind.is_file() {
            found = found.max(entry.metadata()?.modified()?);
        }
    }
    Ok(found)
}
