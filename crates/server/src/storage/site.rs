//! SITE.

use portway_accounts::Rights;
use portway_proto::{Code, Reply, Site, Utime};

use super::{User, no_right};

/// RFC 959 §5.4 knows no 250 for SITE, and PHP's ftp_chmod takes nothing but 200 for success.
const DONE: Code = Code::OK;

impl User {
    pub(super) fn site(&mut self, site: Site<'_>) -> Reply {
        match site {
            Site::Chmod { .. } | Site::Utime(_) if !self.may(Rights::CHMOD) => no_right(),
            Site::Symlink { .. } if !self.may(Rights::SYMLINK) => no_right(),
            Site::Chmod { mode, path } => {
                let set = self.path(path).and_then(|path| self.storage.set_mode(&path, mode));
                self.answered(DONE, path, "has its new mode", set)
            }
            Site::Utime(arg) => match Utime::parse(arg) {
                Ok(utime) => {
                    let (seconds, nanos) = (utime.modified.unix(), utime.modified.nanos());
                    let set = self
                        .path(utime.path)
                        .and_then(|path| self.storage.set_modified(&path, seconds, nanos));
                    self.answered(DONE, utime.path, "has its new time", set)
                }
                Err(error) => Reply::new(Code::BAD_PARAMETER, format_args!("SITE UTIME: {error}.")),
            },
            Site::Symlink { target, link } => {
                let made = self.path(link).and_then(|path| self.storage.symlink(target, &path));
                self.answered(DONE, link, "made", made)
            }
            Site::Umask(None) => match self.umask {
                Some(umask) => Reply::new(Code::OK, format_args!("Umask is {umask:03o}.")),
                None => Reply::new(Code::OK, "Umask is the server's own."),
            },
            Site::Umask(Some(umask)) => {
                self.umask = Some(umask);
                Reply::new(Code::OK, format_args!("Umask is {umask:03o}."))
            }
            // IDLE, HELP and unknown ones are answered by the dialogue.
            _ => Reply::new(Code::NOT_IMPLEMENTED, "This SITE command is not served."),
        }
    }
}
