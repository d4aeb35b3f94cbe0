//! What we tell administrators to paste does what we say, with the real programs.
#![allow(clippy::unwrap_used)]

mod lab;

use std::process::Command;
use std::time::Duration;

use lab::{CLIENT, GATE, Lab, OTHER_CLIENT, at, in_namespaces, nft};
use portway_nft::paste::{Firewall, Rules};
use portway_nft::{DEFAULT_MARK, Elements as _, Filter, Key, Layout};

const TEN: Duration = Duration::from_secs(10);

fn rules(firewall: Firewall, layout: &Layout) -> String {
    Rules { firewall, layout, control: &[21], ports: 5000..=5009 }.to_string()
}

/// A host with our rules pasted: control is open, data only through a hole, and once.
fn data_needs_a_hole(lab: &Lab, filter: &mut Filter) {
    for family in [0, 1] {
        let (control, data) = (at(GATE[family], 21), at(GATE[family], 5000));
        lab::greet(control);
        lab::greet(data);
        assert!(lab.reaches(CLIENT[family], control), "the control channel is open");
        assert!(!lab.reaches(CLIENT[family], data), "without a hole");
        filter.add(&Key::new(CLIENT[family].parse().unwrap(), data), TEN).unwrap();
        assert!(!lab.reaches(OTHER_CLIENT[family], data), "the hole of another");
        assert!(lab.reaches(CLIENT[family], data), "with a hole");
        assert!(!lab.reaches(CLIENT[family], data), "only once");
    }
}

#[test]
fn the_ready_ruleset_for_nftables_works_as_it_is() {
    in_namespaces(|| {
        let lab = Lab::new();
        let layout = Layout::default();
        nft(&rules(Firewall::Nftables, &layout));
        data_needs_a_hole(&lab, &mut Filter::install(&layout).unwrap());
    });
}

#[test]
fn a_mark_of_ones_own_lives_beside_ours() {
    in_namespaces(|| {
        let lab = Lab::new();
        let layout = Layout { mark: 0x40, ..Layout::default() };
        nft(&rules(Firewall::Nftables, &layout));
        nft(
            "table inet other { chain pre { type filter hook prerouting priority mangle; ct mark set ct mark or 0x7; }; }",
        );
        data_needs_a_hole(&lab, &mut Filter::install(&layout).unwrap());
    });
}

#[test]
fn the_lines_for_iptables_work() {
    let missing = |program: &str| Command::new(program).arg("--version").output().is_err();
    if missing("iptables") || missing("ip6tables") {
        assert!(std::env::var_os("CI").is_none(), "CI installs iptables");
        eprintln!("NOT RUN: iptables and ip6tables are not installed");
        return;
    }
    in_namespaces(|| {
        let lab = Lab::new();
        for program in ["iptables", "ip6tables"] {
            for rule in [
                "-A INPUT -i lo -j ACCEPT",
                "-A INPUT -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT",
                "-A INPUT -p tcp --dport 21 -j ACCEPT",
                "-A INPUT -p tcp -j REJECT --reject-with tcp-reset",
            ] {
                lab::run(&format!("{program} {rule}"));
            }
        }
        let layout = Layout::default();
        let text = rules(Firewall::Iptables, &layout);
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            lab::run(line);
        }
        data_needs_a_hole(&lab, &mut Filter::install(&layout).unwrap());
    });
}

#[test]
fn where_marks_cannot_be_matched_the_guard_shuts_the_range_that_the_other_firewall_opened() {
    in_namespaces(|| {
        let lab = Lab::new();
        // As firewalld does after --add-port: the range is open for everybody.
        nft("table inet firewalld { chain filter_INPUT { type filter hook input priority 10; policy drop;
             iif lo accept; ct state established,related accept; meta l4proto { icmp, ipv6-icmp } accept;
             tcp dport { 21, 5000-5009 } accept; meta l4proto tcp reject with tcp reset; }; }");
        let layout = Layout { guard: Some(5000..=5009), ..Layout::default() };
        assert!(rules(Firewall::Firewalld, &layout).contains("--guard 5000-5009"));
        data_needs_a_hole(&lab, &mut Filter::install(&layout).unwrap());
        assert_eq!(layout.mark, DEFAULT_MARK);
    });
}
