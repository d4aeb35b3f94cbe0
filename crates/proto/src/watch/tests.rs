//! Rules of the gate, each test named after its number; the kernel's part of 13, 14 and 18 is tested with the filter.

mod agreeing;
mod leading;
mod properties;
mod reading;

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
