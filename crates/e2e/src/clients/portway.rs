//! `portway get`, `put` and the others, of this workspace.

use anyhow::Result;

use super::{Act, Client, Site, Skill, url};
use crate::{Program, Security};

/// Our own client.
#[derive(Debug)]
pub struct Portway;

impl Portway {
    /// `portway COMMAND` with the options that a site needs, without a URL.
    ///
    /// # Errors
    /// When it cannot be built.
    pub fn at(site: &Site<'_>, command: &str) -> Result<Program> {
        let (user, password) = site.subject.account();
        let program = Program::portway()?.folder(site.home).arg(command);
        let program = program.env("FTP_USER", user).env("FTP_PASSWORD", password);
        let program = program.args(["--mode", if site.passive() { "passive" } else { "active" }]);
        Ok(match site.cell.security {
            Security::Plain => program.args(["--tls", "off"]),
            _ => program.args(["--tls", "required", "--ca"]).arg(site.subject.certificate.authority()),
        })
    }

    /// The URL of a remote name.
    ///
    /// # Errors
    /// When the subject has no port for the cell.
    pub fn url(site: &Site<'_>, remote: &[u8]) -> Result<String> {
        Ok(url(super::scheme(site.cell), site.server()?, remote))
    }
}

impl Client for Portway {
    fn name(&self) -> &'static str {
        "portway"
    }

    /// There is no command to append; what is missing at the end of a file is sent with `put --continue`.
    fn skills(&self) -> &'static [Skill] {
        &[
            Skill::List,
            Skill::Get,
            Skill::Put,
            Skill::ResumeGet,
            Skill::ResumePut,
            Skill::Rename,
            Skill::Delete,
            Skill::Folders,
            Skill::Mirror,
        ]
    }

    /// CR, LF and NUL cannot be sent over FTP (RFC 959 §5.3.1), and no server shall be made to guess.
    fn spells(&self, name: &[u8]) -> bool {
        !name.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0))
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let at = |command: &str| Self::at(site, command);
        let url = |remote: &[u8]| Self::url(site, remote);
        let folder = |remote: &str| url(format!("{remote}/").as_bytes());
        let done = match act {
            Act::List { folder: name } => at("ls")?.arg(folder(name)?),
            Act::Get { remote, local } => at("get")?.arg("--output").arg(local).arg(url(remote)?),
            Act::ResumeGet { remote, local } => {
                at("get")?.args(["--continue", "--output"]).arg(local).arg(url(remote)?)
            }
            Act::Put { local, remote } => at("put")?.arg(local).arg(url(remote)?),
            Act::Append { .. } => anyhow::bail!("portway does not append"),
            Act::ResumePut { local, remote } => at("put")?.arg("--continue").arg(local).arg(url(remote)?),
            Act::Rename { from, to } => at("mv")?.arg(url(from.as_bytes())?).arg(to),
            Act::Delete { remote } => at("rm")?.arg(url(remote.as_bytes())?),
            Act::MakeFolder { remote } => at("mkdir")?.arg(url(remote.as_bytes())?),
            Act::RemoveFolder { remote } => at("rm")?.arg(folder(remote)?),
            Act::Mirror { remote, local } => at("mirror")?.arg(folder(remote)?).arg(local),
        };
        Ok(done.succeed()?.stdout)
    }
}
