//! Which way a batch of small files goes, and what is learnt on the way.
//!
//! In active mode the server connects without waiting for us: over a long way that saves a round trip a file, and over
//! a short one the waking of two processes, which costs more than the file. So it is tried once where nothing speaks
//! against it. A firewall in front of us may be silent, and the session that tries is lost then, which costs a moment:
//! over a short way that is risked only where files are many, or where the server is this very machine.

use std::net::IpAddr;
use std::time::Duration;

use portway_proto::Family;

use crate::{Connection, ModeChoice, Way};

/// Round trips longer than this are worth a trial at once.
const LONG_WAY: Duration = Duration::from_millis(5);
/// Files after which a trial is worth it over a short way.
const MANY: usize = 100;
/// How long the first data connection in active mode may take, at least, over a long way and over a short one.
const TRIAL: [Duration; 2] = [Duration::from_millis(1500), Duration::from_millis(500)];

impl Connection {
    /// The way for a batch of which so many files are done, and whether it is a trial, which is begun with that.
    pub(super) fn batch_way(&self, done: usize) -> Option<(Way, bool)> {
        let chosen = self.chosen_way()?;
        let near = self.round_trip() < LONG_WAY;
        let early = near && done < MANY && !self.is_at_home();
        if !chosen.is_passive() || self.settings().mode != ModeChoice::Auto {
            return Some((chosen, false));
        }
        let fact = self.settings().memory.recall(self.memory_key());
        let v4 = Family::of(self.peer().ip()) == Family::V4;
        let active = if v4 { Way::Port } else { Way::Eprt };
        let worth_a_try = || {
            !early
                && !fact.fails.contains_key(&active)
                && self.is_seen_as_here()
                && self.settings().memory.begin_trial(self.memory_key())
        };
        Some(match fact.batch {
            // Under TLS the handshake decides, not who connects.
            _ if near && self.data_tls().is_some() => (chosen, false),
            Some(way) if way == active => (active, false),
            None if worth_a_try() => (active, true),
            _ => (chosen, false),
        })
    }

    /// How long a trial may take.
    pub(super) fn trial_time(&self) -> Duration {
        let [far, near] = TRIAL;
        self.data_budget(if self.round_trip() < LONG_WAY { near } else { far })
    }

    /// Whether the server is this machine: no packet filter stands between a machine and itself.
    fn is_at_home(&self) -> bool {
        self.is_direct() && self.peer().ip() == self.local().ip()
    }

    /// Whether the server sees us under our own address, as far as addresses tell.
    fn is_seen_as_here(&self) -> bool {
        self.listens_alone()
            && (self.settings().active_address.is_some()
                || is_private(self.local().ip()) == is_private(self.peer().ip()))
    }

    pub(super) fn learn_active(&self, way: Way) {
        self.settings().memory.learn(self.memory_key(), |fact| fact.batch = Some(way));
    }

    pub(super) fn learn_no_active(&mut self, way: Way, why: &str) {
        self.trace_note("active mode, which would be faster from here, does not work");
        let key = self.memory_key().to_owned();
        self.settings().memory.learn(&key, |fact| {
            fact.batch = None;
            fact.fails.insert(way, why.to_owned());
        });
        self.mark_broken();
    }

    pub(super) fn learn_no_pipelining(&self) {
        self.trace_note("commands sent ahead confuse this server: one file at a time from now on");
        self.settings().memory.learn(self.memory_key(), |fact| fact.no_pipelining = true);
    }
}

/// Addresses that networks keep to themselves (RFC 1918, RFC 6598, RFC 4193), and this machine's own.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, ..] = ip.octets();
            ip.is_private() || ip.is_loopback() || ip.is_link_local() || (a == 100 && (64..128).contains(&b))
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}
