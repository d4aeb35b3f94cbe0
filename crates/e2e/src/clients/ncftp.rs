//! ncftp, ncftpls, ncftpget and ncftpput, Debian package `ncftp`. It knows neither IPv6 nor TLS.

use anyhow::{Result, ensure};

use super::prompt::CLASSIC;
use super::{Act, Client, Site, Skill, line, quoted};
use crate::Program;

/// The NcFTP family.
#[derive(Debug)]
pub struct Ncftp;

impl Ncftp {
    fn at(site: &Site<'_>, name: &str) -> Result<Program> {
        let (user, password) = site.subject.account();
        let port = site.server()?.port().to_string();
        let program = site.program(name, "ncftp")?;
        // The very first start of a HOME asks and explains things.
        std::fs::create_dir_all(site.home.join(".ncftp"))?;
        std::fs::write(site.home.join(".ncftp/init_v3"), "")?;
        std::fs::write(site.home.join(".ncftp/firewall"), "firewall-type=0\n")?;
        Ok(program.args(["-u", user, "-p", password, "-P", &port]))
    }

    fn with_mode(site: &Site<'_>, name: &str) -> Result<Program> {
        Ok(Self::at(site, name)?.args(["-t", "20", "-r", "1", if site.passive() { "-F" } else { "-E" }]))
    }

    /// The interactive program, fed with a script.
    fn shell(site: &Site<'_>, script: &[u8]) -> Result<Vec<u8>> {
        let host = site.server()?.ip().to_string();
        let mut input = line(&[b"set passive", if site.passive() { b"on" } else { b"off" }]);
        input.extend_from_slice(script);
        input.extend_from_slice(b"quit\n");
        let finished = Self::at(site, "ncftp")?.arg(host).input(input).succeed()?;
        let text = finished.text();
        // Its exit code says nothing about its commands.
        ensure!(
            !["failed", "Could not", "No such", "ermission"].iter().any(|bad| text.contains(bad)),
            "ncftp: {text}"
        );
        Ok(finished.stdout)
    }
}

impl Client for Ncftp {
    fn name(&self) -> &'static str {
        "ncftp"
    }

    /// `ncftpput -z` (3.2.6) sends REST and then the file from its beginning, to any server: it
    /// cannot resume uploads.
    fn skills(&self) -> &'static [Skill] {
        CLASSIC
    }

    fn spells(&self, name: &[u8]) -> bool {
        // Names are patterns to it, a dash begins an option, and it trims blanks.
        let pattern = name.iter().any(|octet| b"*?[]{}\\".contains(octet) || octet.is_ascii_control());
        !pattern && !name.starts_with(b"-") && name.trim_ascii() == name
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        use std::os::unix::ffi::OsStrExt;
        let host = site.server()?.ip().to_string();
        let name = std::ffi::OsStr::from_bytes;
        let done = match act {
            Act::List { folder } => {
                Self::with_mode(site, "ncftpls")?.arg("-1").arg(format!("ftp://{host}/{folder}/"))
            }
            Act::Get { remote, local } => {
                Self::with_mode(site, "ncftpget")?.args(["-Z", "-C", &host]).arg(name(remote)).arg(local)
            }
            Act::ResumeGet { remote, local } => {
                // Resuming is for whole folders of files: the local file bears the remote name.
                let folder = local.parent().unwrap_or(site.home);
                std::fs::rename(local, folder.join(name(remote)))?;
                let done = Self::with_mode(site, "ncftpget")?
                    .args(["-z", &host])
                    .arg(folder)
                    .arg(name(remote))
                    .succeed()?;
                std::fs::rename(folder.join(name(remote)), local)?;
                return Ok(done.stdout);
            }
            Act::Put { local, remote } => {
                Self::with_mode(site, "ncftpput")?.args(["-Z", "-C", &host]).arg(local).arg(name(remote))
            }
            Act::Append { local, remote } => {
                Self::with_mode(site, "ncftpput")?.args(["-A", "-C", &host]).arg(local).arg(name(remote))
            }
            Act::ResumePut { .. } => anyhow::bail!("ncftpput cannot resume"),
            Act::Rename { from, to } => {
                return Self::shell(
                    site,
                    &line(&[b"rename", &quoted(from.as_bytes()), &quoted(to.as_bytes())]),
                );
            }
            Act::Delete { remote } => return Self::shell(site, &line(&[b"rm", &quoted(remote.as_bytes())])),
            Act::MakeFolder { remote } => {
                return Self::shell(site, &line(&[b"mkdir", &quoted(remote.as_bytes())]));
            }
            Act::RemoveFolder { remote } => {
                return Self::shell(site, &line(&[b"rmdir", &quoted(remote.as_bytes())]));
            }
            Act::Mirror { remote, local } => {
                let all = (0..10).map(|i| format!("{remote}/d{i}"));
                Self::with_mode(site, "ncftpget")?.args(["-R", "-T", &host]).arg(local).args(all)
            }
        };
        Ok(done.succeed()?.stdout)
    }
}
