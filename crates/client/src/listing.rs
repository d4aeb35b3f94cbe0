//! Listings: MLSD where the server has it, LIST where it has not.

use portway_data::Progress;
use portway_proto::client::{DataEnd, Evidence, Judgement, found_nothing};
use portway_proto::row::{ListRow, RowFormat, RowKind, RowParser};
use portway_proto::{Representation, Timestamp};

use crate::{Body, Cause, Connection, Error, Job, Phase};

/// Octets of one listing at most; a hostile server cannot fill the memory.
pub(crate) const LARGEST: usize = 256 * 1024 * 1024;

impl Connection {
    /// The entries of a directory, `None` for the current one. `.` and `..`, and rows that cannot be read, are
    /// left out; names are as the server said them, so ask [`ListRow::safe_name`] before using one here.
    ///
    /// # Errors
    /// [`Error`]; an empty directory is an empty list, whatever the server calls it.
    pub async fn list(&mut self, path: Option<&[u8]>) -> Result<Vec<ListRow>, Error> {
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

    async fn rows(&mut self, job: Job<'_>) -> Result<Vec<ListRow>, Error> {
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
                return Ok(Vec::new());
            }
            Err(error) => return Err(error),
        };
        if done.reply.as_ref().is_some_and(found_nothing) {
            return Ok(Vec::new());
        }
        let reply = done.reply.as_ref().map(|reply| reply.code);
        let evidence = Evidence { expected: None, reached: done.octets, end: done.end, reply, upload: false };
        match evidence.judge() {
            // No size tells; what the server ended properly on either channel is whole.
            Judgement::Complete | Judgement::CompleteByProof => {}
            Judgement::Ask if done.end == DataEnd::Unfinished => {}
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
        Ok(read_rows(&text, format))
    }
}

/// Reads the rows of a listing; `format` is what is tried first.
pub(crate) fn read_rows(text: &[u8], format: RowFormat) -> Vec<ListRow> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let now = i64::try_from(now.as_secs()).ok().and_then(|now| Timestamp::from_unix(now, 0));
    let now = now.unwrap_or(Timestamp::MIN);
    let mut parser = RowParser::new(format);
    let read = text.split(|&b| b == b'\n').filter_map(|line| parser.parse_line(line, now).ok().flatten());
    let mut rows: Vec<ListRow> = read.collect();
    rows.extend(parser.finish());
    rows.retain(|row| {
        !matches!(row.kind, RowKind::Cdir | RowKind::Pdir) && row.name != b"." && row.name != b".."
    });
    rows
}

pub(crate) fn is_refusal(error: &Error, codes: &[u16]) -> bool {
    matches!(&error.cause, Cause::Refused { reply, .. } if codes.contains(&reply.code))
}
