//! How often one client may do something: have a hole opened, fail to log in.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Instant;

/// Clients remembered at most; beyond that those who have rested longest are forgotten.
const CLIENTS: usize = 16_384;

/// A bucket for each client: an IPv4 address, or a /64 of IPv6, since one host has all of that.
#[derive(Debug)]
pub(crate) struct Rate {
    per_second: f64,
    full: f64,
    buckets: HashMap<IpAddr, (f64, Instant)>,
}

impl Rate {
    /// So many a second, and `burst` seconds' worth at once; 0 is no limit.
    pub(crate) fn new(per_second: f64, burst: f64) -> Self {
        Self { per_second, full: (per_second * burst).max(1.0), buckets: HashMap::new() }
    }

    /// Whether there is one left.
    pub(crate) fn has(&self, client: IpAddr, now: Instant) -> bool {
        let left = |(left, at): &(f64, Instant)| {
            *left + now.saturating_duration_since(*at).as_secs_f64() * self.per_second
        };
        self.per_second == 0.0 || self.buckets.get(&host(client)).is_none_or(|bucket| left(bucket) >= 1.0)
    }

    /// Takes one, if there is one left.
    pub(crate) fn take(&mut self, client: IpAddr, now: Instant) -> bool {
        if self.per_second == 0.0 {
            return true;
        }
        let full = self.full;
        if self.buckets.len() >= CLIENTS && !self.buckets.contains_key(&host(client)) {
            // Whoever has a full bucket again loses nothing by being forgotten.
            let per_second = self.per_second;
            self.buckets.retain(|_, (left, at)| {
                *left + now.saturating_duration_since(*at).as_secs_f64() * per_second < full
            });
            // In a flood nobody has, and those that come now must not pay for it.
            if self.buckets.len() >= CLIENTS
                && let Some(rested) =
                    self.buckets.iter().min_by_key(|(_, (_, at))| *at).map(|(host, _)| *host)
            {
                self.buckets.remove(&rested);
            }
        }
        let (left, at) = self.buckets.entry(host(client)).or_insert((full, now));
        *left = (*left + now.saturating_duration_since(*at).as_secs_f64() * self.per_second).min(full);
        *at = now;
        if *left < 1.0 {
            return false;
        }
        *left -= 1.0;
        true
    }
}

fn host(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn rule_38_one_client_is_slowed_and_others_are_not() {
        let (mut rate, start) = (Rate::new(2.0, 10.0), Instant::now());
        let (one, other): (IpAddr, IpAddr) = ("192.0.2.7".parse().unwrap(), "192.0.2.8".parse().unwrap());
        assert_eq!((0..100).filter(|_| rate.take(one, start)).count(), 20);
        assert!(rate.take(other, start));
        let later = start + Duration::from_secs(1);
        assert_eq!((0..100).filter(|_| rate.take(one, later)).count(), 2);
    }

    #[test]
    fn a_flood_of_clients_keeps_nobody_else_out_and_fills_no_memory() {
        let (mut rate, start) = (Rate::new(0.1, 10.0), Instant::now());
        let known: IpAddr = "192.0.2.7".parse().unwrap();
        let soon = start + Duration::from_millis(1);
        for n in 0..CLIENTS as u128 + 100 {
            assert!(rate.take(Ipv6Addr::from_bits((0x2001_0db8 << 96) | (n << 64)).into(), start), "{n}");
        }
        assert!(rate.take(known, soon), "a newcomer");
        assert!(!rate.take(known, soon), "one that is known is still slowed");
        assert_eq!(rate.buckets.len(), CLIENTS);
    }

    #[test]
    fn all_addresses_of_a_64_are_one_client() {
        let (mut rate, now) = (Rate::new(1.0, 10.0), Instant::now());
        let taken = (0..100_u128)
            .filter(|n| rate.take(Ipv6Addr::from_bits((0x2001_0db8 << 96) | n).into(), now))
            .count();
        assert_eq!(taken, 10);
    }
}
