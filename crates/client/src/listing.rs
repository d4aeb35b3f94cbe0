//! Listings: MLSD where the server has it, LIST where it has not.

use portway_data::{Failure, Progress};
use portway_proto::client::{DataEnd, Evidence, Judgement, found_nothing, says_empty};
use portway_proto::row::{ListRow, RowFormat, RowKind, RowParser};
use portway_proto::{Representation, Timestamp, printable};

use crate::{Body, Cause, Connection, Error, Job, Phase};

/// Octets of one listing at most; a hostile server cannot fill the memory.
pub(crate) const LARGEST: usize = 256 * 1024 * 1024;
/// Names in it at most: a row can be three octets long, and takes a hundred times that here.
const MOST: usize = 2_000_000;

/// A directory as the server lists it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    /// Its entries.
    pub(crate) rows: Vec<ListRow>,
    /// Lines that no format explains. What they stand for is there all the same.
    pub(crate) unread: usize,
    /// What the directory itself is known by (RFC 3659 §7.5.2).
    pub(crate) unique: Option<Vec<u8>>,
}

impl Connection {
    /// The entries of a directory, `None` for the current one. `.` and `..`, and rows that cannot be read, are
    /// left out; names are as the server said them, so ask [`ListRow::safe_name`] before using one here.
    ///
    /// # Errors
    /// [`Error`]; an empty directory is an empty list, whatever the server calls it. A listing of which no line can be
    /// read is none.
    pub async fn list(&mut self, path: Option<&[u8]>) -> Result<Vec<ListRow>, Error> {
        self.listing(path).await.map(|listing| listing.rows)
    }

    /// As [`Self::list`], with what else the listing tells.
    pub(crate) async fn listing(&mut self, path: Option<&[u8]>) -> Result<Listing, Error> {
        if self.features().mlst() {
            match self.rows(Job::Mlsd { path }).await {
                // Listed in FEAT and not there, or not for this directory.
                Err(error) if is_refusal(&error, &[500, 502, 504]) => {}
                done => return done,
            }
        }
        self.rows(Job::List { path, flags: None }).await
    }

    /// What the server says about one path (MLST), where it can; `None` where it cannot or there is nothing.
    ///
    /// # Errors
    /// [`Error`] of the connection.
    pub async fn facts(&mut self, path: &[u8]) -> Result<Option<ListRow>, Error> {
        if !self.features().mlst() {
            return Ok(None);
        }
        let reply = self.call(&portway_proto::Command::Mlst(Some(path))).await?;
        if reply.code / 100 != 2 {
            return Ok(None);
        }
        let inner = reply.lines.get(1).or(reply.lines.first());
        Ok(inner.and_then(|line| ListRow::parse_mlst(line).ok()))
    }

    async fn rows(&mut self, job: Job<'_>) -> Result<Listing, Error> {
        let mut text = Vec::new();
        let mut keep = |octets: &[u8]| {
            if text.len().saturating_add(octets.len()) > LARGEST {
                return Err(std::io::Error::other("the listing is larger than 256 MiB"));
            }
            text.extend_from_slice(octets);
            Ok(())
        };
        let progress = Progress::new();
        // In image mode, so that the size counts and no octet of a name changes; lines end in CRLF anyhow.
        let done = self.transfer(job, Body::To(&mut keep), Representation::Image, &progress).await;
        let done = match done {
            Ok(done) => done,
            Err(Error { cause: Cause::Refused { reply, .. }, .. }) if found_nothing(&reply) => {
                return Ok(Listing::default());
            }
            Err(error) => return Err(error),
        };
        if done.reply.as_ref().is_some_and(found_nothing) {
            return Ok(Listing::default());
        }
        let reply = done.reply.as_ref().map(|reply| reply.code);
        let evidence = Evidence { expected: None, reached: done.octets, end: done.end, reply, upload: false };
        match evidence.judge() {
            // No size tells; what the server ended properly on either channel is whole.
            Judgement::Complete | Judgement::CompleteByProof => {}
            Judgement::Ask if done.end == DataEnd::Unfinished => {}
            // An empty directory, which no server has to open a data connection for. A silent one is none.
            Judgement::Ask
                if done.octets == 0
                    && matches!(reply, Some(200..300))
                    && !matches!(done.failure, Some(Failure::Stalled { .. })) => {}
            _ => {
                return Err(match (done.failure, done.control) {
                    (Some(failure), _) => Error::new(Phase::Transfer, failure),
                    (None, Some(error)) => error,
                    (None, None) => {
                        Error::new(Phase::Transfer, Cause::Cut { expected: None, reached: done.octets })
                    }
                });
            }
        }
        let format = if matches!(job, Job::Mlsd { .. }) { RowFormat::Mlsx } else { RowFormat::Auto };
        read_rows(&text, format)
    }
}

/// Reads the rows of a listing; `format` is what is tried first.
///
/// # Errors
/// [`Cause::Listing`] if there are lines and none can be read, or too many.
pub(crate) fn read_rows(text: &[u8], format: RowFormat) -> Result<Listing, Error> {
    read_up_to(MOST, text, format)
}

fn read_up_to(most: usize, text: &[u8], format: RowFormat) -> Result<Listing, Error> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| Timestamp::from_unix(now, 0));
    let now = now.unwrap_or(Timestamp::MIN);
    let mut parser = RowParser::new(format);
    let (mut listing, mut strange) = (Listing::default(), None);
    let refused = |what: String| Error::new(Phase::Transfer, Cause::Listing(what));
    for line in text.split(|&b| b == b'\n') {
        match parser.parse_line(line, now) {
            Ok(Some(row)) => listing.take(row),
            Ok(None) => {}
            // What some servers send in place of rows.
            Err(_) if says_empty(line) => {}
            Err(_) => {
                listing.unread += 1;
                strange = strange.or(Some(line));
            }
        }
        if listing.rows.len() > most {
            return Err(refused(format!("the listing has more than {most} names")));
        }
    }
    if let Some(row) = parser.finish() {
        listing.take(row);
    }
    match strange {
        Some(line) if listing.rows.is_empty() && listing.unique.is_none() => {
            let line = printable(line.get(..60).unwrap_or(line).trim_ascii());
            Err(refused(format!("the listing is in no format that is known: \"{line}\"")))
        }
        _ => Ok(listing),
    }
}

impl Listing {
    fn take(&mut self, row: ListRow) {
        match row.kind {
            RowKind::Cdir => self.unique = row.unique,
            RowKind::Pdir => {}
            _ if row.name == b"." || row.name == b".." => {}
            _ => self.rows.push(row),
        }
    }
}

pub(crate) fn is_refusal(error: &Error, codes: &[u16]) -> bool {
    matches!(&error.cause, Cause::Refused { reply, .. } if codes.contains(&reply.code))
}

/// Whether a refused listing says that the directory is not there. By their codes nearly all servers do; some have
/// one for all that goes wrong (ftp-srv: `451 ENOENT: no such file or directory`).
pub(crate) fn is_missing(error: &Error) -> bool {
    let Cause::Refused { reply, .. } = &error.cause else { return false };
    let text = reply.lines.join(&b' ').to_ascii_lowercase();
    matches!(reply.code, 450 | 501 | 550)
        || reply.code != 421 && String::from_utf8_lossy(&text).contains("no such file")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_not_there_is_known_by_codes_and_by_words() {
        for (code, words, missing) in [
            (550, "x: no such directory.", true),
            (450, "x", true),
            (501, "x", true),
            (451, "ENOENT: no such file or directory, stat '/m'", true),
            (451, "Local error", false),
            (421, "No such file; goodbye", false),
            (530, "Log in first", false),
        ] {
            let reply = portway_proto::RawReply { code, lines: vec![words.as_bytes().to_vec()] };
            let error = Error::new(Phase::Command, Cause::Refused { command: "LIST m".to_owned(), reply });
            assert_eq!(is_missing(&error), missing, "{code} {words}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_counted_and_no_empty_directory() {
        let rows = |text: &[u8]| read_up_to(3, text, RowFormat::Mlsx);
        for nothing in [&b""[..], b"\r\n", b"type=cdir;unique=1; .\r\n"] {
            let listing = rows(nothing).unwrap();
            assert!(listing.rows.is_empty() && listing.unread == 0, "{}", printable(nothing));
        }
        let listing = read_up_to(3, b"total 0\r\n", RowFormat::Auto).unwrap();
        assert!(listing.rows.is_empty() && listing.unread == 0, "a sum is no row");
        let listing = read_up_to(3, b"No files found.\r\n", RowFormat::Auto).unwrap();
        assert!(listing.rows.is_empty() && listing.unread == 0, "words that say it is empty");
        for strange in [&b"<html>\r\n"[..], b"\xff\x1b[2J\r\n"] {
            let error = rows(strange).unwrap_err();
            assert_eq!(error.class(), "listing", "{error}");
            assert!(!error.to_string().contains('\x1b'), "{error}");
        }
        let listing = rows(b"type=cdir;unique=7; .\r\ntype=file; a\r\nwhat\r\n").unwrap();
        assert_eq!((listing.rows.len(), listing.unread), (1, 1));
        assert_eq!(listing.unique.as_deref(), Some(&b"7"[..]));
        assert!(rows(&b" a\r\n".repeat(4)).unwrap_err().to_string().contains("more than 3 names"));
    }
}
