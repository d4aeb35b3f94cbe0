//! Whole trees down or up, with several sessions at once; every file is accounted for.
//!
//! `plan` compares two directories and says what is to be done, `work` does it, and `queue` lies between them.

use std::sync::Arc;

use portway_data::Progress;
use portway_vfs::LocalFs;
use tokio::task::JoinSet;

use crate::glob::Globs;
use crate::{Connection, Error, GetOptions, PutOptions, Settings, Target};

mod across;
mod plan;
mod queue;
mod trail;
mod work;

pub use across::{End, mirror_across};
use work::Site;

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

    /// A large file begins to move; it is over, and its fate about to be told, when `progress` goes.
    fn begins(&self, _progress: &Arc<Progress>) {}
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
    let site = Arc::new(Site::new(options, local, target.path.clone(), audience));
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
            if !site.is_done()
                && let Ok(connection) = Connection::open(&target, settings).await
            {
                site.work(connection).await;
            }
        });
    }
    while workers.join_next().await.is_some() {}
    Ok(site.report())
}
