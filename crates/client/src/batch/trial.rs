//! Which way a batch of small files goes, and what is learnt on the way.
//!
//! Over a long way active mode is the faster one: the server connects without waiting for us. It is tried once where
//! nothing speaks against it, and what came of it is remembered.

use std::net::IpAddr;
use std::time::Duration;

use portway_proto::Family;

use crate::{Connection, ModeChoice, Way};

/// Round trips shorter than this are not worth a try of another mode.
const LONG_WAY: Duration = Duration::from_millis(5);
/// How long the first data connection in active mode may take, at least.
const TRIAL: Duration = Duration::from_millis(1500);

impl Connection {
    /// The way for a batch, and whether it is a trial.
    pub(super) fn batch_way(&self) -> Option<(Way, bool)> {
        let chosen = self.chosen_way()?;
        if !chosen.is_passive() || self.settings().mode != ModeChoice::Auto || self.round_trip() < LONG_WAY {
            return Some((chosen, false));
        }
        let fact = self.settings().memory.recall(self.memory_key());
        let v4 = Family::of(self.peer().ip()) == Family::V4;
        let active = if v4 { Way::Port } else { Way::Eprt };
        Some(match fact.batch {
            Some(way) if way == active => (active, false),
            None if !fact.fails.contains_key(&active) && self.is_seen_as_here() => (active, true),
            _ => (chosen, false),
        })
    }

    /// How long a trial may take.
    pub(super) fn trial_time(&self) -> Duration {
        self.data_budget(TRIAL)
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
        self.trace().note("active mode, which would be faster from here, does not work");
        let key = self.memory_key().to_owned();
        self.settings().memory.learn(&key, |fact| {
            fact.batch = None;
            fact.fails.insert(way, why.to_owned());
        });
        self.abandon();
    }

    pub(super) fn learn_no_pipelining(&self) {
        self.trace().note("commands sent ahead confuse this server: one file at a time from now on");
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
