//! Python's ftplib, Debian package `python3`.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use super::{ALL, Act, Client, Site, Skill};
use crate::{Program, Security};

/// A script around `ftplib.FTP` and `ftplib.FTP_TLS`. It never resumes a TLS session.
#[derive(Debug)]
pub struct Ftplib;

impl Client for Ftplib {
    fn name(&self) -> &'static str {
        "ftplib"
    }

    fn skills(&self) -> &'static [Skill] {
        ALL
    }

    fn spells(&self, name: &[u8]) -> bool {
        // It refuses line ends in commands.
        !name.iter().any(|octet| b"\r\n".contains(octet))
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        script(site, site.program("python3", "python3")?.args(["-c", include_str!("ftplib.py")]), act)
    }
}

/// Runs a script of ours: the account, the place and the act are its arguments.
pub(super) fn script(site: &Site<'_>, program: Program, act: &Act<'_>) -> Result<Vec<u8>> {
    let server = site.server()?;
    let (user, password) = site.subject.account();
    let security = match site.cell.security {
        Security::Plain => "plain",
        Security::Explicit => "explicit",
        Security::Implicit => "implicit",
    };
    let mode = if site.passive() { "passive" } else { "active" };
    let (host, port) = (server.ip().to_string(), server.port().to_string());
    let program = program.args([host.as_str(), &port, user, password, mode, security]);
    let program = program.arg(site.subject.certificate.authority());
    let os = std::ffi::OsStr::from_bytes;
    let done = match act {
        Act::List { folder } => program.args(["list", folder]),
        Act::Get { remote, local } => program.arg("get").arg(os(remote)).arg(local),
        Act::ResumeGet { remote, local } => program.arg("reget").arg(os(remote)).arg(local),
        Act::Put { local, remote } => program.arg("put").arg(local).arg(os(remote)),
        Act::Append { local, remote } => program.arg("append").arg(local).arg(os(remote)),
        Act::ResumePut { local, remote } => program.arg("reput").arg(local).arg(os(remote)),
        Act::Rename { from, to } => program.args(["rename", from, to]),
        Act::Delete { remote } => program.args(["delete", remote]),
        Act::MakeFolder { remote } => program.args(["mkdir", remote]),
        Act::RemoveFolder { remote } => program.args(["rmdir", remote]),
        Act::Mirror { remote, local } => program.args(["mirror", remote]).arg(local),
    };
    Ok(done.succeed()?.stdout)
}
