use super::*;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Delay {
    Delay::Wait(Duration::from_millis(millis))
}

#[test]
fn waits_double_from_the_third_failure_and_end_in_refusal_at_the_twentieth() {
    let (throttle, start, peer) = (Throttle::default(), Instant::now(), ip("192.0.2.7"));
    assert_eq!(throttle.delay(peer, start), Delay::None, "nobody waits before the first failure");
    let waits = [500, 500, 1000, 2000, 4000, 8000, 16_000, 16_000];
    for failure in 1..=19_usize {
        throttle.failed(peer, start + secs(failure as u64));
        let expected = millis(*waits.get(failure - 1).unwrap_or(&16_000));
        assert_eq!(throttle.delay(peer, start + secs(failure as u64)), expected, "after failure {failure}");
    }
    throttle.failed(peer, start + secs(20));
    for (second, expected) in [(20, Delay::Refuse), (319, Delay::Refuse), (320, Delay::None)] {
        assert_eq!(throttle.delay(peer, start + secs(second)), expected, "at second {second}");
    }
}

#[test]
fn each_address_is_counted_in_its_own_net() {
    // Twenty failures of the first address; is the second one refused, made to wait, or left alone?
    for (what, fails, asks, expected) in [
        ("the same", "192.0.2.7", "192.0.2.7", Delay::Refuse),
        ("its neighbour", "192.0.2.7", "192.0.2.8", Delay::None),
        ("mapped into IPv6", "192.0.2.7", "::ffff:192.0.2.7", Delay::Refuse),
        ("the same /64", "2001:db8:0:1::1", "2001:db8:0:1:ffff::9", Delay::Refuse),
        ("another /64", "2001:db8:0:1::1", "2001:db8:0:2::1", Delay::None),
        ("another family", "192.0.2.7", "2001:db8::1", Delay::None),
    ] {
        let (throttle, now) = (Throttle::default(), Instant::now());
        for _ in 0..20 {
            throttle.failed(ip(fails), now);
        }
        assert_eq!(throttle.delay(ip(asks), now), expected, "{what}");
    }
}

#[test]
fn a_thousand_wrong_logins_from_one_network_are_stopped_after_eighty() {
    for (what, pattern) in [("IPv4 /24", "198.51.100."), ("IPv6 /48", "2001:db8:7:")] {
        let (throttle, start) = (Throttle::default(), Instant::now());
        let mut checked = 0;
        for attempt in 0..1000_u64 {
            let host = attempt % 250;
            let peer = if pattern.contains(':') {
                format!("{pattern}{host:x}::1")
            } else {
                format!("{pattern}{host}")
            };
            let now = start + Duration::from_millis(attempt * 10);
            if throttle.delay(ip(&peer), now) != Delay::Refuse {
                checked += 1;
                throttle.failed(ip(&peer), now);
            }
        }
        assert_eq!(checked, 80, "{what}");
    }
    let elsewhere = Throttle::default();
    assert_eq!(elsewhere.delay(ip("203.0.113.1"), Instant::now()), Delay::None);
}

#[test]
fn success_forgives_the_address_but_not_its_network() {
    let (throttle, now, peer) = (Throttle::default(), Instant::now(), ip("192.0.2.7"));
    // Somebody with one good account logs in after every tenth guess at the others.
    let mut guesses = 0;
    while throttle.delay(peer, now) != Delay::Refuse {
        throttle.failed(peer, now);
        guesses += 1;
        if guesses % 10 == 0 {
            throttle.succeeded(peer);
        }
        assert!(guesses <= 80, "the network's count stops it");
    }
    assert_eq!(guesses, 80);
}

#[test]
fn success_ends_the_wait_at_once() {
    let (throttle, now, peer) = (Throttle::default(), Instant::now(), ip("192.0.2.7"));
    for _ in 0..5 {
        throttle.failed(peer, now);
    }
    assert_eq!(throttle.delay(peer, now), millis(4000));
    throttle.succeeded(peer);
    assert_eq!(throttle.delay(peer, now), Delay::None);
}

#[test]
fn a_quiet_window_forgives_and_a_slow_guesser_never_gets_shorter_waits() {
    let (throttle, start, peer) = (Throttle::default(), Instant::now(), ip("192.0.2.7"));
    throttle.failed(peer, start);
    assert_eq!(throttle.delay(peer, start + secs(299)), millis(500));
    assert_eq!(throttle.delay(peer, start + secs(300)), Delay::None);
    // One guess a minute stays below the limit for ever, but pays the longest wait each time.
    let mut now = start + secs(600);
    for _ in 0..50 {
        throttle.failed(peer, now);
        now += secs(60);
    }
    assert_eq!(throttle.delay(peer, now), millis(16_000));
}

#[test]
fn memory_is_bounded_and_the_latest_guessers_are_the_ones_remembered() {
    let policy = ThrottlePolicy { remembered: 64, ..ThrottlePolicy::default() };
    let (throttle, start) = (Throttle::new(policy), Instant::now());
    let peer = |n: u32| IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + n * 256));
    for n in 0..10_000 {
        throttle.failed(peer(n), start + Duration::from_millis(u64::from(n)));
        assert!(throttle.len() <= 128, "{} remembered", throttle.len());
    }
    let now = start + secs(10);
    assert_eq!(throttle.delay(peer(9_999), now), millis(500));
    assert_eq!(throttle.delay(peer(0), now), Delay::None);
    // Once all are forgiven, the next failure that needs room clears them out.
    for n in 0..64 {
        throttle.failed(peer(n), now + secs(400));
    }
    assert_eq!(throttle.len(), 128);
    assert_eq!(throttle.delay(peer(0), now + secs(400)), millis(500));
}

#[test]
fn a_clock_that_runs_backwards_does_no_harm() {
    let (throttle, start, peer) = (Throttle::default(), Instant::now() + secs(1000), ip("192.0.2.7"));
    throttle.failed(peer, start);
    throttle.failed(peer, start - secs(500));
    assert_eq!(throttle.delay(peer, start - secs(900)), millis(500));
}

proptest::proptest! {
    #[test]
    fn guesses_that_are_checked_never_exceed_the_limit_per_window(
        gaps in proptest::collection::vec(0_u64..20_000, 1..400),
    ) {
        let (throttle, start, peer) = (Throttle::default(), Instant::now(), ip("192.0.2.7"));
        let mut now = start;
        let mut checked: Vec<Instant> = Vec::new();
        for gap in gaps {
            now += Duration::from_millis(gap);
            if throttle.delay(peer, now) != Delay::Refuse {
                throttle.failed(peer, now);
                checked.push(now);
            }
        }
        // A fixed window can be straddled, so twice the limit is the honest bound.
        for (first, at) in checked.iter().enumerate() {
            let within = checked.iter().skip(first).take_while(|later| **later - *at < secs(300)).count();
            proptest::prop_assert!(within <= 39, "{within} within five minutes");
        }
    }
}
