//! A running verdict on the data connections, from what really happens to clients.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::event::{Event, TransferResult};

/// What is older says nothing about now: counting begins anew.
const WINDOW: Duration = Duration::from_secs(6 * 3600);
/// Clients remembered; more of them would say the same.
const MOST: usize = 4096;
/// Fewer clients than this are no pattern.
const LEAST: usize = 3;
/// The same is not said again before.
const QUIET: Duration = Duration::from_secs(3600);

/// Counts, for each client, whether data connections came about, and says what the pattern means.
#[derive(Debug, Default)]
pub struct Diagnosis(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    since: Option<SystemTime>,
    clients: BTreeMap<IpAddr, Client>,
    reached: BTreeSet<u16>,
    missed: BTreeSet<u16>,
    said: Option<(Pattern, usize, SystemTime)>,
}

#[derive(Debug, Default)]
struct Client {
    passive: Tries,
    active: Tries,
}

#[derive(Debug, Default)]
struct Tries {
    good: u32,
    bad: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pattern {
    Passive,
    PartOfTheRange,
    Active,
}

impl Diagnosis {
    /// Takes an event into account. A sentence, if there is something to say that has not been said lately.
    pub fn note(&self, event: &Event, now: SystemTime) -> Option<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (peer, mode, port, good) = match event {
            Event::Transfer(t) if t.result == TransferResult::Complete => (t.peer, t.mode, t.port, true),
            Event::DataFailed(f)
                if matches!(f.cause, "nobody_came" | "timed_out" | "refused" | "unreachable") =>
            {
                (f.peer, f.mode, f.announced.map_or(0, |addr| addr.port()), false)
            }
            _ => return None,
        };
        if state.since.is_none_or(|since| now.duration_since(since).is_ok_and(|age| age > WINDOW)) {
            *state = State { since: Some(now), said: state.said, ..State::default() };
        }
        if state.clients.len() >= MOST && !state.clients.contains_key(&peer) {
            return None;
        }
        let client = state.clients.entry(peer).or_default();
        let passive = matches!(mode, "PASV" | "EPSV");
        let tries = if passive { &mut client.passive } else { &mut client.active };
        let count = if good { &mut tries.good } else { &mut tries.bad };
        *count = count.saturating_add(1);
        if passive && port != 0 {
            if good {
                state.reached.insert(port)
            } else {
                state.missed.insert(port)
            };
        }
        // What goes well needs no words.
        if good {
            return None;
        }
        let (pattern, clients, sentence) = state.sentence()?;
        let known = state.said.is_some_and(|(before, count, when)| {
            before == pattern
                && clients < count.saturating_mul(2)
                && now.duration_since(when).is_ok_and(|age| age < QUIET)
        });
        if known {
            return None;
        }
        state.said = Some((pattern, clients, now));
        Some(sentence)
    }

    /// What there is to say now; `None` if data connections come about as they should.
    #[must_use]
    pub fn verdict(&self) -> Option<String> {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.sentence().map(|(_, _, sentence)| sentence)
    }

    /// Clients that never had a data connection although they tried, and clients that tried at all: in passive
    /// mode, in active mode.
    #[must_use]
    pub fn cut_off(&self) -> [(usize, usize); 2] {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        [state.count(|client| &client.passive), state.count(|client| &client.active)]
    }
}

impl State {
    /// Clients with failures only, and all that tried.
    fn count(&self, of: impl Fn(&Client) -> &Tries) -> (usize, usize) {
        let tried = || self.clients.values().map(&of).filter(|tries| tries.good + tries.bad > 0);
        (tried().filter(|tries| tries.good == 0).count(), tried().count())
    }

    fn sentence(&self) -> Option<(Pattern, usize, String)> {
        let since = clock(self.since?);
        let (never, tried) = self.count(|client| &client.passive);
        let dead: Vec<u16> = self.missed.difference(&self.reached).copied().collect();
        let range = match (dead.first(), dead.last()) {
            (Some(low), Some(high)) if low != high => format!("{low}-{high}"),
            (Some(one), _) => one.to_string(),
            _ => "its passive ports".to_owned(),
        };
        if never >= LEAST && never.saturating_mul(2) > tried {
            let sentence = format!(
                "{never} of {tried} clients never reached a passive port since {since}: the firewall in front drops {range}"
            );
            return Some((Pattern::Passive, never, sentence));
        }
        // Ports that nobody ever reached, beside ports that many did.
        let missing = self.clients.values().filter(|c| c.passive.bad > 0 && c.passive.good > 0).count();
        if missing >= LEAST && dead.len() >= LEAST && self.reached.len() >= LEAST {
            let sentence = format!(
                "{missing} clients reached some passive ports and others not since {since}: the firewall in front drops a part of the range, {range}"
            );
            return Some((Pattern::PartOfTheRange, missing, sentence));
        }
        let (never, tried) = self.count(|client| &client.active);
        if never >= LEAST && never == tried {
            let sentence = format!(
                "none of {tried} clients could be reached in active mode since {since}: the firewall in front lets no connection out, or all clients are behind firewalls of their own"
            );
            return Some((Pattern::Active, never, sentence));
        }
        None
    }
}

/// Hour and minute, UTC as in the log.
fn clock(time: SystemTime) -> String {
    let seconds = time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    format!("{:02}:{:02} UTC", seconds / 3600 % 24, seconds / 60 % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{DataFailed, Direction, Transfer};
    use crate::{Seconds, Shown};

    fn at(minute: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(9 * 3600 + minute * 60)
    }

    fn peer(n: u8) -> IpAddr {
        [192, 0, 2, n].into()
    }

    fn missed(n: u8, mode: &'static str, port: u16) -> Event {
        let cause = if mode == "EPSV" { "nobody_came" } else { "timed_out" };
        let announced = Some(([198, 51, 100, 1], port).into());
        DataFailed { session: 1, peer: peer(n), mode, announced, cause, detail: Shown::from("") }.into()
    }

    fn reached(n: u8, mode: &'static str, port: u16) -> Event {
        Transfer {
            session: 1,
            peer: peer(n),
            user: Shown::from("ann"),
            anonymous: false,
            verb: "RETR",
            path: Shown::from("/f"),
            direction: Direction::Out,
            bytes: 1,
            seconds: Seconds::from(Duration::ZERO),
            mode,
            port,
            tls: false,
            resumed: None,
            ascii: false,
            compressed: false,
            restart_offset: 0,
            result: TransferResult::Complete,
            code: 226,
            cause: None,
        }
        .into()
    }

    #[test]
    fn a_firewall_in_front_is_named_once_most_clients_never_get_through() {
        let diagnosis = Diagnosis::default();
        for n in 0..3 {
            assert_eq!(diagnosis.note(&reached(n, "EPSV", 50_200), at(0)), None);
        }
        let mut said = Vec::new();
        for n in 3..20 {
            said.extend(diagnosis.note(&missed(n, "EPSV", 50_000 + u16::from(n) * 5), at(1)));
        }
        let last = diagnosis.verdict().unwrap();
        assert_eq!(
            last,
            "17 of 20 clients never reached a passive port since 09:00 UTC: the firewall in front drops 50015-50095"
        );
        // Said when it shows, and again when twice as many are cut off: not for each of them.
        assert!((1..=4).contains(&said.len()), "{said:#?}");
        assert_eq!(diagnosis.cut_off()[0], (17, 20));
    }

    #[test]
    fn single_clients_with_firewalls_of_their_own_are_no_pattern() {
        let diagnosis = Diagnosis::default();
        for n in 0..20 {
            diagnosis.note(&reached(n, "EPSV", 50_000), at(0));
        }
        for n in 20..24 {
            diagnosis.note(&missed(n, "EPSV", 50_001), at(1));
            diagnosis.note(&missed(n, "PORT", 40_001), at(1));
        }
        diagnosis.note(&reached(1, "PORT", 40_001), at(1));
        assert_eq!(diagnosis.verdict(), None);
    }

    #[test]
    fn a_range_that_is_partly_closed_shows_by_its_dead_ports() {
        let diagnosis = Diagnosis::default();
        for n in 0..6 {
            diagnosis.note(&reached(n, "PASV", 50_000 + u16::from(n)), at(0));
            diagnosis.note(&missed(n, "EPSV", 50_050 + u16::from(n)), at(0));
        }
        let verdict = diagnosis.verdict().unwrap();
        assert!(verdict.contains("a part of the range, 50050-50055"), "{verdict}");
    }

    #[test]
    fn what_was_six_hours_ago_counts_no_more() {
        let diagnosis = Diagnosis::default();
        for n in 0..5 {
            diagnosis.note(&missed(n, "EPSV", 50_000), at(0));
        }
        assert!(diagnosis.verdict().is_some());
        diagnosis.note(&reached(9, "EPSV", 50_000), at(6 * 60 + 1));
        assert_eq!(diagnosis.verdict(), None);
    }
}
