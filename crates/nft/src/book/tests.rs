use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::Interfaces;

/// Stands in for the kernel: elements with a time limit, on a clock of its own.
#[derive(Debug, Default)]
struct Fake {
    elements: HashMap<Key, Instant>,
    now: Option<Instant>,
}

impl Fake {
    /// A first packet: lets it through once.
    fn packet(&mut self, key: &Key) -> bool {
        let until = self.elements.remove(key);
        until.is_some_and(|until| self.now.is_some_and(|now| until > now))
    }
}

impl Elements for Fake {
    fn add(&mut self, key: &Key, within: Duration) -> Result<(), FilterError> {
        if let Some(now) = self.now {
            self.elements.insert(*key, now + within);
        }
        Ok(())
    }

    fn remove(&mut self, key: &Key) -> Result<bool, FilterError> {
        Ok(self.packet(key))
    }

    fn list(&mut self) -> Result<Vec<Key>, FilterError> {
        Ok(self.elements.keys().copied().collect())
    }
}

struct Bench {
    holes: Holes<Fake>,
    start: Instant,
}

const TEN: Duration = Duration::from_secs(10);

impl Bench {
    fn new(policy: Policy) -> Self {
        let start = Instant::now();
        let interfaces =
            Interfaces { own: ["198.51.100.1".parse().unwrap()].into(), ..Interfaces::default() };
        let fake = Fake { now: Some(start), ..Fake::default() };
        Self { holes: Holes::new(fake, policy, OwnAddresses::fixed(interfaces, start)), start }
    }

    fn at(&mut self, seconds: f64) -> Instant {
        let now = self.start + Duration::from_secs_f64(seconds);
        self.holes.elements().now = Some(now);
        now
    }

    fn open(&mut self, port: u16, holder: u64, at: f64) -> Result<u64, OpenError> {
        let now = self.at(at);
        self.holes.open(&Want { key: key(port), within: TEN }, holder, now)
    }
}

fn key(port: u16) -> Key {
    Key::new("192.0.2.7".parse().unwrap(), ("198.51.100.1".parse::<IpAddr>().unwrap(), port).into())
}

#[test]
fn a_used_hole_is_noticed_and_the_next_one_for_the_same_connection_is_opened_again() {
    let mut bench = Bench::new(Policy::default());
    let (first, second) = (bench.open(5000, 1, 0.0).unwrap(), bench.open(5000, 2, 0.1).unwrap());
    let other = bench.open(5001, 1, 0.2).unwrap();
    let now = bench.at(0.3);
    assert_eq!(bench.holes.find_used(now), []);
    assert!(bench.holes.elements().packet(&key(5000)));
    let ended: Vec<_> = bench.holes.find_used(now).into_iter().map(|hole| (hole.id, hole.how)).collect();
    assert_eq!(ended, [(first, End::Used)]);
    assert_eq!(bench.holes.find_used(now), []);
    assert!(bench.holes.elements().packet(&key(5000)), "the second has its hole");
    let ended: Vec<_> = bench.holes.find_used(now).into_iter().map(|hole| (hole.id, hole.how)).collect();
    assert_eq!(ended, [(second, End::Used)]);
    assert_eq!(bench.holes.close(other, 1, now).unwrap().how, End::Closed);
}

#[test]
fn a_hole_ends_as_used_closed_or_expired() {
    for (name, packet, closed_at, how) in [
        ("somebody came", true, Some(2.0), End::Used),
        ("given back", false, Some(2.0), End::Closed),
        ("nobody came", false, None, End::Expired),
        ("somebody came, nobody closed", true, None, End::Used),
    ] {
        let mut bench = Bench::new(Policy::default());
        let id = bench.open(5000, 1, 0.0).unwrap();
        bench.at(1.0);
        if packet {
            assert!(bench.holes.elements().packet(&key(5000)), "{name}");
        }
        let ended = match closed_at {
            Some(at) => {
                let now = bench.at(at);
                bench.holes.close(id, 1, now)
            }
            None => {
                let now = bench.holes.next_sweep().unwrap();
                bench.holes.elements().now = Some(now);
                bench.holes.sweep(now).pop()
            }
        };
        assert_eq!(ended.map(|ended| ended.how), Some(how), "{name}");
        assert!(bench.holes.is_empty());
    }
}

#[test]
fn nobody_closes_the_hole_of_another() {
    let mut bench = Bench::new(Policy::default());
    let id = bench.open(5000, 1, 0.0).unwrap();
    let now = bench.at(1.0);
    assert_eq!(bench.holes.close(id, 2, now), None);
    assert_eq!(bench.holes.len(), 1);
}

#[test]
fn holes_of_a_client_that_is_gone_are_closed() {
    let mut bench = Bench::new(Policy::default());
    bench.open(5000, 1, 0.0).unwrap();
    bench.open(5001, 2, 0.0).unwrap();
    let now = bench.at(1.0);
    assert_eq!(bench.holes.release(1, now).len(), 1);
    assert!(!bench.holes.elements().packet(&key(5000)));
    assert!(bench.holes.elements().packet(&key(5001)));
}

#[test]
fn two_sessions_behind_one_address_and_port_both_get_through() {
    let mut bench = Bench::new(Policy::default());
    let first = bench.open(5000, 1, 0.0).unwrap();
    let second = bench.open(5000, 1, 1.0).unwrap();
    assert!(bench.holes.elements().packet(&key(5000)), "the first connection");
    let now = bench.at(2.0);
    assert_eq!(bench.holes.close(first, 1, now).unwrap().how, End::Used);
    assert!(bench.holes.elements().packet(&key(5000)), "the second connection");
    assert_eq!(bench.holes.close(second, 1, now).unwrap().how, End::Used);
    assert!(!bench.holes.elements().packet(&key(5000)), "and no third");
}

#[test]
fn rule_17_and_38_limits_hold_and_free_places_come_back() {
    let mut bench = Bench::new(Policy { per_pair: 2, total: 3, ..Policy::default() });
    let first = bench.open(5000, 1, 0.0).unwrap();
    bench.open(5001, 1, 0.0).unwrap();
    assert!(matches!(bench.open(5002, 1, 0.0), Err(OpenError::Refused(Refusal::PerPair(2)))));
    let now = bench.at(1.0);
    bench.holes.close(first, 1, now);
    bench.open(5002, 1, 1.0).unwrap();
    let now = bench.at(20.0);
    bench.holes.sweep(now);
    assert!(bench.holes.is_empty());
    bench.open(5003, 1, 20.0).unwrap();
}

proptest! {
    #[test]
    fn whatever_happens_the_book_agrees_with_the_kernel(
        steps in proptest::collection::vec((0..5_u8, 5000_u16..5004, 0..3_u64), 1..60)
    ) {
        let mut bench = Bench::new(Policy { per_pair: 4, ..Policy::default() });
        let mut ids = Vec::new();
        let mut seconds = 0.0;
        for (what, port, holder) in steps {
            seconds += 0.7;
            let now = bench.at(seconds);
            match what {
                0 | 1 => ids.extend(bench.open(port, holder, seconds).ok().map(|id| (id, holder))),
                2 => { bench.holes.elements().packet(&key(port)); }
                3 => if let Some((id, holder)) = ids.pop() { bench.holes.close(id, holder, now); },
                _ => { bench.holes.release(holder, now); }
            }
            bench.holes.sweep(now);
            prop_assert!(bench.holes.len() <= 4);
            let elements: Vec<Key> = bench.holes.elements().elements.keys().copied().collect();
            for key in elements {
                let open = bench.holes.open.values().any(|entry| entry.key == key);
                prop_assert!(open, "{key} is open in the kernel and not in the book");
            }
        }
    }
}
