//! GNU wget, Debian package `wget`: downloads only.

use anyhow::Result;

use super::{Act, Client, Site, Skill, url};
use crate::Security;

/// wget.
#[derive(Debug)]
pub struct Wget;

impl Client for Wget {
    fn name(&self) -> &'static str {
        "wget"
    }

    fn skills(&self) -> &'static [Skill] {
        &[Skill::List, Skill::Get, Skill::ResumeGet, Skill::Mirror]
    }

    fn spells(&self, name: &[u8]) -> bool {
        // It refuses control characters, and recodes what is no UTF-8.
        std::str::from_utf8(name).is_ok() && !name.iter().any(u8::is_ascii_control)
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let (user, password) = site.subject.account();
        let mut wget = site.program("wget", "wget")?.args([
            "-nv",
            "--no-config",
            "--tries=2",
            "--timeout=20",
            "--no-glob",
        ]);
        wget = wget.arg(format!("--user={user}")).arg(format!("--password={password}"));
        if !site.passive() {
            wget = wget.arg("--no-passive-ftp");
        }
        if site.cell.security != Security::Plain {
            wget = wget.arg(format!("--ca-certificate={}", site.subject.certificate.authority().display()));
        }
        if site.cell.security == Security::Implicit {
            wget = wget.arg("--ftps-implicit");
        }
        let scheme = if site.cell.security == Security::Plain { "ftp" } else { "ftps" };
        let url = |path: &[u8]| Ok::<_, anyhow::Error>(url(scheme, site.server()?, path));
        let done = match act {
            Act::List { folder } => {
                let done = wget
                    .args(["--no-remove-listing", "-O", "index.html"])
                    .arg(url(format!("{folder}/").as_bytes())?);
                done.succeed()?;
                return Ok(names(&std::fs::read(site.home.join(".listing"))?));
            }
            Act::Get { remote, local } => wget.arg("-O").arg(local).arg(url(remote)?),
            Act::ResumeGet { remote, local } => wget.arg("-c").arg("-O").arg(local).arg(url(remote)?),
            Act::Mirror { remote, local } => {
                let wget = wget.args(["-r", "-nH", "--cut-dirs=1", "-P"]).arg(local);
                wget.arg(url(format!("{remote}/").as_bytes())?)
            }
            other => anyhow::bail!("wget cannot {other:?}"),
        };
        Ok(done.succeed()?.stdout)
    }
}

/// The names of a listing in the form of `ls -l`: what follows the eighth run of blanks.
fn names(listing: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for line in listing.split(|&octet| octet == b'\n') {
        let mut rest = line.strip_suffix(b"\r").unwrap_or(line);
        for _ in 0..8 {
            let word = rest.iter().position(|&octet| octet == b' ').unwrap_or(rest.len());
            rest = rest.get(word..).unwrap_or_default().trim_ascii_start();
        }
        if !rest.is_empty() {
            out.extend_from_slice(rest);
            out.push(b'\n');
        }
    }
    out
}
