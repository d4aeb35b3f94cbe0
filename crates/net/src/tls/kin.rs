//! Sessions of one owner: the same user at the same address.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::SessionTag;
use super::tickets::SessionTickets;

/// Which live sessions belong to the same owner.
///
/// curl with `--parallel`, and every client that keeps one ticket cache for all its connections to a host, shows
/// on a data connection the ticket of whichever control connection got one last. Such a ticket proves that the
/// owner is the same; it does not prove which of his sessions is meant.
#[derive(Debug, Default)]
pub(crate) struct Kin(Mutex<HashMap<SessionTag, Member>>);

#[derive(Debug)]
struct Member {
    owner: Box<[u8]>,
    tickets: Weak<SessionTickets>,
}

impl Kin {
    /// Enters a session under its owner's name, or takes it out.
    pub(crate) fn enter(&self, tickets: &Arc<SessionTickets>, owner: Option<&[u8]>) {
        let mut members = self.lock();
        match owner {
            Some(owner) => {
                let member = Member { owner: owner.into(), tickets: Arc::downgrade(tickets) };
                members.insert(tickets.tag(), member);
            }
            None => drop(members.remove(&tickets.tag())),
        }
    }

    /// Takes a session out that has ended.
    pub(crate) fn leave(&self, tag: SessionTag) {
        self.lock().remove(&tag);
    }

    /// The session named `other`, if it has the same owner as the one named `this`.
    pub(crate) fn sibling(&self, this: SessionTag, other: SessionTag) -> Option<Arc<SessionTickets>> {
        let members = self.lock();
        let (this, other) = (members.get(&this)?, members.get(&other)?);
        (this.owner == other.owner).then(|| other.tickets.upgrade()).flatten()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionTag, Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
