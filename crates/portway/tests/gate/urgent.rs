//! Telnet's Synch: urgent octets before ABOR and STAT, as BSD's clients and lftp send them (RFC 959 §4.1.3).

use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::field::in_namespaces;
use crate::words::Stage;

#[test]
fn abor_behind_urgent_octets_arrives_at_once_and_as_urgent_as_it_came() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        // BSD's clients cut the Synch behind its second IAC; others send all of it as urgent, or its mark alone.
        for (urgent, behind) in [
            (&b"\xff\xf4\xff"[..], &b"\xf2ABOR\r\n"[..]),
            (b"\xff\xf4\xff\xf2", b"ABOR\r\n"),
            (b"\xff\xf2", b"ABOR\r\n"),
            (b"\xff\xf4\xff", b"\xf2STAT\r\n"),
        ] {
            let mut d = stage.session(0);
            assert_eq!(send(&d.client.stream, urgent, SendFlags::OOB).unwrap(), urgent.len());
            d.client.send(behind);
            // The kernel keeps the urgent octet out of the stream here, and the data mark is that octet.
            assert_eq!(d.server.octets(3), b"\xff\xf4\xff");
            let mut mark = [0];
            recv(&d.server.stream, &mut mark, RecvFlags::OOB).unwrap();
            assert_eq!(mark, *b"\xf2");
            let verb = &behind[behind.len() - 6..behind.len() - 2];
            d.server.hears(std::str::from_utf8(verb).unwrap());
            d.server.say("226 Done.");
            d.client.hears("226 Done.");
        }
    });
}

#[test]
fn urgent_octets_in_front_of_other_commands_are_not_passed_on() {
    in_namespaces(|| {
        let stage = Stage::new(&[]);
        let mut d = stage.session(0);
        send(&d.client.stream, b"\xff\xf4\xff", SendFlags::OOB).unwrap();
        d.client.send(b"\xf2NOOP\r\n");
        d.server.hears("NOOP");
        d.server.say("200 Still here.");
        d.client.hears("200");
    });
}
