//! A long link between two network namespaces: every packet arrives half a round trip after it was sent.
//!
//! Two TUN devices and four threads, since not every kernel has netem.
#![allow(unsafe_code, reason = "TUNSETIFF, the one call that makes a TUN device, has no safe wrapper")]

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::ioctl::{Setter, ioctl};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where the servers are.
pub(crate) const FAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// Where the clients are.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const MTU: usize = 1500;

/// Two namespaces; they go with it.
pub(crate) struct Link {
    home: File,
    near: String,
    far: String,
}

impl Link {
    /// A link with this round trip.
    ///
    /// # Errors
    /// When this is not root, or `ip` is missing.
    pub(crate) fn new(round_trip_ms: u64) -> Result<Self> {
        let name = |end: &str| format!("portway-bench-{}-{end}", std::process::id());
        let home = File::open("/proc/thread-self/ns/net")?;
        let link = Self { home, near: name("near"), far: name("far") };
        for name in [&link.near, &link.far] {
            ip(&["netns", "add", name]).context("the long link takes root")?;
        }
        let near = link.device(&link.near, NEAR, FAR)?;
        let far = link.device(&link.far, FAR, NEAR)?;
        let delay = Duration::from_millis(round_trip_ms) / 2;
        carry(near.try_clone()?, far.try_clone()?, delay);
        carry(far, near, delay);
        Ok(link)
    }

    /// A TUN device in a namespace, with its address and its peer's.
    fn device(&self, name: &str, own: Ipv4Addr, peer: Ipv4Addr) -> Result<File> {
        enter(&namespace(name)?)?;
        let made = (|| {
            let tun =
                OpenOptions::new().read(true).write(true).open("/dev/net/tun").context("/dev/net/tun")?;
            attach(&tun)?;
            ip(&["address", "add", &own.to_string(), "peer", &peer.to_string(), "dev", "long"])?;
            ip(&["link", "set", "long", "mtu", &MTU.to_string(), "txqueuelen", "5000", "up"])?;
            ip(&["link", "set", "lo", "up"])?;
            Ok(tun)
        })();
        self.leave()?;
        made
    }

    /// What this thread starts from now on runs at the servers' end.
    pub(crate) fn enter_far(&self) -> Result<()> {
        enter(&namespace(&self.far)?)
    }

    /// What this thread starts from now on runs at the clients' end.
    pub(crate) fn enter_near(&self) -> Result<()> {
        enter(&namespace(&self.near)?)
    }

    /// Back to where this thread was.
    pub(crate) fn leave(&self) -> Result<()> {
        enter(&self.home)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What cannot be undone is left to whoever reads the list of namespaces.
        let _ = self.leave();
        for name in [&self.near, &self.far] {
            let _ = ip(&["netns", "delete", name]);
        }
    }
}

/// A namespace, by its name.
pub(crate) fn namespace(name: &str) -> Result<File> {
    let path = PathBuf::from("/run/netns").join(name);
    File::open(&path).with_context(|| path.display().to_string())
}

/// What this thread starts from now on runs there.
pub(crate) fn enter(namespace: &File) -> Result<()> {
    Ok(move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))?)
}

/// Runs `ip`.
pub(crate) fn ip(args: &[&str]) -> Result<()> {
    let output = Command::new("ip")
        .args(args)
        .output()
        .context("ip is missing; install it: apt-get install iproute2")?;
    ensure!(
        output.status.success(),
        "ip {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Makes the device `long` of an open /dev/net/tun.
fn attach(tun: &File) -> Result<()> {
    /// `struct ifreq` of netdevice(7), as far as TUNSETIFF reads it.
    #[repr(C)]
    struct Request {
        name: [u8; 16],
        flags: u16,
        rest: [u8; 22],
    }
    const IFF_TUN: u16 = 1;
    const IFF_NO_PI: u16 = 0x1000;
    const TUNSETIFF: rustix::ioctl::Opcode = 0x4004_54ca;
    let mut name = [0; 16];
    name[..4].copy_from_slice(b"long");
    let request = Request { name, flags: IFF_TUN | IFF_NO_PI, rest: [0; 22] };
    // SAFETY: TUNSETIFF reads a `struct ifreq` of 40 octets and keeps no pointer to it.
    unsafe { ioctl(tun, Setter::<TUNSETIFF, Request>::new(request))? };
    Ok(())
}

/// Carries packets one way, each `delay` after it came. Ends when a device is gone, or with the program.
fn carry(mut from: File, mut to: File, delay: Duration) {
    let (sender, receiver) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut room = [0; MTU + 100];
        while let Ok(read) = from.read(&mut room) {
            let packet = room.get(..read).unwrap_or_default().to_vec();
            if sender.send((Instant::now() + delay, packet)).is_err() {
                break;
            }
        }
    });
    thread::spawn(move || {
        for (due, packet) in receiver {
            thread::sleep(due.saturating_duration_since(Instant::now()));
            if to.write_all(&packet).is_err() {
                break;
            }
        }
    });
}
