//! The four servers, and what all are told.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{PeerError, write};
use crate::find::{Found, find};
use crate::{proftpd, pure_ftpd, pyftpdlib, vsftpd};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Brand {
    /// Debian's vsftpd. Takes root, for a mount namespace, and lets any name and password in.
    Vsftpd,
    /// Debian's ProFTPD, whose sessions run as nobody. Takes root.
    Proftpd,
    /// Debian's Pure-FTPd, whose sessions run as nobody. Takes root.
    PureFtpd,
    /// The Python library, with a thread for each session.
    Pyftpdlib,
}

/// What a server is told: one address, one account that may do everything, one folder that it never leaves.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// A folder for its own files. ProFTPD keeps nothing where everybody may write.
    pub home: &'a Path,
    /// The folder it serves.
    pub folder: &'a Path,
    /// Where it listens.
    pub at: SocketAddr,
    /// Name and password.
    pub account: (&'a str, &'a str),
    /// TLS is offered with these and not asked for; without them there is none.
    pub papers: Option<Papers<'a>>,
    /// TLS from the first octet, in place of AUTH. pyftpdlib cannot.
    pub implicit: bool,
    /// More in its own language: lines for vsftpd and ProFTPD, each of which replaces the usual one of its key; words
    /// of the command line for Pure-FTPd; Python for pyftpdlib, where `h` is the handler and `Server` the server.
    pub more: &'a str,
}

/// A certificate with a key for ECDSA.
#[derive(Clone, Copy, Debug)]
pub struct Papers<'a> {
    /// The file of the certificate, with those that lead to its authority.
    pub chain: &'a Path,
    /// The file of its key.
    pub key: &'a Path,
}

impl Brand {
    /// What people call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vsftpd => "vsftpd",
            Self::Proftpd => "ProFTPD",
            Self::PureFtpd => "Pure-FTPd",
            Self::Pyftpdlib => "pyftpdlib",
        }
    }

    /// Finds the program; pyftpdlib has none, and [`python`](crate::python) finds it.
    ///
    /// # Errors
    /// [`PeerError::Missing`].
    pub fn find(self) -> Result<Found, PeerError> {
        match self {
            Self::Vsftpd => find("vsftpd", "vsftpd"),
            Self::Proftpd => find("proftpd", "proftpd-core proftpd-mod-crypto"),
            Self::PureFtpd => find("pure-ftpd", "pure-ftpd"),
            Self::Pyftpdlib => find("python3", "python3"),
        }
    }

    /// Writes its files and returns what starts it in the foreground, for [`Running::start`](crate::Running::start).
    /// Passive ports are 21000 to 29999.
    ///
    /// # Errors
    /// When it or a tool of its is missing, or its files cannot be written.
    pub fn command(self, site: &Site<'_>) -> Result<Command, PeerError> {
        match self {
            Self::Vsftpd => vsftpd::command(site),
            Self::Proftpd => proftpd::command(site),
            Self::PureFtpd => pure_ftpd::command(site),
            Self::Pyftpdlib => pyftpdlib::command(site),
        }
    }
}

impl Site<'_> {
    /// The certificate with its key in one file, as some want it.
    pub(crate) fn both(&self) -> Result<Option<PathBuf>, PeerError> {
        let Some(papers) = self.papers else { return Ok(None) };
        let mut text = Vec::new();
        for file in [papers.key, papers.chain] {
            let part = std::fs::read(file).map_err(|why| PeerError::File { file: file.to_owned(), why })?;
            text.extend_from_slice(&part);
        }
        write(self.home.join("both.pem"), text).map(Some)
    }
}

/// A password as a server that hashes it is given it: quickly, so that sixty logins take no minute.
pub(crate) fn hash(password: &str) -> Result<String, PeerError> {
    let made = Command::new("openssl").args(["passwd", "-1", password]).output();
    let made = made.map_err(|why| PeerError::Start { program: "openssl", why })?;
    Ok(String::from_utf8_lossy(&made.stdout).trim().to_owned())
}
