//! What `--pinholes nft` means on this host.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use portway_nft::{FilterError, Layout, Policy, wire};

use crate::{HelperPinholes, NftPinholes, Pinholes};

/// Where the helper is, and how the table looks if there is none and this process makes it.
#[derive(Clone, Debug)]
pub struct NftOptions {
    /// The helper's socket. Default `/run/portway/holed.sock`.
    pub socket: PathBuf,
    /// The table, if this process makes it.
    pub layout: Layout,
    /// What is admitted, if this process decides; the helper has its own policy.
    pub policy: Policy,
}

impl Default for NftOptions {
    fn default() -> Self {
        Self { socket: wire::DEFAULT_SOCKET.into(), layout: Layout::default(), policy: Policy::default() }
    }
}

/// Which way was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Through the helper.
    Helper,
    /// By this process.
    Direct,
}

/// A packet filter that is ready.
pub struct Started {
    /// Opens and closes holes.
    pub pinholes: Arc<dyn Pinholes>,
    /// For the log.
    pub way: Way,
}

/// Why there is no packet filter to be had. Do not start without: every transfer would fail.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The helper runs and does not serve this user.
    #[error("portway-holed at {}: {why}; start it with --allow and the number of this user", path.display())]
    Refused {
        /// Its socket.
        path: PathBuf,
        /// Its words.
        why: String,
    },
    /// Neither helper nor capability.
    #[error(
        "no way to open pinholes: portway-holed does not answer at {} ({helper}), and this process cannot do it \
         itself ({direct}). Start portway-holed, or use --pinholes none",
        path.display()
    )]
    NoWay {
        /// Where the helper was looked for.
        path: PathBuf,
        /// Why not the helper.
        helper: io::Error,
        /// Why not directly.
        direct: FilterError,
    },
}

/// Finds a way to nftables: the helper if it answers, else this process itself.
///
/// # Errors
/// [`StartError`].
pub fn nft(options: &NftOptions) -> Result<Started, StartError> {
    let path = || options.socket.clone();
    let helper = match HelperPinholes::connect(&options.socket) {
        Ok(helper) => return Ok(Started { pinholes: Arc::new(helper), way: Way::Helper }),
        Err(error) => error,
    };
    match NftPinholes::install(&options.layout, options.policy.clone()) {
        Ok(direct) => Ok(Started { pinholes: Arc::new(direct), way: Way::Direct }),
        Err(_) if helper.kind() == io::ErrorKind::PermissionDenied => {
            Err(StartError::Refused { path: path(), why: helper.to_string() })
        }
        Err(direct) => Err(StartError::NoWay { path: path(), helper, direct }),
    }
}

impl std::fmt::Debug for Started {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Started({:?})", self.way)
    }
}
