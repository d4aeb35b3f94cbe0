//! Certificates believed because they were seen before: trust on first use, as ssh has it.

use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

/// The servers whose certificate no authority vouches for, with the certificate each had when the user said so.
///
/// A file of lines, `HOST:PORT SHA256:AB:CD:…`, which a person may edit. Other lines are passed over.
#[derive(Default)]
pub struct KnownServers {
    file: Option<PathBuf>,
    /// Learnt by this process.
    learnt: Mutex<Vec<(String, String)>>,
    first_use: bool,
    told: Option<Box<Told>>,
}

/// Takes a sentence for the user.
type Told = dyn Fn(&str) + Send + Sync;

/// A server shows another certificate than the one it is known by.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "THE CERTIFICATE OF {server} HAS CHANGED: it was SHA256:{known} and is SHA256:{shown}. Somebody may be in between"
)]
pub struct ChangedCertificate {
    /// Host and port.
    pub server: String,
    /// The fingerprint it is known by.
    pub known: String,
    /// The fingerprint it showed.
    pub shown: String,
}

impl KnownServers {
    /// Kept in `file`, which need not exist.
    #[must_use]
    pub fn in_file(file: PathBuf) -> Self {
        Self { file: Some(file), ..Self::default() }
    }

    /// Kept with the data of this user: `$XDG_DATA_HOME/portway/known-servers` or
    /// `~/.local/share/portway/known-servers`; in this process alone if there is neither.
    #[must_use]
    pub fn of_user(data: Option<&Path>, home: Option<&Path>) -> Self {
        let folder = data
            .filter(|path| path.is_absolute())
            .map(Path::to_path_buf)
            .or_else(|| home.filter(|path| path.is_absolute()).map(|home| home.join(".local/share")));
        folder.map_or_else(Self::default, |folder| Self::in_file(folder.join("portway/known-servers")))
    }

    /// Believe servers that are not known yet, and remember them; `told` gets a sentence for the user each time.
    #[must_use]
    pub fn trusting_first(mut self, told: impl Fn(&str) + Send + Sync + 'static) -> Self {
        self.first_use = true;
        self.told = Some(Box::new(told));
        self
    }

    /// Whether servers are believed at first sight.
    #[must_use]
    pub fn trusts_first(&self) -> bool {
        self.first_use
    }

    /// Where they are kept.
    #[must_use]
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// The fingerprint that a server, `host:port`, is known by. The last line about it counts.
    #[must_use]
    pub fn recall(&self, server: &str) -> Option<String> {
        let learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        let here = learnt.iter().rev().find(|(name, _)| name == server).map(|(_, print)| print.clone());
        here.or_else(|| {
            let text = fs::read_to_string(self.file.as_ref()?).ok()?;
            text.lines().rev().find_map(|line| {
                let (name, print) = line.trim().split_once(' ')?;
                let print = print.trim().strip_prefix("SHA256:")?;
                (name == server).then(|| print.to_owned())
            })
        })
    }

    /// Remembers a server.
    ///
    /// # Errors
    /// If it cannot be written down: it must not be believed then, or every time would be the first.
    pub fn learn(&self, server: &str, fingerprint: &str) -> io::Result<()> {
        if let Some(file) = &self.file {
            if let Some(folder) = file.parent() {
                fs::create_dir_all(folder)?;
            }
            let mut out = fs::File::options().append(true).create(true).mode(0o600).open(file)?;
            // One write: lines of several processes do not mix.
            out.write_all(format!("{server} SHA256:{fingerprint}\n").as_bytes())?;
        }
        let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
        learnt.push((server.to_owned(), fingerprint.to_owned()));
        if let Some(told) = &self.told {
            let kept = self.file.as_ref().map(|file| format!(", kept in {}", file.display()));
            told(&format!(
                "{server} is believed at first sight: SHA256:{fingerprint}{}",
                kept.unwrap_or_default()
            ));
        }
        Ok(())
    }
}

impl fmt::Debug for KnownServers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, first_use, .. } = self;
        f.debug_struct("KnownServers")
            .field("file", file)
            .field("first_use", first_use)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_known_to_the_next_process_and_a_person_may_edit_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/known");
        let known = KnownServers::in_file(file.clone());
        assert_eq!(known.recall("h:21"), None);
        known.learn("h:21", "AA:BB").unwrap();
        assert_eq!(KnownServers::in_file(file.clone()).recall("h:21").as_deref(), Some("AA:BB"));
        let mut text = fs::read_to_string(&file).unwrap();
        text.push_str("# a note\nh:21\n h:21  SHA256:CC \nh:2121 SHA256:DD\n");
        fs::write(&file, text).unwrap();
        let again = KnownServers::in_file(file);
        assert_eq!(again.recall("h:21").as_deref(), Some("CC"));
        assert_eq!(again.recall("h:2121").as_deref(), Some("DD"));
        assert_eq!(again.recall("h"), None);
    }

    #[test]
    fn what_cannot_be_written_down_is_not_believed() {
        let known = KnownServers::in_file(PathBuf::from("/proc/nowhere/known"));
        assert!(known.learn("h:21", "AA").is_err());
        assert_eq!(known.recall("h:21"), None);
    }
}
