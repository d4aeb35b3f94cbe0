//! One file down.

use portway_data::{Failure, Progress};
use portway_proto::client::{DataEnd, Evidence, Judgement};
use portway_proto::{Representation, Timestamp, printable};
use portway_vfs::{LocalFs, Upload, VPath, Vfs, VfsError, Write};

use super::{Fetched, GetOptions, Next, Verify, again_or_not, failed};
use crate::{Body, Cause, Connection, Done, Error, Job, Phase};

impl Connection {
    /// Fetches `path` into `folder` under `name`. The file appears when it is complete; what a failure leaves
    /// waits beside it in a hidden file and is used by the next try with [`GetOptions::resume`].
    ///
    /// # Errors
    /// [`Error`].
    pub async fn get(
        &mut self,
        path: &[u8],
        folder: &LocalFs,
        name: &VPath,
        options: GetOptions,
        progress: &Progress,
    ) -> Result<Fetched, Error> {
        let representation = options.representation.unwrap_or(Representation::Image);
        let image = representation == Representation::Image;
        let known = options.known;
        let mut expected = match known {
            Some((size, _)) if image => Some(size),
            None if image && (options.verify != Verify::Replies || options.resume) => {
                self.first_size(path).await?
            }
            _ => None,
        };
        let local = |error: VfsError| Error::local(printable(name.as_bytes()), error);
        if options.resume && image {
            // Complete already: APPE semantics would only append nothing.
            let here = folder.stat(name).ok().map(|entry| entry.size);
            if let (Some(here), Some(size)) = (here, expected)
                && here == size
            {
                return Ok(Fetched { size, resumed_at: size, by_proof: true, digest: false });
            }
        }
        let how = if options.resume && image { Write::Append } else { Write::Replace };
        let mut upload = folder.create(name, how).map_err(local)?;
        let mut start = crate::gaps::resume_at(&*upload, folder, name)?;
        let resumed_at = start;
        let mut attempt = 0;
        let by_proof = loop {
            let before = progress.octets();
            let job = Job::Retr { path, offset: start };
            let done = self.transfer(job, Body::ToFile(upload.file()), representation, progress).await;
            let moved = progress.octets().saturating_sub(before);
            start = start.saturating_add(if image { moved } else { 0 });
            let next = self.judge_get(path, done, start, expected, image).await;
            let error = match next {
                Next::Finished { by_proof } => break by_proof || attempt > 0,
                Next::GiveUp(error) => {
                    upload.keep();
                    return Err(error);
                }
                Next::Again(error) => error,
            };
            let overlong = expected.is_some_and(|size| start > size);
            let refused_offset = start > 0
                && matches!(&error, Some(Error { cause: Cause::Refused { command, .. }, .. }) if command.starts_with("REST"));
            // The server ignored or refused the offset, or the file changed: from the beginning.
            let anew = !image || overlong || refused_offset;
            // Only what is kept is progress.
            attempt = if moved > 64 * 1024 && !anew { 1 } else { attempt + 1 };
            if attempt >= self.settings().attempts.max(1) {
                match overlong {
                    true => upload.discard(),
                    false => upload.keep(),
                }
                return Err(error.unwrap_or_else(|| {
                    Error::new(Phase::Transfer, Cause::Cut { expected, reached: start })
                }));
            }
            if anew {
                upload.discard();
                upload = folder.create(name, Write::Replace).map_err(local)?;
                start = 0;
                expected = if image { self.size_anew(path).await.or(expected) } else { None };
            }
            self.rest(attempt).await?;
        };
        let digest = options.verify == Verify::Digest && self.compare(path, upload.file()).await?;
        self.commit(upload, folder, name, path, options, known).await?;
        let size = if image { start } else { progress.octets() };
        Ok(Fetched { size, resumed_at, by_proof, digest })
    }

    pub(crate) async fn commit(
        &mut self,
        upload: Box<dyn Upload>,
        folder: &LocalFs,
        name: &VPath,
        path: &[u8],
        options: GetOptions,
        known: Option<(u64, Option<Timestamp>)>,
    ) -> Result<(), Error> {
        let local = |error: VfsError| Error::local(printable(name.as_bytes()), error);
        upload.commit().map_err(local)?;
        if options.keep_time {
            let time = match known.and_then(|(_, time)| time) {
                Some(time) => Some(time),
                None => self.modified(path).await?,
            };
            if let Some(time) = time {
                folder.set_modified(name, time.unix(), time.nanos()).map_err(local)?;
            }
        }
        Ok(())
    }

    async fn judge_get(
        &mut self,
        path: &[u8],
        done: Result<Done, Error>,
        reached: u64,
        expected: Option<u64>,
        image: bool,
    ) -> Next {
        let done = match done {
            Ok(done) => done,
            Err(error) => return again_or_not(error),
        };
        if matches!(done.failure, Some(Failure::Local(_))) {
            return Next::GiveUp(failed(done, expected, reached));
        }
        let reply = done.reply.as_ref().map(|reply| reply.code);
        let evidence = Evidence { expected, reached, end: done.end, reply, upload: false };
        match evidence.judge() {
            Judgement::Complete => Next::Finished { by_proof: false },
            Judgement::CompleteByProof => Next::Finished { by_proof: true },
            Judgement::Refused => Next::GiveUp(failed(done, expected, reached)),
            Judgement::Overlong | Judgement::Ask if image => {
                // Grown since it was listed, or a size that nobody told: ask now.
                match self.size_anew(path).await {
                    Some(size) if size == reached => Next::Finished { by_proof: true },
                    // What is made as it is read has the size 0 with many servers.
                    Some(0) if done.end == DataEnd::Clean && matches!(reply, Some(200..300)) => {
                        Next::Finished { by_proof: false }
                    }
                    _ => Next::Again(Some(failed(done, expected, reached))),
                }
            }
            _ => Next::Again(Some(failed(done, expected, reached))),
        }
    }
}
