//! What guessing passwords costs an address: first patience, then everything.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// What to do with the next login attempt of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    /// Check the password now.
    None,
    /// Wait this long before the password is checked.
    Wait(Duration),
    /// Check nothing: answer 421 and close.
    Refuse,
}

/// How patience runs out. `Default` gives the values in brackets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ThrottlePolicy {
    /// The wait after each of the first two failures (0.5 s): a typing mistake costs no more.
    pub first: Duration,
    /// The longest wait (16 s); from the third failure on the wait doubles up to it.
    pub longest: Duration,
    /// Failures of one address (IPv4: the address; IPv6: its /64) within [`window`](Self::window) before it is
    /// refused (20).
    pub failures_per_address: u32,
    /// The same for the network around it, IPv4 /24 and IPv6 /48 (80).
    pub failures_per_network: u32,
    /// How long failures are counted together, and how long a quiet address takes to be forgiven (5 min).
    pub window: Duration,
    /// How long a refused address or network stays refused (5 min).
    pub refusal: Duration,
    /// Addresses and networks remembered at most (65,536 of each, some 8 MB in all); beyond that, those that
    /// failed longest ago are forgotten.
    pub remembered: usize,
}

impl Default for ThrottlePolicy {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            longest: Duration::from_secs(16),
            failures_per_address: 20,
            failures_per_network: 80,
            window: Duration::from_secs(300),
            refusal: Duration::from_secs(300),
            remembered: 65_536,
        }
    }
}

/// Counts failed logins by address and by network, across all sessions.
///
/// One value serves all listeners. It reads no clock: every call says what time it is, and calls out of order
/// do no harm. A wait holds for one attempt; attempts made side by side wait side by side, and it is the count
/// that stops them.
#[derive(Debug, Default)]
pub struct Throttle {
    policy: ThrottlePolicy,
    tables: Mutex<Tables>,
}

#[derive(Debug, Default)]
struct Tables {
    addresses: HashMap<Address, Record>,
    networks: HashMap<Network, Record>,
}

/// An IPv4 address, or the /64 that an IPv6 customer has to himself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Address(IpAddr);

/// An IPv4 /24 or an IPv6 /48.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Network(IpAddr);

#[derive(Clone, Copy, Debug)]
struct Record {
    /// Failures since the last quiet window or success; the wait grows with it.
    streak: u32,
    /// Failures since `window_began`.
    in_window: u32,
    window_began: Instant,
    last: Instant,
    refused_until: Option<Instant>,
}

impl Throttle {
    /// Nobody has failed yet.
    pub fn new(policy: ThrottlePolicy) -> Self {
        Self { policy, tables: Mutex::default() }
    }

    /// What the next attempt from this address has to bear.
    pub fn delay(&self, addr: IpAddr, now: Instant) -> Delay {
        let (address, network) = keys(addr);
        let tables = self.lock();
        let of_address = tables.addresses.get(&address);
        let of_network = tables.networks.get(&network);
        if [of_address, of_network].into_iter().flatten().any(|record| record.refuses(now)) {
            return Delay::Refuse;
        }
        match of_address.filter(|record| !record.forgiven(now, &self.policy)) {
            Some(record) => Delay::Wait(self.policy.wait_after(record.streak)),
            None => Delay::None,
        }
    }

    /// Counts a failed login.
    pub fn failed(&self, addr: IpAddr, now: Instant) {
        let (address, network) = keys(addr);
        let policy = &self.policy;
        let mut tables = self.lock();
        record(&mut tables.addresses, address, now, policy).fail(now, policy.failures_per_address, policy);
        record(&mut tables.networks, network, now, policy).fail(now, policy.failures_per_network, policy);
    }

    /// Forgives an address: somebody there knows a password. The network around it is not forgiven, so that
    /// one good account buys no free guesses at the others.
    pub fn succeeded(&self, addr: IpAddr) {
        let (address, _) = keys(addr);
        self.lock().addresses.remove(&address);
    }

    /// Addresses and networks that are remembered now; never more than twice
    /// [`remembered`](ThrottlePolicy::remembered).
    pub fn len(&self) -> usize {
        let tables = self.lock();
        tables.addresses.len() + tables.networks.len()
    }

    /// Whether nobody has failed lately.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // Records are plain numbers; a panic elsewhere leaves none of them half written.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ThrottlePolicy {
    /// Two failures wait the first time; then it doubles, up to the longest.
    fn wait_after(&self, streak: u32) -> Duration {
        let doublings = streak.saturating_sub(2).min(31);
        self.first.saturating_mul(1 << doublings).min(self.longest)
    }
}

impl Record {
    fn new(now: Instant) -> Self {
        Self { streak: 0, in_window: 0, window_began: now, last: now, refused_until: None }
    }

    fn refuses(&self, now: Instant) -> bool {
        self.refused_until.is_some_and(|until| now < until)
    }

    fn forgiven(&self, now: Instant, policy: &ThrottlePolicy) -> bool {
        !self.refuses(now) && now.saturating_duration_since(self.last) >= policy.window
    }

    fn fail(&mut self, now: Instant, limit: u32, policy: &ThrottlePolicy) {
        if self.forgiven(now, policy) {
            *self = Self::new(now);
        }
        if now.saturating_duration_since(self.window_began) >= policy.window {
            self.in_window = 0;
            self.window_began = now;
        }
        self.streak = self.streak.saturating_add(1);
        self.in_window = self.in_window.saturating_add(1);
        self.last = self.last.max(now);
        if self.in_window >= limit && !self.refuses(now) {
            self.refused_until = now.checked_add(policy.refusal);
        }
    }
}

/// The record of a key, making room first if it is new and the table is full.
fn record<'a, K: Eq + Hash + Copy>(
    table: &'a mut HashMap<K, Record>,
    key: K,
    now: Instant,
    policy: &ThrottlePolicy,
) -> &'a mut Record {
    if table.len() >= policy.remembered.max(1) && !table.contains_key(&key) {
        make_room(table, now, policy);
    }
    table.entry(key).or_insert_with(|| Record::new(now))
}

/// Drops the forgiven, and if that is not enough, the eighth that failed longest ago: the price of a scan of
/// the table is shared by the many insertions that it makes room for.
fn make_room<K: Eq + Hash + Copy>(table: &mut HashMap<K, Record>, now: Instant, policy: &ThrottlePolicy) {
    let room = policy.remembered.max(1);
    table.retain(|_, record| !record.forgiven(now, policy));
    let keep = room - (room / 8).max(1);
    if table.len() <= keep {
        return;
    }
    let mut by_age: Vec<(Instant, K)> = table.iter().map(|(key, record)| (record.last, *key)).collect();
    by_age.sort_unstable_by_key(|(last, _)| *last);
    for (_, key) in by_age.iter().take(table.len() - keep) {
        table.remove(key);
    }
}

/// Both keys of an address; an IPv4 address in IPv6 clothes is the IPv4 address.
fn keys(addr: IpAddr) -> (Address, Network) {
    match addr.to_canonical() {
        IpAddr::V4(v4) => {
            let network = Ipv4Addr::from_bits(v4.to_bits() & !0xff);
            (Address(v4.into()), Network(network.into()))
        }
        IpAddr::V6(v6) => {
            let keep = |prefix: u32| Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << (128 - prefix)));
            (Address(keep(64).into()), Network(keep(48).into()))
        }
    }
}

#[cfg(test)]
mod tests;
