//! The rules of a good gate about what is said, each with its number.

use std::time::Duration;

use crate::field::in_namespaces;
use crate::lab::{OTHER_CLIENT, at};
use crate::rules::{BOTH, rules};
use crate::words::{Stage, at_once};

rules! {
    rule_20_nothing_opens_before_the_login |stage, family| {
        let mut d = stage.connect(family);
        d.server.say("220 Hello.");
        d.client.hears("220");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("530");
        d.client.say(d.passive());
        d.client.hears("530");
        d.exchange("USER ann", "331 Password?");
    }

    rule_21_what_is_not_ftp_is_cut_off |stage, family| {
        let mut d = stage.connect(family);
        d.server.say("220 Hello.");
        d.client.hears("220");
        let line = d.active(d.client_port(22));
        d.client.send(b"POST / HTTP/1.1\r\nContent-Length: 9999\r\n\r\n");
        d.client.stream.set_nodelay(true).unwrap();
        let _ = std::io::Write::write_all(&mut d.client.stream, format!("{line}\r\n").as_bytes());
        assert_eq!(d.server.line(), None, "the server hears nothing of it");
        assert_eq!(d.holes(), 0);
    }

    rule_22_broken_lines_are_refused_whole |stage, family| {
        let mut d = stage.session(family);
        let long = [b"NOOP ".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
        for bad in [&b"NOOP\0x\r\n"[..], b"NO\rOP\r\n", b"NOOP\n", b"NO\xFFOP\r\n", &long] {
            d.client.send(bad);
            d.client.hears("500");
        }
        d.is_alive();
    }

    rule_23_telnet_commands_are_taken_out |stage, family| {
        let mut d = stage.session(family);
        let to = d.client_port(5000);
        let line = d.active(to);
        d.client.send([b"\xFF\xF4\xFF\xF2".as_slice(), line.as_bytes(), b"\r\n"].concat());
        assert_eq!(d.server.line().unwrap(), line);
    }

    rule_24_what_was_read_is_what_is_sent |stage, family| {
        let mut d = stage.session(family);
        let line = d.active(d.client_port(5000));
        d.client.say(&line.to_lowercase());
        assert_eq!(d.server.line().unwrap(), line);
    }

    rule_25_nothing_in_ciphertext_opens_anything |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange("AUTH TLS", "234 Go on.");
        let inside = format!("\r\n{}\r\n", d.agreed(to));
        let record = record(23, inside.as_bytes());
        d.client.send(&record);
        assert_eq!(d.server.octets(record.len()), record);
        d.server.send(&record);
        assert_eq!(d.client.octets(record.len()), record);
        assert_eq!(d.holes(), 0);
        assert!(d.client_is_kept_from(to));
        assert!(d.field.status().contains(r#""opaque":true"#));
    }

    rule_26_what_follows_auth_in_clear_is_thrown_away |stage, family| {
        let mut d = stage.session(family);
        d.client.send(b"AUTH TLS\r\nDELE everything\r\n");
        d.server.hears("AUTH");
        d.server.say("234 Go on.");
        d.client.hears("234");
        let hello = record(22, b"hello");
        d.client.send(&hello);
        assert_eq!(d.server.octets(hello.len()), hello, "and nothing before it");
        assert!(d.field.status().contains("thrown away"), "{}", d.field.status());
    }

    rule_27_after_ccc_the_first_pasv_works |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange("AUTH TLS", "234 Go on.");
        let (hello, close) = (record(22, b"hello"), record(21, &[1, 0]));
        d.client.send(&hello);
        d.server.octets(hello.len());
        d.server.send(&hello);
        d.client.octets(hello.len());
        d.client.send([&close[..], d.passive().as_bytes(), b"\r\n"].concat());
        assert_eq!(d.server.octets(close.len()), close);
        d.server.hears(d.passive());
        d.server.send([&close[..], d.agreed(to).as_bytes(), b"\r\n"].concat());
        assert_eq!(d.client.octets(close.len()), close);
        d.client.hears("22");
        assert!(d.client_reaches(to));
        d.is_alive();
    }

    rule_30_a_stranger_neither_gets_in_nor_ends_the_owners_transfer |stage, family| {
        let mut d = stage.session(family);
        let to = d.server_port(5000);
        d.server_listens(to);
        d.exchange(d.passive(), &d.agreed(to));
        let from = at(OTHER_CLIENT[family], 0);
        for _ in 0..3 {
            assert!(d.field.lab.client.run(move || {
                crate::lab::connect(from, to, Duration::from_millis(100)).is_err()
            }));
        }
        assert!(d.client_reaches(to), "the owner is served all the same");
        d.is_alive();
    }

    rule_31_a_servers_announcement_of_another_host_is_never_followed |stage, family| {
        let mut d = stage.session(family);
        if family == 0 {
            for elsewhere in ["10.71.2.3", "10.71.1.3", "10.71.2.1", "127.0.0.1", "192.0.2.1"] {
                d.client.say("PASV");
                d.server.hears("PASV");
                d.server.say(&d.agreed(at(elsewhere, 5000)));
                d.client.hears("425");
            }
        }
        // RFC 2428: 229 names no address. Whoever puts one in is not understood.
        for elsewhere in ["|1|10.71.2.3|5000|", "|2|fd71:2::3|5000|"] {
            d.client.say("EPSV");
            d.server.hears("EPSV");
            d.server.say(&format!("229 Mode ({elsewhere})"));
            d.client.hears("425");
        }
        assert_eq!(d.holes(), 0);
        d.is_alive();
    }

    rule_32_after_epsv_all_only_epsv |stage, family| {
        let mut d = stage.session(family);
        d.exchange("EPSV ALL", "200 Fine.");
        d.client.say(&d.active(d.client_port(5000)));
        d.client.hears("503");
        d.exchange("EPSV", "229 Entering Extended Passive Mode (|||5000|)");
    }

    rule_33_the_other_family_gets_522 |stage, family| {
        let mut d = stage.session(family);
        let (line, usable) =
            if family == 0 { ("EPRT |2|fd71:1::2|5000|", "(1)") } else { ("EPRT |1|10.71.1.2|5000|", "(2)") };
        at_once("the refusal", || {
            d.client.say(line);
            assert!(d.client.hears("522").contains(usable));
        });
        d.is_alive();
    }
}

fn record(kind: u8, body: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(body.len()).unwrap().to_be_bytes();
    [&[kind, 3, 3, high, low], body].concat()
}
