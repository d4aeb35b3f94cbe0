//! Sessions of one owner: the same user at the same address.

use std::collections::HashMap;
use std::net::IpAddr;
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
    address: IpAddr,
    /// Who is logged in; `None` before the login.
    owner: Option<Box<[u8]>>,
    tickets: Weak<SessionTickets>,
}

impl Kin {
    /// Enters a session from `address`, with nobody logged in.
    pub(crate) fn enter(&self, tickets: &Arc<SessionTickets>, address: IpAddr) {
        let member =
            Member { address: address.to_canonical(), owner: None, tickets: Arc::downgrade(tickets) };
        self.lock().insert(tickets.tag(), member);
    }

    /// Says who is logged in.
    pub(crate) fn belong_to(&self, tag: SessionTag, user: Option<&[u8]>) {
        if let Some(member) = self.lock().get_mut(&tag) {
            member.owner = user.map(Into::into);
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
        let same = this.address == other.address && this.owner.is_some() && this.owner == other.owner;
        same.then(|| other.tickets.upgrade()).flatten()
    }

    /// Whether `this` has a sibling at all.
    pub(crate) fn has_sibling(&self, this: SessionTag) -> bool {
        let members = self.lock();
        let Some(own) = members.get(&this).filter(|own| own.owner.is_some()) else { return false };
        members
            .iter()
            .any(|(tag, member)| *tag != this && member.address == own.address && member.owner == own.owner)
    }

    /// Whether the one named `other` may become a sibling of `this`: same address, and not logged in yet.
    pub(crate) fn undecided(&self, this: SessionTag, other: SessionTag) -> bool {
        let members = self.lock();
        let (Some(this), Some(other)) = (members.get(&this), members.get(&other)) else { return false };
        this.address == other.address && this.owner.is_some() && other.owner.is_none()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<SessionTag, Member>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
