//! nftables in this very process, which then needs CAP_NET_ADMIN: root in a container, for example.

use std::fmt;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use portway_nft::{
    Ended, Filter, FilterError, Holes, Key, Layout, OpenError, OwnAddresses, Policy, Refusal, Want,
};
use portway_proto::Expected;

use crate::{Hole, HoleId, PinholeError, Pinholes, Waiting};

/// All our holes have one holder.
const US: u64 = 0;

/// Pinholes written to nf_tables by this process.
///
/// Opening takes some microseconds and never waits. A process that may change the packet filter and speaks with
/// strangers is more than one wants: prefer [`HelperPinholes`](crate::HelperPinholes).
pub struct NftPinholes {
    holes: Mutex<Holes<Filter>>,
    log: Box<dyn Fn(&Ended) + Send + Sync>,
}

impl NftPinholes {
    /// Makes the table `inet portway` in this network namespace; it is gone when this value is dropped.
    ///
    /// # Errors
    /// [`FilterError`].
    pub fn install(layout: &Layout, policy: Policy) -> Result<Self, FilterError> {
        let holes = Holes::new(Filter::install(layout)?, policy, OwnAddresses::of_this_host());
        Ok(Self { holes: Mutex::new(holes), log: Box::new(|_| {}) })
    }

    /// Hands every hole that is over to `log`. Holes nobody closes are noticed at the next [`Pinholes::open`] or
    /// [`sweep`](Self::sweep).
    #[must_use]
    pub fn with_log(mut self, log: impl Fn(&Ended) + Send + Sync + 'static) -> Self {
        self.log = Box::new(log);
        self
    }

    /// Notices the holes whose time is up; the kernel has shut them by itself.
    pub fn sweep(&self) {
        let ended = self.holes().sweep(Instant::now());
        ended.iter().for_each(|hole| (self.log)(hole));
    }

    fn open_now(&self, want: &Expected) -> Result<Hole, PinholeError> {
        self.sweep();
        let want = Want { key: Key::new(want.from, want.to()), within: want.within };
        let opened = self.holes().open(&want, US, Instant::now());
        opened.map(|id| Hole { id: HoleId(id), announce: None }).map_err(|error| refused(&want, error))
    }

    /// A panic elsewhere leaves the book as it was between two calls, so it stays in use.
    fn holes(&self) -> MutexGuard<'_, Holes<Filter>> {
        self.holes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pinholes for NftPinholes {
    fn open(&self, want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        if is_unfiltered(&want) {
            return None;
        }
        Some(Box::pin(async move { self.open_now(&want) }))
    }

    fn close(&self, id: HoleId) -> Waiting<'_, ()> {
        let ended = self.holes().close(id.0, US, Instant::now());
        if let Some(hole) = ended {
            (self.log)(&hole);
        }
        Box::pin(std::future::ready(()))
    }
}

impl fmt::Debug for NftPinholes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NftPinholes").field("open", &self.holes().len()).finish()
    }
}

/// Nobody filters what a host says to itself, and a hole to loopback would never be admitted.
pub(crate) fn is_unfiltered(want: &Expected) -> bool {
    want.from.to_canonical().is_loopback() && want.to().ip().to_canonical().is_loopback()
}

fn refused(want: &Want, error: OpenError) -> PinholeError {
    match error {
        OpenError::Refused(Refusal::PerPair(limit) | Refusal::Total(limit)) => PinholeError::Full(limit),
        OpenError::Refused(refusal) => PinholeError::Denied { to: want.key.to, why: refusal.to_string() },
        OpenError::Filter(FilterError::Kernel(why)) | OpenError::Addresses(why) => PinholeError::Filter(why),
        other => PinholeError::Filter(io::Error::other(other.to_string())),
    }
}
