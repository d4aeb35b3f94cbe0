//! One file down or up, until its size proves that it is there.

use std::fs::File;
use std::ops::Range;
use std::time::Duration;

use portway_data::{Failure, Progress};
use portway_proto::client::{DataEnd, Evidence, Judgement, Temper, modified, size};
use portway_proto::{Command, Representation, Site, Timestamp, printable};
use portway_vfs::{LocalFs, Upload, VPath, Vfs, VfsError, Write};

use crate::{Body, Cause, Connection, Done, Error, Job, Phase};

/// How a transfer is checked when it is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verify {
    /// By what both channels said, and by the size where it is known anyway.
    Replies,
    /// By the size, which is asked for (the default).
    #[default]
    Size,
    /// By size and digest, where the server has HASH or the like; by the size alone where it has not.
    Digest,
}

/// How a file is fetched.
#[derive(Clone, Copy, Debug, Default)]
pub struct GetOptions {
    /// Go on with what an earlier try left.
    pub resume: bool,
    /// Default by size.
    pub verify: Verify,
    /// Give the file the server's time. Default false.
    pub keep_time: bool,
    /// In a mirror, give the file the permission bits of the listing. Default false.
    pub keep_mode: bool,
    /// Size and time, if a listing told them: they are not asked for again.
    pub known: Option<(u64, Option<Timestamp>)>,
    /// ASCII cannot be resumed and proves nothing by size. Default image.
    pub representation: Option<Representation>,
}

/// How a file is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct PutOptions {
    /// Go on with what an earlier try left.
    pub resume: bool,
    /// Store under another name and rename when complete.
    pub atomic: bool,
    /// Default by size.
    pub verify: Verify,
    /// Give the file our time (MFMT). Default false.
    pub keep_time: bool,
    /// Give the file our permission bits (SITE CHMOD). Default false.
    pub keep_mode: bool,
    /// Default image.
    pub representation: Option<Representation>,
}

/// What was fetched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// Size of the file.
    pub size: u64,
    /// Octets that were there before.
    pub resumed_at: u64,
    /// True if something went wrong on the way and the size proved the file complete.
    pub by_proof: bool,
    /// True if a digest was compared.
    pub digest: bool,
}

/// What was stored.
pub type Stored = Fetched;

/// What to do after a run.
enum Next {
    Finished { by_proof: bool },
    Again(Option<Error>),
    GiveUp(Error),
}

/// Pauses between attempts: 0.2 s, doubled up to 10 s.
pub(crate) fn pause(attempt: u32) -> Duration {
    Duration::from_millis(200).saturating_mul(1 << attempt.min(6)).min(Duration::from_secs(10))
}

impl Connection {
    /// The size of a file (RFC 3659 §4); `None` if the server does not say.
    ///
    /// # Errors
    /// [`Error`] of the connection.
    pub async fn size(&mut self, path: &[u8]) -> Result<Option<u64>, Error> {
        Ok(size(&self.call(&Command::Size(path)).await?))
    }

    /// As [`Self::size`], on a new connection if the server has closed this one meanwhile: servers do that to
    /// idle ones.
    pub(crate) async fn first_size(&mut self, path: &[u8]) -> Result<Option<u64>, Error> {
        if self.is_usable() {
            match self.size(path).await {
                Err(error) if error.ends_session() => {}
                // The 421 of a server that lost patience stands where the answer should.
                Ok(None) if !self.is_usable() => {}
                known => return known,
            }
        }
        self.reconnect().await?;
        self.size(path).await
    }

    /// The time of a file's last change (RFC 3659 §3); `None` if the server does not say.
    ///
    /// # Errors
    /// [`Error`] of the connection.
    pub async fn modified(&mut self, path: &[u8]) -> Result<Option<Timestamp>, Error> {
        Ok(modified(&self.call(&Command::Mdtm(path)).await?))
    }

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
        let resumed_at = start;
        let mut attempt = 0;
        let mut complete = resumed_at == total && total > 0;
        let mut by_proof = complete;
        while !complete {
            // APPE continues on every server; REST and STOR truncates or pads on some.
            let job =
                if start > 0 { Job::Appe { path: place } } else { Job::Stor { path: place, offset: 0 } };
            let body = Body::FromFile(file, range.start.saturating_add(start), Some(total - start));
            let done = self.transfer(job, body, representation, progress).await;
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
            start = at.filter(|&at| at <= total && image).unwrap_or(0);
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

    /// The size as the server says it now, on a new connection if need be; `None` if it does not.
    pub(crate) async fn size_anew(&mut self, path: &[u8]) -> Option<u64> {
        if !self.is_usable() {
            self.reconnect().await.ok()?;
        }
        self.size(path).await.ok().flatten()
    }

    /// Waits before the next attempt, and makes sure that there is a connection for it.
    async fn rest(&mut self, attempt: u32) -> Result<(), Error> {
        let mut tries = 0;
        loop {
            tokio::time::sleep(pause(attempt.saturating_add(tries).saturating_sub(1))).await;
            if self.is_usable() {
                return Ok(());
            }
            match self.reconnect().await {
                Ok(()) => return Ok(()),
                Err(error) if tries >= 3 || error.temper() == Temper::Never => return Err(error),
                Err(_) => tries += 1,
            }
        }
    }
}

/// The name an atomic upload has until it is complete: in the same folder, hidden.
pub(crate) fn draft_name(path: &[u8]) -> Vec<u8> {
    let (folder, name) = split(path);
    [folder, b".", name, b".portway-upload"].concat()
}

/// Folder, with its slash, and name.
pub(crate) fn split(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().rposition(|&b| b == b'/').map_or(0, |slash| slash + 1))
}

fn again_or_not(error: Error) -> Next {
    match error.temper() {
        Temper::Never => match &error.cause {
            Cause::Refused { command, .. } if command.starts_with("REST") => Next::Again(Some(error)),
            _ => Next::GiveUp(error),
        },
        _ => Next::Again(Some(error)),
    }
}

fn failed(done: Done, expected: Option<u64>, reached: u64) -> Error {
    Done { octets: reached, ..done }.into_error(expected)
}

impl Done {
    /// What to say of a transfer that was not judged complete.
    #[must_use]
    pub fn into_error(self, expected: Option<u64>) -> Error {
        if let Some(failure) = self.failure {
            return Error::new(Phase::Transfer, failure);
        }
        if let Some(reply) = self.reply.filter(|reply| reply.code >= 400) {
            return Error::new(
                Phase::FinalReply,
                Cause::Refused { command: "the transfer".to_owned(), reply },
            );
        }
        match self.control {
            Some(error) if self.end != DataEnd::Clean => error,
            _ => Error::new(Phase::Transfer, Cause::Cut { expected, reached: self.octets }),
        }
    }
}

pub(crate) fn cut(expected: u64, reached: u64) -> Error {
    Error::new(Phase::Transfer, Cause::Cut { expected: Some(expected), reached })
}
