//! The programs that the end-to-end tests do not start, with what fits them for a measurement.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use portway_e2e::Certificate;
use portway_peers::{Brand, Papers, Site, python};

use super::{ACCOUNT, Rival};

/// As many sessions as each is told to allow.
const SESSIONS: &str = "20000";

/// Whether it can be started; says how to get it if not.
pub(super) fn find(rival: Rival) -> Result<()> {
    match rival {
        Rival::Portway => {}
        Rival::Unftp => drop(unftp()?),
        Rival::Vsftpd => drop(Brand::Vsftpd.find()?),
        Rival::Proftpd => drop(Brand::Proftpd.find()?),
        Rival::PureFtpd => drop(Brand::PureFtpd.find()?),
        Rival::Pyftpdlib => {
            let found = python().args(["-c", "import pyftpdlib, OpenSSL"]).stderr(Stdio::null()).status();
            ensure!(found.is_ok_and(|status| status.success()), "cargo xtask bench fetches it by pip");
        }
    }
    Ok(())
}

/// Its version, or nothing.
pub(super) fn version(rival: Rival) -> String {
    if rival == Rival::Portway {
        return env!("CARGO_PKG_VERSION").to_owned();
    }
    let said = question(rival).ok().and_then(|mut command| command.output().ok());
    let text = said.map(|said| [said.stdout, said.stderr].concat()).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let number = |word: &str| word.trim_start_matches('v').starts_with(|c: char| c.is_ascii_digit());
    text.split_whitespace().find(|word| number(word)).unwrap_or("?").trim_start_matches('v').to_owned()
}

/// What says the version.
fn question(rival: Rival) -> Result<Command> {
    let (mut command, words): (_, &[&str]) = match rival {
        // Its own -v writes to standard input.
        Rival::Vsftpd => (Command::new("dpkg-query"), &["-f", "${Version}", "-W", "vsftpd"]),
        Rival::Proftpd => (Brand::Proftpd.find()?.command(), &["-v"]),
        Rival::PureFtpd => (Brand::PureFtpd.find()?.command(), &["--help"]),
        Rival::Pyftpdlib => (python(), &["-c", "import pyftpdlib; print(pyftpdlib.__ver__)"]),
        // Its -V is a name without a number.
        Rival::Unftp | Rival::Portway => (Command::new(unftp()?), &["--version"]),
    };
    command.args(words);
    Ok(command)
}

/// What starts it in the foreground.
pub(super) fn command(
    rival: Rival,
    home: &Path,
    tree: &Path,
    at: SocketAddr,
    certificate: &Certificate,
) -> Result<Command> {
    let own = |name: &str| home.join(name).display().to_string();
    let (brand, more) = match rival {
        Rival::Proftpd => (
            Brand::Proftpd,
            "MaxInstances none\nUseSendfile on\nTLSOptions NoSessionReuseRequired\nTLSSessionTickets on"
                .to_owned(),
        ),
        Rival::PureFtpd => {
            (Brand::PureFtpd, format!("-c {SESSIONS} -C {SESSIONS} -O clf:{}", own("transfers")))
        }
        Rival::Pyftpdlib => (
            Brand::Pyftpdlib,
            format!(
                "import logging\nlogging.basicConfig(filename={:?}, level=logging.INFO)\n\
                 Server = FTPServer\nServer.max_cons = {SESSIONS}",
                own("log")
            ),
        ),
        Rival::Unftp => return unftp_command(home, tree, at, certificate),
        Rival::Vsftpd | Rival::Portway => unreachable!("the harness starts these"),
    };
    let (chain, key) = (certificate.chain(), certificate.key());
    let papers = Some(Papers { chain: &chain, key: &key });
    let site = Site { home, folder: tree, at, account: ACCOUNT, papers, implicit: false, more: &more };
    Ok(brand.command(&site)?)
}

fn unftp() -> Result<PathBuf> {
    let own = crate::home()?.join("../target/bench-peers/bin/unftp");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut files =
        std::iter::once(own).chain(std::env::split_paths(&path).map(|folder| folder.join("unftp")));
    files
        .find(|file| file.is_file())
        .context("unftp is missing; cargo xtask bench builds it by cargo install, which takes minutes")
}

fn unftp_command(home: &Path, tree: &Path, at: SocketAddr, certificate: &Certificate) -> Result<Command> {
    let users = home.join("users.json");
    let text = format!("[{{\"username\": {:?}, \"password\": {:?}}}]", ACCOUNT.0, ACCOUNT.1);
    std::fs::write(&users, text)?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(unftp()?);
    command.arg("--bind-address").arg(at.to_string()).arg("--root-dir").arg(tree);
    command.args(["--auth-type", "json", "--auth-json-path"]).arg(users);
    command.arg("--ftps-certs-file").arg(certificate.chain());
    command.arg("--ftps-key-file").arg(certificate.key());
    command.args(["--passive-ports", "21000-29999", "-v", "--bind-address-http", "127.0.0.1:0"]);
    Ok(command)
}
