//! lftp, Debian package `lftp`.

use anyhow::Result;

use super::{ALL, Act, Client, Site, Skill, line, octets, quoted};
use crate::{Program, Security};

/// lftp in batch mode.
#[derive(Debug)]
pub struct Lftp;

impl Client for Lftp {
    fn name(&self) -> &'static str {
        "lftp"
    }

    /// Its `put -c` appends with REST and STOR, or with APPE when told so: [`Skill::Append`] is that.
    fn skills(&self) -> &'static [Skill] {
        ALL
    }

    fn spells(&self, name: &[u8]) -> bool {
        // It refuses control characters in names, and recodes what is no UTF-8.
        std::str::from_utf8(name).is_ok() && !name.iter().any(u8::is_ascii_control)
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let command = match act {
            Act::List { folder } => line(&[b"cls -1 -a --quiet", &quoted(format!("{folder}/").as_bytes())]),
            Act::Get { remote, local } => line(&[b"get --", &quoted(remote), b"-o", &quoted(octets(local))]),
            Act::ResumeGet { remote, local } => {
                line(&[b"get -c --", &quoted(remote), b"-o", &quoted(octets(local))])
            }
            Act::Put { local, remote } => line(&[b"put --", &quoted(octets(local)), b"-o", &quoted(remote)]),
            Act::Append { local, remote } | Act::ResumePut { local, remote } => {
                line(&[b"put -c --", &quoted(octets(local)), b"-o", &quoted(remote)])
            }
            Act::Rename { from, to } => line(&[b"mv", &quoted(from.as_bytes()), &quoted(to.as_bytes())]),
            Act::Delete { remote } => line(&[b"rm", &quoted(remote.as_bytes())]),
            Act::MakeFolder { remote } => line(&[b"mkdir", &quoted(remote.as_bytes())]),
            Act::RemoveFolder { remote } => line(&[b"rmdir", &quoted(remote.as_bytes())]),
            Act::Mirror { remote, local } => {
                line(&[b"mirror --parallel=4", &quoted(remote.as_bytes()), &quoted(octets(local))])
            }
        };
        Ok(Self::at(site, &command, matches!(act, Act::Append { .. }))?.succeed()?.stdout)
    }
}

impl Lftp {
    /// lftp with the settings that a site needs and `command` to run. With `append` it continues
    /// uploads with APPE in place of REST and STOR.
    ///
    /// # Errors
    /// When it is missing.
    pub fn at(site: &Site<'_>, command: &[u8], append: bool) -> Result<Program> {
        let server = site.server()?;
        let (user, password) = site.subject.account();
        let plain = site.cell.security == Security::Plain;
        let mut script = Vec::new();
        for (name, value) in [
            ("cmd:fail-exit", "yes".to_owned()),
            ("net:max-retries", "2".to_owned()),
            ("net:timeout", "20s".to_owned()),
            ("net:reconnect-interval-base", "1".to_owned()),
            ("xfer:clobber", "yes".to_owned()),
            ("ftp:passive-mode", site.passive().to_string()),
            ("ftp:ssl-allow", (!plain).to_string()),
            ("ftp:ssl-force", (!plain).to_string()),
            ("ftp:ssl-protect-data", (!plain).to_string()),
            ("ssl:verify-certificate", "yes".to_owned()),
            ("ssl:ca-file", site.subject.certificate.authority().display().to_string()),
            ("ftp:rest-stor", (!append).to_string()),
        ] {
            script.extend(line(&[b"set", name.as_bytes(), &quoted(value.as_bytes())]));
        }
        let credentials = quoted(format!("{user},{password}").as_bytes());
        let scheme = super::scheme(site.cell);
        script.extend(line(&[b"open -u", &credentials, format!("{scheme}://{server}").as_bytes()]));
        script.extend(command);
        let file = site.home.join("script.lftp");
        std::fs::write(&file, script)?;
        Ok(site.program("lftp", "lftp")?.arg("--norc").arg("-f").arg(file))
    }
}
