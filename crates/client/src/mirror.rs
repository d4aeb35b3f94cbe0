//! Whole trees down or up, with several sessions at once; every file is accounted for.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use portway_proto::client::Temper;
use portway_proto::row::{ListRow, Precision, RowKind};
use portway_proto::{Command, printable};
use portway_vfs::{Kind, LocalFs, VPath, Vfs, VfsError};
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::batch::SMALL;
use crate::glob::Globs;
use crate::listing::is_refusal;
use crate::{
    Cause, Connection, Error, Fetched, GetOptions, Offered, Phase, PutOptions, Settings, Target, Wanted,
};

/// Files of one directory that one session takes at once.
const BATCH: usize = 64;
/// How deep a tree may be; a server with a loop of links ends here.
const DEEPEST: usize = 128;

/// Which way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the server to us.
    Down,
    /// From us to the server.
    Up,
}

/// How a mirror is made.
#[derive(Clone, Debug)]
pub struct MirrorOptions {
    /// Which way.
    pub direction: Direction,
    /// Sessions at once. Default 4.
    pub jobs: usize,
    /// Remove from the target what the source has not.
    pub delete: bool,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Files of equal size are equal; times are not looked at.
    pub size_only: bool,
    /// Only files that are newer at the source.
    pub newer_only: bool,
    /// Compare digests of files that seem equal, where the server has them.
    pub checksum: bool,
    /// Which files; see [`Globs`].
    pub globs: Globs,
    /// For each file down.
    pub get: GetOptions,
    /// For each file up.
    pub put: PutOptions,
}

impl MirrorOptions {
    /// The default in one direction: times are kept.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self {
            direction,
            jobs: 4,
            delete: false,
            dry_run: false,
            size_only: false,
            newer_only: false,
            checksum: false,
            globs: Globs::default(),
            get: GetOptions { keep_time: true, ..GetOptions::default() },
            put: PutOptions { keep_time: true, ..PutOptions::default() },
        }
    }
}

/// What became of one name.
#[derive(Debug)]
#[non_exhaustive]
pub enum Fate {
    /// Transferred (or, in a dry run, would be).
    Transferred(u64),
    /// Equal already.
    Equal,
    /// Removed from the target (or would be).
    Deleted,
    /// A directory was made (or would be).
    Made,
    /// Neither file nor directory: links and devices are left alone.
    Skipped(&'static str),
    /// It failed.
    Failed(Error),
}

/// Hears of each name as its fate is known.
pub trait Audience: Send + Sync {
    /// `path` is relative to the root of the mirror.
    fn hears(&self, path: &[u8], fate: &Fate);
}

/// What a mirror came to.
#[derive(Debug, Default)]
pub struct Report {
    /// Files transferred.
    pub transferred: u64,
    /// Octets of these.
    pub octets: u64,
    /// Files that were equal already.
    pub equal: u64,
    /// Names removed.
    pub deleted: u64,
    /// Directories made.
    pub made: u64,
    /// Names left alone.
    pub skipped: u64,
    /// Names that failed, with the first few errors.
    pub failed: u64,
    /// The errors, at most a hundred.
    pub errors: Vec<(Vec<u8>, Error)>,
}

enum Work {
    Dir { below: Vec<u8>, depth: usize },
    Down(Vec<Wanted>),
    Up(Vec<Offered>),
}

struct Site {
    options: MirrorOptions,
    local: LocalFs,
    remote: Vec<u8>,
    queue: Queue,
    report: Mutex<Report>,
    audience: Arc<dyn Audience>,
}

/// Work for all sessions; ends when nothing is left and nobody is busy.
#[derive(Default)]
struct Queue {
    state: Mutex<(VecDeque<Work>, usize)>,
    more: Notify,
}

impl Queue {
    fn push(&self, work: Work) {
        if let Ok(mut state) = self.state.lock() {
            // Directories first: they are where more work comes from.
            match work {
                Work::Dir { .. } => state.0.push_front(work),
                _ => state.0.push_back(work),
            }
            state.1 += 1;
        }
        self.more.notify_one();
    }

    /// The next piece; `None` at the end of all work.
    async fn pop(&self) -> Option<Work> {
        loop {
            let more = self.more.notified();
            {
                let mut state = self.state.lock().ok()?;
                if let Some(work) = state.0.pop_front() {
                    return Some(work);
                }
                if state.1 == 0 {
                    self.more.notify_waiters();
                    return None;
                }
            }
            let patience = std::time::Duration::from_millis(50);
            // A notice may go to a worker that has just ended.
            let _ = tokio::time::timeout(patience, more).await;
        }
    }

    fn finished(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.1 = state.1.saturating_sub(1);
        }
        self.more.notify_waiters();
    }
}

/// Makes a tree like another one.
///
/// # Errors
/// [`Error`] if not even one session could be opened; every other failure is in the [`Report`].
pub async fn mirror(
    target: &Target,
    settings: Arc<Settings>,
    local: LocalFs,
    options: MirrorOptions,
    audience: Arc<dyn Audience>,
) -> Result<Report, Error> {
    let first = Connection::open(target, Arc::clone(&settings)).await?;
    let jobs = options.jobs.clamp(1, 64);
    let site = Arc::new(Site {
        options,
        local,
        remote: target.path.clone(),
        queue: Queue::default(),
        report: Mutex::default(),
        audience,
    });
    site.queue.push(Work::Dir { below: Vec::new(), depth: 0 });
    let mut workers = JoinSet::new();
    {
        let site = Arc::clone(&site);
        workers.spawn(async move { site.work(first).await });
    }
    for _ in 1..jobs {
        let (site, target, settings) = (Arc::clone(&site), target.clone(), Arc::clone(&settings));
        workers.spawn(async move {
            // A session opens when there is work for it. A server that counts sessions refuses this one; the
            // others do its share.
            site.wait_for_work().await;
            if let Ok(connection) = Connection::open(&target, settings).await {
                site.work(connection).await;
            }
        });
    }
    while workers.join_next().await.is_some() {}
    let mut report = site.report.lock().map(|mut report| std::mem::take(&mut *report)).unwrap_or_default();
    // What no session was left for.
    if let Ok(mut state) = site.queue.state.lock() {
        for work in state.0.drain(..) {
            report.failed += match work {
                Work::Dir { .. } => 1,
                Work::Down(files) => files.len() as u64,
                Work::Up(files) => files.len() as u64,
            };
        }
    }
    Ok(report)
}

impl Site {
    async fn wait_for_work(&self) {
        loop {
            let more = self.queue.more.notified();
            match self.queue.state.lock() {
                Ok(state) if state.0.is_empty() && state.1 > 0 => {}
                _ => return,
            }
            let patience = std::time::Duration::from_millis(50);
            let _ = tokio::time::timeout(patience, more).await;
        }
    }

    async fn work(&self, mut connection: Connection) {
        while let Some(work) = self.queue.pop().await {
            if !connection.is_usable() {
                // A server that has gone away may come back; every file is told off otherwise.
                let mut tries = 0;
                while let Err(error) = connection.reconnect().await {
                    tries += 1;
                    if tries > 4 || error.temper() == Temper::Never {
                        break;
                    }
                    tokio::time::sleep(crate::files::pause(tries)).await;
                }
            }
            match work {
                Work::Dir { below, depth } => self.directory(&mut connection, &below, depth).await,
                Work::Down(files) => {
                    let done = |wanted: &Wanted, result| self.arrived(self.below(&wanted.path), result);
                    connection.get_many(&self.local, files, self.options.get, done).await;
                }
                Work::Up(files) => {
                    let done = |offered: &Offered, result| self.arrived(self.below(&offered.path), result);
                    connection.put_many(files, self.options.put, done).await;
                }
            }
            self.queue.finished();
        }
        connection.quit().await;
    }

    /// The part of a remote path below the root of the mirror.
    fn below<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let rest = path.strip_prefix(self.remote.as_slice()).unwrap_or(path);
        if self.remote.is_empty() { rest } else { rest.strip_prefix(b"/").unwrap_or(rest) }
    }

    fn remote_path(&self, below: &[u8]) -> Vec<u8> {
        match (self.remote.is_empty(), below.is_empty()) {
            (true, _) => below.to_vec(),
            (false, true) => self.remote.clone(),
            (false, false) if self.remote.ends_with(b"/") => [&self.remote, below].concat(),
            (false, false) => [&self.remote, &b"/"[..], below].concat(),
        }
    }

    fn local_path(below: &[u8]) -> Option<VPath> {
        VPath::resolve(&VPath::root(), below)
    }

    fn arrived(&self, path: &[u8], result: Result<Fetched, Error>) {
        self.tell(
            path,
            match result {
                Ok(fetched) => Fate::Transferred(fetched.size),
                Err(error) => Fate::Failed(error),
            },
        );
    }

    fn tell(&self, path: &[u8], fate: Fate) {
        self.audience.hears(path, &fate);
        let Ok(mut report) = self.report.lock() else { return };
        match fate {
            Fate::Transferred(size) => {
                report.transferred += 1;
                report.octets = report.octets.saturating_add(size);
            }
            Fate::Equal => report.equal += 1,
            Fate::Deleted => report.deleted += 1,
            Fate::Made => report.made += 1,
            Fate::Skipped(_) => report.skipped += 1,
            Fate::Failed(error) => {
                report.failed += 1;
                if report.errors.len() < 100 {
                    report.errors.push((path.to_vec(), error));
                }
            }
        }
    }

    async fn directory(&self, connection: &mut Connection, below: &[u8], depth: usize) {
        if depth > DEEPEST {
            self.tell(below, Fate::Skipped("more than 128 directories deep"));
            return;
        }
        let result = match self.options.direction {
            Direction::Down => self.directory_down(connection, below, depth).await,
            Direction::Up => self.directory_up(connection, below, depth).await,
        };
        if let Err(error) = result {
            self.tell(below, Fate::Failed(error));
        }
    }

    async fn list(&self, connection: &mut Connection, below: &[u8]) -> Result<Vec<ListRow>, Error> {
        let path = self.remote_path(below);
        let mut attempt = 0;
        loop {
            let result = connection.list((!path.is_empty()).then_some(path.as_slice())).await;
            let error = match result {
                Ok(rows) => return Ok(rows),
                Err(error) => error,
            };
            attempt += 1;
            if error.temper() == Temper::Never || attempt >= connection.settings().attempts {
                return Err(error);
            }
            tokio::time::sleep(crate::files::pause(attempt)).await;
            if !connection.is_usable() {
                connection.reconnect().await?;
            }
        }
    }

    async fn directory_down(
        &self,
        connection: &mut Connection,
        below: &[u8],
        depth: usize,
    ) -> Result<(), Error> {
        let rows = self.list(connection, below).await?;
        let here = self.local_entries(below)?;
        let mut batch = Vec::new();
        let mut listed = BTreeMap::new();
        for row in rows {
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
            listed.insert(name.to_vec(), ());
            match row.kind {
                RowKind::Dir => {
                    if !here.contains_key(name) {
                        self.tell(&path, Fate::Made);
                        if !self.options.dry_run {
                            match self.local.make_dir(&place) {
                                Ok(()) | Err(VfsError::Exists) => {}
                                Err(error) => {
                                    self.tell(&path, Fate::Failed(Error::local(printable(&path), error)));
                                    continue;
                                }
                            }
                        }
                    }
                    self.queue.push(Work::Dir { below: path, depth: depth + 1 });
                }
                RowKind::File => {
                    let size = row.size.filter(|_| !row.rounded);
                    let remote = self.remote_path(&path);
                    if self.is_equal_down(connection, &row, here.get(name), &remote, &place).await {
                        self.tell(&path, Fate::Equal);
                        continue;
                    }
                    if self.options.dry_run {
                        self.tell(&path, Fate::Transferred(size.unwrap_or(0)));
                        continue;
                    }
                    let time =
                        row.modified.filter(|m| m.precision == Precision::Second && !m.local).map(|m| m.at);
                    let size = match size {
                        Some(size) => size,
                        None => connection.size(&remote).await?.unwrap_or(u64::MAX),
                    };
                    let wanted = Wanted { path: remote, name: place, size, time };
                    if size > SMALL {
                        self.queue.push(Work::Down(vec![wanted]));
                        continue;
                    }
                    batch.push(wanted);
                    if batch.len() >= BATCH {
                        self.queue.push(Work::Down(std::mem::take(&mut batch)));
                    }
                }
                RowKind::Symlink => self.tell(&path, Fate::Skipped("a symbolic link")),
                _ => self.tell(&path, Fate::Skipped("neither file nor directory")),
            }
        }
        if !batch.is_empty() {
            self.queue.push(Work::Down(batch));
        }
        if self.options.delete {
            for (name, kind) in here.iter().filter(|(name, _)| !listed.contains_key(*name)) {
                let path = join(below, name);
                if !self.options.globs.admits(&path, kind.kind == Kind::Dir) {
                    continue;
                }
                let Some(place) = Self::local_path(&path) else { continue };
                let removed = match (self.options.dry_run, kind.kind) {
                    (true, _) => Ok(()),
                    (false, Kind::Dir) => self.local.remove_tree(&place),
                    (false, _) => self.local.remove_file(&place),
                };
                self.tell(
                    &path,
                    match removed {
                        Ok(()) => Fate::Deleted,
                        Err(error) => Fate::Failed(Error::local(printable(&path), error)),
                    },
                );
            }
        }
        Ok(())
    }

    async fn is_equal_down(
        &self,
        connection: &mut Connection,
        row: &ListRow,
        here: Option<&portway_vfs::Entry>,
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
            return match connection.remote_digest(remote).await {
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
        depth: usize,
    ) -> Result<(), Error> {
        let here = self.local_entries(below)?;
        let remote = self.remote_path(below);
        let rows = match self.list(connection, below).await {
            Ok(rows) => rows,
            Err(error) if is_refusal(&error, &[550, 450, 501]) => {
                self.make_remote(connection, &remote, below).await?;
                Vec::new()
            }
            Err(error) => return Err(error),
        };
        // Some servers list a directory that does not exist as empty.
        if rows.is_empty() && !remote.is_empty() && !self.options.dry_run && depth > 0 {
            self.make_remote(connection, &remote, below).await?;
        }
        let there: BTreeMap<&[u8], &ListRow> = rows.iter().map(|row| (row.name.as_slice(), row)).collect();
        let mut batch = Vec::new();
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
                Kind::Dir => self.queue.push(Work::Dir { below: path, depth: depth + 1 }),
                Kind::File => {
                    if is_equal_up(&self.options, there.get(name.as_slice()).copied(), entry) {
                        self.tell(&path, Fate::Equal);
                        continue;
                    }
                    if self.options.dry_run {
                        self.tell(&path, Fate::Transferred(entry.size));
                        continue;
                    }
                    let opened = Self::local_path(&path)
                        .ok_or(VfsError::BadName)
                        .and_then(|place| self.local.open(&place));
                    match opened {
                        Ok((file, entry)) => {
                            let offered = Offered { path: self.remote_path(&path), file, size: entry.size };
                            if entry.size > SMALL {
                                self.queue.push(Work::Up(vec![offered]));
                            } else {
                                batch.push(offered);
                            }
                        }
                        Err(error) => self.tell(&path, Fate::Failed(Error::local(printable(&path), error))),
                    }
                    if batch.len() >= BATCH {
                        self.queue.push(Work::Up(std::mem::take(&mut batch)));
                    }
                }
                Kind::Symlink => self.tell(&path, Fate::Skipped("a symbolic link")),
                Kind::Other => self.tell(&path, Fate::Skipped("neither file nor directory")),
            }
        }
        if !batch.is_empty() {
            self.queue.push(Work::Up(batch));
        }
        if self.options.delete {
            for row in rows.iter().filter(|row| !here.contains_key(&row.name)) {
                let Some(name) = row.safe_name() else { continue };
                let path = join(below, name);
                if !self.options.globs.admits(&path, row.kind == RowKind::Dir) {
                    continue;
                }
                let removed = match self.options.dry_run {
                    true => Ok(()),
                    false => {
                        connection.remove(&self.remote_path(&path), row.kind == RowKind::Dir, true).await
                    }
                };
                self.tell(&path, removed.map_or_else(Fate::Failed, |()| Fate::Deleted));
            }
        }
        Ok(())
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

    fn local_entries(&self, below: &[u8]) -> Result<BTreeMap<Vec<u8>, portway_vfs::Entry>, Error> {
        let local = |error| Error::local(printable(below), error);
        let Some(place) = Self::local_path(below) else { return Ok(BTreeMap::new()) };
        let list = match self.local.list(&place) {
            Err(VfsError::NotFound) if self.options.dry_run => return Ok(BTreeMap::new()),
            list => list.map_err(local)?,
        };
        list.map(|entry| entry.map(|entry| (entry.name.clone(), entry)).map_err(local)).collect()
    }
}

fn is_equal_up(options: &MirrorOptions, there: Option<&ListRow>, here: &portway_vfs::Entry) -> bool {
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
fn same_time(theirs: Option<(i64, Precision, bool)>, ours: i64) -> bool {
    let Some((time, precision, local)) = theirs else { return false };
    let grain = match precision {
        Precision::Second => 2,
        Precision::Minute => 60,
        Precision::Day => 24 * 3600,
    };
    let slack = if local { 26 * 3600 } else { 0 };
    time.abs_diff(ours) < grain + slack
}

fn join(below: &[u8], name: &[u8]) -> Vec<u8> {
    if below.is_empty() { name.to_vec() } else { [below, b"/", name].concat() }
}

impl Connection {
    /// Makes a directory, and the ones above it if need be; false if it was there.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn make_dir(&mut self, path: &[u8]) -> Result<bool, Error> {
        let reply = self.call(&Command::Mkd(path)).await?;
        if reply.code / 100 == 2 {
            return Ok(true);
        }
        // Made by another session meanwhile, or there before.
        let here = self.call(&Command::Pwd).await?;
        if self.call(&Command::Cwd(path)).await?.code / 100 == 2 {
            let back = portway_proto::client::quoted_path(&here).unwrap_or_else(|| b"/".to_vec());
            self.demand(&Command::Cwd(&back)).await?;
            return Ok(false);
        }
        if let Some(slash) = path.iter().rposition(|&b| b == b'/').filter(|&slash| slash > 0) {
            let above = path.get(..slash).unwrap_or_default();
            if Box::pin(self.make_dir(above)).await? && self.call(&Command::Mkd(path)).await?.code / 100 == 2
            {
                return Ok(true);
            }
        }
        let command = format!("MKD {}", printable(path));
        Err(Error::new(Phase::Command, Cause::Refused { command, reply }))
    }

    /// Removes a file, or a directory with all below it if `recursive`.
    ///
    /// # Errors
    /// [`Error`]; what was removed before stays removed.
    pub async fn remove(&mut self, path: &[u8], directory: bool, recursive: bool) -> Result<(), Error> {
        if !directory {
            return self.demand(&Command::Dele(path)).await.map(drop);
        }
        let mut left = vec![(path.to_vec(), false)];
        while let Some((path, emptied)) = left.pop() {
            if emptied || !recursive {
                self.demand(&Command::Rmd(&path)).await?;
                continue;
            }
            if left.len() > 100_000 {
                return Err(Error::new(Phase::Command, Cause::Listing("the tree has no end".to_owned())));
            }
            let rows = self.list(Some(&path)).await?;
            left.push((path.clone(), true));
            for row in rows {
                let Some(name) = row.safe_name() else {
                    return Err(Error::new(Phase::Local, Cause::UnsafeName(printable(&row.name))));
                };
                let below = join(&path, name);
                if row.kind == RowKind::Dir {
                    left.push((below, false));
                } else {
                    self.demand(&Command::Dele(&below)).await?;
                }
            }
        }
        Ok(())
    }
}
