use std::net::IpAddr;

use super::*;

/// One base chain, `input`, with these rules in it, as the kernel prints them.
fn nft(policy: &str, rules: &[&str]) -> String {
    let mut objects = vec![
        r#"{"table": {"family": "inet", "name": "filter", "handle": 1}}"#.to_owned(),
        r#"{"set": {"family": "inet", "name": "some", "table": "filter", "type": "inet_service", "elem": [{"range": [1, 1023]}, 40007]}}"#.to_owned(),
        r#"{"ct helper": {"family": "inet", "name": "std", "table": "filter", "type": "ftp", "protocol": "tcp"}}"#.to_owned(),
        format!(
            r#"{{"chain": {{"family": "inet", "table": "filter", "name": "input", "type": "filter", "hook": "input", "prio": 0, "policy": "{policy}"}}}}"#
        ),
        r#"{"chain": {"family": "inet", "table": "filter", "name": "sub"}}"#.to_owned(),
    ];
    for (at, rule) in rules.iter().enumerate() {
        let (chain, expr) = rule.strip_prefix("sub:").map_or(("input", *rule), |expr| ("sub", expr));
        objects.push(format!(
            r#"{{"rule": {{"family": "inet", "table": "filter", "chain": "{chain}", "handle": {}, "expr": [{expr}]}}}}"#,
            at + 10
        ));
    }
    format!(r#"{{"nftables": [{}]}}"#, objects.join(", "))
}

fn syn(state: State) -> Packet {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    Packet {
        hook: Hook::Input,
        iif: "eth0".to_owned(),
        oif: String::new(),
        from: (ip("198.51.100.1"), 20),
        to: (ip("192.0.2.7"), 40007),
        state,
        connection_mark: 0,
    }
}

const ANSWERS: &str = r#"{"match": {"op": "in", "left": {"ct": {"key": "state"}}, "right": ["established", "related"]}}, {"accept": null}"#;
const LOOPBACK: &str =
    r#"{"match": {"op": "==", "left": {"meta": {"key": "iif"}}, "right": "lo"}}, {"accept": null}"#;
const SET: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": "@some"}}, {"accept": null}"#;
const FROM_20: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "sport"}}, "right": 20}}, {"accept": null}"#;
const NETWORK: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip", "field": "saddr"}}, "right": {"prefix": {"addr": "198.51.100.0", "len": 24}}}}, {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": {"set": [21, {"range": [40000, 41000]}]}}}, {"accept": null}"#;
const NO_SYN: &str = r#"{"match": {"op": "==", "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "ack"]]}, "right": "syn"}}, {"drop": null}"#;
const VMAP: &str = r#"{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}}, "data": {"set": [[22, {"accept": null}], [40007, {"drop": null}]]}}}"#;
const JUMP: &str = r#"{"jump": {"target": "sub"}}"#;
const REJECT: &str = r#"{"match": {"op": "==", "left": {"meta": {"key": "l4proto"}}, "right": "tcp"}}, {"counter": {"packets": 0, "bytes": 0}}, {"reject": {"type": "tcp reset"}}"#;
const STRANGE: &str =
    r#"{"match": {"op": "==", "left": {"fib": {"flags": ["saddr"]}}, "right": 1}}, {"accept": null}"#;
const OTHER_FAMILY: &str = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "ip6", "field": "saddr"}}, "right": {"prefix": {"addr": "::", "len": 0}}}}, {"accept": null}"#;

#[derive(Debug, PartialEq)]
enum Want {
    Passes,
    Unknown,
    Drops(&'static str),
}

fn told(fate: Fate) -> Want {
    match fate {
        Fate::Passes => Want::Passes,
        Fate::Unknown => Want::Unknown,
        Fate::Dropped(rule) if rule.text.starts_with("policy") => Want::Drops("policy"),
        Fate::Dropped(rule) if rule.text.contains("handle") => Want::Drops("rule"),
        Fate::Dropped(_) => Want::Drops("line"),
    }
}

#[test]
fn nftables_rules_do_to_a_packet_what_the_kernel_does() {
    use Want::{Drops, Passes, Unknown};
    #[rustfmt::skip]
    let rows: &[(&str, &str, &[&str], State, Want)] = &[
        ("nothing is filtered", "accept", &[], State::New, Passes),
        ("nothing is admitted", "drop", &[], State::New, Drops("policy")),
        ("answers only", "drop", &[LOOPBACK, ANSWERS], State::New, Drops("policy")),
        ("answers only, and a helper", "drop", &[LOOPBACK, ANSWERS], State::Related, Passes),
        ("a set", "drop", &[SET], State::New, Passes),
        ("the source port", "drop", &[FROM_20], State::New, Passes),
        ("a network and a range", "drop", &[NETWORK], State::New, Passes),
        ("SYN is what is dropped", "accept", &[NO_SYN], State::New, Drops("rule")),
        ("a map of verdicts", "accept", &[VMAP], State::New, Drops("rule")),
        ("a chain that says nothing", "accept", &[JUMP, REJECT], State::New, Drops("rule")),
        ("a chain that accepts", "drop", &[JUMP, "sub:{\"accept\": null}"], State::New, Passes),
        ("the other family is not this one", "drop", &[OTHER_FAMILY], State::New, Drops("policy")),
        ("what is not understood accuses nobody", "drop", &[STRANGE], State::New, Unknown),
        ("what is not understood and changes nothing", "accept", &[STRANGE], State::New, Passes),
    ];
    for (name, policy, rules, state, want) in rows {
        let set = Ruleset { nft_json: nft(policy, rules), ..Ruleset::default() };
        assert_eq!(told(set.fate(&syn(*state))), *want, "{name}");
    }
}

#[test]
fn iptables_rules_do_to_a_packet_what_the_kernel_does() {
    use Want::{Drops, Passes, Unknown};
    #[rustfmt::skip]
    let rows: &[(&str, &str, State, Want)] = &[
        ("no rules", "", State::New, Passes),
        ("only nat", "*nat\n:PREROUTING DROP [0:0]\nCOMMIT\n", State::New, Passes),
        ("nothing is admitted", "*filter\n:INPUT DROP [0:0]\nCOMMIT\n", State::New, Drops("policy")),
        ("after another table", "*nat\nCOMMIT\n# x\n*filter\n:INPUT DROP [0:0]\nCOMMIT\n", State::New, Drops("policy")),
        ("answers only", "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n", State::New, Drops("policy")),
        ("related", "*filter\n:INPUT DROP [0:0]\n-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\nCOMMIT\n", State::Related, Passes),
        ("a range", "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports 21,40000:41000 -j ACCEPT\nCOMMIT\n", State::New, Passes),
        ("not", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -s 198.51.100.0/24 -p tcp -m tcp ! --dport 22 --tcp-flags SYN,ACK SYN -j REJECT --reject-with tcp-reset\nCOMMIT\n", State::New, Drops("line")),
        ("a chain", "*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n-A INPUT -m comment --comment \"a b -j DROP\" -j mine\n-A mine -i eth+ -p tcp --sport 20 -j ACCEPT\nCOMMIT\n", State::New, Passes),
        ("a chain that returns", "*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n-A INPUT -j mine\n-A mine -j RETURN\n-A mine -j ACCEPT\nCOMMIT\n", State::New, Drops("policy")),
        ("logged and dropped", "*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -j LOG --log-prefix \"x \"\n-A INPUT -j DROP\nCOMMIT\n", State::New, Drops("line")),
        ("what is not understood accuses nobody", "*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set x src -j ACCEPT\nCOMMIT\n", State::New, Unknown),
    ];
    for (name, save, state, want) in rows {
        let set = Ruleset { iptables: (*save).to_owned(), ..Ruleset::default() };
        assert_eq!(told(set.fate(&syn(*state))), *want, "{name}");
    }
}

#[test]
fn the_rule_is_quoted_as_its_administrator_wrote_it() {
    let set = Ruleset {
        nft_json: nft("accept", &[REJECT]),
        nft_text: "table inet filter { # handle 1\n\tchain input { # handle 2\n\t\tmeta l4proto tcp counter reject with tcp reset # handle 10\n\t}\n}\n".to_owned(),
        ..Ruleset::default()
    };
    let Fate::Dropped(rule) = set.fate(&syn(State::New)) else { panic!("it is dropped") };
    assert_eq!(
        rule.to_string(),
        "nftables, table inet filter, chain input: meta l4proto tcp counter reject with tcp reset"
    );
}

#[test]
fn a_client_that_admits_answers_only_lacks_a_helper() {
    let (client, server) = ("192.0.2.7".parse().unwrap(), "198.51.100.1".parse().unwrap());
    let set = Ruleset { nft_json: nft("drop", &[ANSWERS]), ..Ruleset::default() };
    let found = set.findings(client, server, "eth0");
    assert!(matches!(found.active, Fate::Dropped(_)));
    assert_eq!(found.passive, Fate::Passes);
    assert!(found.admits_related && !found.has_helper);
    let attach = r#"{"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": 21}}, {"ct helper": "std"}"#;
    let set = Ruleset { nft_json: nft("drop", &[ANSWERS, attach]), ..Ruleset::default() };
    assert!(set.findings(client, server, "eth0").has_helper);
}

#[test]
fn rubbish_accuses_nobody() {
    for nft_json in ["{", "[]", "{\"nftables\": [1, {\"chain\": 3}]}"] {
        let set = Ruleset { nft_json: nft_json.to_owned(), ..Ruleset::default() };
        assert!(!matches!(set.fate(&syn(State::New)), Fate::Dropped(_)), "{nft_json}");
    }
}
