//! The sessions of a mirror at work, and what becomes of each name.

use std::sync::{Arc, Mutex};

use portway_data::Progress;
use portway_proto::client::Temper;
use portway_proto::printable;
use portway_vfs::{LocalFs, VPath, Vfs};

use super::queue::{Queue, Work};
use super::trail::Trail;
use super::{Audience, Fate, MirrorOptions, Report};
use crate::listing::Listing;
use crate::{Connection, Error, Fetched, GetOptions, Offered, Wanted};

/// One mirror: what all its sessions share.
pub(super) struct Site {
    pub(super) options: MirrorOptions,
    pub(super) local: LocalFs,
    remote: Vec<u8>,
    pub(super) queue: Queue,
    report: Mutex<Report>,
    audience: Arc<dyn Audience>,
}

impl Site {
    pub(super) fn new(
        options: MirrorOptions,
        local: LocalFs,
        remote: Vec<u8>,
        audience: Arc<dyn Audience>,
    ) -> Self {
        let queue = Queue::default();
        queue.push(Work::Dir { below: Vec::new(), trail: Trail::default() });
        Self { options, local, remote, queue, report: Mutex::default(), audience }
    }

    pub(super) async fn wait_for_work(&self) {
        self.queue.wait().await;
    }

    pub(super) fn is_done(&self) -> bool {
        self.queue.is_done()
    }

    /// What it came to, with what no session was left for.
    pub(super) fn report(&self) -> Report {
        let report = self.report.lock().map(|mut report| std::mem::take(&mut *report));
        let mut report = report.unwrap_or_default();
        report.failed += self.queue.abandoned() as u64;
        report
    }

    pub(super) async fn work(&self, mut connection: Connection) {
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
            let small = work.is_small();
            match work {
                Work::Dir { below, trail } => {
                    self.directory(&mut connection, &below, trail).await;
                    self.queue.looked();
                }
                Work::Down(wanted) if small => {
                    let more = std::iter::from_fn(|| match self.queue.next_small()? {
                        Work::Down(wanted) => Some(wanted),
                        _ => None,
                    });
                    let done = |wanted: &Wanted, result| self.arrived(self.below(&wanted.path), result);
                    let wanted = std::iter::once(wanted).chain(more);
                    connection.get_many(&self.local, wanted, self.options.get, done).await;
                }
                Work::Down(wanted) => {
                    let known = Some((wanted.size, wanted.time)).filter(|_| wanted.size != u64::MAX);
                    let options = GetOptions { known, ..self.options.get };
                    let (local, progress) = (&self.local, self.begin());
                    let result = connection.get(&wanted.path, local, &wanted.name, options, &progress).await;
                    let result = result.and_then(|fetched| {
                        options.give_mode(local, &wanted)?;
                        Ok(fetched)
                    });
                    drop(progress);
                    self.arrived(self.below(&wanted.path), result);
                }
                Work::Across(_) => {}
                Work::Up(offered) if small => {
                    let more = std::iter::from_fn(|| match self.queue.next_small()? {
                        Work::Up(offered) => Some(offered),
                        _ => None,
                    });
                    let done = |offered: &Offered, result| self.arrived(self.below(&offered.path), result);
                    let offered = std::iter::once(offered).chain(more);
                    connection.put_many(&self.local, offered, self.options.put, done).await;
                }
                Work::Up(offered) => {
                    let local = |error| Error::local(printable(offered.name.as_bytes()), error);
                    let result = match self.local.open(&offered.name).map_err(local) {
                        Ok((file, _)) => {
                            let progress = self.begin();
                            connection.put(&file, &offered.path, self.options.put, &progress).await
                        }
                        Err(error) => Err(error),
                    };
                    self.arrived(self.below(&offered.path), result);
                }
            }
        }
        connection.quit().await;
    }

    /// The progress of a large file, of which the audience hears.
    pub(super) fn begin(&self) -> Arc<Progress> {
        let progress = Arc::new(Progress::new());
        self.audience.begins(&progress);
        progress
    }

    /// The part of a remote path below the root of the mirror.
    fn below<'a>(&self, path: &'a [u8]) -> &'a [u8] {
        let rest = path.strip_prefix(self.remote.as_slice()).unwrap_or(path);
        if self.remote.is_empty() { rest } else { rest.strip_prefix(b"/").unwrap_or(rest) }
    }

    pub(super) fn remote_path(&self, below: &[u8]) -> Vec<u8> {
        match (self.remote.is_empty(), below.is_empty()) {
            (true, _) => below.to_vec(),
            (false, true) => self.remote.clone(),
            (false, false) if self.remote.ends_with(b"/") => [&self.remote, below].concat(),
            (false, false) => [&self.remote, &b"/"[..], below].concat(),
        }
    }

    pub(super) fn local_path(below: &[u8]) -> Option<VPath> {
        VPath::resolve(&VPath::root(), below)
    }

    pub(super) fn arrived(&self, path: &[u8], result: Result<Fetched, Error>) {
        self.tell(
            path,
            match result {
                Ok(fetched) => Fate::Transferred(fetched.size),
                Err(error) => Fate::Failed(error),
            },
        );
    }

    pub(super) fn tell(&self, path: &[u8], fate: Fate) {
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

    pub(super) async fn list(&self, connection: &mut Connection, below: &[u8]) -> Result<Listing, Error> {
        list_again(connection, &self.remote_path(below)).await
    }
}

/// A listing, tried again after failures that may pass.
pub(super) async fn list_again(connection: &mut Connection, path: &[u8]) -> Result<Listing, Error> {
    let path = (!path.is_empty()).then_some(path);
    if let Some(listed) = connection.list_by_blocks(path).await {
        return listed;
    }
    let mut attempt = 0;
    loop {
        let error = match connection.listing(path).await {
            Ok(listing) => return Ok(listing),
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
