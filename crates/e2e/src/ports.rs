//! Ranges of ports that belong to one test at a time.

use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};

use anyhow::{Result, bail};
use rustix::fs::FlockOperation;

/// Ports `first..=last`, outside the kernel's ephemeral range and claimed against other tests of
/// this machine until dropped.
#[derive(Debug)]
pub struct PortRange {
    /// The lowest port.
    pub first: u16,
    /// The highest port.
    pub last: u16,
    _claim: File,
}

/// Below the ephemeral range, which begins at 32768 by default; a hundred ports for each test.
const RANGES: std::ops::Range<u16> = 200..320;

impl PortRange {
    /// Claims `count` ports in a row (at most 100) of which none is in use.
    ///
    /// # Errors
    /// When all ranges are claimed.
    pub fn claim(count: u16) -> Result<Self> {
        let folder = std::env::temp_dir().join("portway-e2e-ports");
        std::fs::create_dir_all(&folder)?;
        let begin = std::process::id() as u16 % RANGES.len() as u16;
        for i in 0..RANGES.len() as u16 {
            let block = RANGES.start + (begin + i) % RANGES.len() as u16;
            let claim = File::options().create(true).append(true).open(folder.join(block.to_string()))?;
            if rustix::fs::flock(&claim, FlockOperation::NonBlockingLockExclusive).is_err() {
                continue;
            }
            let (first, last) = (block * 100, block * 100 + count.clamp(1, 100) - 1);
            if (first..=last).all(|port| TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok()) {
                return Ok(Self { first, last, _claim: claim });
            }
        }
        bail!("every range of ports is claimed")
    }

    /// In the spelling of `--passive-ports`.
    #[must_use]
    pub fn spelled(&self) -> String {
        format!("{}-{}", self.first, self.last)
    }
}
