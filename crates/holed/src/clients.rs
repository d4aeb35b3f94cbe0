//! Who is connected.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

use crate::socket::Peer;

/// Clients at once; portway needs one connection for each of its processes.
const MOST: usize = 64;

/// One connection; its number names the holder of its holes.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) socket: OwnedFd,
    pub(crate) peer: Peer,
}

#[derive(Debug, Default)]
pub(crate) struct Clients {
    all: BTreeMap<u64, Client>,
    next: u64,
}

impl Clients {
    /// Adds one, unless there are too many.
    pub(crate) fn add(&mut self, client: Client) -> Result<(), Client> {
        if self.all.len() >= MOST {
            return Err(client);
        }
        self.next += 1;
        self.all.insert(self.next, client);
        Ok(())
    }

    pub(crate) fn remove(&mut self, id: u64) {
        self.all.remove(&id);
    }

    pub(crate) fn peer(&self, id: u64) -> Option<Peer> {
        self.all.get(&id).map(|client| client.peer)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (u64, &Client)> {
        self.all.iter().map(|(&id, client)| (id, client))
    }
}
