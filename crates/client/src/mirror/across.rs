//! From one server to another, through us: servers that would send to each other directly are refused by every
//! firewall, and by this server, too (RFC 2577 §3).
//!
//! Each file, or some dozens of small ones, come into a folder here and go on from there, so that either side
//! may break and resume without the other.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use portway_proto::printable;
use portway_proto::row::{ListRow, Precision, RowKind};
use portway_vfs::{VPath, Vfs};
use tokio::task::JoinSet;

use super::plan::{LOOP, UNREAD, join, same_time};
use super::queue::Work;
use super::trail::Trail;
use super::work::{Site, list_again};
use super::{Audience, Fate, MirrorOptions, Report};
use crate::batch::SMALL;
use crate::listing::is_missing;
use crate::tree::DEEPEST;
use crate::{Connection, Error, GetOptions, Offered, Settings, Target, Wanted};
use portway_vfs::LocalFs;
use std::sync::Arc;

/// Small files that are here at the same time, for each pair of sessions.
const AT_ONCE: usize = 64;

/// A file on its way from one server to the other.
#[derive(Clone, Debug)]
pub(super) struct Passing {
    pub(super) below: Vec<u8>,
    pub(super) size: u64,
    time: Option<portway_proto::Timestamp>,
    mode: Option<u32>,
}

/// One end of a mirror between servers.
#[derive(Clone, Debug)]
pub struct End {
    /// The server and its directory.
    pub target: Target,
    /// How to reach it.
    pub settings: Arc<Settings>,
}

struct Across {
    site: Site,
    /// The directory at the other server.
    to: Vec<u8>,
    /// Names of files here.
    next: AtomicU64,
}

/// Makes a tree at one server like one at another. `spool` is an empty folder here; what is in it at the end
/// is of no use.
///
/// # Errors
/// [`Error`] if not even one session with each could be opened; every other failure is in the [`Report`].
pub async fn mirror_across(
    from: &End,
    to: &End,
    spool: LocalFs,
    options: MirrorOptions,
    audience: Arc<dyn Audience>,
) -> Result<Report, Error> {
    let source = Connection::open(&from.target, Arc::clone(&from.settings)).await?;
    let sink = Connection::open(&to.target, Arc::clone(&to.settings)).await?;
    let jobs = options.jobs.clamp(1, 64);
    let across = Arc::new(Across {
        site: Site::new(options, spool, from.target.path.clone(), audience),
        to: to.target.path.clone(),
        next: AtomicU64::new(0),
    });
    let mut workers = JoinSet::new();
    {
        let across = Arc::clone(&across);
        workers.spawn(async move { across.work(source, sink).await });
    }
    for _ in 1..jobs {
        let (across, from, to) = (Arc::clone(&across), from.clone(), to.clone());
        workers.spawn(async move {
            across.site.wait_for_work().await;
            if across.site.is_done() {
                return;
            }
            if let Ok(source) = Connection::open(&from.target, from.settings).await
                && let Ok(sink) = Connection::open(&to.target, to.settings).await
            {
                across.work(source, sink).await;
            }
        });
    }
    while workers.join_next().await.is_some() {}
    Ok(across.site.report())
}

impl Across {
    async fn work(&self, mut source: Connection, mut sink: Connection) {
        while let Some(work) = self.site.queue.pop().await {
            for connection in [&mut source, &mut sink] {
                if !connection.is_usable() {
                    // What cannot be reached fails with each file.
                    let _ = connection.reconnect().await;
                }
            }
            match work {
                Work::Dir { below, trail } => {
                    let result = self.directory(&mut source, &mut sink, &below, trail).await;
                    if let Err(error) = result {
                        self.site.tell(&below, Fate::Failed(error));
                    }
                    self.site.queue.looked();
                }
                Work::Across(first) => {
                    let mut files = vec![first];
                    while files.len() < AT_ONCE
                        && files.iter().all(|file| file.size <= SMALL)
                        && let Some(Work::Across(next)) = self.site.queue.next_small()
                    {
                        files.push(next);
                    }
                    self.pass(&mut source, &mut sink, files).await;
                }
                Work::Down(_) | Work::Up(_) => {}
            }
        }
        source.quit().await;
        sink.quit().await;
    }

    fn there(&self, below: &[u8]) -> Vec<u8> {
        match (self.to.is_empty(), below.is_empty()) {
            (true, _) => below.to_vec(),
            (false, true) => self.to.clone(),
            (false, false) => join(self.to.strip_suffix(b"/").unwrap_or(&self.to), below),
        }
    }

    async fn directory(
        &self,
        source: &mut Connection,
        sink: &mut Connection,
        below: &[u8],
        trail: Trail,
    ) -> Result<(), Error> {
        let site = &self.site;
        if trail.depth() > DEEPEST {
            site.tell(below, Fate::Skipped("more than 128 directories deep"));
            return Ok(());
        }
        let listing = site.list(source, below).await?;
        let Some(trail) = trail.into(&listing) else {
            site.tell(below, Fate::Skipped(LOOP));
            return Ok(());
        };
        let there = self.there(below);
        let held = match list_again(sink, &there).await {
            Ok(held) => held.rows,
            Err(error) if is_missing(&error) => Vec::new(),
            Err(error) => return Err(error),
        };
        // Some servers list a directory that does not exist as empty.
        if held.is_empty() && !there.is_empty() && (site.options.dry_run || sink.make_dir(&there).await?) {
            site.tell(below, Fate::Made);
        }
        let mut held: BTreeMap<Vec<u8>, ListRow> =
            held.into_iter().map(|row| (row.name.clone(), row)).collect();
        for row in listing.rows {
            let Some(name) = row.safe_name() else {
                let cause = crate::Cause::UnsafeName(printable(&row.name));
                site.tell(below, Fate::Failed(Error::new(crate::Phase::Local, cause)));
                continue;
            };
            let path = join(below, name);
            let theirs = held.remove(name);
            if !site.options.globs.admits(&path, row.kind == RowKind::Dir) {
                continue;
            }
            match row.kind {
                RowKind::Dir => {
                    site.queue.push(Work::Dir { below: path, trail: trail.of(row.unique.as_ref()) });
                }
                RowKind::File => self.file(source, sink, &row, theirs, path).await?,
                RowKind::Symlink => site.tell(&path, Fate::Skipped("a symbolic link")),
                _ => site.tell(&path, Fate::Skipped("neither file nor directory")),
            }
        }
        if listing.unread > 0 {
            site.tell(below, Fate::Skipped(UNREAD));
        }
        for (name, row) in held.iter().filter(|_| site.options.delete && listing.unread == 0) {
            let path = join(below, name);
            if row.safe_name().is_none() || !site.options.globs.admits(&path, row.kind == RowKind::Dir) {
                continue;
            }
            let removed = match site.options.dry_run {
                true => Ok(()),
                false => sink.remove(&self.there(&path), row.kind == RowKind::Dir, true).await,
            };
            site.tell(&path, removed.map_or_else(Fate::Failed, |()| Fate::Deleted));
        }
        Ok(())
    }

    async fn file(
        &self,
        source: &mut Connection,
        sink: &mut Connection,
        row: &ListRow,
        theirs: Option<ListRow>,
        path: Vec<u8>,
    ) -> Result<(), Error> {
        let site = &self.site;
        let from = site.remote_path(&path);
        if let Some(theirs) = theirs.filter(|theirs| theirs.kind == RowKind::File)
            && self.is_equal(source, sink, row, &theirs, &path).await
        {
            site.tell(&path, Fate::Equal);
            return Ok(());
        }
        let size = row.size.filter(|_| !row.rounded);
        if site.options.dry_run {
            site.tell(&path, Fate::Transferred(size.unwrap_or(0)));
            return Ok(());
        }
        let size = match size {
            Some(size) => size,
            None => source.size(&from).await?.unwrap_or(u64::MAX),
        };
        let time = row.modified.filter(|m| m.precision == Precision::Second && !m.local).map(|m| m.at);
        site.queue.push(Work::Across(Passing { below: path, size, time, mode: row.mode }));
        Ok(())
    }

    async fn is_equal(
        &self,
        source: &mut Connection,
        sink: &mut Connection,
        row: &ListRow,
        theirs: &ListRow,
        path: &[u8],
    ) -> bool {
        let options = &self.site.options;
        let unix = |row: &ListRow| row.modified.map(|m| (m.at.unix(), m.precision, m.local));
        let (here, there) = (unix(row), unix(theirs));
        let newer = match (here, there) {
            (Some((here, ..)), Some((there, ..))) => here > there,
            _ => true,
        };
        if options.newer_only && !newer {
            return true;
        }
        let known = |row: &ListRow| row.size.filter(|_| !row.rounded);
        if known(row).is_none() || known(row) != known(theirs) {
            return false;
        }
        if options.checksum
            && let Some(octets) = known(row)
            && let Ok(Some((algorithm, ours))) =
                source.remote_digest(&self.site.remote_path(path), octets).await
            && let Ok(Some((same, theirs))) = sink.remote_digest(&self.there(path), octets).await
            && algorithm == same
        {
            return ours == theirs;
        }
        // Without MFMT the other server's time is that of the upload.
        options.size_only || !newer || here.is_some_and(|(here, ..)| same_time(there, here))
    }

    /// In from one side, out to the other.
    async fn pass(&self, source: &mut Connection, sink: &mut Connection, files: Vec<Passing>) {
        let site = &self.site;
        let mut held: BTreeMap<VPath, Passing> = BTreeMap::new();
        for file in files {
            let number = self.next.fetch_add(1, Ordering::Relaxed).to_string();
            if let Some(name) = VPath::resolve(&VPath::root(), number.as_bytes()) {
                held.insert(name, file);
            }
        }
        let wanted = |(name, file): (&VPath, &Passing)| Wanted {
            path: site.remote_path(&file.below),
            name: name.clone(),
            size: file.size,
            time: file.time,
            mode: None,
        };
        let mut lost = Vec::new();
        let mut come = |name: &VPath, result: Result<crate::Fetched, Error>| {
            if let Err(error) = result {
                lost.push((name.clone(), error));
            }
        };
        let all: Vec<Wanted> = held.iter().map(wanted).collect();
        match all.as_slice() {
            [large] if large.size > SMALL => {
                let known = Some((large.size, large.time)).filter(|_| large.size != u64::MAX);
                let (options, progress) = (GetOptions { known, ..site.options.get }, site.begin());
                let result = source.get(&large.path, &site.local, &large.name, options, &progress).await;
                come(&large.name, result);
            }
            _ => {
                let done = |wanted: &Wanted, result| come(&wanted.name, result);
                source.get_many(&site.local, all, site.options.get, done).await;
            }
        }
        let spooled: Vec<VPath> = held.keys().cloned().collect();
        for (name, error) in lost {
            if let Some(file) = held.remove(&name) {
                site.tell(&file.below, Fate::Failed(error));
            }
        }
        let mut offered = Vec::new();
        for (name, file) in &held {
            match site.local.stat(name) {
                Ok(entry) => offered.push(Offered {
                    path: self.there(&file.below),
                    name: name.clone(),
                    size: entry.size,
                    modified: entry.modified,
                    mode: file.mode.unwrap_or(entry.mode),
                }),
                Err(error) => {
                    site.tell(&file.below, Fate::Failed(Error::local(printable(&file.below), error)));
                }
            }
        }
        let done = |offered: &Offered, result| {
            if let Some(file) = held.get(&offered.name) {
                site.arrived(&file.below, result);
            }
        };
        sink.put_many(&site.local, offered, site.options.put, done).await;
        for name in spooled {
            // It goes with the folder otherwise.
            let _ = site.local.remove_file(&name);
        }
    }
}
