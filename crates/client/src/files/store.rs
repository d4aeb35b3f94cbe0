//! One file up, or a range of it.

use std::fs::File;
use std::ops::Range;

use portway_data::{Failure, Progress};
use portway_proto::client::{Evidence, Judgement};
use portway_proto::{Command, Representation, Site, Timestamp, printable};

use super::{Next, PutOptions, Stored, Verify, again_or_not, cut, draft_name, failed};
use crate::listing::is_refusal;
use crate::{Body, Cause, Connection, Done, Error, Job, Phase};

impl Connection {
    /// Stores a local file as `path`.
    ///
    /// # Errors
    /// [`Error`]; what arrived may be continued with [`PutOptions::resume`].
    pub async fn put(
        &mut self,
        file: &File,
        path: &[u8],
        options: PutOptions,
        progress: &Progress,
    ) -> Result<Stored, Error> {
        let facts = file.metadata().map_err(|error| Error::local(printable(path), error))?;
        let total = facts.len();
        let draft = options.atomic.then(|| draft_name(path));
        let place = draft.as_deref().unwrap_or(path);
        let (resumed_at, by_proof) = self.store(file, &(0..total), place, options, progress).await?;
        let image = matches!(options.representation, None | Some(Representation::Image));
        let digest = options.verify == Verify::Digest && image && self.compare(place, file).await?;
        if let Some(draft) = &draft {
            self.rename(draft, path).await?;
        }
        self.keep_facts(path, &facts, options).await?;
        Ok(Stored { size: total, resumed_at, by_proof, digest })
    }

    /// Sends a range of a file until it is at the server under `place`. Says how much of it was there before, and
    /// whether only its size proved it complete.
    pub(crate) async fn store(
        &mut self,
        file: &File,
        range: &Range<u64>,
        place: &[u8],
        options: PutOptions,
        progress: &Progress,
    ) -> Result<(u64, bool), Error> {
        let representation = options.representation.unwrap_or(Representation::Image);
        let image = representation == Representation::Image;
        let total = range.end.saturating_sub(range.start);
        let mut start = 0;
        if options.resume && image {
            start = self.first_size(place).await?.unwrap_or(0);
            if start > total {
                start = 0;
            }
        }
        let (mut resumed_at, mut appends) = (start, true);
        let mut attempt = 0;
        let mut complete = resumed_at == total && total > 0;
        let mut by_proof = complete;
        while !complete {
            // APPE continues on every server; REST and STOR truncates or pads on some.
            let job =
                if start > 0 { Job::Appe { path: place } } else { Job::Stor { path: place, offset: 0 } };
            let body = Body::FromFile(file, range.start.saturating_add(start), Some(total - start));
            let done = self.transfer(job, body, representation, progress).await;
            if start > 0 && matches!(&done, Err(error) if is_refusal(error, &[500, 502, 504])) {
                // It cannot append: from the beginning then, as where there is nothing yet.
                (appends, start, resumed_at) = (false, 0, 0);
                continue;
            }
            let (next, at) = self.judge_put(place, done, start, total, image, options.verify).await;
            let moved = at.is_some_and(|at| at > start);
            let error = match next {
                Next::Finished { by_proof: proof } => {
                    by_proof = proof || attempt > 0;
                    complete = true;
                    continue;
                }
                Next::GiveUp(error) => return Err(error),
                Next::Again(error) => error,
            };
            attempt = if moved { 1 } else { attempt + 1 };
            // More than we sent is somebody else's file: from the beginning.
            start = at.filter(|&at| at <= total && image && appends).unwrap_or(0);
            if attempt >= self.settings().attempts.max(1) {
                let cut =
                    || Error::new(Phase::Transfer, Cause::Cut { expected: Some(total), reached: start });
                return Err(error.unwrap_or_else(cut));
            }
            self.rest(attempt).await?;
        }
        Ok((resumed_at, by_proof))
    }

    async fn judge_put(
        &mut self,
        path: &[u8],
        done: Result<Done, Error>,
        start: u64,
        total: u64,
        image: bool,
        verify: Verify,
    ) -> (Next, Option<u64>) {
        let done = match done {
            Ok(done) => done,
            Err(error) => {
                let next = again_or_not(error);
                let at = if matches!(next, Next::Again(_)) { self.size_anew(path).await } else { None };
                return (next, at);
            }
        };
        if matches!(done.failure, Some(Failure::Local(_) | Failure::Shrunk { .. })) {
            return (Next::GiveUp(failed(done, Some(total), start)), None);
        }
        let reached = start.saturating_add(done.octets);
        let reply = done.reply.as_ref().map(|reply| reply.code);
        let evidence = Evidence { expected: Some(total), reached, end: done.end, reply, upload: true };
        match evidence.judge() {
            Judgement::Complete if verify == Verify::Replies || !image => {
                (Next::Finished { by_proof: false }, None)
            }
            Judgement::Complete => match self.size_anew(path).await {
                // A server without SIZE has to be believed.
                None => (Next::Finished { by_proof: false }, None),
                Some(size) if size == total => (Next::Finished { by_proof: false }, None),
                Some(size) => (Next::Again(Some(cut(total, size))), Some(size)),
            },
            Judgement::Refused => (Next::GiveUp(failed(done, Some(total), start)), None),
            _ => match self.size_anew(path).await.filter(|_| image) {
                Some(size) if size == total && reached == total => (Next::Finished { by_proof: true }, None),
                size => (Next::Again(Some(failed(done, Some(total), size.unwrap_or(reached)))), size),
            },
        }
    }

    pub(crate) async fn keep_facts(
        &mut self,
        path: &[u8],
        facts: &std::fs::Metadata,
        options: PutOptions,
    ) -> Result<(), Error> {
        use std::os::unix::fs::MetadataExt;
        if options.keep_time
            && self.features().has("MFMT")
            && let Some(time) = Timestamp::from_unix(facts.mtime(), 0)
        {
            let digits = time.to_string();
            // A server that keeps its own time is no failure of the transfer.
            self.call(&Command::Mfmt { time: digits.as_bytes(), path }).await?;
        }
        if options.keep_mode {
            self.call(&Command::Site(Site::Chmod { mode: facts.mode() & 0o777, path })).await?;
        }
        Ok(())
    }
}
