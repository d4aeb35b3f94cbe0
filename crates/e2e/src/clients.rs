//! Real clients, each driven as its manual says.
//!
//! A client does [`Act`]s at a [`Site`]; which acts and which places of the matrix it knows is
//! part of its description, so that what is not tried is visible in one place.

mod curl;
mod ftplib;
mod lftp;
mod ncftp;
mod netftp;
mod openssl;
mod portway;
mod prompt;
mod wget;

use std::net::SocketAddr;
use std::path::Path;

use anyhow::Result;

pub use curl::Curl;
pub use ftplib::Ftplib;
pub use lftp::Lftp;
pub use ncftp::Ncftp;
pub use netftp::NetFtp;
pub use openssl::Openssl;
pub use portway::Portway;
pub use prompt::Prompt;
pub use wget::Wget;

use crate::{Cell, Family, Mode, Program, Security, Subject};

/// One thing a user asks a client to do. Remote names are relative to the folder after login.
#[derive(Clone, Copy, Debug)]
pub enum Act<'a> {
    /// Names in a folder, one a line on standard output.
    List {
        /// The folder.
        folder: &'a str,
    },
    /// Download to a file.
    Get {
        /// Its name there, any octets.
        remote: &'a [u8],
        /// Where it goes.
        local: &'a Path,
    },
    /// Upload under a name.
    Put {
        /// What to send.
        local: &'a Path,
        /// Its name there.
        remote: &'a [u8],
    },
    /// Upload to the end of a file (`APPE`).
    Append {
        /// What to send.
        local: &'a Path,
        /// The file it is added to.
        remote: &'a [u8],
    },
    /// Download what is missing at the end of a local file (`REST` and `RETR`).
    ResumeGet {
        /// Its name there.
        remote: &'a [u8],
        /// The part that is here.
        local: &'a Path,
    },
    /// Upload what is missing at the end of a remote file (`REST` and `STOR`, or `APPE`).
    ResumePut {
        /// The whole file.
        local: &'a Path,
        /// The part that is there.
        remote: &'a [u8],
    },
    /// Rename a file.
    Rename {
        /// Its name.
        from: &'a str,
        /// Its next name.
        to: &'a str,
    },
    /// Delete a file.
    Delete {
        /// Its name.
        remote: &'a str,
    },
    /// Make a folder.
    MakeFolder {
        /// Its name.
        remote: &'a str,
    },
    /// Delete an empty folder.
    RemoveFolder {
        /// Its name.
        remote: &'a str,
    },
    /// Download a folder of ten folders `d0` to `d9` with all files.
    Mirror {
        /// Its name there.
        remote: &'a str,
        /// The folder, which exists, that becomes its copy.
        local: &'a Path,
    },
}

/// The kinds of [`Act`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // each is the act of that name
pub enum Skill {
    List,
    Get,
    Put,
    Append,
    ResumeGet,
    ResumePut,
    Rename,
    Delete,
    Folders,
    Mirror,
}

/// Where and how a client connects.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    /// The server.
    pub subject: &'a Subject,
    /// Mode, family and protection.
    pub cell: Cell,
    /// The client's working folder and `HOME`.
    pub home: &'a Path,
}

impl Site<'_> {
    /// The control port.
    ///
    /// # Errors
    /// When the subject has none for this cell.
    pub fn server(&self) -> Result<SocketAddr> {
        self.subject.address(self.cell.family, self.cell.security)
    }

    fn passive(&self) -> bool {
        self.cell.mode == Mode::Passive
    }

    fn program(&self, name: &str, package: &str) -> Result<Program> {
        Ok(Program::new(name, package)?.folder(self.home))
    }
}

/// A client program.
pub trait Client: Sync {
    /// Its name, as in the table of `tests/README.md`.
    fn name(&self) -> &'static str;

    /// What it can do at all.
    fn skills(&self) -> &'static [Skill];

    /// Whether it can be asked for a file of this name: some programs have no way to spell some
    /// octets, or take them for a pattern.
    fn spells(&self, name: &[u8]) -> bool;

    /// Does it, and returns standard output.
    ///
    /// # Errors
    /// When the program is missing, or says that it failed.
    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>>;
}

/// Every skill there is.
pub const ALL: &[Skill] = &[
    Skill::List,
    Skill::Get,
    Skill::Put,
    Skill::Append,
    Skill::ResumeGet,
    Skill::ResumePut,
    Skill::Rename,
    Skill::Delete,
    Skill::Folders,
    Skill::Mirror,
];

/// The URL of a path; octets other than unreserved ones (RFC 3986 §2.3) are percent-encoded.
fn url(scheme: &str, server: SocketAddr, path: &[u8]) -> String {
    let path = path.iter().fold(String::new(), |text, octet| match octet {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
            text + &char::from(*octet).to_string()
        }
        other => text + &format!("%{other:02X}"),
    });
    format!("{scheme}://{server}/{path}")
}

fn scheme(cell: Cell) -> &'static str {
    if cell.security == Security::Implicit { "ftps" } else { "ftp" }
}

/// A name in double quotes, with `\` before `"` and `\`, as shells of FTP clients read it.
fn quoted(name: &[u8]) -> Vec<u8> {
    let mut out = vec![b'"'];
    for &octet in name {
        if matches!(octet, b'"' | b'\\') {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out.push(b'"');
    out
}

/// One line of a script: words joined by blanks.
fn line(words: &[&[u8]]) -> Vec<u8> {
    let mut line = words.join(&b' ');
    line.push(b'\n');
    line
}

fn octets(path: &Path) -> &[u8] {
    std::os::unix::ffi::OsStrExt::as_bytes(path.as_os_str())
}

fn v6(cell: Cell) -> bool {
    cell.family == Family::V6
}
