//! How many sessions there may be: in all, and for one address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Counts sessions and refuses those beyond the limits; a cheap handle, clone it freely.
#[derive(Clone, Debug)]
pub struct Limits {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    max_sessions: usize,
    max_per_address: usize,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// Why a connection is not served; answer 421 and close, before anything is spent on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// All places are taken.
    #[error("too many sessions, the limit is {limit}")]
    TooManySessions {
        /// Sessions at a time.
        limit: usize,
    },
    /// This address has all of its places taken.
    #[error("too many sessions from your address, the limit is {limit}")]
    TooManyFromAddress {
        /// Sessions at a time from one IPv4 address or IPv6 /64.
        limit: usize,
    },
}

impl Refusal {
    /// The word for [`Refused::why`](crate::Refused::why).
    pub fn word(self) -> &'static str {
        match self {
            Self::TooManySessions { .. } => "too_many_sessions",
            Self::TooManyFromAddress { .. } => "too_many_from_address",
        }
    }
}

/// One session's place; given back when dropped.
#[derive(Debug)]
pub struct Ticket {
    shared: Arc<Shared>,
    address: IpAddr,
}

impl Limits {
    /// Limits of so many sessions in all and for one IPv4 address or IPv6 /64; 0 means no limit.
    pub fn new(max_sessions: usize, max_per_address: usize) -> Self {
        let no_limit = |max| if max == 0 { usize::MAX } else { max };
        Self {
            shared: Arc::new(Shared {
                max_sessions: no_limit(max_sessions),
                max_per_address: no_limit(max_per_address),
                counts: Mutex::default(),
            }),
        }
    }

    /// Takes a place for a session from this address.
    ///
    /// # Errors
    /// [`Refusal`], with the limit that was reached. It costs the same whether there are ten or ten thousand
    /// sessions.
    pub fn admit(&self, from: IpAddr) -> Result<Ticket, Refusal> {
        let address = counted_as(from);
        let mut counts = self.shared.lock();
        if counts.all >= self.shared.max_sessions {
            return Err(Refusal::TooManySessions { limit: self.shared.max_sessions });
        }
        let of_address = counts.by_address.entry(address).or_insert(0);
        if *of_address >= self.shared.max_per_address {
            return Err(Refusal::TooManyFromAddress { limit: self.shared.max_per_address });
        }
        *of_address += 1;
        counts.all += 1;
        Ok(Ticket { shared: Arc::clone(&self.shared), address })
    }

    /// Places taken now.
    pub fn taken(&self) -> usize {
        self.shared.lock().all
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut counts = self.shared.lock();
        counts.all = counts.all.saturating_sub(1);
        if let Entry::Occupied(mut entry) = counts.by_address.entry(self.address) {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

/// The address that counts: IPv4 as it is, also when mapped into IPv6; of IPv6 the /64.
fn counted_as(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V4(v4) => v4.into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_limit_holds_for_an_address_in_all_its_spellings_and_for_no_other() {
        for (what, first, second, refused) in [
            ("the same", "192.0.2.7", "192.0.2.7", true),
            ("mapped", "192.0.2.7", "::ffff:192.0.2.7", true),
            ("the same /64", "2001:db8::1", "2001:db8::ffff:2", true),
            ("a neighbour", "192.0.2.7", "192.0.2.8", false),
            ("another /64", "2001:db8:0:1::1", "2001:db8:0:2::1", false),
        ] {
            let limits = Limits::new(0, 1);
            let _first = limits.admit(ip(first)).unwrap();
            let second = limits.admit(ip(second));
            assert_eq!(second.is_err(), refused, "{what}");
            if let Err(refusal) = second {
                assert_eq!(refusal, Refusal::TooManyFromAddress { limit: 1 }, "{what}");
            }
        }
    }

    #[test]
    fn a_place_given_back_is_free_at_once() {
        let limits = Limits::new(2, 2);
        let peer = ip("192.0.2.7");
        let (first, _second) = (limits.admit(peer).unwrap(), limits.admit(peer).unwrap());
        let refused = limits.admit(ip("198.51.100.1"));
        assert_eq!(refused.unwrap_err(), Refusal::TooManySessions { limit: 2 });
        drop(first);
        assert!(limits.admit(peer).is_ok());
        assert_eq!(limits.taken(), 1);
    }

    #[test]
    fn a_refused_flood_leaves_no_trace() {
        let limits = Limits::new(10, 5);
        let tickets: Vec<Ticket> = (0..5).map(|_| limits.admit(ip("192.0.2.7")).unwrap()).collect();
        for n in 0..100_000_u32 {
            let _ = limits.admit(ip("192.0.2.7"));
            drop(limits.admit(IpAddr::V4(std::net::Ipv4Addr::from_bits(n))));
        }
        assert_eq!(limits.taken(), 5);
        assert_eq!(limits.shared.lock().by_address.len(), 1, "only addresses with sessions are remembered");
        drop(tickets);
        assert_eq!(limits.shared.lock().by_address.len(), 0);
    }
}
