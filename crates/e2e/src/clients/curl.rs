//! curl, Debian package `curl`.

use std::fmt::Write as _;

use anyhow::Result;

use super::{ALL, Act, Client, Site, Skill, url, v6};
use crate::{Program, Security};

/// curl; what it has no option for, it sends with `--quote`.
#[derive(Debug)]
pub struct Curl;

impl Curl {
    /// curl with the options that a site needs, without a URL.
    ///
    /// # Errors
    /// When it is missing.
    pub fn at(site: &Site<'_>) -> Result<Program> {
        let (user, password) = site.subject.account();
        let mut program =
            site.program("curl", "curl")?.args(["-sS", "--fail", "--no-netrc", "--path-as-is", "--globoff"]);
        program = program.arg("--user").arg(format!("{user}:{password}"));
        if site.passive() {
            program = program.arg("--ftp-pasv");
        } else {
            program = program.arg("--ftp-port").arg(if v6(site.cell) { "::1" } else { "127.0.0.1" });
        }
        if site.cell.security != Security::Plain {
            program = program.arg("--ssl-reqd").arg("--cacert").arg(site.subject.certificate.authority());
        }
        Ok(program)
    }

    /// The URL of a remote name.
    ///
    /// # Errors
    /// When the subject has no port for the cell.
    pub fn url(site: &Site<'_>, remote: &[u8]) -> Result<String> {
        Ok(url(super::scheme(site.cell), site.server()?, remote))
    }
}

impl Client for Curl {
    fn name(&self) -> &'static str {
        "curl"
    }

    fn skills(&self) -> &'static [Skill] {
        ALL
    }

    fn spells(&self, name: &[u8]) -> bool {
        // It refuses URLs with control characters in them.
        !name.iter().any(u8::is_ascii_control)
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let curl = Self::at(site)?;
        let quote = |curl: Program, commands: &[String]| -> Result<Program> {
            let curl = curl.arg("--head").arg(Self::url(site, b"")?);
            Ok(commands.iter().fold(curl, |curl, command| curl.arg("--quote").arg(command)))
        };
        let done = match act {
            Act::List { folder } => {
                curl.arg("--list-only").arg(Self::url(site, format!("{folder}/").as_bytes())?)
            }
            Act::Get { remote, local } => curl.arg("-o").arg(local).arg(Self::url(site, remote)?),
            Act::ResumeGet { remote, local } => {
                curl.args(["-C", "-"]).arg("-o").arg(local).arg(Self::url(site, remote)?)
            }
            Act::Put { local, remote } => curl.arg("-T").arg(local).arg(Self::url(site, remote)?),
            Act::Append { local, remote } => {
                curl.arg("--append").arg("-T").arg(local).arg(Self::url(site, remote)?)
            }
            Act::ResumePut { local, remote } => {
                curl.args(["-C", "-"]).arg("-T").arg(local).arg(Self::url(site, remote)?)
            }
            Act::Rename { from, to } => quote(curl, &[format!("RNFR {from}"), format!("RNTO {to}")])?,
            Act::Delete { remote } => quote(curl, &[format!("DELE {remote}")])?,
            Act::MakeFolder { remote } => quote(curl, &[format!("MKD {remote}")])?,
            Act::RemoveFolder { remote } => quote(curl, &[format!("RMD {remote}")])?,
            Act::Mirror { remote, local } => {
                let config = mirror(site, remote, local)?;
                let file = site.home.join("mirror.curl");
                std::fs::write(&file, config)?;
                curl.args(["--parallel", "--parallel-max", "8", "--fail-early", "--create-dirs"])
                    .arg("--config")
                    .arg(file)
            }
        };
        Ok(done.succeed()?.stdout)
    }
}

/// A list of all files, gathered folder by folder: curl itself does not recurse.
fn mirror(site: &Site<'_>, remote: &str, local: &std::path::Path) -> Result<String> {
    let mut listing = Curl::at(site)?.arg("--list-only");
    for i in 0..10 {
        let url = Curl::url(site, format!("{remote}/d{i}/").as_bytes())?;
        listing = listing.arg("-o").arg(site.home.join(format!("names{i}"))).arg(url);
    }
    listing.succeed()?;
    let mut config = String::new();
    for i in 0..10 {
        for name in std::fs::read_to_string(site.home.join(format!("names{i}")))?.lines() {
            writeln!(config, "url = \"{}\"", Curl::url(site, format!("{remote}/d{i}/{name}").as_bytes())?)?;
            writeln!(config, "output = \"{}\"", local.join(format!("d{i}")).join(name).display())?;
        }
    }
    Ok(config)
}
