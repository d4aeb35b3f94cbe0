use std::net::IpAddr;

use super::*;

fn machine(addresses: &[&str]) -> Machine {
    Machine {
        addresses: addresses.iter().map(|ip| ("eth0".to_owned(), ip.parse::<IpAddr>().unwrap())).collect(),
        rules: Some(Ruleset::default()),
        listening: vec![21],
        ephemeral: Some(32768..=60999),
        certificate: Some(Paper::Read { names: vec!["ftp.example".into()], days: 90, self_signed: false }),
        descriptors: Some(1_000_000),
    }
}

#[test]
fn configurations_of_three_servers_are_read_as_their_manuals_say() {
    let vsftpd = SetUp::read(
        "# x\nlisten=YES\npasv_min_port=61000\npasv_max_port=61100\npasv_address=203.0.113.9\nssl_enable=YES\nrsa_cert_file=/c.pem\nmax_clients=50\n",
    )
    .unwrap();
    let proftpd = SetUp::read(
        "ServerName \"x\"\nPort 21\n<Global>\n  PassivePorts 61000 61100\n  MasqueradeAddress 203.0.113.9\n</Global>\nTLSEngine on\nTLSRSACertificateFile /c.pem\nMaxInstances 50\n",
    )
    .unwrap();
    let pure = SetUp::read(
        "ChrootEveryone yes\nBind 0.0.0.0,21\nPassivePortRange 61000 61100\nForcePassiveIP 203.0.113.9\nTLS 1\nCertFile /c.pem\nMaxClientsNumber 50\n",
    )
    .unwrap();
    for (setup, software) in
        [(vsftpd, Software::Vsftpd), (proftpd, Software::Proftpd), (pure, Software::PureFtpd)]
    {
        assert_eq!(setup.software, software);
        assert_eq!((setup.port, setup.range), (21, Some(61000..=61100)), "{software:?}");
        assert_eq!(setup.announce.as_deref(), Some("203.0.113.9"), "{software:?}");
        assert_eq!((setup.tls, setup.sessions), (true, Some(50)), "{software:?}");
        assert_eq!(setup.certificate, Some("/c.pem".into()), "{software:?}");
    }
    assert!(SetUp::read("listen = ['0.0.0.0:21']\n").is_none(), "portway's own is TOML");
    assert!(SetUp::read("").is_none());
}

/// Drops all but these ports.
fn wall(open: &str) -> Option<Ruleset> {
    let iptables = format!(
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -p tcp -m multiport --dports {open} -j ACCEPT\nCOMMIT\n"
    );
    Some(Ruleset { iptables, ..Ruleset::default() })
}

/// A second address, by IPv6, and what is open there.
fn six(machine: &mut Machine, open: &str) {
    let one = super::tests::machine(&["203.0.113.9", "2001:db8:1::9"]);
    let ip6tables = wall(open).unwrap().iptables;
    *machine = Machine { rules: Some(Ruleset { ip6tables, ..wall("21,61000:61100").unwrap() }), ..one };
}

/// As `portway gate rules` says.
fn admit_mark(machine: &mut Machine) {
    let rules = machine.rules.as_mut().unwrap();
    let rule = "-A INPUT -m connmark --mark 0x100000/0x100000 -j ACCEPT\nCOMMIT";
    rules.iptables = rules.iptables.replace("COMMIT", rule);
}

type Row = (&'static str, fn(&mut SetUp, &mut Machine), &'static str, Weight, Option<Culprit>);

#[test]
fn what_will_go_wrong_is_said_before_a_client_finds_it() {
    use Weight::{Doubt, Good, Wrong};
    #[rustfmt::skip]
    let rows: &[Row] = &[
        ("all is well", |_, _| {}, "passive_range", Good, None),
        ("the range is shut", |_, m| m.rules = wall("21"), "passive_range", Wrong, Some(Culprit::ServerFirewallBlocksPassive)),
        ("a part is open", |_, m| m.rules = wall("21,61000:61040"), "passive_range", Wrong, Some(Culprit::PassiveRangePartlyClosed)),
        ("the range is open", |_, m| m.rules = wall("21,61000:61100"), "passive_range", Good, None),
        ("by IPv6 it is shut", |_, m| six(m, "21"), "passive_range", Doubt, Some(Culprit::ServerFirewallBlocksPassive)),
        ("by IPv6 it is open", |_, m| six(m, "21,61000:61100"), "passive_range", Good, None),
        ("by IPv6 there is no server", |_, m| six(m, "22"), "passive_range", Good, None),
        ("pinholes open it", |s, m| { m.rules = wall("21"); admit_mark(m); s.opens_firewall = true; }, "passive_range", Good, None),
        ("pinholes open it where nothing is shut", |s, _| s.opens_firewall = true, "passive_range", Good, None),
        ("pinholes do not get past another table", |s, m| { m.rules = wall("21"); s.opens_firewall = true; }, "passive_range", Wrong, Some(Culprit::ServerFirewallBlocksPassive)),
        ("the control port is shut", |_, m| m.rules = wall("22"), "control_port", Wrong, Some(Culprit::ServerFiltered)),
        ("nobody listens", |_, m| m.listening.clear(), "control_port", Doubt, Some(Culprit::ServerDown)),
        ("no range is set", |s, _| s.range = None, "passive_range", Doubt, Some(Culprit::ServerFirewallBlocksPassive)),
        ("the range is upside down", |s, _| s.range = Some(std::ops::RangeInclusive::new(61100, 61000)), "passive_range", Wrong, None),
        ("private and not told so", |s, m| { s.announce = None; *m = machine(&["10.0.0.5"]); }, "announced_address", Doubt, Some(Culprit::ServerNatPrivateAddress)),
        ("public by itself", |s, _| s.announce = None, "announced_address", Good, None),
        ("another private address", |s, _| s.announce = Some("10.9.9.9".into()), "announced_address", Wrong, Some(Culprit::WrongPassiveAddress)),
        ("expired", |_, m| m.certificate = Some(Paper::Read { names: vec!["a".into()], days: -3, self_signed: false }), "certificate", Wrong, Some(Culprit::CertificateExpired)),
        ("expires soon", |_, m| m.certificate = Some(Paper::Read { names: vec!["a".into()], days: 3, self_signed: false }), "certificate", Doubt, Some(Culprit::CertificateExpired)),
        ("self-signed", |_, m| m.certificate = Some(Paper::Read { names: vec!["a".into()], days: 300, self_signed: true }), "certificate", Doubt, Some(Culprit::CertificateUntrusted)),
        ("unreadable", |_, m| m.certificate = Some(Paper::Unreadable("no such file".into())), "certificate", Wrong, None),
        ("overlaps the system's ports", |s, _| s.range = Some(40000..=40100), "port_clash", Doubt, None),
        ("somebody is in the range", |_, m| m.listening.push(61050), "port_clash", Doubt, None),
        ("more sessions than ports", |s, _| s.sessions = Some(500), "limits", Doubt, Some(Culprit::PassiveRangeExhausted)),
        ("a helper under TLS and no range", |s, m| { s.range = None; m.rules = Some(Ruleset { iptables: "*raw\n-A PREROUTING -p tcp --dport 21 -j CT --helper ftp\nCOMMIT\n".into(), ..Ruleset::default() }); }, "conntrack_helper", Wrong, Some(Culprit::FtpHelperBlindUnderTls)),
    ];
    for (name, change, what, weight, culprit) in rows {
        let mut setup =
            SetUp::read("pasv_min_port=61000\npasv_max_port=61100\nssl_enable=YES\nrsa_cert_file=/c.pem\n")
                .unwrap();
        let mut machine = machine(&["203.0.113.9"]);
        change(&mut setup, &mut machine);
        let remarks = setup.check(&machine);
        let found =
            remarks.iter().find(|r| r.what == *what).unwrap_or_else(|| panic!("{name}: {remarks:#?}"));
        assert_eq!((found.weight, found.culprit), (*weight, *culprit), "{name}: {}", found.sentence);
        if found.culprit.is_some() {
            assert!(!found.cures.is_empty(), "{name} has no cure");
        }
        if *what == "passive_range" && culprit.is_some() && setup.range.is_some() {
            assert!(
                found.cures.iter().all(|cure| !cure.text.contains("<LOW>")),
                "{name}: the range is known"
            );
        }
    }
}
