//! Clients that guess passwords. A server that counts failures by address, as portway's own does, takes all of them for
//! the proxy's and in the end lets nobody in that comes this way; so the proxy stops one client earlier.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// Wrong passwords of one client within [`WINDOW`]; half of what portway's server bears from an address.
const MOST: u32 = 10;
const WINDOW: Duration = Duration::from_secs(300);
/// Clients remembered at most; then all failures are forgotten.
const CLIENTS: usize = 16_384;

/// Counts wrong passwords by client. Clones are one and the same book.
#[derive(Clone, Debug, Default)]
pub struct Guesses(Arc<Mutex<HashMap<Guesser, Count>>>);

/// Who guesses: an IPv4 address or a /64 of IPv6, and at which server, since a good login at another one proves
/// nothing; `None` where all servers have the same users.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Guesser {
    client: IpAddr,
    server: Option<IpAddr>,
}

#[derive(Debug)]
struct Count {
    failed: u32,
    since: Instant,
    /// Passwords that servers are thinking about.
    under_way: u32,
    next: Arc<Notify>,
}

/// A password that may be tried; say afterwards what came of it.
#[derive(Debug)]
pub(crate) struct Turn {
    who: Guesser,
    book: Guesses,
}

/// The client has guessed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooOften;

impl Guesser {
    pub(crate) fn new(client: IpAddr, server: Option<IpAddr>) -> Self {
        let client = match client.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from_bits(ip.to_bits() >> 64 << 64).into(),
            v4 => v4,
        };
        Self { client, server: server.map(|ip| ip.to_canonical()) }
    }
}

impl Guesses {
    /// Waits while as many passwords of this client are under way as it may still get wrong.
    pub(crate) async fn turn(&self, who: Guesser) -> Result<Turn, TooOften> {
        loop {
            let next = {
                let mut all = self.lock();
                if all.len() >= CLIENTS && !all.contains_key(&who) {
                    all.retain(|_, count| count.under_way > 0);
                }
                let now = Instant::now();
                let count = all.entry(who).or_insert_with(|| Count::new(now));
                if count.failed > 0 && now.duration_since(count.since) > WINDOW {
                    count.failed = 0;
                }
                if count.failed >= MOST {
                    // Whoever waits behind this one has to know, too.
                    count.next.notify_one();
                    return Err(TooOften);
                }
                if count.failed + count.under_way < MOST {
                    count.under_way += 1;
                    return Ok(Turn { who, book: self.clone() });
                }
                Arc::clone(&count.next)
            };
            next.notified().await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Guesser, Count>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Count {
    fn new(since: Instant) -> Self {
        Self { failed: 0, since, under_way: 0, next: Arc::default() }
    }
}

impl Turn {
    /// The server let the user in, or did not.
    pub(crate) fn judged(self, good: bool) {
        if let Some(count) = self.book.lock().get_mut(&self.who) {
            if good {
                count.failed = 0;
            } else {
                if count.failed == 0 {
                    count.since = Instant::now();
                }
                count.failed += 1;
            }
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut all = self.book.lock();
        let Some(count) = all.get_mut(&self.who) else { return };
        count.under_way = count.under_way.saturating_sub(1);
        count.next.notify_one();
        // Who waits has the notification itself.
        if count.under_way == 0 && count.failed == 0 && Arc::strong_count(&count.next) == 1 {
            all.remove(&self.who);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn who(client: &str) -> Guesser {
        Guesser::new(client.parse().unwrap(), None)
    }

    #[tokio::test(start_paused = true)]
    async fn who_guesses_is_stopped_for_a_while_and_others_are_not() {
        let book = Guesses::default();
        for _ in 0..MOST {
            book.turn(who("192.0.2.7")).await.unwrap().judged(false);
        }
        assert_eq!(book.turn(who("::ffff:192.0.2.7")).await.unwrap_err(), TooOften);
        let other = Guesser::new("192.0.2.7".parse().unwrap(), Some("198.51.100.1".parse().unwrap()));
        for somebody in [who("192.0.2.8"), who("2001:db8::1"), other] {
            book.turn(somebody).await.unwrap().judged(true);
        }
        tokio::time::advance(WINDOW + Duration::from_secs(1)).await;
        book.turn(who("192.0.2.7")).await.unwrap().judged(true);
        assert!(book.lock().is_empty(), "nobody is remembered for nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn side_by_side_nobody_tries_more_than_one_after_the_other() {
        let book = Guesses::default();
        let tries: Vec<_> = (0..50)
            .map(|n| {
                let book = book.clone();
                tokio::spawn(async move {
                    let Ok(turn) = book.turn(who(&format!("2001:db8::{n}"))).await else { return false };
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    turn.judged(false);
                    true
                })
            })
            .collect();
        let mut tried = 0;
        for attempt in tries {
            tried += u32::from(attempt.await.unwrap());
        }
        assert_eq!(tried, MOST);
    }

    #[tokio::test(start_paused = true)]
    async fn good_logins_side_by_side_all_come_to_their_turn() {
        let book = Guesses::default();
        let logins: Vec<_> = (0..200)
            .map(|n| {
                let book = book.clone();
                tokio::spawn(async move {
                    let turn = book.turn(who("192.0.2.7")).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    // One in ten is mistyped, and one in seven gives up.
                    if n % 7 != 0 {
                        turn.judged(n % 10 != 0);
                    }
                })
            })
            .collect();
        for login in logins {
            tokio::time::timeout(Duration::from_secs(60), login).await.unwrap().unwrap();
        }
    }
}
