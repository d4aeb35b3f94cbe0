//! Directories, deletion, renaming.

use portway_accounts::Rights;
use portway_proto::{Code, Reply, quote};
use portway_vfs::{Entry, Kind, VPath, VfsError};

use super::{User, name_refusal, no_right, refusal};

impl User {
    pub(super) fn change_directory(&mut self, arg: &[u8]) -> Reply {
        match self.enter(arg) {
            Ok(()) => {
                let mut text = b"Directory is now ".to_vec();
                text.extend_from_slice(self.directory.as_bytes());
                Reply::octets(Code::FILE_ACTION_OK, &text)
            }
            Err(error) => refusal(arg, &error),
        }
    }

    fn enter(&mut self, arg: &[u8]) -> Result<(), VfsError> {
        let path = self.path(arg)?;
        match self.storage.stat(&path)?.kind {
            Kind::Dir => {
                self.directory = path;
                Ok(())
            }
            _ => Err(VfsError::NotADirectory),
        }
    }

    pub(super) fn print_directory(&self) -> Reply {
        let mut text = quote(self.directory.as_bytes());
        text.extend_from_slice(b" is the current directory.");
        Reply::octets(Code::PATH, &text)
    }

    pub(super) fn make_directory(&self, arg: &[u8]) -> Reply {
        if !self.may(Rights::MKDIR) {
            return no_right();
        }
        let made = self.path(arg).and_then(|path| {
            self.storage.make_dir(&path)?;
            if let Some(umask) = self.umask {
                self.storage.set_mode(&path, 0o777 & !umask)?;
            }
            Ok(path)
        });
        match made {
            // RFC 959 App. II: the absolute path, so that a client can go there from anywhere.
            Ok(path) => {
                let mut text = quote(path.as_bytes());
                text.extend_from_slice(b" created.");
                Reply::octets(Code::PATH, &text)
            }
            Err(error) => refusal(arg, &error),
        }
    }

    pub(super) fn remove_directory(&self, arg: &[u8]) -> Reply {
        if !self.may(Rights::RMDIR) {
            return no_right();
        }
        self.done(arg, "removed", self.path(arg).and_then(|path| self.storage.remove_dir(&path)))
    }

    pub(super) async fn remove_tree(&self, arg: &[u8]) -> Reply {
        if !self.may(Rights::RMDIR) || !self.may(Rights::DELETE) {
            return no_right();
        }
        let removed = match self.path(arg) {
            Ok(path) => self.blocking(&self.turns.storage, move |user| user.storage.remove_tree(&path)).await,
            Err(error) => Err(error),
        };
        self.done(arg, "removed with all in it", removed)
    }

    pub(super) fn delete(&self, arg: &[u8]) -> Reply {
        if !self.may(Rights::DELETE) {
            return no_right();
        }
        self.done(arg, "deleted", self.path(arg).and_then(|path| self.storage.remove_file(&path)))
    }

    /// RNFR: whether the name is there.
    pub(crate) fn can_rename(&self, arg: &[u8]) -> Result<(), Reply> {
        if !self.may(Rights::RENAME) {
            return Err(no_right());
        }
        let there = self.path(arg).and_then(|path| self.look(&path));
        there.map(drop).map_err(|error| refusal(arg, &error))
    }

    /// What stands at `path`. A link that leads nowhere stands there itself: it is listed, renamed and deleted,
    /// though it cannot be opened.
    pub(crate) fn look(&self, path: &VPath) -> Result<Entry, VfsError> {
        self.storage.stat(path).or_else(|error| self.storage.link(path).map_err(|_no_link| error))
    }

    /// RNTO.
    pub(crate) fn rename(&self, from: &[u8], to: &[u8]) -> Reply {
        if !self.may(Rights::RENAME) {
            return no_right();
        }
        let renamed = self.path(from).and_then(|source| {
            let target = self.path(to)?;
            if !self.may(Rights::OVERWRITE) && self.look(&target).is_ok() {
                return Err(VfsError::Exists);
            }
            self.storage.rename(&source, &target)
        });
        match renamed {
            Err(error) => name_refusal(to, &error),
            Ok(()) => self.done(to, "is the name now", Ok(())),
        }
    }

    /// COMB: the first name is the target, the others are appended to it and go.
    pub(super) async fn combine(&self, arg: &[u8]) -> Reply {
        if ![Rights::WRITE, Rights::APPEND, Rights::DELETE].into_iter().all(|right| self.may(right)) {
            return no_right();
        }
        let names = words(arg);
        let paths: Result<Vec<VPath>, VfsError> = names.iter().map(|name| self.path(name)).collect();
        let combined = match paths {
            Err(error) => Err(error),
            Ok(paths) => match paths.split_first() {
                Some((target, parts)) if !parts.is_empty() => {
                    let (target, parts) = (target.clone(), parts.to_vec());
                    let combine = move |user: &Self| user.storage.combine(&target, &parts).map(drop);
                    self.blocking(&self.turns.storage, combine).await
                }
                _ => {
                    return Reply::new(Code::BAD_PARAMETER, "COMB: expected a target and at least one part.");
                }
            },
        };
        self.done(names.first().map_or(arg, Vec::as_slice), "combined", combined)
    }

    pub(super) fn done(&self, name: &[u8], what: &str, result: Result<(), VfsError>) -> Reply {
        self.answered(Code::FILE_ACTION_OK, name, what, result)
    }

    pub(super) fn answered(
        &self,
        done: Code,
        name: &[u8],
        what: &str,
        result: Result<(), VfsError>,
    ) -> Reply {
        match result {
            Ok(()) => {
                let mut text = name.to_vec();
                text.extend_from_slice(format!(" {what}.").as_bytes());
                Reply::octets(done, &text)
            }
            Err(error) => refusal(name, &error),
        }
    }
}

/// Words parted by blanks; one with blanks in it stands in double quotes.
pub(super) fn words(arg: &[u8]) -> Vec<Vec<u8>> {
    let mut words = Vec::new();
    let mut rest = arg.trim_ascii_start();
    while let Some((&first, after)) = rest.split_first() {
        let (word, end) = if first == b'"' {
            let close = after.iter().position(|&b| b == b'"').unwrap_or(after.len());
            (after.get(..close), close + 2)
        } else {
            let end = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
            (rest.get(..end), end)
        };
        words.push(word.unwrap_or_default().to_vec());
        rest = rest.get(end..).unwrap_or_default().trim_ascii_start();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_blanks_stand_in_quotes() {
        let split = |arg: &str| {
            words(arg.as_bytes()).iter().map(|w| String::from_utf8_lossy(w).into_owned()).collect::<Vec<_>>()
        };
        assert_eq!(split("a b  c"), ["a", "b", "c"]);
        assert_eq!(split("\"a b\" c \"d"), ["a b", "c", "d"]);
        assert_eq!(split(""), [""; 0]);
    }
}
