//! The book of open holes: who asked, until when, and how each ended.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use crate::addresses::OwnAddresses;
use crate::filter::{Elements, FilterError};
use crate::key::{Key, Want};
use crate::policy::{Policy, Refusal, pair};

/// How long before the kernel would drop an unused element we take it away, to learn that it was unused.
const EARLY: Duration = Duration::from_millis(100);

/// Opens holes as far as policy allows, and keeps book.
///
/// Two holes for the same key are one element in the kernel: when the first is over and another is still
/// wanted, the element is put back.
#[derive(Debug)]
pub struct Holes<E> {
    elements: E,
    policy: Policy,
    own: OwnAddresses,
    open: BTreeMap<u64, Entry>,
    keys: HashMap<Key, Vec<u64>>,
    pairs: HashMap<(IpAddr, IpAddr), usize>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    holder: u64,
    since: Instant,
    until: Instant,
}

/// Why a hole was not opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Policy forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The kernel did not do it.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// Our own addresses are unknown, so nothing can be checked.
    #[error("cannot read the addresses of this host: {0}")]
    Addresses(#[source] io::Error),
}

/// How a hole ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum End {
    /// A connection came through.
    Used,
    /// Nobody came in time.
    Expired,
    /// Taken back by whoever asked for it, unused.
    Closed,
}

/// One hole over its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// What [`Holes::open`] returned.
    pub id: u64,
    /// For which connection.
    pub key: Key,
    /// Who asked.
    pub holder: u64,
    /// How it ended.
    pub how: End,
    /// How long it was open.
    pub lived: Duration,
}

impl<E: Elements> Holes<E> {
    /// A book without holes.
    pub fn new(elements: E, policy: Policy, own: OwnAddresses) -> Self {
        Self {
            elements,
            policy,
            own,
            open: BTreeMap::new(),
            keys: HashMap::new(),
            pairs: HashMap::new(),
            next: 1,
        }
    }

    /// Opens a hole for `holder`. Call [`sweep`](Self::sweep) first, or holes of the past count.
    ///
    /// # Errors
    /// [`OpenError`]; nothing was opened.
    pub fn open(&mut self, want: &Want, holder: u64, now: Instant) -> Result<u64, OpenError> {
        let want = Want { key: Key::new(want.key.from, want.key.to), within: want.within };
        let here = self.own.at(now, [want.key.to.ip(), want.key.from]).map_err(OpenError::Addresses)?;
        self.policy.admit(&want, here)?;
        if self.open.len() >= self.policy.total {
            return Err(Refusal::Total(self.policy.total).into());
        }
        if self.pairs.get(&pair(&want.key)).is_some_and(|&open| open >= self.policy.per_pair) {
            return Err(Refusal::PerPair(self.policy.per_pair).into());
        }
        let until = now + want.within;
        // The element lasts as long as the longest of those that share it.
        let last = self.last_of(&want.key).map_or(until, |other| other.max(until));
        self.elements.add(&want.key, last.saturating_duration_since(now))?;
        let id = self.next;
        self.next += 1;
        self.open.insert(id, Entry { key: want.key, holder, since: now, until });
        self.keys.entry(want.key).or_default().push(id);
        *self.pairs.entry(pair(&want.key)).or_default() += 1;
        Ok(id)
    }

    /// Closes a hole of `holder`; `None` if it is over already or somebody else's.
    pub fn close(&mut self, id: u64, holder: u64, now: Instant) -> Option<Ended> {
        self.open.get(&id).filter(|entry| entry.holder == holder)?;
        self.end(id, End::Closed, now)
    }

    /// Ends the holes whose time is up.
    pub fn sweep(&mut self, now: Instant) -> Vec<Ended> {
        let due = |entry: &Entry| entry.until.checked_sub(EARLY).is_none_or(|at| at <= now);
        let over: Vec<u64> = self.open.iter().filter(|(_, entry)| due(entry)).map(|(&id, _)| id).collect();
        over.into_iter().filter_map(|id| self.end(id, End::Expired, now)).collect()
    }

    /// Ends the holes that somebody has come through. One question to the kernel, for all of them; none if none is
    /// open.
    pub fn find_used(&mut self, now: Instant) -> Vec<Ended> {
        if self.open.is_empty() {
            return Vec::new();
        }
        // If the kernel cannot say, each is found at its own end.
        let Ok(there) = self.elements.list() else { return Vec::new() };
        let there: HashSet<Key> = there.into_iter().collect();
        // Of those that share an element the oldest is used, and the others get a new one.
        let used =
            |(key, sharing): (&Key, &Vec<u64>)| (!there.contains(key)).then(|| sharing.first().copied());
        let used: Vec<u64> = self.keys.iter().filter_map(used).flatten().collect();
        used.into_iter().filter_map(|id| self.end(id, End::Closed, now)).collect()
    }

    /// Ends all holes of `holder`, who is gone.
    pub fn release(&mut self, holder: u64, now: Instant) -> Vec<Ended> {
        let his: Vec<u64> =
            self.open.iter().filter(|(_, entry)| entry.holder == holder).map(|(&id, _)| id).collect();
        his.into_iter().filter_map(|id| self.end(id, End::Closed, now)).collect()
    }

    /// When to call [`sweep`](Self::sweep) next.
    #[must_use]
    pub fn next_sweep(&self) -> Option<Instant> {
        self.open.values().filter_map(|entry| entry.until.checked_sub(EARLY)).min()
    }

    /// How many holes are open, as far as the book knows.
    #[must_use]
    pub fn len(&self) -> usize {
        self.open.len()
    }

    /// Whether none is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// What the holes are made of.
    pub fn elements(&mut self) -> &mut E {
        &mut self.elements
    }

    fn last_of(&self, key: &Key) -> Option<Instant> {
        let sharing = self.keys.get(key)?;
        sharing.iter().filter_map(|id| self.open.get(id)).map(|entry| entry.until).max()
    }

    fn end(&mut self, id: u64, how: End, now: Instant) -> Option<Ended> {
        let Entry { key, holder, since, until } = self.open.remove(&id)?;
        if let Some(count) = self.pairs.get_mut(&pair(&key)) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.pairs.remove(&pair(&key));
            }
        }
        if let Some(sharing) = self.keys.get_mut(&key) {
            sharing.retain(|&other| other != id);
            if sharing.is_empty() {
                self.keys.remove(&key);
            }
        }
        // If the kernel cannot say, the element dies by its own time limit; then unused is the safer guess.
        let unused = self.elements.remove(&key).unwrap_or(true);
        if let Some(last) = self.last_of(&key).filter(|&last| last > now) {
            let _ = self.elements.add(&key, last.saturating_duration_since(now));
        }
        // A late look finds nothing, used or not: the kernel's clock ran out first.
        let how = if !unused && now < until { End::Used } else { how };
        Some(Ended { id, key, holder, how, lived: now.saturating_duration_since(since) })
    }
}

#[cfg(test)]
mod tests;
