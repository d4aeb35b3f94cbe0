use super::*;

fn here() -> Interfaces {
    Interfaces {
        own: ["198.51.100.1", "2001:db8:1::1", "127.0.0.1", "::1"].map(|a| a.parse().unwrap()).into(),
        broadcast: ["198.51.100.255".parse().unwrap()].into(),
    }
}

fn want(from: &str, to: &str, seconds: u64) -> Want {
    Want {
        key: Key { from: from.parse().unwrap(), to: to.parse().unwrap() },
        within: Duration::from_secs(seconds),
    }
}

#[test]
fn a_host_opens_to_itself_and_from_itself_and_for_nobody_else() {
    let policy = Policy::default();
    for (name, from, to, good) in [
        ("passive", "192.0.2.7", "198.51.100.1:50000", true),
        ("active", "198.51.100.1", "192.0.2.7:50000", true),
        ("passive, IPv6", "2001:db8::7", "[2001:db8:1::1]:50000", true),
        ("between others", "192.0.2.7", "203.0.113.9:50000", false),
    ] {
        assert_eq!(policy.admit(&want(from, to, 10), &here()).is_ok(), good, "{name}");
    }
}

#[test]
fn rule_11_no_hole_leads_to_the_gate_or_to_no_host() {
    let policy = Policy { reach: Reach::Forward, ..Policy::default() };
    for (from, to) in [
        ("192.0.2.7", "198.51.100.1:50000"),
        ("192.0.2.7", "127.0.0.1:50000"),
        ("192.0.2.7", "127.8.9.1:50000"),
        ("192.0.2.7", "224.0.0.1:50000"),
        ("192.0.2.7", "255.255.255.255:50000"),
        ("192.0.2.7", "198.51.100.255:50000"),
        ("192.0.2.7", "0.0.0.0:50000"),
        ("192.0.2.7", "0.0.0.7:50000"),
        ("0.0.0.0", "203.0.113.9:50000"),
        ("2001:db8::7", "[2001:db8:1::1]:50000"),
        ("2001:db8::7", "[::1]:50000"),
        ("2001:db8::7", "[::]:50000"),
        ("2001:db8::7", "[ff02::1]:50000"),
        ("2001:db8::7", "[::ffff:127.0.0.1]:50000"),
    ] {
        assert!(policy.admit(&want(from, to, 10), &here()).is_err(), "{from} -> {to}");
    }
    assert_eq!(policy.admit(&want("192.0.2.7", "203.0.113.9:50000", 10), &here()), Ok(()));
}

#[test]
fn rule_12_no_hole_leads_to_a_service() {
    let policy = Policy::default();
    for port in [0, 20, 21, 22, 1023, 2049, 3306, 5432, 6000] {
        let want = want("192.0.2.7", &format!("198.51.100.1:{port}"), 10);
        assert!(policy.admit(&want, &here()).is_err(), "{port}");
    }
    assert_eq!(policy.admit(&want("192.0.2.7", "198.51.100.1:1024", 10), &here()), Ok(()));
}

#[test]
fn rule_15_a_hole_lives_one_to_sixty_seconds() {
    let generous = Policy { longest: Duration::from_secs(3600), ..Policy::default() };
    for (seconds, good) in [(0, false), (1, true), (60, true), (61, false)] {
        let want = want("192.0.2.7", "198.51.100.1:50000", seconds);
        assert_eq!(generous.admit(&want, &here()).is_ok(), good, "{seconds} s");
    }
}

#[test]
fn neighbours_in_one_ipv6_network_count_as_one() {
    let key = |from: &str| Key::new(from.parse().unwrap(), "[2001:db8:1::1]:5000".parse().unwrap());
    assert_eq!(pair(&key("2001:db8::7")), pair(&key("2001:db8::ffff:1")));
    assert_ne!(pair(&key("2001:db8::7")), pair(&key("2001:db8:0:1::7")));
}
