//! One large file in several parts at once.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portway_data::Progress;
use portway_proto::{Representation, printable};
use portway_vfs::{LocalFs, VPath, Vfs, Write};
use tokio::task::JoinSet;

use crate::{Body, Cause, Connection, Error, Fetched, GetOptions, Job, Phase, Verify};

/// Parts smaller than this are not worth a session.
const LEAST: u64 = 1024 * 1024;

impl Connection {
    /// Fetches a file of a known size in `segments` parts, each over a session of its own, by REST.
    ///
    /// A part whose session breaks goes on where it was. If the server serves no offsets, the file comes in
    /// one piece.
    ///
    /// # Errors
    /// [`Error`]; a failure of one part fails the file. What is kept, also when the future is dropped, is what
    /// arrived without a gap, so that [`GetOptions::resume`] can go on with it, in parts or in one.
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
        if upload.start() > size {
            // Of another file than the one there now.
            upload.discard();
            upload = folder.create(name, Write::Replace).map_err(local)?;
        }
        let start = upload.start();
        let cloned = || upload.file().try_clone().map_err(|error| Error::local(printable(path), error));
        let mut whole = Whole { file: cloned()?, parts: Vec::new() };
        let share = (size - start) / count;
        let mut parts = JoinSet::new();
        for i in 0..count {
            let from = start + share * i;
            let to = if i + 1 == count { size } else { from + share };
            let (file, at) = (cloned()?, Arc::new(AtomicU64::new(from)));
            whole.parts.push((to, Arc::clone(&at)));
            let (target, settings, path) =
                (self.target().clone(), Arc::clone(self.settings()), path.to_vec());
            parts.spawn(async move {
                let mut connection = Connection::open(&target, settings).await?;
                let result = part(&mut connection, &path, &file, &at, to).await;
                connection.quit().await;
                result
            });
        }
        let mut result = Ok(());
        while let Some(part) = parts.join_next().await {
            let part = part.unwrap_or_else(|error| Err(Error::local(printable(path), error)));
            if result.is_ok() && part.is_err() {
                parts.abort_all();
                result = part;
            }
        }
        // No part writes any more; what has a gap in it is cut off here.
        parts.shutdown().await;
        drop(whole);
        if let Err(error) = result {
            upload.keep();
            return Err(error);
        }
        let digest = options.verify == Verify::Digest && self.compare(path, upload.file()).await?;
        self.commit(upload, folder, name, path, options, options.known).await?;
        Ok(Fetched { size, resumed_at: start, by_proof: false, digest })
    }
}

/// A file that arrives in several places at once. However it ends, only what has no gap stays.
struct Whole {
    file: std::fs::File,
    /// Where each part ends, and how far it has come, in the order of the file.
    parts: Vec<(u64, Arc<AtomicU64>)>,
}

impl Whole {
    /// The end of what has arrived without a gap.
    fn reached(&self) -> Option<u64> {
        let at = |at: &AtomicU64| at.load(Ordering::Relaxed);
        let unfinished = self.parts.iter().find(|(to, part)| at(part) < *to);
        unfinished.or(self.parts.last()).map(|(_, part)| at(part))
    }
}

impl Drop for Whole {
    fn drop(&mut self) {
        if let Some(reached) = self.reached() {
            // If that fails, the size may be wrong, and only a digest would show it.
            let _ = self.file.set_len(reached);
        }
    }
}

/// Fetches octets from `at` up to `to`, by closing the data connection when the part is full.
async fn part(
    connection: &mut Connection,
    path: &[u8],
    file: &std::fs::File,
    at: &AtomicU64,
    to: u64,
) -> Result<(), Error> {
    let mut attempt = 0;
    loop {
        let before = at.load(Ordering::Relaxed);
        if before >= to {
            return Ok(());
        }
        let mut sink = |octets: &[u8]| {
            let here = at.load(Ordering::Relaxed);
            let room = usize::try_from(to.saturating_sub(here)).unwrap_or(usize::MAX);
            let piece = octets.get(..room.min(octets.len())).unwrap_or_default();
            file.write_all_at(piece, here)?;
            at.store(here.saturating_add(piece.len() as u64), Ordering::Relaxed);
            if here.saturating_add(piece.len() as u64) >= to {
                Err(std::io::Error::other("the part is full"))
            } else {
                Ok(())
            }
        };
        let job = Job::Retr { path, offset: before };
        let done =
            connection.transfer(job, Body::To(&mut sink), Representation::Image, &Progress::new()).await;
        let reached = at.load(Ordering::Relaxed);
        if reached >= to {
            return Ok(());
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_of_a_broken_file_has_no_gap() {
        for (parts, left) in [
            ([(100, 100), (200, 200), (300, 300)], 300),
            ([(100, 100), (200, 150), (300, 300)], 150),
            ([(100, 0), (200, 200), (300, 300)], 0),
            ([(100, 99), (200, 100), (300, 200)], 99),
        ] {
            let file = tempfile::tempfile().unwrap();
            file.set_len(300).unwrap();
            let parts = parts.map(|(to, at)| (to, Arc::new(AtomicU64::new(at)))).to_vec();
            drop(Whole { file: file.try_clone().unwrap(), parts });
            assert_eq!(file.metadata().unwrap().len(), left);
        }
    }
}
