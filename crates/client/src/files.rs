//! One file down or up, until its size proves that it is there.

mod fetch;
mod store;

use std::time::Duration;

use portway_proto::client::{DataEnd, Temper, modified, size};
use portway_proto::{Command, Representation, Timestamp};

use crate::{Cause, Connection, Done, Error, Phase};

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
