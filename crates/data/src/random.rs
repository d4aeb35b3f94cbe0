//! Numbers nobody outside can guess, for the choice of ports (RFC 2577 §8: port stealing).

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

/// A keyed hash of a counter; the key comes from the system once.
#[derive(Debug, Default)]
pub(crate) struct Unguessable {
    key: RandomState,
    count: AtomicU64,
}

impl Unguessable {
    /// A number from 0 to `below` - 1; 0 if `below` is 0.
    pub(crate) fn below(&self, below: usize) -> usize {
        let raw = self.key.hash_one(self.count.fetch_add(1, Ordering::Relaxed));
        // The widening product keeps the bias under below / 2^64.
        ((u128::from(raw) * below as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_turns_up_and_none_beyond() {
        let random = Unguessable::default();
        let mut seen = [0_u32; 10];
        for _ in 0..2000 {
            seen[random.below(10)] += 1;
        }
        assert!(seen.iter().all(|&n| n > 100), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
