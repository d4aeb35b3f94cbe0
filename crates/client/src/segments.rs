//! One large file in several parts at once.

use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use portway_data::Progress;
use portway_proto::{Representation, printable};
use portway_vfs::{LocalFs, VPath, Vfs, Write};
use tokio::task::JoinSet;

use crate::{Body, Cause, Connection, Error, Fetched, Job, Phase};

/// Parts smaller than this are not worth a session.
const LEAST: u64 = 1024 * 1024;

impl Connection {
    /// Fetches a file of a known size in `segments` parts, each over a session of its own, by REST.
    ///
    /// A part whose session breaks goes on where it was. If the server serves no offsets, the file comes in
    /// one piece.
    ///
    /// # Errors
    /// [`Error`]; a failure of one part fails the file, and nothing is kept: a file with holes cannot be
    /// continued by its size.
    pub async fn get_segments(
        &mut self,
        path: &[u8],
        folder: &LocalFs,
        name: &VPath,
        size: u64,
        segments: usize,
        progress: &Progress,
    ) -> Result<Fetched, Error> {
        let count = u64::try_from(segments).unwrap_or(1).min(size / LEAST).max(1);
        if count == 1 {
            let options = crate::GetOptions { known: Some((size, None)), ..crate::GetOptions::default() };
            return self.get(path, folder, name, options, progress).await;
        }
        let local = |error| Error::local(printable(name.as_bytes()), error);
        let upload = folder.create(name, Write::Replace).map_err(local)?;
        let mut parts = JoinSet::new();
        for i in 0..count {
            let (from, to) = (size / count * i, if i + 1 == count { size } else { size / count * (i + 1) });
            let file = upload.file().try_clone().map_err(|error| Error::local(printable(path), error))?;
            let (target, settings, path) =
                (self.target().clone(), Arc::clone(self.settings()), path.to_vec());
            parts.spawn(async move {
                let mut connection = Connection::open(&target, settings).await?;
                let result = part(&mut connection, &path, &file, from, to).await;
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
        if let Err(error) = result {
            upload.discard();
            return Err(error);
        }
        upload.commit().map_err(local)?;
        Ok(Fetched { size, resumed_at: 0, by_proof: false, digest: false })
    }
}

/// Fetches octets `from..to`, by closing the data connection when the part is full.
async fn part(
    connection: &mut Connection,
    path: &[u8],
    file: &std::fs::File,
    from: u64,
    to: u64,
) -> Result<(), Error> {
    let at = AtomicU64::new(from);
    let mut attempt = 0;
    loop {
        let before = at.load(Ordering::Relaxed);
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
