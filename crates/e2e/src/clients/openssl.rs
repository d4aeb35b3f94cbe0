//! `openssl s_client`, Debian package `openssl`: a control connection of OpenSSL's making.

use anyhow::Result;

use super::Site;
use crate::{Finished, Security};

/// openssl's test client.
#[derive(Debug)]
pub struct Openssl;

impl Openssl {
    /// Connects (with `AUTH TLS` unless the site is implicit), verifies the certificate, sends
    /// `lines` and returns what came back.
    ///
    /// # Errors
    /// When it is missing or does not end.
    pub fn talk(site: &Site<'_>, flags: &[&str], lines: &[u8]) -> Result<Finished> {
        let mut openssl =
            site.program("openssl", "openssl")?.args(["s_client", "-connect", &site.server()?.to_string()]);
        if site.cell.security != Security::Implicit {
            openssl = openssl.args(["-starttls", "ftp"]);
        }
        openssl = openssl.arg("-CAfile").arg(site.subject.certificate.authority());
        openssl.args(["-verify_return_error", "-crlf", "-ign_eof"]).args(flags).input(lines).run()
    }
}
