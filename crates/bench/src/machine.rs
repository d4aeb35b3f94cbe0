//! The machine that a figure was taken on: absolute figures mean nothing without it.

use std::fs;

/// CPUs, their model, the kernel, memory; the same text for every run on one machine.
pub(crate) fn describe() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']).trim();
    let model = if model.is_empty() { std::env::consts::ARCH } else { model };
    format!("machine: {cpus} x {model}; Linux {}; {} GiB", kernel(), field("MemTotal") / (1 << 20))
}

/// The kernel's release.
pub(crate) fn kernel() -> String {
    fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// The kernel's default congestion control; BBR holds back by a timer what goes over loopback, too.
pub(crate) fn congestion_control() -> String {
    fs::read_to_string("/proc/sys/net/ipv4/tcp_congestion_control").unwrap_or_default().trim().to_owned()
}

/// The load of the last minute: the machine may be shared.
pub(crate) fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    load.split(' ').next().unwrap_or_default().to_owned()
}

/// KiB that the kernel keeps for itself: slabs, stacks, page tables, and pages that sockets hold.
pub(crate) fn kernel_memory() -> f64 {
    let kept: u64 = ["Slab", "KernelStack", "PageTables"].into_iter().map(field).sum();
    // «TCP: inuse 27 orphan 0 tw 8 alloc 27 mem 4»: pages.
    let sockets = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:")).unwrap_or_default();
    let pages: u64 = tcp.rsplit(' ').next().and_then(|pages| pages.parse().ok()).unwrap_or_default();
    (kept + pages * rustix::param::page_size() as u64 / 1024) as f64
}

/// A field of `/proc/meminfo` in KiB.
fn field(name: &str) -> u64 {
    let info = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}
