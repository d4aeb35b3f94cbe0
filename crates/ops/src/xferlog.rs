//! The transfer log that wu-ftpd began and that statistics programs still read.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::event::{Direction, Transfer, TransferResult};
use crate::sink::open_append;

/// A log in the format of xferlog(5): one line per file sent or received, complete or not; listings are not in
/// it.
///
/// Times are local, as the format wants them. White space and control characters in names become `_`, and the
/// octets of a name that is not UTF-8 stay as they are: readers split the line at spaces.
#[derive(Debug)]
pub struct Xferlog {
    path: PathBuf,
    file: File,
    zone: TimeZone,
}

impl Xferlog {
    /// Opens the file for appending, and makes it if it is missing (0640).
    ///
    /// # Errors
    /// If it cannot be opened.
    pub fn open(path: impl Into<PathBuf>) -> io::Result<Self> {
        let path = path.into();
        let file = open_append(&path)?;
        Ok(Self { path, file, zone: TimeZone::system() })
    }

    /// The file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens the file anew by its name, after a rotation.
    ///
    /// # Errors
    /// If it cannot be opened; the old file goes on being used then.
    pub fn reopen(&mut self) -> io::Result<()> {
        self.file = open_append(&self.path)?;
        Ok(())
    }

    /// Appends one line in one write; does nothing for a listing. `ended` is when the transfer ended.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn write(&mut self, ended: SystemTime, transfer: &Transfer) -> io::Result<()> {
        match line(ended, &self.zone, transfer) {
            Some(line) => self.file.write_all(&line),
            None => Ok(()),
        }
    }
}

/// The fields of xferlog(5), in its order, with the line end.
fn line(ended: SystemTime, zone: &TimeZone, transfer: &Transfer) -> Option<Vec<u8>> {
    let direction = match transfer.direction {
        Direction::In => 'i',
        Direction::Out => 'o',
        Direction::List => return None,
    };
    let ended = Timestamp::try_from(ended).unwrap_or(Timestamp::UNIX_EPOCH).to_zoned(zone.clone());
    let ended = ended.strftime("%a %b %e %H:%M:%S %Y");
    // A transfer of less than a second took one, as other servers have it: readers divide by this.
    let seconds = transfer.seconds.0.as_secs_f64().round().max(1.0) as u64;
    let mut line = format!("{ended} {seconds} {} {} ", transfer.peer, transfer.bytes).into_bytes();
    line.extend(one_word(transfer.path.as_octets()));
    let kind = if transfer.ascii { 'a' } else { 'b' };
    let special = if transfer.compressed { 'C' } else { '_' };
    let access = if transfer.anonymous { 'a' } else { 'r' };
    line.extend(format!(" {kind} {special} {direction} {access} ").into_bytes());
    line.extend(one_word(transfer.user.as_octets()));
    let completion = if transfer.result == TransferResult::Complete { 'c' } else { 'i' };
    line.extend(format!(" ftp 0 * {completion}\n").into_bytes());
    Some(line)
}

/// A name without anything that a reader could take for the end of a field or of the line.
fn one_word(octets: &[u8]) -> Vec<u8> {
    match octets {
        [] => b"_".to_vec(),
        octets => octets.iter().map(|&b| if b <= b' ' || b == 0x7f { b'_' } else { b }).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Seconds;
    use std::time::{Duration, UNIX_EPOCH};

    fn upload() -> Transfer {
        Transfer {
            session: 12,
            peer: "192.0.2.7".parse().unwrap(),
            user: "ann".into(),
            anonymous: false,
            verb: "STOR",
            path: "/in/a file.txt".into(),
            direction: Direction::In,
            bytes: 1_048_576,
            seconds: Seconds(Duration::from_millis(2600)),
            mode: "EPSV",
            port: 2000,
            tls: true,
            resumed: Some(true),
            ascii: false,
            compressed: false,
            restart_offset: 0,
            result: TransferResult::Complete,
            code: 226,
            cause: None,
        }
    }

    fn shown(transfer: &Transfer) -> String {
        let ended = UNIX_EPOCH + Duration::from_secs(1_793_787_308);
        String::from_utf8(line(ended, &TimeZone::UTC, transfer).unwrap_or_default()).unwrap()
    }

    #[test]
    fn lines_have_the_fields_of_xferlog_in_its_order() {
        let download = Transfer {
            direction: Direction::Out,
            anonymous: true,
            user: "ftp".into(),
            ascii: true,
            compressed: true,
            result: TransferResult::Aborted,
            seconds: Seconds(Duration::from_millis(3)),
            ..upload()
        };
        let listing = Transfer { direction: Direction::List, ..upload() };
        for (what, transfer, expected) in [
            (
                "upload",
                upload(),
                "Wed Nov  4 10:15:08 2026 3 192.0.2.7 1048576 /in/a_file.txt b _ i r ann ftp 0 * c\n",
            ),
            (
                "download",
                download,
                "Wed Nov  4 10:15:08 2026 1 192.0.2.7 1048576 /in/a_file.txt a C o a ftp ftp 0 * i\n",
            ),
            ("listing", listing, ""),
        ] {
            assert_eq!(shown(&transfer), expected, "{what}");
        }
    }

    #[test]
    fn no_name_can_add_a_field_or_a_line() {
        for path in ["a b", "a\nMon Jan  1 b", "a\r\tb", "\x0b\x0c", "", " "] {
            let line = shown(&Transfer { path: path.into(), user: path.into(), ..upload() });
            assert_eq!(line.split_ascii_whitespace().count(), 18, "{line}");
            assert_eq!(line.matches('\n').count(), 1, "{line}");
        }
    }

    #[test]
    fn a_rotated_file_is_left_and_a_new_one_begun() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("xferlog"), folder.path().join("xferlog.1"));
        let mut log = Xferlog::open(&path).unwrap();
        log.write(UNIX_EPOCH, &upload()).unwrap();
        std::fs::rename(&path, &old).unwrap();
        log.reopen().unwrap();
        log.write(UNIX_EPOCH, &upload()).unwrap();
        for file in [path, old] {
            assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1, "{file:?}");
        }
    }
}
