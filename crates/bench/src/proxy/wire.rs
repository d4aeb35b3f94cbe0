//! A line of limited rate between the clients and everybody else: a pair of network namespaces, and a token bucket at
//! either end of what joins them.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::client::link::{enter, ip, namespace};

/// Where the server and the proxies are.
pub(super) const FAR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// Where the clients are.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

/// Two namespaces; they go with it.
pub(super) struct Wire {
    home: File,
    near: String,
    far: String,
}

impl Wire {
    /// A line that carries so many Gbit/s each way, headers of Ethernet included.
    ///
    /// # Errors
    /// When this is not root, or `ip`, `tc`, the kernel's veth or its token bucket are missing.
    pub(super) fn new(gbit: u32) -> Result<Self> {
        let name = |end: &str| format!("portway-wire-{}-{end}", std::process::id());
        let wire =
            Self { home: File::open("/proc/thread-self/ns/net")?, near: name("near"), far: name("far") };
        let Self { near, far, .. } = &wire;
        for name in [near, far] {
            ip(&["netns", "add", name]).context("a line of limited rate takes root")?;
        }
        ip(&["-n", near, "link", "add", "wire", "type", "veth", "peer", "name", "wire", "netns", far])?;
        for (name, own) in [(near, NEAR), (far, FAR)] {
            ip(&["-n", name, "address", "add", &format!("{own}/24"), "dev", "wire"])?;
            ip(&["-n", name, "link", "set", "wire", "up"])?;
            ip(&["-n", name, "link", "set", "lo", "up"])?;
            limit(name, gbit)?;
        }
        Ok(wire)
    }

    /// What this thread starts from now on runs where the server is.
    pub(super) fn enter_far(&self) -> Result<()> {
        enter(&namespace(&self.far)?)
    }

    /// What this thread starts from now on runs where the clients are.
    pub(super) fn enter_near(&self) -> Result<()> {
        enter(&namespace(&self.near)?)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        // What cannot be undone is left to whoever reads the list of namespaces.
        let _ = enter(&self.home);
        for name in [&self.near, &self.far] {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// Half a millisecond's worth at once, since a busy machine's timers come late; a queue of 20 ms.
fn limit(namespace: &str, gbit: u32) -> Result<()> {
    let (rate, burst) = (format!("{gbit}gbit"), format!("{}k", 64 * gbit.max(4)));
    let output = Command::new("tc")
        .args(["-n", namespace, "qdisc", "add", "dev", "wire", "root", "tbf"])
        .args(["rate", &rate, "burst", &burst, "latency", "20ms"])
        .output()
        .context("tc is missing; install it: apt-get install iproute2")?;
    ensure!(output.status.success(), "tc: {}", String::from_utf8_lossy(&output.stderr).trim());
    Ok(())
}
