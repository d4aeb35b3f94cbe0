//! What the kernel does with our table, seen from a client, a server and the firewall between them.

#![allow(clippy::unwrap_used)]

mod lab;

use std::time::{Duration, Instant};

use lab::{CLIENT, GATE, Lab, OTHER_CLIENT, SERVER, at, in_namespaces, nft, run, strict, until};
use portway_nft::{
    DEFAULT_MARK, Elements as _, End, Filter, FilterError, Holes, Key, Layout, OwnAddresses, Policy, Reach,
    Want,
};

const TEN: Duration = Duration::from_secs(10);

fn key(from: &str, to: std::net::SocketAddr) -> Key {
    Key::new(from.parse().unwrap(), to)
}

fn filter() -> Filter {
    Filter::install(&Layout::default()).unwrap()
}

#[test]
fn a_hole_serves_exactly_one_connection_of_exactly_one_client() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        for family in [0, 1] {
            let to = at(SERVER[family], 5000);
            lab.listen(to);
            lab.listen(at(SERVER[family], 5001));
            assert!(!lab.reaches(CLIENT[family], to), "closed without a hole");
            filter.add(&key(CLIENT[family], to), TEN).unwrap();
            assert!(!lab.reaches(OTHER_CLIENT[family], to), "closed for another client");
            assert!(!lab.reaches(CLIENT[family], at(SERVER[family], 5001)), "closed for another port");
            assert_eq!(filter.list().unwrap(), [key(CLIENT[family], to)], "and still open for its owner");
            assert!(lab.reaches(CLIENT[family], to), "open for its owner");
            assert!(!lab.reaches(CLIENT[family], to), "and only once");
            assert_eq!(filter.list().unwrap(), []);
        }
    });
}

#[test]
fn the_first_packet_may_come_again_if_it_was_lost() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        // The server loses every first packet of a connection, once.
        lab.server.run(|| {
            nft("table inet lossy { chain input { type filter hook input priority filter;
                 tcp flags & (syn|ack) == syn numgen inc mod 2 == 0 counter drop; }; }");
        });
        for family in [0, 1] {
            let to = at(SERVER[family], 5000);
            lab.listen(to);
            filter.add(&key(CLIENT[family], to), TEN).unwrap();
            assert!(lab.reaches(CLIENT[family], to), "the second packet of the same connection gets through");
            assert_eq!(filter.list().unwrap(), []);
            assert!(!lab.reaches(CLIENT[family], to), "another connection does not");
        }
    });
}

#[test]
fn an_unused_hole_dies_by_itself() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        let to = at(SERVER[0], 5000);
        lab.listen(to);
        filter.add(&key(CLIENT[0], to), Duration::from_millis(300)).unwrap();
        assert!(until(Duration::from_secs(3), || filter.list().unwrap().is_empty()));
        assert!(!lab.reaches(CLIENT[0], to));
        assert!(!filter.remove(&key(CLIENT[0], to)).unwrap(), "a hole that is gone is no error");
    });
}

#[test]
fn a_hole_can_be_taken_back_and_asked_for_again() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        let to = at(SERVER[0], 5000);
        lab.listen(to);
        let key = key(CLIENT[0], to);
        filter.add(&key, TEN).unwrap();
        assert!(filter.remove(&key).unwrap());
        assert!(!lab.reaches(CLIENT[0], to));
        filter.add(&key, Duration::from_millis(200)).unwrap();
        filter.add(&key, TEN).unwrap();
        assert!(!until(Duration::from_millis(400), || filter.list().unwrap().is_empty()), "it was prolonged");
        assert!(lab.reaches(CLIENT[0], to));
    });
}

#[test]
fn a_stray_packet_that_is_no_first_one_uses_nothing_up() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        let to = at(SERVER[0], 5000);
        lab.listen(to);
        let key = key(CLIENT[0], to);
        // A connection that conntrack has forgotten: its next packet looks new and is not a first packet.
        filter.add(&key, TEN).unwrap();
        let mut old = lab.client_connects(CLIENT[0], 0, to).unwrap();
        run("conntrack -F");
        filter.add(&key, TEN).unwrap();
        std::io::Write::write_all(&mut old, b"late").unwrap();
        let _ = std::io::Read::read(&mut old, &mut [0; 8]);
        assert_eq!(filter.list().unwrap(), [key]);
    });
}

#[test]
fn a_source_port_that_is_used_again_needs_a_hole_of_its_own() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        let to = at(SERVER[0], 5000);
        lab.listen(to);
        filter.add(&key(CLIENT[0], to), TEN).unwrap();
        let stream = lab.client_connects(CLIENT[0], 40000, to).unwrap();
        // Ends with RST, so that the port is free at once.
        rustix::net::sockopt::set_socket_linger(&stream, Some(Duration::ZERO)).unwrap();
        drop(stream);
        assert!(lab.client_connects(CLIENT[0], 40000, to).is_none());
    });
}

#[test]
fn a_server_behind_its_own_firewall_is_reached_through_the_input_hook() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let mut filter = filter();
        for family in [0, 1] {
            let to = at(GATE[family], 5000);
            lab::greet(to);
            assert!(!lab.reaches(CLIENT[family], to));
            filter.add(&key(CLIENT[family], to), TEN).unwrap();
            assert!(lab.reaches(CLIENT[family], to));
            assert!(!lab.reaches(CLIENT[family], to));
        }
    });
}

#[test]
fn a_guarded_range_is_shut_for_all_without_a_hole_even_if_the_firewall_left_it_open() {
    in_namespaces(|| {
        let lab = Lab::new();
        let layout = Layout { guard: Some(5000..=5009), ..Layout::default() };
        let mut filter = Filter::install(&layout).unwrap();
        for family in [0, 1] {
            let to = at(GATE[family], 5009);
            lab::greet(to);
            lab::greet(at(GATE[family], 5010));
            assert!(!lab.reaches(CLIENT[family], to), "in the range");
            assert!(lab.reaches(CLIENT[family], at(GATE[family], 5010)), "outside of it");
            filter.add(&key(CLIENT[family], to), TEN).unwrap();
            assert!(lab.reaches(CLIENT[family], to));
            assert!(!lab.reaches(CLIENT[family], to));
            filter.add(&key(CLIENT[family], to), TEN).unwrap();
        }
        drop(filter);
        assert!(
            !lab.reaches(CLIENT[0], at(GATE[0], 5009)),
            "the guard outlives the program, its holes do not"
        );
        let mut again = Filter::install(&Layout::default()).unwrap();
        assert_eq!(again.list().unwrap(), []);
        assert!(lab.reaches(CLIENT[0], at(GATE[0], 5009)), "the next start replaces the old table");
    });
}

#[test]
fn nothing_outside_our_table_is_touched_and_nothing_is_left() {
    in_namespaces(|| {
        nft("table inet admin { set pin4 { type ipv4_addr; }
             chain forward { type filter hook forward priority filter; policy drop; counter; }; }
             table ip portway { chain x { }; }");
        let before = run("nft list ruleset");
        let mut filter = filter();
        filter.add(&key("192.0.2.7", at("198.51.100.1", 5000)), TEN).unwrap();
        let with = run("nft list ruleset");
        assert!(with.contains("table inet portway"), "{with}");
        assert!(
            with.contains("192.0.2.7 . 198.51.100.1 . 5000 timeout 10s"),
            "nft reads what we wrote: {with}"
        );
        filter.flush().unwrap();
        assert_eq!(filter.list().unwrap(), []);
        drop(filter);
        assert_eq!(run("nft list ruleset"), before);
    });
}

#[test]
fn a_table_left_over_is_replaced_and_a_table_in_use_is_not() {
    in_namespaces(|| {
        nft("table inet portway { set pin4 { type ipv4_addr . ipv4_addr . inet_service; flags timeout,dynamic;
             elements = { 192.0.2.7 . 198.51.100.1 . 22 timeout 1h }; }; chain odd { }; }");
        let mut first = filter();
        assert_eq!(first.list().unwrap(), []);
        assert!(!run("nft list ruleset").contains("chain odd"));
        assert!(matches!(Filter::install(&Layout::default()), Err(FilterError::Held)));
        first.add(&key("192.0.2.7", at("198.51.100.1", 5000)), TEN).unwrap();
        assert_eq!(first.list().unwrap().len(), 1, "the first one goes on");
    });
}

#[test]
fn holes_survive_the_administrators_reload() {
    in_namespaces(|| {
        let key = key("192.0.2.7", at("198.51.100.1", 5000));
        let mut owned = filter();
        owned.add(&key, TEN).unwrap();
        nft("flush ruleset");
        assert_eq!(owned.list().unwrap(), [key], "an owned table is spared");
        drop(owned);
        let mut guarded = Filter::install(&Layout { guard: Some(5000..=5009), ..Layout::default() }).unwrap();
        nft("flush ruleset");
        assert!(!run("nft list ruleset").contains("portway"));
        guarded.add(&key, TEN).unwrap();
        assert_eq!(guarded.list().unwrap(), [key], "another one is made again");
        assert!(run("nft list ruleset").contains("5000-5009"), "with its guard");
    });
}

#[test]
fn the_set_has_a_limit_and_says_so() {
    in_namespaces(|| {
        let mut filter = Filter::install(&Layout { size: 3, ..Layout::default() }).unwrap();
        for port in 5000..5003 {
            filter.add(&key("192.0.2.7", at("198.51.100.1", port)), TEN).unwrap();
        }
        let fourth = key("192.0.2.7", at("198.51.100.1", 5003));
        assert!(matches!(filter.add(&fourth, TEN), Err(FilterError::Full)));
        filter.remove(&key("192.0.2.7", at("198.51.100.1", 5000))).unwrap();
        filter.add(&fourth, TEN).unwrap();
    });
}

#[test]
fn the_book_tells_used_from_expired() {
    in_namespaces(|| {
        let lab = Lab::new();
        strict(DEFAULT_MARK);
        let policy = Policy { reach: Reach::Forward, ..Policy::default() };
        let mut holes = Holes::new(filter(), policy, OwnAddresses::of_this_host());
        let (used, unused) = (at(SERVER[0], 5000), at(SERVER[0], 5001));
        lab.listen(used);
        for to in [used, unused] {
            let want = Want { key: key(CLIENT[0], to), within: Duration::from_secs(1) };
            holes.open(&want, 1, Instant::now()).unwrap();
        }
        let gate = Want { key: key(CLIENT[0], at(GATE[0], 5000)), within: Duration::from_secs(1) };
        assert!(holes.open(&gate, 1, Instant::now()).is_err(), "never to the gate itself");
        assert!(lab.reaches(CLIENT[0], used));
        let mut ended = Vec::new();
        assert!(until(Duration::from_secs(3), || {
            ended.extend(holes.sweep(Instant::now()));
            ended.len() == 2
        }));
        let how = |to| ended.iter().find(|hole| hole.key.to == to).unwrap().how;
        assert_eq!((how(used), how(unused)), (End::Used, End::Expired));
    });
}

#[test]
fn without_the_capability_the_error_says_so() {
    if !lab::is_inside() {
        in_namespaces(|| {});
        return;
    }
    let none = rustix::thread::CapabilitySets {
        effective: rustix::thread::CapabilitySet::empty(),
        permitted: rustix::thread::CapabilitySet::empty(),
        inheritable: rustix::thread::CapabilitySet::empty(),
    };
    rustix::thread::set_capabilities(None, none).unwrap();
    assert!(matches!(Filter::install(&Layout::default()), Err(FilterError::NotAllowed)));
}

/// Prints how long it takes; asserts nothing about time. Run it alone, with `--release` for figures that count.
#[test]
fn opening_and_closing_is_measured() {
    in_namespaces(|| {
        let mut filter = filter();
        for (name, from, to) in
            [("IPv4", "192.0.2.7", "198.51.100.1"), ("IPv6", "2001:db8::7", "2001:db8:1::1")]
        {
            let mut took = [Vec::new(), Vec::new()];
            for port in 10_000..13_000 {
                let key = key(from, at(to, port));
                let start = Instant::now();
                filter.add(&key, TEN).unwrap();
                took[0].push(start.elapsed());
                let start = Instant::now();
                assert!(filter.remove(&key).unwrap());
                took[1].push(start.elapsed());
            }
            for (what, mut took) in ["open", "close"].into_iter().zip(took) {
                took.sort_unstable();
                println!(
                    "{name} {what}: p50 {:?}, p99 {:?}",
                    took[took.len() / 2],
                    took[took.len() * 99 / 100]
                );
            }
        }
    });
}
