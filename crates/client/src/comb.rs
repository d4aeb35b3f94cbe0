//! One large file up in several parts at once, which the server then joins (COMB).
//!
//! `REST` and `STOR` side by side truncate or pad on most servers. Parts are files of their own, so no server can
//! confuse them; the joined file has a name of ours until its size is right, and then takes its place by a rename.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use portway_data::Progress;
use portway_proto::client::{Temper, shown};
use portway_proto::{Command, Representation, printable};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::files::{cut, draft_name, split};
use crate::{Cause, Connection, Error, Phase, PutOptions, Stored, Verify};

/// How often the progress of all parts is told.
const TICK: Duration = Duration::from_millis(100);
/// Parts smaller than this are not worth a session.
const LEAST: u64 = 1024 * 1024;
/// The longest COMB: servers give up on longer lines, ours at 4,096 octets.
const LINE: usize = 4000;
/// The longest name of a part; file systems take no more.
const NAME: usize = 255;

/// A range of the file, and its name at the server until it is joined.
#[derive(Debug, PartialEq, Eq)]
struct Part {
    name: Vec<u8>,
    range: Range<u64>,
}

/// Why a session sent no more parts.
struct Lost {
    /// It never came about: the others can do its work.
    unopened: bool,
    error: Error,
}

impl Connection {
    /// Stores a file in `segments` parts, each over a session of its own, where the server joins files (COMB in
    /// FEAT); elsewhere, and where joining fails, in one piece. `say` is told which and why, once.
    ///
    /// The file has its name when it is complete, whatever [`PutOptions::atomic`] says. [`PutOptions::resume`] goes on
    /// with parts of the same number and the same size of file.
    ///
    /// # Errors
    /// [`Error`]. Parts are removed if trying again is of no use; else `say` is told where they wait.
    pub async fn put_segments(
        &mut self,
        file: &File,
        path: &[u8],
        segments: usize,
        options: PutOptions,
        progress: &Progress,
        say: &(dyn Fn(&str) + Sync),
    ) -> Result<Stored, Error> {
        let facts = file.metadata().map_err(|error| Error::local(printable(path), error))?;
        let total = facts.len();
        let image = matches!(options.representation, None | Some(Representation::Image));
        let parts = if image { parts(path, total, segments) } else { Vec::new() };
        let there = options.resume && self.first_size(path).await? == Some(total);
        if parts.len() < 2 || there {
            return self.put(file, path, options, progress).await;
        }
        if !self.features().has("COMB") {
            say("the server cannot join parts (no COMB in FEAT): the file goes up in one piece");
            return self.put(file, path, options, progress).await;
        }
        let (parts, draft) = (Arc::new(parts), draft_name(path));
        let mut resumed_at = 0;
        // Joined by an earlier try that broke before the rename.
        let joined = options.resume && self.size(&draft).await? == Some(total);
        if !joined {
            match self.send_parts(file, &parts, options, progress).await {
                Ok(resumed) => resumed_at = resumed,
                Err(Lost { unopened: true, error }) => {
                    say(&format!("no session for the parts ({error}): the file goes up in one piece"));
                    return self.put(file, path, options, progress).await;
                }
                Err(Lost { error, .. }) if error.temper() == Temper::Never => {
                    self.sweep(&parts, &draft).await;
                    return Err(error);
                }
                Err(Lost { error, .. }) => {
                    let last = parts.last().map(|part| printable(&part.name)).unwrap_or_default();
                    let count = parts.len();
                    say(&format!(
                        "what arrived waits at the server in up to {count} parts, the last of them {last}; \
                         put --segments {count} --continue goes on with them"
                    ));
                    return Err(error);
                }
            }
        }
        match self.join(file, &parts, joined, path, options.verify, total).await {
            Ok(digest) => {
                self.keep_facts(path, &facts, options).await?;
                Ok(Stored { size: total, resumed_at, by_proof: false, digest })
            }
            Err(error) if error.phase == Phase::Local => {
                self.sweep(&parts, &draft).await;
                Err(error)
            }
            Err(error) => {
                say(&format!(
                    "the server did not join the parts ({error}): the file goes up once more, in one piece"
                ));
                self.sweep(&parts, &draft).await;
                self.put(file, path, PutOptions { resume: false, ..options }, progress).await
            }
        }
    }

    /// Sends what is missing of all parts. Says how many octets were there.
    async fn send_parts(
        &self,
        file: &File,
        parts: &Arc<Vec<Part>>,
        options: PutOptions,
        progress: &Progress,
    ) -> Result<u64, Lost> {
        let (next, counted) = (Arc::new(AtomicUsize::new(0)), Arc::new(Progress::new()));
        let mut sessions: JoinSet<Result<(usize, u64), Lost>> = JoinSet::new();
        for _ in 0..parts.len() {
            let file = file.try_clone().map_err(|error| Error::local("the file", error));
            let file = file.map_err(|error| Lost { unopened: false, error })?;
            let (parts, next, counted) = (Arc::clone(parts), Arc::clone(&next), Arc::clone(&counted));
            let (target, settings) = (self.target().clone(), Arc::clone(self.settings()));
            sessions.spawn(async move {
                let opened = Connection::open(&target, settings).await;
                let mut connection = opened.map_err(|error| Lost { unopened: true, error })?;
                let (mut stored, mut resumed) = (0, 0);
                while let Some(part) = parts.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let work = connection.store(&file, &part.range, &part.name, options, &counted);
                    resumed += work.await.map_err(|error| Lost { unopened: false, error })?.0;
                    stored += 1;
                }
                connection.quit().await;
                Ok((stored, resumed))
            });
        }
        let (mut stored, mut resumed, mut shown, mut failure) = (0, 0, 0, None::<Lost>);
        loop {
            let ended = timeout(TICK, sessions.join_next()).await;
            let octets = counted.octets();
            progress.add(octets - shown);
            shown = octets;
            match ended {
                Err(_) => {}
                Ok(None) => break,
                Ok(Some(Ok(Ok((done, octets))))) => {
                    stored += done;
                    resumed += octets;
                    if stored == parts.len() {
                        // Who is still looking for a session comes too late.
                        sessions.abort_all();
                    }
                }
                Ok(Some(Ok(Err(lost)))) => {
                    // A server that allows fewer sessions than there are parts takes them in turn.
                    if !lost.unopened {
                        sessions.abort_all();
                    }
                    failure = failure.filter(|_| lost.unopened).or(Some(lost));
                }
                // Aborted.
                Ok(Some(Err(_))) => {}
            }
        }
        match failure {
            Some(error) if stored < parts.len() => Err(error),
            _ => Ok(resumed),
        }
    }

    /// Makes the parts one file, proves it and gives it its name. Says whether digests were compared.
    async fn join(
        &mut self,
        file: &File,
        parts: &[Part],
        joined: bool,
        path: &[u8],
        verify: Verify,
        total: u64,
    ) -> Result<bool, Error> {
        let draft = draft_name(path);
        if !joined {
            // COMB would append to it.
            if self.first_size(&draft).await?.is_some() {
                self.call(&Command::Dele(&draft)).await?;
            }
            let names = line(&draft, parts);
            let comb = Command::Comb(&names);
            let limit = self.patience(total);
            let failure = match self.call_within(limit, Phase::Command, &comb).await {
                Ok(reply) if reply.code < 400 => None,
                Ok(reply) => {
                    Some(Error::new(Phase::Command, Cause::Refused { command: shown(&comb), reply }))
                }
                Err(error) => Some(error),
            };
            match (failure, self.size_anew(&draft).await) {
                (_, Some(size)) if size == total => {}
                // A server without SIZE has to be believed.
                (None, None) => {}
                (None, Some(size)) => return Err(cut(total, size)),
                (Some(error), _) => return Err(error),
            }
        }
        let digest = verify == Verify::Digest && self.compare(&draft, file).await?;
        self.rename(&draft, path).await?;
        Ok(digest)
    }

    /// Removes what is left of the parts, as far as the server lets us.
    async fn sweep(&mut self, parts: &[Part], draft: &[u8]) {
        if !self.is_usable() && self.reconnect().await.is_err() {
            return;
        }
        for name in parts.iter().map(|part| part.name.as_slice()).chain([draft]) {
            if self.call(&Command::Dele(name)).await.is_err() {
                return;
            }
        }
    }
}

/// What COMB is told: the target, then the parts, each in quotes.
fn line(draft: &[u8], parts: &[Part]) -> Vec<u8> {
    let names = [draft].into_iter().chain(parts.iter().map(|part| part.name.as_slice()));
    names.map(|name| [b"\"", name, b"\""].concat()).collect::<Vec<_>>().join(&b' ')
}

/// Up to `segments` parts, fewer where they or the line of their names would not do; fewer than two: none at all.
///
/// The names tell size and number, so that what an older file or another division left is not continued.
fn parts(path: &[u8], total: u64, segments: usize) -> Vec<Part> {
    let (folder, name) = split(path);
    let draft = draft_name(path);
    let most = u64::try_from(segments).unwrap_or(1).min(total / LEAST);
    let divided = |count: u64| {
        let share = total / count;
        let part = |i| {
            let own = format!(".portway-upload.{total}.{}-{count}", i + 1);
            let end = if i + 1 == count { total } else { share * (i + 1) };
            Part { name: [folder, b".", name, own.as_bytes()].concat(), range: share * i..end }
        };
        (0..count).map(part).collect::<Vec<_>>()
    };
    let fits = |parts: &Vec<Part>| {
        line(&draft, parts).len() <= LINE
            && parts.iter().all(|part| part.name.len() - folder.len() <= NAME && !part.name.contains(&b'"'))
    };
    (2..=most).rev().map(divided).find(fits).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    #[test]
    fn parts_are_the_whole_file_and_their_names_fit_into_one_line() {
        for (path, total, segments, count) in [
            (&b"d/f"[..], 10 * MIB + 7, 4, 4),
            (b"f", 3 * MIB, 8, 3),
            (b"f", 2 * MIB - 1, 8, 0),
            (b"f", 0, 8, 0),
            (b"f", 64 * MIB, 1, 0),
            (b"a \"quoted\" name", 64 * MIB, 4, 0),
            (&[b'n'; 240], 64 * MIB, 4, 0),
            (&[b'n'; 200], 64 * MIB, 32, 16),
        ] {
            let parts = parts(path, total, segments);
            assert_eq!(parts.len(), count, "{}", printable(path));
            let mut end = 0;
            for part in &parts {
                assert_eq!(part.range.start, end);
                end = part.range.end;
            }
            assert!(count == 0 || end == total);
        }
    }

    #[test]
    fn another_size_or_number_has_other_names() {
        let name = |total, segments| parts(b"d/f", total, segments).remove(0).name;
        assert_eq!(name(4 * MIB, 2), b"d/.f.portway-upload.4194304.1-2");
        assert_ne!(name(4 * MIB, 2), name(4 * MIB, 3));
        assert_ne!(name(4 * MIB, 2), name(4 * MIB + 1, 2));
    }
}
