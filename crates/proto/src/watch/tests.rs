//! Rules of the gate, each test named after its number; the kernel's part of 13, 14 and 18 is tested with the filter.

use proptest::prelude::*;

use super::*;
use crate::{LineReader, ReplyReader};

/// A gate without sockets: feeds octets, does what the rulings say, remembers what came of it.
struct Gate {
    watch: Watch,
    lines: LineReader,
    replies: ReplyReader,
    now: Instant,
    to_server: Vec<u8>,
    to_client: Vec<u8>,
    opened: Vec<crate::Expected>,
    notes: Vec<Notice>,
    shut: usize,
    closed: bool,
    hole_fails: bool,
    /// How many octets a segment has.
    cut: usize,
}

/// Addresses and announcements of one family; rule 34 wants every other rule twice.
struct Side {
    client: &'static str,
    server: &'static str,
    other: &'static str,
    /// PORT or EPRT with the client's address, port 5000.
    active: &'static str,
    /// PASV or EPSV.
    passive: &'static str,
    /// 227 or 229 with port 5000.
    agreed: &'static str,
}

const V4: Side = Side {
    client: "192.0.2.7",
    server: "198.51.100.1",
    other: "203.0.113.9",
    active: "PORT 192,0,2,7,19,136",
    passive: "PASV",
    agreed: "227 Entering Passive Mode (198,51,100,1,19,136).",
};
const V6: Side = Side {
    client: "2001:db8::7",
    server: "2001:db8:1::1",
    other: "2001:db8:2::9",
    active: "EPRT |2|2001:db8::7|5000|",
    passive: "EPSV",
    agreed: "229 Entering Extended Passive Mode (|||5000|).",
};
const BOTH: [Side; 2] = [V4, V6];

impl Gate {
    fn with(side: &Side, policy: WatchPolicy) -> Self {
        Self {
            watch: Watch::new(side.client.parse().unwrap(), side.server.parse().unwrap(), policy),
            lines: LineReader::new().strict(),
            replies: ReplyReader::new().strict(),
            now: start(),
            to_server: Vec::new(),
            to_client: Vec::new(),
            opened: Vec::new(),
            notes: Vec::new(),
            shut: 0,
            closed: false,
            hole_fails: false,
            cut: usize::MAX,
        }
    }

    /// After greeting and login.
    fn in_session(side: &Side) -> Self {
        Self::with(side, WatchPolicy::default()).log_in()
    }

    fn log_in(mut self) -> Self {
        self.server("220 Hello.\r\n");
        for (command, reply) in [("USER u", "331 Password?"), ("PASS p", "230 Welcome.")] {
            self.client_line(command);
            self.server_line(reply);
        }
        self.to_client.clear();
        self.to_server.clear();
        self
    }

    fn client(&mut self, octets: impl AsRef<[u8]>) {
        for piece in octets.as_ref().chunks(self.cut.min(1 << 20)) {
            if self.watch.is_opaque() {
                self.to_server.extend_from_slice(piece);
                continue;
            }
            self.lines.feed(piece);
            self.take_commands();
        }
    }

    fn take_commands(&mut self) {
        while self.watch.is_ready_for_command() {
            let Some(line) = self.lines.next_line() else { return };
            let rulings = self.watch.on_command(line.as_deref().map_err(|e| *e), self.now);
            self.perform(rulings);
        }
    }

    fn server(&mut self, octets: impl AsRef<[u8]>) {
        for piece in octets.as_ref().chunks(self.cut.min(1 << 20)) {
            if self.watch.is_opaque() {
                self.to_client.extend_from_slice(piece);
                continue;
            }
            self.replies.feed(piece);
            while let Some(reply) = self.replies.next_reply() {
                let rulings = match reply {
                    Ok(reply) => self.watch.on_reply(&reply, self.now),
                    Err(error) => self.watch.on_reply_error(&error),
                };
                self.perform(rulings);
                self.take_commands();
            }
        }
    }

    fn client_line(&mut self, line: &str) {
        self.client(format!("{line}\r\n"));
    }

    fn server_line(&mut self, line: &str) {
        self.server(format!("{line}\r\n"));
    }

    fn perform(&mut self, rulings: Vec<Ruling>) {
        for ruling in rulings {
            match ruling {
                Ruling::ToServer(octets) => self.to_server.extend(octets),
                Ruling::ToClient(octets) => self.to_client.extend(octets),
                Ruling::Open(opening) if self.hole_fails => {
                    self.to_client.extend(opening.failed("the set is full"));
                }
                Ruling::Open(opening) => {
                    self.opened.push(opening.want);
                    self.to_client.extend(opening.line(None));
                }
                Ruling::Shut => self.shut += 1,
                Ruling::Opaque | Ruling::StartTls => {
                    self.lines.clear();
                }
                Ruling::StopTls => {}
                Ruling::Close => self.closed = true,
                Ruling::Note(notice) => self.notes.push(notice),
            }
        }
    }

    fn client_saw(&self) -> String {
        String::from_utf8_lossy(&self.to_client).into_owned()
    }

    fn server_saw(&self) -> String {
        String::from_utf8_lossy(&self.to_server).into_owned()
    }

    /// The code of the last line that the client got.
    fn last_code(&self) -> String {
        self.client_saw().lines().last().unwrap_or_default().chars().take(3).collect()
    }

    /// A command with its reply.
    fn exchange(&mut self, command: &str, reply: &str) {
        self.client_line(command);
        self.server_line(reply);
    }

    fn open_passive(&mut self, side: &Side) {
        let before = self.opened.len();
        self.exchange(side.passive, side.agreed);
        assert_eq!(self.opened.len(), before + 1, "{}", self.client_saw());
    }
}

/// Time is only compared here, so one instant will do for all tests.
fn start() -> Instant {
    static START: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    #[allow(clippy::disallowed_methods, reason = "a test needs some instant to begin with")]
    *START.get_or_init(Instant::now)
}

#[test]
fn rule_01_a_line_is_judged_only_when_it_is_whole() {
    for side in BOTH {
        for cut in [1, 2, 7, usize::MAX] {
            let mut gate = Gate::in_session(&side);
            gate.cut = cut;
            let (head, tail) = side.active.split_at(9);
            gate.client(head);
            assert_eq!(gate.server_saw(), "");
            gate.client(format!("{tail}\r"));
            assert_eq!(gate.server_saw(), "");
            gate.client("\n");
            assert_eq!(gate.server_saw(), format!("{}\r\n", side.active));
            gate.server_line("200 Fine.");
            assert_eq!(gate.opened.len(), 1, "cut by {cut}");
        }
    }
}

#[test]
fn rule_02_nothing_is_announced_before_the_hole_is_open() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.hole_fails = true;
        gate.exchange(side.passive, side.agreed);
        assert_eq!(gate.last_code(), "425", "no port reached the client");
        gate.exchange(side.active, "200 Fine.");
        assert_eq!(gate.last_code(), "425");
        // A transfer sent along with PORT waits, or the server would connect before the hole is there.
        let mut gate = Gate::in_session(&side);
        gate.client(format!("{}\r\nRETR x\r\n", side.active));
        assert!(!gate.server_saw().contains("RETR"));
        gate.server_line("200 Fine.");
        assert_eq!(gate.opened.len(), 1);
        assert!(gate.server_saw().ends_with("RETR x\r\n"));
    }
}

#[test]
fn rule_03_a_hole_to_the_client_needs_the_server_to_agree() {
    for side in BOTH {
        for (reply, opens) in [
            ("200 Fine.", 1),
            ("250 Fine.", 1),
            ("421 Bye.", 0),
            ("425 No.", 0),
            ("500 What?", 0),
            ("501 No.", 0),
            ("530 Who?", 0),
            ("331 Hm.", 0),
        ] {
            let mut gate = Gate::in_session(&side);
            gate.exchange(side.active, reply);
            assert_eq!(gate.opened.len(), opens, "{reply}");
            assert!(gate.client_saw().starts_with(&reply[..3]), "the client hears what the server said");
        }
    }
}

#[test]
fn rule_04_only_the_answer_to_pasv_announces() {
    for side in BOTH {
        for (name, script) in [
            ("nobody asked", vec![]),
            ("an answer to NOOP", vec!["NOOP"]),
            ("an answer to another command first in line", vec!["NOOP", side.passive]),
        ] {
            let mut gate = Gate::in_session(&side);
            script.iter().for_each(|line| gate.client_line(line));
            gate.server_line(side.agreed);
            assert_eq!(gate.opened, [], "{name}");
            assert!(matches!(gate.notes.last(), Some(Notice::Unsolicited(_))), "{name}");
            assert!(!gate.client_saw().contains("5000") && !gate.client_saw().contains("19,136"), "{name}");
        }
    }
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", V6.agreed);
    assert_eq!(gate.opened, [], "229 does not answer PASV");
}

#[test]
fn rule_05_replies_are_matched_to_32_pipelined_commands() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        let mut commands = String::new();
        let mut replies = String::new();
        for at in 0..32 {
            // Every fourth is refused by the gate itself; its answer keeps its place.
            let (command, reply) = match at % 4 {
                0 => ("NOOP", Some("200 noop")),
                1 => (side.passive, Some(side.agreed)),
                2 => ("PORT 1,2,3", None),
                _ => ("RETR x", Some("150 here\r\n226 done")),
            };
            commands.push_str(&format!("{command}\r\n"));
            replies.extend(reply.map(|reply| format!("{reply}\r\n")));
        }
        gate.client(commands);
        gate.server(replies);
        assert_eq!(gate.opened.len(), 8);
        let codes: Vec<_> = gate.client_saw().lines().map(|line| line[..3].to_owned()).collect();
        let expected = ["200", &side.agreed[..3], "501", "150", "226"].repeat(8);
        assert_eq!(codes, expected);
        assert_eq!(gate.watch.awaited(), 0);
    }
}

#[test]
fn rule_06_only_the_last_line_of_a_reply_counts() {
    for side in BOTH {
        for cut in [1, 5, usize::MAX] {
            let mut gate = Gate::in_session(&side);
            gate.cut = cut;
            gate.exchange(side.passive, &format!("500-no\r\n{}\r\n500 end", side.agreed));
            assert_eq!(gate.opened, [], "cut by {cut}");
            assert!(
                !gate.client_saw().contains(&format!("\n{}", &side.agreed[..4])),
                "{}",
                gate.client_saw()
            );
            let code = &side.agreed[..3];
            gate.exchange(side.passive, &format!("{code}-{}\r\n{code} no brackets", &side.agreed[4..]));
            assert_eq!(gate.opened, [], "cut by {cut}");
        }
    }
}

#[test]
fn rule_07_who_speaks_the_words_of_the_other_side_is_thrown_out() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.client_line(side.agreed);
        assert!(gate.closed && gate.opened.is_empty() && gate.to_server.is_empty());
        let mut gate = Gate::in_session(&side);
        gate.server_line(side.active);
        assert!(gate.closed && gate.opened.is_empty());
        assert_eq!(gate.notes, [Notice::WrongSide("server")]);
    }
}

#[test]
fn rules_08_and_09_numbers_are_read_strictly_and_refused_aloud() {
    for line in [
        "PORT 192,0,2,7,0,5000",
        "PORT 192,0,1,263,19,136",
        "PORT 192,0,2,7,256,22",
        "PORT 192,0,2,4294967303,19,136",
        "PORT 192,0,2,7,4,0019",
        "PORT 192,0,2,07,19,136",
        "PORT 192,0,2,7,19",
        "PORT 192,0,2,7,19,136,1",
        "PORT  192,0,2,7,19,136",
        "PORT 192,0,2,7,19,136 ",
        "PORT 192, 0,2,7,19,136",
        "PORT\t192,0,2,7,19,136",
        "PORT +192,0,2,7,19,136",
        "PORT 0xc0,0,2,7,19,136",
        "PORT 192,0,2,7,19,136x",
        "PORT",
        "PORT ",
        "EPRT |1|192.0.2.7|70536|",
        "EPRT |1|192.0.2.7|05000|",
        "EPRT |1|192.0.2.007|5000|",
        "EPRT |1|192.0.2.7|5000",
        "EPRT |1|192.0.2.7|5000| ",
        "EPRT",
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(line);
        assert!(["500", "501"].contains(&gate.last_code().as_str()), "{line}: {}", gate.client_saw());
        assert_eq!(gate.server_saw(), "", "{line}");
        gate.exchange("NOOP", "200 Alive.");
        assert_eq!(gate.last_code(), "200", "the session lives");
    }
    for text in [
        "227 (198,51,100,1,0,5000)",
        "227 (198,51,99,257,19,136)",
        "227 (198,51,100,1,256,22)",
        "227 (198,51,100,01,19,136)",
        "227 (198,51,100,1,19,136",
        "227 198,51,100,1,19,136",
        "227 ( 198,51,100,1,19,136)",
        "227 (198,51,100,1,19,136) (198,51,100,1,19,137)",
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.exchange("PASV", text);
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{text}");
    }
    for text in
        ["229 (|||70536|)", "229 (|||5000)", "229 |||5000|", "229 (|1|198.51.100.1|5000|)", "229 (|||0|)"]
    {
        let mut gate = Gate::in_session(&V4);
        gate.exchange("EPSV", text);
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{text}");
    }
}

#[test]
fn rule_10_an_announcement_names_its_own_sender() {
    for line in ["PORT 203,0,113,9,19,136", "EPRT |1|203.0.113.9|5000|", "PORT 198,51,100,1,19,136"] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(line);
        assert_eq!(gate.last_code(), "501", "{line}");
        assert!(matches!(gate.notes.last(), Some(Notice::Refused(Refused::ForeignHost { .. }))), "{line}");
        assert_eq!(gate.server_saw(), "");
    }
    let mut gate = Gate::in_session(&V6);
    gate.client_line(&format!("EPRT |2|{}|5000|", V6.other));
    assert_eq!(gate.last_code(), "501");
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", "227 (203,0,113,9,19,136)");
    assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"));
    // Behind a translating gate each side may know itself by another address.
    let policy = WatchPolicy {
        client_is_also: ["10.0.0.7".parse().unwrap()].into(),
        server_is_also: ["10.1.0.1".parse().unwrap()].into(),
        ..WatchPolicy::default()
    };
    let mut gate = Gate::with(&V4, policy).log_in();
    gate.exchange("PORT 10,0,0,7,19,136", "200 Fine.");
    gate.exchange("PASV", "227 (10,1,0,1,19,136)");
    let targets: Vec<_> = gate.opened.iter().map(|want| want.to().to_string()).collect();
    assert_eq!(targets, ["192.0.2.7:5000", "198.51.100.1:5000"]);
    assert!(gate.client_saw().contains("198,51,100,1,19,136"), "{}", gate.client_saw());
}

#[test]
fn rule_11_no_hole_leads_to_the_gate_or_to_no_host() {
    for side in BOTH {
        for own in [side.client, side.server] {
            let policy = WatchPolicy { own: [own.parse().unwrap()].into(), ..WatchPolicy::default() };
            let mut gate = Gate::with(&side, policy).log_in();
            gate.exchange(side.active, "200 Fine.");
            gate.exchange(side.passive, side.agreed);
            assert!(gate.opened.iter().all(|want| want.to().ip().to_string() != own), "{own}");
        }
    }
    for (client, line) in [
        ("127.0.0.1", "PORT 127,0,0,1,19,136"),
        ("::1", "EPRT |2|::1|5000|"),
        ("192.0.2.7", "PORT 0,0,0,0,19,136"),
        ("192.0.2.7", "PORT 255,255,255,255,19,136"),
        ("192.0.2.7", "PORT 224,0,0,1,19,136"),
        ("2001:db8::7", "EPRT |2|ff02::1|5000|"),
        ("2001:db8::7", "EPRT |2|::|5000|"),
    ] {
        let mut gate = Gate::with(&Side { client, server: client, ..V4 }, WatchPolicy::default()).log_in();
        gate.exchange(line, "200 Fine.");
        assert_eq!(gate.opened, [], "{line}");
    }
}

#[test]
fn rule_12_no_hole_leads_to_a_service() {
    for port in [1, 20, 21, 22, 1023, 2049, 3306, 5432, 6000] {
        for side in BOTH {
            let mut gate = Gate::in_session(&side);
            gate.client_line(
                &side
                    .active
                    .replace("5000", &port.to_string())
                    .replace("19,136", &format!("{},{}", port / 256, port % 256)),
            );
            assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("501", ""), "{port}");
            let agreed = side.agreed.replace("5000", &port.to_string());
            let agreed = agreed.replace("19,136", &format!("{},{}", port / 256, port % 256));
            gate.exchange(side.passive, &agreed);
            assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "425"), "{port}");
        }
    }
}

#[test]
fn rule_13_a_hole_names_both_ends_and_the_port() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange(side.active, "200 Fine.");
        gate.open_passive(&side);
        let ends: Vec<_> =
            gate.opened.iter().map(|w| (w.from.to_string(), w.to().ip().to_string())).collect();
        let (client, server) = (side.client.to_owned(), side.server.to_owned());
        assert_eq!(ends, [(server.clone(), client.clone()), (client, server)]);
        assert!(gate.opened.iter().all(|want| want.to().port() == 5000));
        assert!(gate.opened.iter().all(|want| want.within == Duration::from_secs(10)));
    }
}

#[test]
fn rules_14_and_16_one_announcement_opens_once_however_often_it_is_said() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        gate.server_line(side.agreed);
        gate.server_line(side.agreed);
        assert_eq!(gate.opened.len(), 1);
        let mut gate = Gate::in_session(&side);
        gate.exchange(side.active, "200 Fine.");
        gate.server_line("200 Fine.");
        assert_eq!(gate.opened.len(), 1);
    }
}

#[test]
fn rule_15_a_hole_ends_with_what_it_was_for() {
    for side in BOTH {
        for (name, command, reply) in [
            ("the next announcement", side.passive, "425 No."),
            ("the next active one", side.active, "425 No."),
            ("ABOR", "ABOR", ""),
            ("REIN", "REIN", ""),
            ("QUIT", "QUIT", ""),
            ("QUIT with an argument", "QUIT now", "221 Bye."),
        ] {
            let mut gate = Gate::in_session(&side);
            gate.open_passive(&side);
            gate.client_line(command);
            if !reply.is_empty() {
                gate.server_line(reply);
            }
            assert_eq!(gate.shut, 1, "{name}");
        }
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        let rulings = gate.watch.on_end();
        assert_eq!(rulings, [Ruling::Shut, Ruling::Close], "FIN or RST of the control connection");
        assert_eq!(gate.watch.on_end(), [], "once");
        let mut gate = Gate::in_session(&side);
        gate.open_passive(&side);
        gate.now += Duration::from_secs(11);
        gate.client_line("QUIT");
        assert_eq!(gate.shut, 0, "it has died by itself");
    }
}

#[test]
fn rule_15_a_pipelined_quit_does_not_shut_the_hole_of_a_transfer_before_it() {
    let mut gate = Gate::in_session(&V4);
    gate.client("PASV\r\nRETR x\r\nQUIT\r\n");
    gate.server_line(V4.agreed);
    assert_eq!((gate.opened.len(), gate.shut), (1, 0));
    gate.server("150 Here.\r\n226 Done.\r\n");
    assert_eq!(gate.shut, 0);
    gate.server_line("221 Bye.");
    assert_eq!(gate.shut, 1);
}

#[test]
fn rule_17_one_hole_at_a_time_and_a_full_filter_says_425() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        for _ in 0..3 {
            gate.open_passive(&side);
        }
        assert_eq!(gate.shut, 2, "each opening but the first shut the one before");
        gate.hole_fails = true;
        gate.exchange(side.passive, side.agreed);
        assert!(gate.client_saw().lines().last().unwrap().starts_with("425 "));
        assert!(gate.client_saw().contains("the set is full"));
    }
}

#[test]
fn rule_20_nothing_opens_before_the_login() {
    for side in BOTH {
        let mut gate = Gate::with(&side, WatchPolicy::default());
        gate.server_line("220 Hello.");
        for command in [side.active, side.passive] {
            gate.client_line(command);
            assert_eq!(gate.last_code(), "530", "{command}");
        }
        assert_eq!(gate.server_saw(), "");
        // A pipelined login that fails takes its announcement with it.
        gate.client(format!("USER u\r\nPASS p\r\n{}\r\n", side.passive));
        gate.server(format!("331 Password?\r\n530 No.\r\n{}\r\n", side.agreed));
        assert_eq!((gate.opened.len(), gate.last_code().as_str()), (0, "530"));
        gate.client(format!("USER u\r\nPASS p\r\n{}\r\n", side.passive));
        gate.server(format!("331 Password?\r\n230 Welcome.\r\n{}\r\n", side.agreed));
        assert_eq!(gate.opened.len(), 1);
        gate.exchange("REIN", "220 Ready.");
        gate.client_line(side.passive);
        assert_eq!(gate.last_code(), "530", "REIN forgets the user");
        let lax = WatchPolicy { login_first: false, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, lax);
        gate.server_line("220 Hello.");
        gate.open_passive(&side);
    }
}

#[test]
fn rule_21_what_is_not_ftp_is_closed_and_opens_nothing() {
    for first in [
        "POST / HTTP/1.1\r\nHost: x\r\n\r\n",
        "GET / HTTP/1.1\r\n",
        "SSH-2.0-x\r\n",
        "\r\n",
        "EHLO x\r\n",
        "\u{16}\u{3}\u{1}\r\n",
        "\0\r\n",
    ] {
        let mut gate = Gate::with(&V4, WatchPolicy { login_first: false, ..WatchPolicy::default() });
        gate.server_line("220 Hello.");
        gate.client(first);
        gate.client_line("PORT 192,0,2,7,19,136");
        gate.server_line("200 Fine.");
        assert!(gate.closed, "{first:?}");
        assert_eq!((gate.opened.len(), gate.server_saw().as_str()), (0, ""), "{first:?}");
    }
    let mut gate = Gate::with(&V4, WatchPolicy::default());
    gate.server_line("SSH-2.0-OpenSSH");
    assert!(gate.closed, "nor is a server of something else let through");
}

#[test]
fn rule_22_malformed_lines_are_refused_whole() {
    let long = [b"NOOP ".as_slice(), &[b'x'; 5000], b"\r\n"].concat();
    for line in [
        b"NO\0OP\r\n".as_slice(),
        b"RETR a\rPORT 192,0,2,7,19,136\r\n",
        b"NOOP\n",
        b"RETR a\r\0b\r\n",
        b"N\xD6\xD6P\r\n",
        b"\xC3\xA9\r\n",
        &long,
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client(line);
        assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("500", ""), "{line:?}");
        gate.exchange("NOOP", "200 Alive.");
        assert_eq!(gate.last_code(), "200", "{line:?}");
    }
    let mut gate = Gate::in_session(&V4);
    gate.client(vec![b'x'; 100_000]);
    assert!(gate.closed, "no line end in sight");
}

#[test]
fn rule_23_telnet_commands_are_gone_before_anybody_reads() {
    let mut gate = Gate::in_session(&V4);
    gate.client(b"\xFF\xF4\xFF\xF2PO\xFF\xFB\x01RT 192,0,2,7,19,136\r\n");
    assert_eq!(gate.server_saw(), "PORT 192,0,2,7,19,136\r\n");
    gate.server_line("200 Fine.");
    assert_eq!(gate.opened.len(), 1);
    gate.client(b"RETR \xFF\xFFname\r\n");
    assert!(gate.to_server.ends_with(b"RETR \xFF\xFFname\r\n"), "an octet 255 in a name stays doubled");
}

#[test]
fn rule_24_lines_are_written_anew() {
    for (said, sent) in [
        ("port 192,0,2,7,19,136", "PORT 192,0,2,7,19,136"),
        ("Eprt !1!192.0.2.7!5000!", "EPRT |1|192.0.2.7|5000|"),
        ("list -la  x", "LIST -la  x"),
        ("xPwD", "PWD"),
        ("MODE C", "MODE C"),
        ("STRU R", "STRU R"),
        ("TYPE E N", "TYPE E N"),
        ("X-UNKNOWN", ""),
        ("MAGIC word", "MAGIC word"),
    ] {
        let mut gate = Gate::in_session(&V4);
        gate.client_line(said);
        assert_eq!(gate.server_saw().trim_end(), sent, "{said}");
    }
    let mut gate = Gate::in_session(&V4);
    gate.exchange("PASV", "227 =(198,51,100,1,19,136) \u{1b}[2J");
    assert_eq!(gate.client_saw(), "227 Entering Passive Mode (198,51,100,1,19,136).\r\n");
    gate.to_client.clear();
    gate.exchange("FEAT", "211-Features:\r\n UTF8\r\n227 (198,51,100,1,19,136)\r\n211 End");
    assert_eq!(gate.client_saw(), "211-Features:\r\n UTF8\r\n 227 (198,51,100,1,19,136)\r\n211 End\r\n");
}

#[test]
fn rule_25_after_tls_has_begun_nothing_is_read() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "234 Go on.");
        assert!(gate.watch.is_opaque());
        gate.exchange(side.active, "200 Fine.");
        gate.exchange(side.passive, side.agreed);
        assert_eq!(gate.opened, []);
        assert!(gate.server_saw().contains(side.active), "the octets pass as they are");
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "502 No TLS here.");
        assert!(!gate.watch.is_opaque());
        gate.open_passive(&side);
        let refuse = WatchPolicy { auth_tls: AuthTls::Refuse, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, refuse).log_in();
        gate.client_line("AUTH TLS");
        assert_eq!((gate.last_code().as_str(), gate.server_saw().as_str()), ("534", ""));
    }
}

#[test]
fn rule_26_what_follows_auth_in_clear_is_thrown_away() {
    let mut gate = Gate::in_session(&V4);
    gate.client("AUTH TLS\r\nPORT 192,0,2,7,19,136\r\n");
    gate.server_line("234 Go on.");
    assert_eq!(gate.server_saw(), "AUTH TLS\r\n");
    // A shell that hands it over nevertheless changes nothing.
    let mut gate = Gate::in_session(&V4);
    gate.client_line("AUTH TLS");
    let rulings = gate.watch.on_command(Ok(b"DELE x"), gate.now);
    assert_eq!(rulings, [Ruling::Note(Notice::Injected)]);
}

#[test]
fn rule_27_after_ccc_the_first_announcement_counts() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("AUTH TLS", "234 Go on.");
        assert_eq!(gate.watch.resume(), []);
        gate.open_passive(&side);
        let forbid = WatchPolicy { ccc: false, ..WatchPolicy::default() };
        let mut gate = Gate::with(&side, forbid).log_in();
        gate.exchange("AUTH TLS", "234 Go on.");
        let rulings = gate.watch.resume();
        assert_eq!(rulings.last(), Some(&Ruling::Close));
    }
}

#[test]
fn rule_32_after_epsv_all_only_epsv_is_let_through() {
    for side in BOTH {
        let mut gate = Gate::in_session(&side);
        gate.exchange("EPSV ALL", "200 Fine.");
        for command in [side.active, "PASV", "LPSV"] {
            gate.to_server.clear();
            gate.client_line(command);
            assert!(gate.last_code().starts_with('5'), "{command}");
            assert_eq!(gate.server_saw(), "", "{command}");
        }
        gate.exchange("EPSV", V6.agreed);
        assert_eq!(gate.opened.len(), 1);
    }
}

#[test]
fn rule_33_the_other_family_gets_522_and_the_one_to_use() {
    for (side, usable) in [(V4, "(1)"), (V6, "(2)")] {
        for command in [
            "EPRT |1|192.0.2.7|5000|",
            "EPRT |2|2001:db8::7|5000|",
            "EPRT |3|x|5000|",
            "EPSV 1",
            "EPSV 2",
            "EPSV 3",
        ] {
            let mut gate = Gate::in_session(&side);
            gate.client_line(command);
            let good = command.contains(&format!(" {}", &usable[1..2]))
                || command.contains(&format!("|{}|", &usable[1..2]));
            if good {
                assert!(gate.server_saw().starts_with(command), "{command}");
            } else {
                assert_eq!(gate.last_code(), "522", "{command}");
                assert!(gate.client_saw().contains(usable), "{command}: {}", gate.client_saw());
                assert_eq!(gate.server_saw(), "", "{command}");
            }
        }
    }
}

#[test]
fn a_refusal_waits_for_its_turn_among_the_answers() {
    let mut gate = Gate::in_session(&V4);
    gate.client("NOOP\r\nPORT 1,2\r\nNOOP\r\n");
    assert_eq!(gate.client_saw(), "", "nothing overtakes the first answer");
    gate.server_line("200 one");
    assert_eq!(gate.last_code(), "501");
    gate.server_line("200 two");
    assert!(gate.client_saw().ends_with("200 two\r\n"));
}

#[test]
fn a_translating_gate_announces_its_own_address_and_port() {
    let mut gate = Gate::in_session(&V4);
    gate.client_line("PASV");
    let reply = crate::RawReply { code: 227, lines: vec![b"(198,51,100,1,19,136)".to_vec()] };
    let rulings = gate.watch.on_reply(&reply, gate.now);
    let Some(Ruling::Open(opening)) = rulings.last() else { panic!("{rulings:?}") };
    let line = opening.line(Some("203.0.113.1:50123".parse().unwrap()));
    assert_eq!(line, b"227 Entering Passive Mode (203,0,113,1,195,203).\r\n");
}

proptest! {
    #[test]
    fn whatever_is_said_holes_lead_only_between_the_two(
        lines in proptest::collection::vec((any::<bool>(), words()), 1..40),
        cut in 1_usize..30,
    ) {
        let mut gate = Gate::with(&V4, WatchPolicy { login_first: false, ..WatchPolicy::default() });
        gate.cut = cut;
        gate.server_line("220 Hello.");
        gate.client_line("NOOP");
        for (client, line) in lines {
            if client { gate.client(line) } else { gate.server(line) }
        }
        for want in &gate.opened {
            let ends = [want.from.to_string(), want.to().ip().to_string()];
            prop_assert!(ends == [V4.client, V4.server] || ends == [V4.server, V4.client], "{:?}", want);
            prop_assert!(want.to().port() >= 1024);
        }
    }

    #[test]
    fn what_comes_out_does_not_depend_on_segments(
        lines in proptest::collection::vec((any::<bool>(), words()), 1..30),
        cut in 1_usize..30,
    ) {
        let run = |cut| {
            let mut gate = Gate::in_session(&V4);
            gate.cut = cut;
            for (client, line) in &lines {
                if *client { gate.client(line) } else { gate.server(line) }
            }
            (gate.to_server, gate.to_client, gate.opened)
        };
        prop_assert_eq!(run(cut), run(usize::MAX));
    }
}

/// Lines of both sides, good and bad, with and without their end.
fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(vec![
            "PASV\r\n",
            "EPSV\r\n",
            "EPSV ALL\r\n",
            "PORT 192,0,2,7,19,136\r\n",
            "PORT 203,0,113,9,19,136\r\n",
            "EPRT |1|192.0.2.7|22|\r\n",
            "NOOP\r\n",
            "ABOR\r\n",
            "QUIT\r\n",
            "USER u\r\n",
            "PO",
            "RT 1\r\n",
            "\r\n",
            "200 ok\r\n",
            "227 (198,51,100,1,19,136)\r\n",
            "227 (203,0,113,9,19,136)\r\n",
            "227-x\r\n",
            "500-x\r\n",
            "229 (|||5000|)\r\n",
            "229 (|||22|)\r\n",
            "500 x\r\n",
            "150 x\r\n",
            "226 x\r\n",
            "421 x\r\n",
            "230 x\r\n",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}
