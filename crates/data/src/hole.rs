//! A pinhole for as long as a value lives.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_pinhole::{Hole, PinholeError, Pinholes};
use portway_proto::{Expected, Vetted};

/// The lifetimes a pinhole may have.
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// An open pinhole; dropping it closes it in the background.
pub(crate) struct OpenHole {
    hole: Hole,
    by: Arc<dyn Pinholes>,
}

impl OpenHole {
    /// Lets one connection through, from `from` to `to`, for the session of the client at `control` if we serve it; `None` where
    /// nothing is filtered.
    pub(crate) async fn open(
        by: &Arc<dyn Pinholes>,
        from: std::net::IpAddr,
        to: Vetted,
        within: Duration,
        control: Option<SocketAddr>,
    ) -> Result<Option<Self>, PinholeError> {
        let mut want = Expected::new(from, to);
        want.within = within.clamp(SHORTEST, LONGEST);
        want.control = control.map(|peer| SocketAddr::new(peer.ip().to_canonical(), peer.port()));
        match by.open(want) {
            None => Ok(None),
            Some(opening) => Ok(Some(Self { hole: opening.await?, by: by.clone() })),
        }
    }

    /// What the filter wants announced in place of our own address, or dialled in place of the client's.
    pub(crate) fn announce(&self) -> Option<SocketAddr> {
        self.hole.announce
    }
}

impl std::fmt::Debug for OpenHole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "OpenHole({:?})", self.hole)
    }
}

impl Drop for OpenHole {
    fn drop(&mut self) {
        // Without a runtime the program is ending, and the hole dies by its own time limit.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let (by, id) = (self.by.clone(), self.hole.id);
            runtime.spawn(async move { by.close(id).await });
        }
    }
}
