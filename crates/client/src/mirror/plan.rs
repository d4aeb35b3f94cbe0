//! What is to be done: two directories side by side, name by name.

use std::collections::{BTreeMap, BTreeSet};

use portway_proto::printable;
use portway_proto::row::{ListRow, Precision, RowKind};
use portway_vfs::{Entry, Kind, VPath, Vfs, VfsError};

use super::queue::Work;
use super::trail::Trail;
use super::work::Site;
use super::{Direction, Fate, MirrorOptions};
use crate::listing::{Listing, is_missing};
use crate::tree::DEEPEST;
use crate::{Cause, Connection, Error, Offered, Phase, Wanted};

/// What is said of a directory that is one of those above it.
pub(super) const LOOP: &str = "a loop of links: it is one of the directories above it";
/// What is said of a directory of which not all is known, so that nothing in it is deleted.
pub(super) const UNREAD: &str = "lines of its listing cannot be read; what they stand for stays as it is";

impl Site {
    pub(super) async fn directory(&self, connection: &mut Connection, below: &[u8], trail: Trail) {
        if trail.depth() > DEEPEST {
            self.tell(below, Fate::Skipped("more than 128 directories deep"));
            return;
        }
        let result = match self.options.direction {
            Direction::Down => self.directory_down(connection, below, trail).await,
            Direction::Up => self.directory_up(connection, below, trail).await,
        };
        if let Err(error) = result {
            self.tell(below, Fate::Failed(error));
        }
    }

    async fn directory_down(
        &self,
        connection: &mut Connection,
        below: &[u8],
        trail: Trail,
    ) -> Result<(), Error> {
        let listing = self.list(connection, below).await?;
        let Some(trail) = trail.into(&listing) else {
            self.tell(below, Fate::Skipped(LOOP));
            return Ok(());
        };
        let unread = listing.unread;
        let here = self.local_entries(below)?;
        let mut listed = BTreeSet::new();
        for row in listing.rows {
            let Some(name) = row.safe_name() else {
                let shown = printable(&row.name);
                self.tell(below, Fate::Failed(Error::new(Phase::Local, Cause::UnsafeName(shown))));
                continue;
            };
            let path = join(below, name);
            if !self.options.globs.admits(&path, row.kind == RowKind::Dir) {
                continue;
            }
            let Some(place) = Self::local_path(&path) else { continue };
            if !listed.insert(name.to_vec()) {
                self.tell(&path, Fate::Skipped("listed twice"));
                continue;
            }
            match row.kind {
                RowKind::Dir => {
                    if here.contains_key(name) || self.make_local(&path, &place) {
                        self.queue.push(Work::Dir { below: path, trail: trail.of(row.unique.as_ref()) });
                    }
                }
                RowKind::File => self.file_down(connection, &row, here.get(name), path, place).await?,
                RowKind::Symlink => self.tell(&path, Fate::Skipped("a symbolic link")),
                _ => self.tell(&path, Fate::Skipped("neither file nor directory")),
            }
        }
        if unread > 0 {
            self.tell(below, Fate::Skipped(UNREAD));
        }
        if self.options.delete && unread == 0 {
            let surplus = here.iter().filter(|(name, _)| !listed.contains(*name));
            surplus.for_each(|(name, entry)| self.remove_local(&join(below, name), entry.kind));
        }
        Ok(())
    }

    /// Makes a directory here; false if there is none afterwards.
    fn make_local(&self, path: &[u8], place: &VPath) -> bool {
        self.tell(path, Fate::Made);
        if self.options.dry_run {
            return true;
        }
        match self.local.make_dir(place) {
            Ok(()) | Err(VfsError::Exists) => true,
            Err(error) => {
                self.tell(path, Fate::Failed(Error::local(printable(path), error)));
                false
            }
        }
    }

    /// Queues a file of the server's, unless ours is equal.
    async fn file_down(
        &self,
        connection: &mut Connection,
        row: &ListRow,
        here: Option<&Entry>,
        path: Vec<u8>,
        place: VPath,
    ) -> Result<(), Error> {
        let size = row.size.filter(|_| !row.rounded);
        let remote = self.remote_path(&path);
        if self.is_equal_down(connection, row, here, &remote, &place).await {
            self.tell(&path, Fate::Equal);
            return Ok(());
        }
        if self.options.dry_run {
            self.tell(&path, Fate::Transferred(size.unwrap_or(0)));
            return Ok(());
        }
        let time = row.modified.filter(|m| m.precision == Precision::Second && !m.local).map(|m| m.at);
        let size = match size {
            Some(size) => size,
            None => connection.size(&remote).await?.unwrap_or(u64::MAX),
        };
        self.queue.push(Work::Down(Wanted { path: remote, name: place, size, time, mode: row.mode }));
        Ok(())
    }

    /// Deletes here what the server does not have.
    fn remove_local(&self, path: &[u8], kind: Kind) {
        if !self.options.globs.admits(path, kind == Kind::Dir) {
            return;
        }
        let Some(place) = Self::local_path(path) else { return };
        let removed = match kind {
            _ if self.options.dry_run => Ok(()),
            Kind::Dir => self.local.remove_tree(&place),
            _ => self.local.remove_file(&place),
        };
        let failed = |error| Fate::Failed(Error::local(printable(path), error));
        self.tell(path, removed.map_or_else(failed, |()| Fate::Deleted));
    }

    async fn is_equal_down(
        &self,
        connection: &mut Connection,
        row: &ListRow,
        here: Option<&Entry>,
        remote: &[u8],
        place: &VPath,
    ) -> bool {
        let Some(here) = here.filter(|here| here.kind == Kind::File) else { return false };
        let theirs = row.modified.map(|m| (m.at.unix(), m.precision, m.local));
        let newer = theirs.is_some_and(|(time, ..)| time > here.modified);
        if self.options.newer_only && !newer {
            return true;
        }
        if row.size.filter(|_| !row.rounded) != Some(here.size) {
            return false;
        }
        if self.options.checksum {
            return match connection.remote_digest(remote, here.size).await {
                Ok(Some((algorithm, theirs))) => match self.local.open(place) {
                    Ok((file, _)) => crate::digest_file(&file, algorithm).is_ok_and(|ours| ours == theirs),
                    Err(_) => false,
                },
                _ => !newer,
            };
        }
        self.options.size_only || same_time(theirs, here.modified)
    }

    async fn directory_up(
        &self,
        connection: &mut Connection,
        below: &[u8],
        trail: Trail,
    ) -> Result<(), Error> {
        let here = self.local_entries(below)?;
        let remote = self.remote_path(below);
        let mut made = false;
        let rows = match self.list(connection, below).await {
            Ok(listing) => listing.rows,
            Err(error) if is_missing(&error) => {
                self.make_remote(connection, &remote, below).await?;
                made = true;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        // Some servers list a directory that does not exist as empty.
        if rows.is_empty() && !made && !remote.is_empty() && !self.options.dry_run && trail.depth() > 0 {
            self.make_remote(connection, &remote, below).await?;
        }
        // Links here are not followed, so there are no loops.
        let inside = trail.into(&Listing::default()).unwrap_or_default();
        let there: BTreeMap<&[u8], &ListRow> = rows.iter().map(|row| (row.name.as_slice(), row)).collect();
        for (name, entry) in &here {
            let path = join(below, name);
            if !self.options.globs.admits(&path, entry.kind == Kind::Dir) {
                continue;
            }
            if name.iter().any(|b| matches!(b, b'\r' | b'\n')) {
                self.tell(&path, Fate::Failed(Error::new(Phase::Local, portway_proto::EmitError::LineBreak)));
                continue;
            }
            match entry.kind {
                Kind::Dir => self.queue.push(Work::Dir { below: path, trail: inside.clone() }),
                Kind::File => {
                    if is_equal_up(&self.options, there.get(name.as_slice()).copied(), entry) {
                        self.tell(&path, Fate::Equal);
                        continue;
                    }
                    if self.options.dry_run {
                        self.tell(&path, Fate::Transferred(entry.size));
                        continue;
                    }
                    let Some(name) = Self::local_path(&path) else { continue };
                    let Entry { size, modified, mode, .. } = *entry;
                    let offered = Offered { path: self.remote_path(&path), name, size, modified, mode };
                    self.queue.push(Work::Up(offered));
                }
                Kind::Symlink => self.tell(&path, Fate::Skipped("a symbolic link")),
                Kind::Other => self.tell(&path, Fate::Skipped("neither file nor directory")),
            }
        }
        if self.options.delete {
            for row in rows.iter().filter(|row| !here.contains_key(&row.name)) {
                self.remove_remote(connection, row, below).await;
            }
        }
        Ok(())
    }

    /// Deletes at the server what we do not have.
    async fn remove_remote(&self, connection: &mut Connection, row: &ListRow, below: &[u8]) {
        let Some(name) = row.safe_name() else { return };
        let (path, is_dir) = (join(below, name), row.kind == RowKind::Dir);
        if !self.options.globs.admits(&path, is_dir) {
            return;
        }
        let removed = match self.options.dry_run {
            true => Ok(()),
            false => connection.remove(&self.remote_path(&path), is_dir, true).await,
        };
        self.tell(&path, removed.map_or_else(Fate::Failed, |()| Fate::Deleted));
    }

    async fn make_remote(
        &self,
        connection: &mut Connection,
        remote: &[u8],
        below: &[u8],
    ) -> Result<(), Error> {
        if self.options.dry_run {
            self.tell(below, Fate::Made);
            return Ok(());
        }
        if connection.make_dir(remote).await? {
            self.tell(below, Fate::Made);
        }
        Ok(())
    }

    fn local_entries(&self, below: &[u8]) -> Result<BTreeMap<Vec<u8>, Entry>, Error> {
        let local = |error| Error::local(printable(below), error);
        let Some(place) = Self::local_path(below) else { return Ok(BTreeMap::new()) };
        let list = match self.local.list(&place) {
            Err(VfsError::NotFound) if self.options.dry_run => return Ok(BTreeMap::new()),
            list => list.map_err(local)?,
        };
        list.map(|entry| entry.map(|entry| (entry.name.clone(), entry)).map_err(local)).collect()
    }
}

fn is_equal_up(options: &MirrorOptions, there: Option<&ListRow>, here: &Entry) -> bool {
    let Some(there) = there.filter(|there| there.kind == RowKind::File) else { return false };
    let theirs = there.modified.map(|m| (m.at.unix(), m.precision, m.local));
    let newer = theirs.is_none_or(|(time, ..)| here.modified > time);
    if options.newer_only && !newer {
        return true;
    }
    if there.size.filter(|_| !there.rounded) != Some(here.size) {
        return false;
    }
    // Without MFMT the server's time is that of the upload.
    options.size_only || same_time(theirs, here.modified) || !newer
}

/// As far as a listing tells: to the second, the minute or the day; a local zone may be off by a day.
pub(super) fn same_time(theirs: Option<(i64, Precision, bool)>, ours: i64) -> bool {
    let Some((time, precision, local)) = theirs else { return false };
    let grain = match precision {
        Precision::Second => 2,
        Precision::Minute => 60,
        Precision::Day => 24 * 3600,
    };
    let slack = if local { 26 * 3600 } else { 0 };
    time.abs_diff(ours) < grain + slack
}

pub(super) fn join(below: &[u8], name: &[u8]) -> Vec<u8> {
    if below.is_empty() { name.to_vec() } else { [below, b"/", name].concat() }
}
