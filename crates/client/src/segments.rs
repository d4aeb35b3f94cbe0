//! One large file in several parts at once.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use portway_data::Progress;
use portway_proto::{Representation, printable};
use portway_vfs::{LocalFs, VPath, Vfs, Write};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::gaps::{Parts, Whole, resume_at};
use crate::{Body, Cause, Connection, Error, Fetched, GetOptions, Job, Phase, Verify};

/// How often the progress of all parts is told.
const TICK: Duration = Duration::from_millis(100);
/// Parts smaller than this are not worth a session.
const LEAST: u64 = 1024 * 1024;

impl Connection {
    /// Fetches a file of a known size in `segments` parts, each over a session of its own, by REST.
    ///
    /// A part whose session breaks goes on where it was. If the server serves no offsets, the file comes in
    /// one piece.
    ///
    /// # Errors
    /// [`Error`]; a failure of one part fails the file. What is kept, also when the future is dropped or the process
    /// killed, is what arrived without a gap, so that [`GetOptions::resume`] can go on with it, in parts or in one.
    pub async fn get_segments(
        &mut self,
        path: &[u8],
        folder: &LocalFs,
        name: &VPath,
        (size, segments): (u64, usize),
        options: GetOptions,
        progress: &Progress,
    ) -> Result<Fetched, Error> {
        let local = |error| Error::local(printable(name.as_bytes()), error);
        let complete = options.resume && folder.stat(name).is_ok_and(|here| here.size >= size);
        let count = u64::try_from(segments).unwrap_or(1).min(size / LEAST).max(1);
        if count == 1 || complete {
            return self.get(path, folder, name, options, progress).await;
        }
        let how = if options.resume { Write::Append } else { Write::Replace };
        let mut upload = folder.create(name, how).map_err(local)?;
        let mut start = resume_at(&*upload, folder, name)?;
        if start > size {
            // Of another file than the one there now.
            upload.discard();
            upload = folder.create(name, Write::Replace).map_err(local)?;
            start = 0;
        }
        let share = (size - start) / count;
        let ranges = (0..count)
            .map(|i| start + share * i..if i + 1 == count { size } else { start + share * (i + 1) });
        let file = upload.file().try_clone().map_err(|error| Error::local(printable(path), error))?;
        let whole = Whole::new(file, size, ranges).map_err(|error| Error::local(printable(path), error))?;
        let mut parts = JoinSet::new();
        for number in 0..usize::try_from(count).unwrap_or(1) {
            let whole = whole.parts();
            let (target, settings, path) =
                (self.target().clone(), Arc::clone(self.settings()), path.to_vec());
            parts.spawn(async move {
                let mut connection = Connection::open(&target, settings).await?;
                let result = part(&mut connection, &path, &whole, (number, size)).await;
                connection.quit().await;
                result
            });
        }
        let ended = all_parts(parts, path, &whole, (start, size), progress).await;
        drop(whole);
        if matches!(ended, Ok(false)) {
            self.trace().note("the server ignores offsets, or the file has grown: once more in one piece");
            upload.discard();
            let anew = GetOptions { resume: false, known: None, ..options };
            return self.get(path, folder, name, anew, progress).await;
        }
        if let Err(error) = ended {
            upload.keep();
            return Err(error);
        }
        let digest = options.verify == Verify::Digest && self.compare(path, upload.file()).await?;
        self.commit(upload, folder, name, path, options, options.known).await?;
        Ok(Fetched { size, resumed_at: start, by_proof: false, digest })
    }
}

/// Waits until no part writes any more, and tells how much has arrived. What has a gap in it is then cut off. False if
/// the server ignores offsets.
async fn all_parts(
    mut parts: JoinSet<Result<bool, Error>>,
    path: &[u8],
    whole: &Whole,
    (mut shown, size): (u64, u64),
    progress: &Progress,
) -> Result<bool, Error> {
    let mut result = Ok(true);
    loop {
        let part = match timeout(TICK, parts.join_next()).await {
            Ok(Some(part)) => part,
            Ok(None) => break,
            Err(_) => {
                let arrived = size.saturating_sub(whole.missing());
                progress.add(arrived.saturating_sub(shown));
                shown = arrived;
                continue;
            }
        };
        match part.unwrap_or_else(|error| Err(Error::local(printable(path), error))) {
            Ok(true) => {}
            Ok(false) => {
                result = Ok(false);
                parts.abort_all();
            }
            Err(error) if matches!(result, Ok(true)) => {
                parts.abort_all();
                result = Err(error);
            }
            Err(_) => {}
        }
    }
    parts.shutdown().await;
    result
}

/// Fetches one part, by closing the data connection when it is full; the last one comes to its end by itself. False
/// if that goes on behind the end of the file, as it does where a server takes REST and begins at 0 all the same: then
/// no part is what it should be.
async fn part(
    connection: &mut Connection,
    path: &[u8],
    whole: &Parts,
    (number, size): (usize, u64),
) -> Result<bool, Error> {
    let mut attempt = 0;
    loop {
        let Range { start: before, end: to } = whole.left(number);
        if before >= to {
            return Ok(true);
        }
        let mut beyond = false;
        let mut sink = |octets: &[u8]| {
            let Range { start, end } = whole.left(number);
            beyond |= to == size && octets.len() as u64 > end.saturating_sub(start);
            whole.write(number, octets)?;
            if beyond || to < size && whole.left(number).is_empty() {
                Err(std::io::Error::other("the part is full"))
            } else {
                Ok(())
            }
        };
        let job = Job::Retr { path, offset: before };
        let done =
            connection.transfer(job, Body::To(&mut sink), Representation::Image, &Progress::new()).await;
        if beyond {
            return Ok(false);
        }
        let reached = whole.left(number).start;
        if reached >= to {
            return Ok(true);
        }
        attempt = if reached > before { 1 } else { attempt + 1 };
        let error = match done {
            Ok(done) => done.into_error(Some(to)),
            Err(error) => error,
        };
        if attempt >= connection.settings().attempts
            || error.temper() == portway_proto::client::Temper::Never
                && !matches!(error.cause, Cause::Cut { .. })
        {
            return Err(error);
        }
        tokio::time::sleep(crate::files::pause(attempt)).await;
        if !connection.is_usable() {
            connection.reconnect().await.map_err(|error| Error { phase: Phase::Transfer, ..error })?;
        }
    }
}
