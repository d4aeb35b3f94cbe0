//! The other engine: packets held in a queue. The rules are the same; what differs is how a refusal looks, since a bump
//! in the wire can neither add nor take away an octet.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};

use crate::field::in_namespaces;
use crate::lab::at;
use crate::rules::{self, BOTH};
use crate::words::{Stage, at_once};
use crate::{dialogue, probes};

mod whole;

pub(crate) const INSPECT: &[&str] = &["--engine", "inspect"];

/// Stands before a scripted server and answers what took the place of refused commands, as every server would.
pub(crate) fn answering(server: TcpStream) -> TcpStream {
    let pair = TcpListener::bind("127.0.0.1:0").unwrap();
    let script = TcpStream::connect(pair.local_addr().unwrap()).unwrap();
    let (ours, _) = pair.accept().unwrap();
    let pipe = |mut from: TcpStream, mut to: TcpStream, answers: bool| {
        to.set_nodelay(true).unwrap();
        std::thread::spawn(move || {
            let mut buffer = [0; 8192];
            while let Ok(octets @ 1..) = from.read(&mut buffer) {
                let mut passed = Vec::new();
                for line in buffer[..octets].split_inclusive(|&octet| octet == b'\n') {
                    let text = line.trim_ascii_end();
                    let replaced = text == b"noop" || line.first() == Some(&b'?');
                    if answers && replaced {
                        if line.ends_with(b"\n") {
                            let _ = from
                                .write_all(format!("200 {}\r\n", "Nothing is done. ".repeat(5)).as_bytes());
                        }
                    } else {
                        passed.extend_from_slice(line);
                    }
                }
                if to.write_all(&passed).is_err() {
                    break;
                }
            }
            let _ = to.shutdown(std::net::Shutdown::Both);
            let _ = from.shutdown(std::net::Shutdown::Both);
        });
    };
    pipe(server.try_clone().unwrap(), ours.try_clone().unwrap(), true);
    pipe(ours, server, false);
    script
}

/// Rules whose tests are the relay's, word for word.
macro_rules! as_with_the_relay {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            in_namespaces(|| {
                let stage = Stage::new(INSPECT);
                let mut all = rules::ALL.iter().chain(dialogue::ALL);
                let (_, body) = all.find(|(name, _)| *name == stringify!($name)).unwrap();
                for family in BOTH {
                    body(&stage, family);
                }
            });
        })*
    };
}

as_with_the_relay! {
    rule_01_a_line_is_judged_when_it_is_whole_however_it_was_cut
    rule_02_an_announcement_comes_after_its_hole
    rule_03_a_refused_port_opens_nothing
    rule_05_replies_belong_to_commands_in_order
    rule_07_whoever_speaks_the_other_sides_words_is_cut_off
    rule_08_numbers_beyond_an_octet_or_a_port_are_refused_before_any_sum
    rule_09_anything_but_plain_digits_is_refused_aloud
    rule_10_a_foreign_address_is_refused_as_a_bounce
    rule_11_no_hole_leads_to_the_gate_or_to_nobody
    rule_12_ports_of_services_are_refused
    rule_13_a_hole_is_for_exactly_one_client_and_one_port
    rule_14_a_hole_serves_once
    rule_15_a_hole_ends_with_its_session_and_its_turn
    rule_16_a_repeated_announcement_opens_nothing_by_itself
    rule_17_one_hole_at_a_time_for_a_session
    rule_20_nothing_opens_before_the_login
    rule_21_what_is_not_ftp_is_cut_off
    rule_22_broken_lines_are_refused_whole
    rule_24_what_was_read_is_what_is_sent
    rule_25_nothing_in_ciphertext_opens_anything
    rule_27_after_ccc_the_first_pasv_works
    rule_30_a_stranger_neither_gets_in_nor_ends_the_owners_transfer
    rule_31_a_servers_announcement_of_another_host_is_never_followed
    rule_32_after_epsv_all_only_epsv
    rule_33_the_other_family_gets_522
}

macro_rules! probed {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            in_namespaces(|| probes::with::$name(&Stage::new(INSPECT)));
        })*
    };
}

probed! {
    every_malformed_announcement_of_a_client_is_answered_and_opens_nothing
    every_malformed_announcement_of_a_server_becomes_425_and_opens_nothing
    announcements_that_the_kernels_helper_misses_or_loses_work
}

/// Rules whose refusal looks otherwise.
macro_rules! otherwise {
    ($($name:ident $body:expr)*) => {
        $(#[test]
        fn $name() {
            in_namespaces(|| {
                let stage = Stage::new(INSPECT);
                for family in BOTH {
                    let body: fn(&Stage, usize) = $body;
                    body(&stage, family);
                }
            });
        })*
    };
}

otherwise! {
    rule_04_a_227_that_nobody_asked_for_ends_the_session_with_the_reason |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        // In answer to something else it becomes 425.
        d.client.say("NOOP");
        d.server.hears("NOOP");
        d.server.say(&d.agreed(to));
        d.client.hears("425");
        d.is_alive();
        // Out of the blue it would be taken for the next answer, and cannot be taken out.
        at_once("the end", || {
            d.server.say(&d.agreed(to));
            d.client.hears("421");
            assert_eq!(d.client.line(), None);
        });
        assert!(d.client_is_kept_from(to));
        assert!(d.field.status().contains("nobody asked for"), "{}", d.field.status());
    }

    rule_06_a_line_inside_a_reply_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.client.say(d.passive());
        d.server.hears(d.passive());
        d.server.send(b"500-No.\r\n");
        d.server.send(format!("{}\r\n", d.agreed(to)));
        d.server.send(b"500 No.\r\n");
        d.client.hears("500-");
        d.client.hears(" 2");
        d.client.hears("500 ");
        assert!(d.client_is_kept_from(to));
        assert_eq!(d.holes(), 0);
    }

    rule_23_telnet_commands_pass_before_a_verb_and_nowhere_else |stage, family| {
        let mut d = stage.session(family);
        d.client.send(b"\xFF\xF4\xFF\xF2ABOR\r\n");
        assert!(d.server.line().unwrap().ends_with("ABOR"));
        d.server.say("226 Done.");
        d.client.hears("226");
        d.client.send(b"\xFF\xFBPPORT 10,71,1,2,19,136\r\n");
        d.client.hears("500");
        d.client.send(b"PO\xFF\xF1RT 10,71,1,2,19,136\r\n");
        d.client.hears("500");
        d.is_alive();
    }

    rule_26_what_follows_auth_in_clear_ends_the_session |stage, family| {
        let mut d = stage.session(family);
        d.client.send(b"AUTH TLS\r\nDELE everything\r\n");
        d.server.hears("AUTH");
        d.server.say("234 Go on.");
        assert_eq!(d.client.line(), None);
        assert!(d.field.status().contains("thrown away"), "{}", d.field.status());
    }

    an_announcement_in_a_refusal_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        let echoed = d.agreed(to);
        d.client.say(&format!("STAT {echoed}"));
        d.server.hears("STAT");
        d.server.send(format!("550-no such file:\r\n{echoed}\r\n550 Sorry.\r\n"));
        for start in ["550-", " 2", "550 "] {
            d.client.hears(start);
        }
        d.exchange(d.passive(), &format!("500 {}", &echoed[4..]));
        assert!(d.client_is_kept_from(to));
        d.exchange(d.passive(), &echoed);
        d.exchange("QUIT", "221 Bye.");
        assert!(d.client_is_kept_from(to), "after QUIT");
    }

    a_refused_auth_lets_what_follows_it_pass |stage, family| {
        let mut d = stage.session(family);
        d.client.send(b"AUTH TLS\r\nNOOP\r\n");
        d.server.hears("AUTH");
        d.server.say("502 No.");
        d.client.hears("502");
        d.server.hears("NOOP");
        d.server.say("200 Fine.");
        d.client.hears("200");
    }

    a_split_line_of_a_sender_that_waits_for_acknowledgements_passes_soon |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        let line = d.active(to);
        d.client.stream.set_nodelay(false).unwrap();
        at_once("the line", || {
            for octet in format!("{line}\r\n").as_bytes() {
                d.client.send([*octet]);
            }
            assert_eq!(d.server.line().unwrap(), line);
        });
        // A part of it may have left when it is refused.
        d.server.say("200 Fine.");
        d.client.hears("200");
        let foreign = d.active(at(crate::lab::OTHER_CLIENT[family], 5000));
        at_once("the refusal", || {
            d.client.send(&foreign.as_bytes()[..9]);
            d.client.send(&foreign.as_bytes()[9..]);
            d.client.send(b"\r\n");
            d.client.hears("501");
        });
        d.client.say("NOOP");
        let heard = d.server.line().unwrap();
        assert!(heard.ends_with("NOOP"), "{heard:?}, perhaps behind what left of the refused line");
        d.server.say("200 Fine.");
        d.client.hears("200");
    }

    commands_behind_a_port_wait_for_its_answer |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        let line = d.active(to);
        d.client.send(format!("{line}\r\nRETR file\r\n"));
        assert_eq!(d.server.line().unwrap(), line);
        d.server.say("200 Fine.");
        d.client.hears("200");
        at_once("the rest", || d.server.hears("RETR"));
        assert!(d.server_reaches(to));
    }
}
