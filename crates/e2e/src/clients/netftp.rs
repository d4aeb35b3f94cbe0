//! Perl's Net::FTP, Debian packages `perl` and `libio-socket-ssl-perl`.

use std::os::unix::ffi::OsStrExt;

use anyhow::Result;

use super::{ALL, Act, Client, Site, Skill, ftplib};

/// A script around Net::FTP, with IO::Socket::SSL for TLS.
#[derive(Debug)]
pub struct NetFtp;

impl Client for NetFtp {
    fn name(&self) -> &'static str {
        "Net::FTP"
    }

    fn skills(&self) -> &'static [Skill] {
        ALL
    }

    fn spells(&self, name: &[u8]) -> bool {
        // It splits commands at line ends and knows no escape.
        !name.iter().any(|octet| b"\r\n".contains(octet))
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let script = std::ffi::OsStr::from_bytes(include_bytes!("netftp.pl"));
        ftplib::script(site, site.program("perl", "perl libio-socket-ssl-perl")?.arg("-e").arg(script), act)
    }
}
