//! The rules of a good gate about announcements and holes, each with its number; those of the dialogue alone are tested
//! with `Watch`, too.

use std::time::Duration;

use crate::field::{in_namespaces, until};
use crate::lab::{GATE, OTHER_CLIENT, at};
use crate::words::{SOON, Stage, at_once};

/// Both families, as rule 34 wants it.
pub(crate) const BOTH: [usize; 2] = [0, 1];

/// Tests of rules, each for both families, and a list of them.
macro_rules! rules {
    ($($name:ident $body:expr)*) => {
        $(#[test]
        fn $name() {
            in_namespaces(|| {
                let stage = Stage::new(&[]);
                for family in BOTH {
                    let body: fn(&Stage, usize) = $body;
                    body(&stage, family);
                }
            });
        })*
        /// By name, for another engine.
        pub(crate) const ALL: &[(&str, fn(&Stage, usize))] = &[$((stringify!($name), $body),)*];
    };
}

pub(crate) use rules;

rules! {
    rule_01_a_line_is_judged_when_it_is_whole_however_it_was_cut |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        let line = d.active(to);
        d.client_listens(to);
        for octet in format!("{line}\r\n").as_bytes() {
            d.client.send([*octet]);
        }
        assert_eq!(d.server.line().unwrap(), line);
        d.server.send(b"200 ");
        d.server.send(b"Fine.\r");
        d.server.send(b"\n");
        d.client.hears("200");
        assert!(d.server_reaches(to));
    }

    rule_02_an_announcement_comes_after_its_hole |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        assert!(d.client_is_kept_from(to));
        d.client.say(d.passive());
        d.server.hears(d.passive());
        d.server.say(&d.agreed(to));
        d.client.hears("22");
        assert!(d.client_reaches(to));
    }

    rule_03_a_refused_port_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        let line = d.active(to);
        d.client.say(&line);
        d.server.hears(&line);
        d.server.say("500 No.");
        d.client.hears("500");
        assert!(d.server_is_kept_from(to));
        assert_eq!(d.holes(), 0);
    }

    rule_04_a_227_that_nobody_asked_for_opens_nothing |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.server.say(&d.agreed(to));
        d.client.say("NOOP");
        d.server.hears("NOOP");
        d.server.say(&d.agreed(to));
        d.client.hears("425");
        assert!(d.client_is_kept_from(to));
        d.is_alive();
        assert!(d.field.status().contains("nobody asked for"), "{}", d.field.status());
    }

    rule_05_replies_belong_to_commands_in_order |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.client.send(format!("{}{}\r\n", "NOOP\r\n".repeat(31), d.passive()));
        for _ in 0..31 {
            d.server.hears("NOOP");
        }
        d.server.hears(d.passive());
        d.server.send("200 Fine.\r\n".repeat(31));
        d.server.say(&d.agreed(to));
        for _ in 0..31 {
            d.client.hears("200");
        }
        d.client.hears("22");
        assert!(d.client_reaches(to));
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
        d.client.hears(" 22");
        d.client.hears("500 ");
        assert!(d.client_is_kept_from(to));
        assert_eq!(d.holes(), 0);
    }

    rule_07_whoever_speaks_the_other_sides_words_is_cut_off |stage, family| {
        let mut d = stage.session(family);
        let line = d.agreed(d.client_port(5000));
        d.client.say(&line);
        assert_eq!(d.client.line(), None);
        assert_eq!(d.server.line(), None);
        let mut d = stage.session(family);
        let line = d.active(d.server_port(5000));
        d.server.say(&line);
        d.client.hears("421");
        assert_eq!(d.client.line(), None);
    }

    rule_08_numbers_beyond_an_octet_or_a_port_are_refused_before_any_sum |stage, family| {
        let mut d = stage.session(family);
        // Each of them is a fine address or port once it is cut to 8, 16 or 32 bits.
        let active: &[&str] = if family == 0 {
            &[
                "PORT 10,71,1,258,19,136",
                "PORT 266,71,1,2,19,136",
                "PORT 4294967306,71,1,2,19,136",
                "PORT 10,71,1,2,0,5000",
                "PORT 10,71,1,2,275,136",
                "PORT 10,71,1,2,256,22",
                "PORT 0010,71,1,2,19,136",
                "EPRT |1|10.71.1.2|70536|",
                "EPRT |1|10.71.1.2|005000|",
                "EPRT |1|10.71.1.258|5000|",
            ]
        } else {
            &[
                "EPRT |2|fd71:1::2|70536|",
                "EPRT |2|fd71:1::2|4294972296|",
                "EPRT |2|fd71:1::2|005000|",
                "EPRT |2|1fd71:1::2|5000|",
                "EPRT |2|fd71:1::2|-60536|",
            ]
        };
        let passive: &[&str] = if family == 0 {
            &["227 (10,71,2,258,19,136)", "227 (10,71,2,2,0,5000)", "227 (10,71,2,2,256,22)", "227 (10,71,2,2,275,136)"]
        } else {
            &["229 (|||70536|)", "229 (|||4294972296|)", "229 (|||005000|)"]
        };
        d.refuses(active, passive);
    }

    rule_09_anything_but_plain_digits_is_refused_aloud |stage, family| {
        let mut d = stage.session(family);
        let active: &[&str] = if family == 0 {
            &[
                "PORT 010,71,1,2,19,136",
                "PORT  10,71,1,2,19,136",
                "PORT\t10,71,1,2,19,136",
                "PORT 10, 71,1,2,19,136",
                "PORT 10,71,1,2,19,136 ",
                "PORT +10,71,1,2,19,136",
                "PORT 10,71,1,2,0x13,136",
                "PORT 10,71,1,2,19,136,1",
                "PORT 10,71,1,2,19",
                "PORT 10.71.1.2,19,136",
                "PORT",
                "EPRT |1|10.71.1.2|05000|",
                "EPRT |1|10.71.1.2| 5000|",
                "EPRT |1|10.71.1.2|5000|x",
                "EPRT |1|010.71.1.2|5000|",
            ]
        } else {
            &[
                "EPRT |2|fd71:1::2|05000|",
                "EPRT |2|fd71:1::2|+5000|",
                "EPRT |2|fd71:1::2| 5000|",
                "EPRT |2|fd71:1::2|0x1388|",
                "EPRT |2|fd71:1::2|5000",
                "EPRT |2|fd71:1::2|5000|x",
                "EPRT |2|[fd71:1::2]|5000|",
                "EPRT |2|fd71:1::2%1|5000|",
                "EPRT  |2|fd71:1::2|5000|",
                "EPRT",
            ]
        };
        let passive: &[&str] = if family == 0 {
            &["227 (10,71,2,2,0x13,136)", "227 (+10,71,2,2,19,136)", "227 nothing"]
        } else {
            &["229 (|||+5000|)", "229 (|||0x1388|)", "229 (||| 5000|)", "229 (ok)", "229 nothing"]
        };
        d.refuses(active, passive);
    }

    rule_10_a_foreign_address_is_refused_as_a_bounce |stage, family| {
        let mut d = stage.session(family);
        let line = d.active(at(OTHER_CLIENT[family], 5000));
        at_once("the refusal", || {
            d.client.say(&line);
            d.client.hears("501");
        });
        d.is_alive();
        if family == 0 {
            d.client.say("PASV");
            d.server.hears("PASV");
            d.server.say(&d.agreed(at("10.71.2.3", 5000)));
            d.client.hears("425");
        }
        assert_eq!(d.holes(), 0);
    }

    rule_11_no_hole_leads_to_the_gate_or_to_nobody |stage, family| {
        let mut d = stage.session(family);
        let nobody = if family == 0 { ["0.0.0.0", "127.0.0.1", "255.255.255.255"] } else { ["::", "::1", "ff02::1"] };
        for ip in [GATE[family]].into_iter().chain(nobody) {
            d.client.say(&d.active(at(ip, 5000)));
            d.client.hears("501");
        }
        d.is_alive();
    }

    rule_12_ports_of_services_are_refused |stage, family| {
        let mut d = stage.session(family);
        for port in [0, 22, 1023, 2049, 3306, 5432, 6000] {
            d.client.say(&d.active(d.client_port(port)));
            d.client.hears("501");
            d.client.say(d.passive());
            d.server.hears(d.passive());
            d.server.say(&d.agreed(d.server_port(port)));
            d.client.hears("425");
        }
        d.is_alive();
        assert_eq!(d.holes(), 0);
    }

    rule_13_a_hole_is_for_exactly_one_client_and_one_port |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.server_listens(d.server_port(5001));
        d.exchange(d.passive(), &d.agreed(to));
        let other = at(OTHER_CLIENT[family], 0);
        assert!(d.field.lab.client.run(move || {
            crate::lab::connect(other, to, Duration::from_millis(300)).is_err()
        }));
        assert!(d.client_is_kept_from(d.server_port(5001)));
        assert!(d.client_reaches(to));
    }

    rule_14_a_hole_serves_once |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        d.exchange(&d.active(to), "200 Fine.");
        assert!(d.server_reaches(to));
        assert!(d.server_is_kept_from(to));
        d.is_alive();
    }

    rule_15_a_hole_ends_with_its_session_and_its_turn |stage, family| {
        let (one, two) = (at(crate::lab::SERVER[family], 5000), at(crate::lab::SERVER[family], 5001));
        for end in ["QUIT", "REIN", "ABOR", "next", "FIN", "RST"] {
            let mut d = stage.session(family);
            d.exchange(d.passive(), &d.agreed(one));
            assert_eq!(d.holes(), 1, "{end}");
            match end {
                "QUIT" | "REIN" | "ABOR" => d.exchange(end, "226 Done."),
                "next" => {
                    d.exchange(d.passive(), &d.agreed(two));
                    assert!(!d.field.status().contains(&one.to_string()));
                    continue;
                }
                "FIN" => d.client.stream.shutdown(std::net::Shutdown::Both).unwrap(),
                _ => {
                    let socket = &d.client.stream;
                    rustix::net::sockopt::set_socket_linger(socket, Some(Duration::ZERO)).unwrap();
                    let spare = d.server.stream.try_clone().unwrap();
                    drop(std::mem::replace(&mut d.client.stream, spare));
                }
            }
            assert!(until(SOON, || d.holes() == 0), "{end}: {}", d.field.status());
        }
    }

    rule_16_a_repeated_announcement_opens_nothing_by_itself |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        d.client_listens(to);
        let line = d.active(to);
        d.exchange(&line, "200 Fine.");
        assert!(d.server_reaches(to));
        d.client.say(&line);
        d.server.hears(&line);
        assert!(d.server_is_kept_from(to), "without the server's consent");
        d.server.say("200 Fine.");
        d.client.hears("200");
        assert!(d.server_reaches(to), "with it");
    }

    rule_17_one_hole_at_a_time_for_a_session |stage, family| {
        let mut d = stage.session(family);
        for port in 5000..5020 {
            d.exchange(d.passive(), &d.agreed(d.server_port(port)));
            assert_eq!(d.holes(), 1);
        }
        d.exchange(&d.active(d.client_port(5000)), "200 Fine.");
        assert_eq!(d.holes(), 1);
    }
}
