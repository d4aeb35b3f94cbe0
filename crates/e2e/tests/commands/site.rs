//! A server and a home, and the program between them.

use std::path::{Path, PathBuf};

use anyhow::Result;
use portway_e2e::{Options, Program, Subject, Terminal, Tree};
use serde_json::Value;

pub(crate) struct Site {
    pub(crate) subject: Subject,
    pub(crate) home: Tree,
}

impl Site {
    pub(crate) fn new() -> Result<Self> {
        Self::with(&Options::default())
    }

    pub(crate) fn with(options: &Options) -> Result<Self> {
        Ok(Self { subject: Subject::start(options)?, home: Tree::new()? })
    }

    pub(crate) fn url(&self, path: &str) -> Result<String> {
        Ok(format!("ftp://{}/{path}", self.subject.port()?))
    }

    /// `portway` with these arguments, an account, and trust in the server's certificate.
    pub(crate) fn portway(&self, words: &[&str]) -> Result<Program> {
        let (user, password) = self.subject.account();
        Ok(Program::portway()?
            .folder(self.home.path())
            .env("FTP_USER", user)
            .env("FTP_PASSWORD", password)
            .args(words)
            .arg("--ca")
            .arg(self.subject.certificate.authority()))
    }

    /// The shell, on a terminal.
    pub(crate) fn shell(&self, more: &[&str]) -> Result<Terminal> {
        let url = self.url("")?;
        Terminal::start(self.portway(&[&["shell", &url][..], more].concat())?)
    }
}

/// The JSON objects on standard output.
pub(crate) fn events(stdout: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stdout);
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

pub(crate) fn snapshot_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/commands/snapshots").join(name)
}

pub(crate) fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}
