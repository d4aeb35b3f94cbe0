use super::*;

fn allowed(rules: &str, host: &str, ip: &str) -> bool {
    judged(rules, host, ip, false)
}

fn judged(rules: &str, host: &str, ip: &str, here: bool) -> bool {
    let rules = rules.split_whitespace().map(|rule| rule.parse().unwrap()).collect();
    Allow::new(rules).judge(host, SocketAddr::new(ip.parse().unwrap(), 21), here).is_ok()
}

#[test]
fn this_machines_own_addresses_are_listed_by_name_or_by_a_network_that_is_not_all() {
    for (rules, host, ip, wanted) in [
        ("", "h", "203.0.113.9", false),
        ("", "h", "2001:db8::9", false),
        ("0.0.0.0/0 ::/0", "h", "203.0.113.9", false),
        ("0.0.0.0/0 ::/0", "h", "2001:db8::9", false),
        ("*.example", "h.example", "203.0.113.9", false),
        ("203.0.113.0/24", "h", "203.0.113.9", true),
        ("h.example", "h.example", "203.0.113.9", true),
        ("2001:db8::/32", "h", "2001:db8::9", true),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
        ("localhost", "localhost", "::1", true),
        ("10.0.0.0/8", "h", "10.0.0.1", true),
    ] {
        assert_eq!(judged(rules, host, ip, true), wanted, "{rules}: {host} {ip}");
    }
}

#[test]
fn without_rules_every_public_address_is_allowed_and_no_special_one() {
    for ip in ["198.51.100.1", "8.8.8.8", "2001:db8::1", "64:ff9b::c633:6401"] {
        assert!(allowed("", "h", ip), "{ip}");
    }
    for ip in [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.31.255.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "255.255.255.255",
        "224.0.0.1",
        "192.0.0.1",
        "198.18.0.1",
        "::1",
        "::",
        "fe80::1",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::7f00:1",
        "64:ff9b::7f00:1",
        "64:ff9b::a00:1",
        "2002:7f00:1::1",
        "2001::1",
        "64:ff9b:1::1",
        "::ffff:0:7f00:1",
        "100::1",
        "200:1234::1",
        "5f00::1",
    ] {
        assert!(!allowed("", "h", ip), "{ip}");
    }
}

#[test]
fn a_called_address_may_be_private_but_none_that_no_router_leads_to() {
    let called = |ip: &str| Allow::default().judge_called(SocketAddr::new(ip.parse().unwrap(), 21)).is_ok();
    assert!(["10.0.0.1", "8.8.8.8", "fd00::1", "100.64.0.1"].into_iter().all(called));
    for ip in [
        "127.0.0.1",
        "169.254.169.254",
        "fe80::1",
        "0.0.0.0",
        "::ffff:169.254.169.254",
        "224.0.0.1",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "2002:a9fe:a9fe::1",
    ] {
        assert!(!called(ip), "{ip}");
    }
}

#[test]
fn rules_list_what_they_name_and_nothing_else() {
    for (rules, host, ip, wanted) in [
        ("198.51.100.0/24", "h", "198.51.100.9", true),
        ("198.51.100.0/24", "h", "203.0.113.9", false),
        ("ftp.example.org", "ftp.example.org", "203.0.113.9", true),
        ("ftp.example.org", "evil.example.org", "203.0.113.9", false),
        ("ftp.example.org", "203.0.113.9", "203.0.113.9", false),
        ("*.example.org", "a.b.example.org", "203.0.113.9", true),
        ("*.example.org", "example.org", "203.0.113.9", false),
        ("*.example.org", "evilexample.org", "203.0.113.9", false),
        ("127.0.0.1", "127.0.0.1", "127.0.0.1", true),
        ("127.0.0.0/8", "h", "127.0.0.1", true),
        ("10.0.0.0/8 198.51.100.0/24", "h", "10.1.2.3", true),
        ("10.0.0.0/8", "h", "198.51.100.1", false),
        ("::1", "::1", "::1", true),
        ("64:ff9b::/96 10.0.0.0/8", "h", "64:ff9b::a00:1", true),
        ("200::/7", "h", "200:1234::1", true),
        ("200::/7", "h", "2001:db8::1", false),
    ] {
        assert_eq!(allowed(rules, host, ip), wanted, "{rules}: {host} {ip}");
    }
}

#[test]
fn a_wide_rule_or_a_name_opens_no_special_address() {
    for (rules, host, ip, wanted) in [
        ("0.0.0.0/0", "h", "8.8.8.8", true),
        ("0.0.0.0/0", "h", "127.0.0.1", false),
        ("::/0", "h", "fd00::1", false),
        ("*.example.org", "a.example.org", "10.0.0.1", false),
        ("a.example.org", "a.example.org", "10.0.0.1", true),
        ("a.example.org", "a.example.org", "127.0.0.1", false),
        ("a.example.org", "a.example.org", "169.254.169.254", false),
        ("localhost", "localhost", "127.0.0.1", true),
        ("localhost", "localhost", "10.0.0.1", true),
        ("224.0.0.0/4", "h", "224.0.0.1", false),
    ] {
        assert_eq!(allowed(rules, host, ip), wanted, "{rules}: {host} {ip}");
    }
}

#[test]
fn a_refusal_names_the_cure_only_where_there_is_one() {
    let said = |ip: &str| {
        let to = SocketAddr::new(ip.parse().unwrap(), 21);
        Allow::default().judge("h", to, false).unwrap_err().to_string()
    };
    assert!(said("10.0.0.1").contains("--allow") && said("::1").contains("--allow"));
    assert!(!said("0.0.0.0").contains("--allow") && !said("ff02::1").contains("--allow"));
    assert!(said("0.0.0.0").contains("unspecified"));
}

#[test]
fn ports_of_other_services_are_refused() {
    let judge = |port| Allow::default().judge("h", SocketAddr::new([8, 8, 8, 8].into(), port), false);
    assert!([21, 990, 1024, 2121].into_iter().all(|port| judge(port).is_ok()));
    assert!([1, 22, 25, 80, 443, 1023].into_iter().all(|port| judge(port) == Err(Denied::Port(port))));
}

#[test]
fn a_rule_is_a_network_or_a_name() {
    for text in ["192.0.2.0/24", "2001:db8::/32", "ftp.example.org", "*.example.org"] {
        assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
    }
    for text in ["", "*", "a b", "h:21", "*.", "192.0.2.0/33", "a/b"] {
        assert!(text.parse::<Rule>().is_err(), "{text}");
    }
}
