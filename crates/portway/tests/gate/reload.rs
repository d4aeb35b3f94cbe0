//! The firewall of the gate's machine is loaded anew while the gate runs.

use std::process::Command;

use crate::field::{Wall, in_namespaces, until};
use crate::lab::{nft, run};
use crate::rules::BOTH;
use crate::words::{SOON, Stage};

/// The gate's own rules, without what they have counted.
fn rules() -> String {
    let output = Command::new("nft").args(["-s", "list", "table", "inet", "portway_gate"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Whether data comes through, both ways, in a session that there is.
fn transfers(d: &mut crate::words::Dialogue<'_>, port: u16) {
    let to = d.server_port(port);
    d.server_listens(to);
    d.exchange(d.passive(), &d.agreed(to));
    assert!(d.client_reaches(to));
    let to = d.client_port(port);
    d.client_listens(to);
    d.exchange(&d.active(to), "200 Fine.");
    assert!(d.server_reaches(to));
}

fn comes_back(engine: &str) {
    // Several ports and interfaces are sets without names of their own.
    let more = ["--port", "21", "--port", "2121", "--interface", "cli", "--interface", "srv"];
    let stage = Stage::new(&[&["--engine", engine][..], &more].concat());
    let mut before = BOTH.map(|family| stage.session(family));
    let wanted = rules();
    assert!(wanted.contains("chain"), "{wanted}");
    // What a reload of nftables does on Debian, and what the administrator's own hand may do.
    for (turn, gone) in ["flush ruleset", "delete table inet portway_gate", "flush table inet portway_gate"]
        .into_iter()
        .enumerate()
    {
        nft(gone);
        if gone == "flush ruleset" {
            Wall::Strict.build();
        }
        assert!(until(SOON, || rules() == wanted), "{gone}:\n{}\nin place of\n{wanted}", rules());
        let told = || stage.field.log().matches("rules_restored").count() > turn;
        assert!(until(SOON, told), "{gone}: {}", stage.field.log());
    }
    for (family, d) in before.iter_mut().enumerate() {
        transfers(d, 5000);
        let mut new = stage.session(family);
        transfers(&mut new, 5001);
        new.client.say(&new.active(new.client_port(22)));
        new.client.hears("501");
    }
}

#[test]
fn the_relays_rules_are_put_back_when_somebody_takes_them_away() {
    in_namespaces(|| comes_back("relay"));
}

#[test]
fn the_rules_of_the_queue_are_put_back_when_somebody_takes_them_away() {
    in_namespaces(|| {
        comes_back("inspect");
    });
}

#[test]
fn routes_are_put_back_when_a_network_manager_takes_them_away() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        let look = || {
            ["ip", "ip -6"]
                .map(|ip| run(&format!("{ip} rule")) + &run(&format!("{ip} route show table 2121")))
        };
        let wanted = look();
        assert!(wanted.iter().all(|look| look.contains("2121") && look.contains("local")), "{wanted:?}");
        for ip in ["ip", "ip -6"] {
            run(&format!("{ip} rule del table 2121"));
            run(&format!("{ip} route flush table 2121"));
        }
        assert!(until(SOON, || look() == wanted), "{:?} in place of {wanted:?}", look());
        assert!(until(SOON, || stage.field.log().contains("rules_restored")), "{}", stage.field.log());
        for family in BOTH {
            transfers(&mut stage.session(family), 5000);
        }
    });
}

#[test]
fn a_connection_of_which_the_queue_has_missed_a_word_is_cut_off_at_once() {
    in_namespaces(|| {
        let stage = Stage::new(&["--engine", "inspect"]);
        let helper = crate::whole::helper_of(stage.field.gate.as_ref().unwrap().id());
        let signal = |what| {
            let helper = rustix::process::Pid::from_raw(helper.cast_signed()).unwrap();
            rustix::process::kill_process(helper, what).unwrap();
        };
        for family in BOTH {
            let mut d = stage.session(family);
            let mut other = stage.session(family);
            signal(rustix::process::Signal::STOP);
            nft("delete table inet portway_gate");
            // These two pass unread. A word that nobody has acknowledged comes again, and is read then.
            d.exchange("NOOP", "200 Fine.");
            signal(rustix::process::Signal::CONT);
            assert!(until(SOON, || stage.field.log().matches("rules_restored").count() > family));
            let _ = std::io::Write::write_all(&mut d.client.stream, b"STAT\r\n");
            assert_eq!(d.client.line(), None, "it is cut off");
            other.is_alive();
            let said = stage.field.status();
            assert!(said.matches("passed unread while the rules were gone").count() > family, "{said}");
        }
    });
}
