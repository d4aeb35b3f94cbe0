//! A fair queue per client address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

use super::lock;

/// Who waits for a seat, by client address.
#[derive(Debug, Default)]
pub(super) struct Turns(Mutex<HashMap<IpAddr, (usize, Arc<Queue>)>>);

#[derive(Debug, Default)]
struct Queue {
    next: Notify,
    moved: AtomicU64,
}

/// A place in the queue; dropping it leaves.
pub(super) struct Turn {
    turns: Arc<Turns>,
    client: IpAddr,
    queue: Arc<Queue>,
}

impl Turns {
    /// True if a newcomer would overtake somebody.
    pub(super) fn somebody_waits(&self, client: IpAddr) -> bool {
        lock(&self.0).contains_key(&client)
    }

    /// Queues up.
    pub(super) fn join(self: &Arc<Self>, client: IpAddr) -> Turn {
        let mut all = lock(&self.0);
        let (waiting, queue) = all.entry(client).or_default();
        *waiting += 1;
        Turn { turns: self.clone(), client, queue: queue.clone() }
    }

    /// A seat of this address became free: calls the first in the queue.
    pub(super) fn freed(&self, client: IpAddr) {
        if let Some((_, queue)) = lock(&self.0).get(&client) {
            queue.moved.fetch_add(1, Ordering::Relaxed);
            queue.next.notify_one();
        }
    }
}

impl Turn {
    /// Waits to be called.
    pub(super) async fn called(&self) {
        self.queue.next.notified().await;
    }

    /// How many seats have become free since the queue formed.
    pub(super) fn moved(&self) -> u64 {
        self.queue.moved.load(Ordering::Relaxed)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = lock(&self.turns.0);
        if let Some((waiting, _)) = all.get_mut(&self.client) {
            *waiting -= 1;
            if *waiting == 0 {
                all.remove(&self.client);
            }
        }
    }
}
