//! The inspect engine against a client that makes its segments by itself: what a kernel would never send.

use std::net::SocketAddr;

use crate::field::{in_namespaces, until};
use crate::inspect::INSPECT;
use crate::lab::{CLIENT, SERVER, at};
use crate::raw::{ACK, FIN, RST, Raw, SYN, URG};
use crate::rules::BOTH;
use crate::words::{End, SOON, Stage};

/// A client of its own make, logged in.
struct Script<'a> {
    stage: &'a Stage,
    family: usize,
    raw: Raw,
    server: End,
}

impl<'a> Script<'a> {
    fn new(stage: &'a Stage, family: usize, port: u16, seq: u32) -> Self {
        let mut raw = Raw::new(&stage.field.lab.client, family, port, seq);
        raw.shake_hands();
        let server = stage.accept(family);
        let mut this = Self { stage, family, raw, server };
        this.server.say("220 Hello.");
        this.raw.line("220");
        this.exchange(b"USER ann\r\n", "331 Password?");
        this.exchange(b"PASS x\r\n", "230 Welcome.");
        this
    }

    fn exchange(&mut self, line: &[u8], reply: &str) {
        self.raw.says(line);
        self.server.hears(std::str::from_utf8(&line[..4]).unwrap());
        self.server.say(reply);
        self.raw.line(&reply[..3]);
    }

    fn active(&self, to: SocketAddr) -> Vec<u8> {
        let line = match to {
            SocketAddr::V4(to) => {
                let ([a, b, c, d], [high, low]) = (to.ip().octets(), to.port().to_be_bytes());
                format!("PORT {a},{b},{c},{d},{high},{low}\r\n")
            }
            SocketAddr::V6(to) => format!("EPRT |2|{}|{}|\r\n", to.ip(), to.port()),
        };
        line.into_bytes()
    }

    /// Where the client listens.
    fn port(&self, port: u16) -> SocketAddr {
        let to = at(CLIENT[self.family], port);
        self.stage.field.lab.client.run(move || crate::lab::greet(to));
        to
    }

    fn reaches(&self, to: SocketAddr) -> bool {
        let from = at(SERVER[self.family], 0);
        self.stage
            .field
            .lab
            .server
            .run(move || crate::lab::connect(from, to, std::time::Duration::from_millis(500)).is_ok())
    }

    fn holes(&self) -> usize {
        self.stage.field.status().matches(r#""kind":"hole""#).count()
    }
}

macro_rules! scripts {
    ($($name:ident $seq:expr, $body:expr)*) => {
        $(#[test]
        fn $name() {
            in_namespaces(|| {
                let stage = Stage::new(INSPECT);
                for family in BOTH {
                    let body: fn(&mut Script<'_>) = $body;
                    body(&mut Script::new(&stage, family, 40_000, $seq));
                }
            });
        })*
    };
}

scripts! {
    segments_out_of_order_doubled_and_over_the_end_of_the_numbers_are_one_line u32::MAX - 25, |s| {
        let to = s.port(5000);
        let line = s.active(to);
        let seq = s.raw.seq;
        let piece = |from: usize, until: usize| (seq.wrapping_add(u32::try_from(from).unwrap()), &line[from..until]);
        let end = line.len();
        for (seq, octets) in [piece(9, end), piece(4, 12), piece(4, 12), piece(0, 5), piece(0, end)] {
            s.raw.segment(seq, ACK, octets);
        }
        s.raw.seq = seq.wrapping_add(u32::try_from(end).unwrap());
        let heard = s.server.line().unwrap();
        assert_eq!(heard.as_bytes(), &line[..end - 2]);
        s.server.say("200 Fine.");
        s.raw.line("200");
        assert!(s.reaches(to));
        s.exchange(b"NOOP\r\n", "200 Fine.");
    }

    an_overlap_that_says_something_else_is_dropped_and_written_down 7, |s| {
        let to = s.port(5000);
        let line = s.active(to);
        let seq = s.raw.seq;
        // The end first; then the whole line with another end.
        let cut = line.len() - 6;
        s.raw.segment(seq.wrapping_add(u32::try_from(cut).unwrap()), ACK, &line[cut..]);
        let mut other = line.clone();
        let digit = other.len() - 4;
        other[digit] ^= 1;
        s.raw.segment(seq, ACK, &other);
        assert!(until(SOON, || s.stage.field.status().contains("contradicts")), "{}", s.stage.field.status());
        s.raw.segment(seq, ACK, &line[..cut]);
        s.raw.seq = seq.wrapping_add(u32::try_from(line.len()).unwrap());
        assert_eq!(s.server.line().unwrap().as_bytes(), &line[..line.len() - 2], "the first copy counts");
        // Octets that the server has not acknowledged to us are compared, too.
        s.server.say("200 Fine.");
        s.raw.line("200");
        assert!(s.reaches(to));
    }

    a_port_sent_again_after_its_hole_was_used_opens_nothing 7, |s| {
        let to = s.port(5000);
        let line = s.active(to);
        let seq = s.raw.seq;
        s.exchange(&line, "200 Fine.");
        assert!(s.reaches(to));
        for _ in 0..3 {
            s.raw.segment(seq, ACK, &line);
        }
        s.exchange(b"NOOP\r\n", "200 Fine.");
        assert!(!s.reaches(to));
        assert_eq!(s.holes(), 0);
    }

    a_reset_closes_the_hole_and_what_follows_is_reset 7, |s| {
        let to = s.port(5000);
        let line = s.active(to);
        s.exchange(&line, "200 Fine.");
        assert_eq!(s.holes(), 1);
        // One that no receiver believes is no reset (RFC 5961).
        s.raw.segment(s.raw.seq.wrapping_add(500_000), RST, b"");
        s.exchange(b"NOOP\r\n", "200 Fine.");
        assert_eq!(s.holes(), 1);
        s.raw.segment(s.raw.seq, RST, b"");
        assert!(until(SOON, || s.holes() == 0));
        assert!(!s.reaches(to));
        assert_eq!(s.server.line(), None);
        let again = s.active(to);
        s.raw.segment(s.raw.seq, ACK, &again);
        assert!(s.raw.hears(|heard| heard.flags & RST != 0).is_some(), "told at once");
        assert_eq!(s.holes(), 0);
    }

    after_the_end_of_the_client_nothing_opens 7, |s| {
        let to = s.port(5000);
        let line = s.active(to);
        // The announcement and the end at once: the consent comes when nobody is there any more.
        s.raw.segment(s.raw.seq, ACK | FIN, &line);
        s.server.hears(std::str::from_utf8(&line[..4]).unwrap());
        s.server.say("200 Fine.");
        s.raw.seq = s.raw.seq.wrapping_add(u32::try_from(line.len()).unwrap() + 1);
        s.raw.line("425");
        assert!(!s.reaches(to));
        assert_eq!(s.holes(), 0);
    }

    a_line_that_left_in_part_is_still_refused 7, |s| {
        let line = s.active(at(crate::lab::OTHER_CLIENT[s.family], 5000));
        let (seq, cut) = (s.raw.seq, line.len() - 9);
        // Sent twice: its sender waits for the acknowledgement.
        s.raw.segment(seq, ACK, &line[..cut]);
        s.raw.segment(seq, ACK, &line[..cut]);
        assert_eq!(s.server.octets(cut), &line[..cut]);
        s.raw.segment(seq.wrapping_add(u32::try_from(cut).unwrap()), ACK, &line[cut..]);
        s.raw.seq = seq.wrapping_add(u32::try_from(line.len()).unwrap());
        assert_eq!(s.server.line().unwrap(), "???????");
        s.server.say("500 What is this supposed to be? Nothing that I know of.");
        s.raw.line("501");
        assert_eq!(s.holes(), 0);
        s.exchange(b"NOOP\r\n", "200 Fine.");
    }

    urgent_octets_are_a_part_of_the_line 7, |s| {
        let seq = s.raw.seq;
        s.raw.segment(seq, ACK | URG, b"NO");
        s.raw.segment(seq.wrapping_add(2), ACK | URG, b"OP\r\n");
        s.raw.seq = seq.wrapping_add(6);
        assert_eq!(s.server.line().unwrap(), "NOOP");
        s.server.say("200 Fine.");
        s.raw.line("200");
    }

    acknowledging_what_was_never_sent_gets_nobody_anything 7, |s| {
        let honest = s.raw.ack;
        s.raw.ack = honest.wrapping_add(40);
        s.raw.segment(s.raw.seq, ACK, b"NOOP\r\n");
        s.raw.ack = honest;
        s.exchange(b"NOOP\r\n", "200 Fine.");
    }
}

#[test]
fn octets_on_a_syn_come_again_and_are_read_once() {
    in_namespaces(|| {
        let stage = Stage::new(INSPECT);
        for family in BOTH {
            let mut raw = Raw::new(&stage.field.lab.client, family, 40_001, 99);
            raw.segment(99, SYN, b"POST / HTTP/1.1\r\n");
            raw.shake_hands();
            let mut server = stage.accept(family);
            server.say("220 Hello.");
            raw.line("220");
            raw.says(b"USER ann\r\n");
            server.hears("USER");
        }
    });
}

#[test]
fn handshakes_that_nobody_ends_take_no_place() {
    in_namespaces(|| {
        let stage = Stage::new(&["--engine", "inspect", "--max-sessions-per-address", "2"]);
        for family in BOTH {
            for port in 40_010..40_014 {
                let mut raw = Raw::new(&stage.field.lab.client, family, port, 99);
                raw.segment(99, SYN, b"");
                assert!(raw.hears(|heard| heard.flags & SYN != 0).is_some(), "the server has answered");
            }
            let _sessions = [stage.session(family), stage.session(family)];
        }
    });
}

#[test]
fn answers_to_nobody_do_not_pass() {
    in_namespaces(|| {
        let stage = Stage::new(INSPECT);
        for family in BOTH {
            // From the server's machine, from its control port, to a client that has asked for nothing.
            let from =
                Raw::between(&stage.field.lab.server, at(SERVER[family], 21), at(CLIENT[family], 50_000));
            let mut there =
                Raw::between(&stage.field.lab.client, at(CLIENT[family], 50_000), at(SERVER[family], 21));
            from.segment(5, SYN | ACK, b"");
            assert!(there.hears(|heard| heard.flags & SYN != 0).is_none(), "it has passed");
        }
    });
}

#[test]
fn segments_of_no_connection_are_reset_at_once() {
    in_namespaces(|| {
        let stage = Stage::new(INSPECT);
        for family in BOTH {
            let mut raw = Raw::new(&stage.field.lab.client, family, 40_002, 99);
            raw.ack = 1234;
            raw.segment(99, ACK, b"PORT 10,71,1,2,0,22\r\n");
            assert!(raw.hears(|heard| heard.flags & RST != 0).is_some());
            assert!(stage.field.status().contains(r#""sessions":0"#));
        }
    });
}
