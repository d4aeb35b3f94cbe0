//! Digests of local files, to compare with what HASH and its kin say.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use portway_proto::Algorithm;
use portway_proto::client::digest;
use portway_proto::{Command, RawReply, printable};

use crate::{Cause, Connection, Error, Phase};

/// A digest of octets as they pass.
pub struct Digesting(Box<dyn Running + Send>);

trait Running {
    fn take(&mut self, octets: &[u8]);
    fn end(self: Box<Self>) -> String;
}

struct Crc(crc32fast::Hasher);

impl Running for Crc {
    fn take(&mut self, octets: &[u8]) {
        self.0.update(octets);
    }
    fn end(self: Box<Self>) -> String {
        format!("{:08x}", self.0.finalize())
    }
}

impl<D: sha2::Digest> Running for D {
    fn take(&mut self, octets: &[u8]) {
        self.update(octets);
    }
    fn end(self: Box<Self>) -> String {
        hex(&self.finalize())
    }
}

impl Digesting {
    /// Of nothing, so far.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Crc32 => Box::new(Crc(crc32fast::Hasher::new())),
            Algorithm::Md5 => Box::new(md5::Md5::default()),
            Algorithm::Sha1 => Box::new(sha1::Sha1::default()),
            Algorithm::Sha256 => Box::new(sha2::Sha256::default()),
            Algorithm::Sha512 => Box::new(sha2::Sha512::default()),
        })
    }

    /// The next ones.
    pub fn take(&mut self, octets: &[u8]) {
        self.0.take(octets);
    }

    /// The digest of all, in lower-case hexadecimal.
    #[must_use]
    pub fn end(self) -> String {
        self.0.end()
    }
}

impl std::fmt::Debug for Digesting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digesting").finish_non_exhaustive()
    }
}

/// The digest of a whole file, in lower-case hexadecimal. Blocks while it reads.
///
/// # Errors
/// What reading says.
pub fn digest_file(file: &File, algorithm: Algorithm) -> io::Result<String> {
    let mut digest = Digesting::new(algorithm);
    let (mut buf, mut at) = (vec![0; 256 * 1024], 0_u64);
    loop {
        let n = file.read_at(&mut buf, at)?;
        if n == 0 {
            return Ok(digest.end());
        }
        digest.take(buf.get(..n).unwrap_or_default());
        at = at.saturating_add(n as u64);
    }
}

impl Connection {
    /// The digest of a file at the server, by HASH or a verb of its own; `None` if the server has neither. It gets
    /// longer to answer for a file of about so many `octets`, which it has to read first.
    ///
    /// # Errors
    /// [`Error`] of the connection.
    pub async fn remote_digest(
        &mut self,
        path: &[u8],
        octets: u64,
    ) -> Result<Option<(Algorithm, String)>, Error> {
        let limit = self.patience(octets);
        let hashes = self.features().hashes();
        if let Some((algorithm, _)) = hashes.iter().find(|(_, on)| *on).or(hashes.first()).copied() {
            let reply = self.call_within(limit, Phase::Command, &Command::Hash(path)).await?;
            // Without a star in FEAT the server's default counts; its name stands in the reply.
            let named = named(&reply).unwrap_or(algorithm);
            if let Some(found) = digest(&reply, named) {
                return Ok(Some((named, found)));
            }
        }
        if let Some(algorithm) = self.features().digest_verbs().first().copied() {
            let command = Command::Digest { algorithm, arg: path };
            let reply = self.call_within(limit, Phase::Command, &command).await?;
            return Ok(digest(&reply, algorithm).map(|found| (algorithm, found)));
        }
        Ok(None)
    }

    /// Compares the digests of a local and a remote file; false if the server has none.
    pub(crate) async fn compare(&mut self, path: &[u8], file: &File) -> Result<bool, Error> {
        let octets = file.metadata().map_or(0, |facts| facts.len());
        let Some((algorithm, theirs)) = self.remote_digest(path, octets).await? else { return Ok(false) };
        let file = file.try_clone().map_err(|error| Error::local(printable(path), error))?;
        let ours = tokio::task::spawn_blocking(move || digest_file(&file, algorithm));
        let ours = ours.await.map_err(|error| Error::local(printable(path), error))?;
        let ours = ours.map_err(|error| Error::local(printable(path), error))?;
        agree(algorithm, ours, theirs).map(|()| true)
    }
}

/// Whether our digest is the server's.
///
/// # Errors
/// [`Cause::Digest`] if it is not.
pub fn agree(algorithm: Algorithm, ours: String, theirs: String) -> Result<(), Error> {
    match ours == theirs {
        true => Ok(()),
        false => {
            Err(Error::new(Phase::FinalReply, Cause::Digest { algorithm: algorithm.name(), ours, theirs }))
        }
    }
}

fn named(reply: &RawReply) -> Option<Algorithm> {
    let line = reply.lines.last()?;
    line.split(u8::is_ascii_whitespace).find_map(Algorithm::read)
}

fn hex(octets: &[u8]) -> String {
    octets.iter().flat_map(|b| [b >> 4, b & 15]).filter_map(|n| char::from_digit(n.into(), 16)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_that_everybody_computes() {
        let file = tempfile::tempfile().unwrap();
        file.write_all_at(b"abc", 0).unwrap();
        for (algorithm, start) in [
            (Algorithm::Crc32, "352441c2"),
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (Algorithm::Sha512, "ddaf35a193617abacc417349ae204131"),
        ] {
            assert!(digest_file(&file, algorithm).unwrap().starts_with(start), "{algorithm:?}");
        }
    }
}
