//! Which server it is, by what it says about itself.

use serde::Serialize;

/// A server's software.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Software {
    /// It does not say.
    #[default]
    Unknown,
    /// portway.
    Portway,
    /// vsftpd.
    Vsftpd,
    /// ProFTPD.
    Proftpd,
    /// Pure-FTPd.
    PureFtpd,
    /// FileZilla Server.
    FilezillaServer,
}

impl Software {
    /// Reads whatever the server said: greeting, SYST, STAT, HELP, FEAT, refusals.
    #[must_use]
    pub fn guess(said: &str) -> Self {
        let said = said.to_ascii_lowercase();
        let has = |word: &str| said.contains(word);
        match () {
            () if has("vsftpd") || has("please specify the password") => Self::Vsftpd,
            () if has("proftpd") => Self::Proftpd,
            () if has("pure-ftpd") || has("pureftpd") || has("won't open a connection to") => Self::PureFtpd,
            () if has("filezilla server") => Self::FilezillaServer,
            () if has("portway") => Self::Portway,
            () => Self::Unknown,
        }
    }

    /// Its name for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "an unknown server",
            Self::Portway => "portway",
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "ProFTPD",
            Self::PureFtpd => "Pure-FTPd",
            Self::FilezillaServer => "FileZilla Server",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_known_by_their_words() {
        for (said, want) in [
            ("(vsFTPd 3.0.5)", Software::Vsftpd),
            ("ProFTPD Server (Debian) [::ffff:192.0.2.1]", Software::Proftpd),
            ("---------- Welcome to Pure-FTPd [privsep] [TLS] ----------", Software::PureFtpd),
            ("FileZilla Server 1.8.1", Software::FilezillaServer),
            ("portway FTP server ready.", Software::Portway),
            ("Welcome.", Software::Unknown),
        ] {
            assert_eq!(Software::guess(said), want, "{said}");
        }
    }
}
