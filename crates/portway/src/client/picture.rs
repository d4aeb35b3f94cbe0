//! Both channels as a picture: who announced what, who connected to whom, where it stopped.

use std::net::SocketAddr;
use std::ops::Range;

use portway_client::{Error, Record, Seen};

mod side;
mod strokes;

pub(super) use side::{Half, beside};
use strokes::pieces;

/// Columns of a picture, alone or two side by side.
pub(super) const WIDTH: usize = 80;

/// The section of a picture; two pictures side by side are aligned at these.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Control,
    Announcement,
    Transfer,
    Verdict,
}

/// One line, and the columns of the announcement in it.
#[derive(Clone, Debug)]
pub(super) struct Line {
    part: Part,
    text: String,
    mark: Option<Range<usize>>,
}

impl Line {
    /// As it is printed; with `colour` the announcement is shown in reverse video.
    pub(super) fn shown(&self, colour: bool) -> String {
        let Some(mark) = self.mark.clone().filter(|_| colour) else { return self.text.trim_end().to_owned() };
        let part =
            |range: Range<usize>| self.text.chars().skip(range.start).take(range.len()).collect::<String>();
        let rest: String = self.text.chars().skip(mark.end).collect();
        format!("{}\x1b[1;7m{}\x1b[0m{}", part(0..mark.start), part(mark), rest.trim_end())
    }
}

/// Draws what happened, 80 columns wide, and what became of it.
pub(super) fn draw(records: &[Record], result: Result<(), &Error>) -> Vec<Line> {
    Sheet::new(WIDTH, false).filled(records, result)
}

struct Sheet {
    width: usize,
    /// For half a terminal: no login, fewer words.
    brief: bool,
    part: Part,
    lines: Vec<Line>,
    controls: u32,
    tries: u32,
    /// What we are about to announce.
    ours: Option<SocketAddr>,
    skipped: u32,
    /// The modes in which a data connection came about, and in which none did; `true` is passive.
    open: Vec<bool>,
    shut: Vec<bool>,
}

impl Sheet {
    fn new(width: usize, brief: bool) -> Self {
        let part = Part::Control;
        let (open, shut) = (Vec::new(), Vec::new());
        Self {
            width,
            brief,
            part,
            lines: Vec::new(),
            controls: 0,
            tries: 0,
            ours: None,
            skipped: 0,
            open,
            shut,
        }
    }

    fn filled(mut self, records: &[Record], result: Result<(), &Error>) -> Vec<Line> {
        // The 150 and the data connection come by different channels, in either order; a picture has one.
        let mut held = Vec::new();
        for record in records {
            match &record.seen {
                Seen::DataOpen { .. } | Seen::Tls { channel: "data", .. } => held.push(&record.seen),
                Seen::Received { code: 100..=199, .. } => self.add(&record.seen),
                seen => {
                    held.drain(..).for_each(|seen| self.add(seen));
                    self.add(seen);
                }
            }
        }
        held.into_iter().for_each(|seen| self.add(seen));
        self.part = Part::Verdict;
        self.push("");
        match result {
            Ok(()) => self.works(),
            Err(error) => {
                let said = error.to_string();
                let channel = match error.phase.channel() {
                    _ if said.split(':').next().is_some_and(|phase| phase.contains("channel")) => {
                        String::new()
                    }
                    "local" => "on this machine, ".to_owned(),
                    channel => format!("on the {channel} channel, "),
                };
                self.wrap(&format!("verdict: it stopped {channel}{}.", said.trim_end_matches('.')));
                if let Some(remedy) = error.remedy() {
                    self.wrap(&format!("what to do: {remedy}."));
                }
            }
        }
        self.lines
    }

    /// The verdict where the files came through: in which mode, if the other one was tried before.
    fn works(&mut self) {
        let [passive, active] =
            [true, false].map(|mode| self.shut.contains(&mode) && !self.open.contains(&mode));
        let modes = match (passive, active) {
            (true, false) => ("active", "passive"),
            (false, true) => ("passive", "active"),
            _ => return self.wrap("verdict: both channels work."),
        };
        let (works, fails) = modes;
        self.wrap(&format!(
            "verdict: {works} mode works and {fails} mode does not: a firewall or NAT keeps its connections away. \
             portway doctor finds out which one, and what helps."
        ));
    }

    fn add(&mut self, seen: &Seen) {
        match seen {
            Seen::Connected { local, peer, round_trip_us } => self.connected(*local, *peer, *round_trip_us),
            Seen::Sent { line } => self.sent(line),
            Seen::Received { code, lines } => self.received(*code, lines),
            Seen::Tls { channel, version, cipher: _, resumed } => {
                let how = match (*channel, *resumed, self.brief) {
                    ("data", true, false) => ", resumed from the control channel: proof of one client",
                    ("data", true, true) => ", resumed",
                    ("data", false, _) => ", a new session",
                    (_, _, false) => " from here on: firewalls cannot read the announcement",
                    _ => "",
                };
                self.wrap(&format!("TLS {version} on the {channel} channel{how}."));
            }
            Seen::Announced { by, addr, instead } => self.announced(by, *addr, *instead),
            Seen::DataOpen { mode, local, peer, took_us } => {
                self.tries += 1;
                let passive = *mode == "passive";
                self.open.push(passive);
                let name = format!("data #{}", self.tries);
                self.arrow(&name, local.port(), peer.port(), passive, '-');
                let who = if passive { "YOU connected to the SERVER" } else { "the SERVER connected to YOU" };
                self.wrap(&format!("{mode}: {who}, in {}.", millis(*took_us)));
            }
            Seen::DataFailed { by, to, why, took_us: _ } => {
                self.tries += 1;
                let passive = matches!(*by, "PASV" | "EPSV");
                match to {
                    Some(to) => {
                        self.shut.push(passive);
                        self.blocked(to.port(), passive);
                    }
                    // The command was refused.
                    None => self.tries -= 1,
                }
                self.wrap(&format!("{by} failed: {}.", why.trim_end_matches('.')));
            }
            Seen::DataDone { octets, down, end } => {
                let way = if *down { "came from the server" } else { "went to the server" };
                self.wrap(&format!("{octets} octets {way}; end: {end}."));
            }
            Seen::Note { text } => self.wrap(&format!("({text})")),
            Seen::Closed if !self.brief => self.wrap("control connection closed."),
            _ => {}
        }
    }

    fn connected(&mut self, local: SocketAddr, peer: SocketAddr, round_trip_us: u64) {
        self.controls += 1;
        if self.controls == 1 {
            let (left, right) = if self.brief { ("YOU", "SERVER") } else { ("YOU (client)", "SERVER") };
            self.ends(left, right);
            let (left, right) = (local.ip().to_string(), peer.ip().to_string());
            if left.len() + right.len() < self.width {
                self.ends(&left, &right);
            } else {
                self.push(&left);
                self.ends("", &right);
            }
            self.push("");
        }
        let name =
            if self.controls == 1 { "control".to_owned() } else { format!("control{}", self.controls) };
        self.arrow(&name, local.port(), peer.port(), true, '=');
        if !self.brief {
            let text = "you connected; a packet there and back takes";
            self.wrap(&format!("{text} {}.", millis(round_trip_us)));
        }
    }

    fn sent(&mut self, line: &str) {
        let verb = line.split(' ').next().unwrap_or_default();
        let announces = matches!(verb, "PORT" | "EPRT");
        if announces || matches!(verb, "PASV" | "EPSV") {
            self.skipped_end();
            self.part = self.part.max(Part::Announcement);
        }
        if ["RETR", "LIST", "MLSD", "NLST"].contains(&verb) {
            self.part = Part::Transfer;
        }
        if self.brief && (self.part == Part::Control || verb == "QUIT") {
            self.skipped += u32::from(verb != "QUIT");
            return;
        }
        for piece in pieces(line, self.width.saturating_sub(4)) {
            self.push(&format!("  > {piece}"));
        }
        if let Some(addr) = self.ours.take().filter(|_| announces) {
            self.underline(addr);
            self.caption("ACTIVE", "YOU announce", "the SERVER will connect to it", verb == "PORT", addr);
        }
    }

    fn received(&mut self, code: u16, said: &[String]) {
        if self.brief && (self.part == Part::Control || code == 221) {
            return;
        }
        let first = said.first().map(|line| line.trim()).unwrap_or_default();
        let more = if said.len() > 1 { format!(" [+{} lines]", said.len() - 1) } else { String::new() };
        let text = format!("{code} {first}{more}");
        let room = self.width.saturating_sub(if self.brief { 4 } else { 12 });
        for (i, piece) in pieces(&text, room).into_iter().enumerate() {
            let tail = if i == 0 { " <" } else { "  " };
            let width = self.width;
            self.push(&format!("{:>width$}", format!("{piece}{tail}")));
        }
    }

    fn announced(&mut self, by: &str, addr: SocketAddr, instead: Option<SocketAddr>) {
        if matches!(by, "PORT" | "EPRT") {
            // The command follows.
            self.ours = Some(addr);
            return;
        }
        self.underline(addr);
        self.caption("PASSIVE", "the SERVER announces", "YOU will connect to it", by == "PASV", addr);
        if let Some(used) = instead {
            let (said, used) = (addr.ip(), used.ip());
            self.wrap(&format!("{said} cannot be the server as seen from here; {used} is used instead."));
        }
    }

    fn caption(&mut self, mode: &str, who: &str, then: &str, split: bool, addr: SocketAddr) {
        let (ip, port) = (addr.ip(), addr.port());
        let [high, low] = port.to_be_bytes();
        let sum = if split { format!(" ({high} x 256 + {low})") } else { String::new() };
        self.wrap(&format!("{mode}: {who} {ip} port {port}{sum}, and {then}."));
    }

    /// Marks the announcement in the line drawn last, if it is in there whole.
    fn underline(&mut self, addr: SocketAddr) {
        let [high, low] = addr.port().to_be_bytes();
        let by_numbers = format!("{},{high},{low}", addr.ip().to_string().replace('.', ","));
        let spellings = [by_numbers, format!("{}|{}", addr.ip(), addr.port()), addr.port().to_string()];
        let Some(last) = self.lines.last_mut() else { return };
        let found = spellings.iter().find_map(|text| {
            let at = last.text.rfind(text.as_str())?;
            let start = last.text.get(..at)?.chars().count();
            Some(start..start + text.chars().count())
        });
        if let Some(mark) = found {
            last.mark = Some(mark.clone());
            self.push(&format!("{}{}", " ".repeat(mark.start), "^".repeat(mark.len())));
        }
    }

    fn skipped_end(&mut self) {
        if self.skipped > 0 {
            let text = format!("(login and settings: {} commands)", std::mem::take(&mut self.skipped));
            self.wrap(&text);
        }
    }
}

fn millis(micros: u64) -> String {
    format!("{:.1} ms", micros as f64 / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    pub(super) fn records(seen: impl IntoIterator<Item = Seen>) -> Vec<Record> {
        seen.into_iter().map(|seen| Record { at: Duration::ZERO, connection: 1, seen }).collect()
    }

    fn text(lines: &[Line], colour: bool) -> String {
        lines.iter().map(|line| line.shown(colour)).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_picture_fits_eighty_columns_and_names_who_announced_and_who_connected() {
        let (you, server) = ("192.0.2.7:51544".parse().unwrap(), "198.51.100.1:21".parse().unwrap());
        let port = "198.51.100.1:43102".parse().unwrap();
        let long = "229 with words that go on and on ".repeat(5);
        let picture = draw(
            &records([
                Seen::Connected { local: you, peer: server, round_trip_us: 21_000 },
                Seen::Received { code: 220, lines: vec![long] },
                Seen::Sent { line: "EPSV".to_owned() },
                Seen::Received {
                    code: 229,
                    lines: vec!["Entering Extended Passive Mode (|||43102|)".to_owned()],
                },
                Seen::Announced { by: "EPSV", addr: port, instead: None },
                Seen::DataFailed {
                    by: "EPSV",
                    to: Some(port),
                    why: "no answer within 1.1 s".to_owned(),
                    took_us: 1_100_000,
                },
                Seen::Announced { by: "PORT", addr: you, instead: None },
                Seen::Sent { line: "PORT 192,0,2,7,201,88".to_owned() },
                Seen::DataOpen { mode: "active", local: you, peer: server, took_us: 30_000 },
                Seen::DataDone { octets: 1024, down: true, end: "clean".to_owned() },
            ]),
            Ok(()),
        );
        assert!(picture.iter().all(|line| line.shown(false).chars().count() <= WIDTH), "{picture:#?}");
        let plain = text(&picture, false);
        for part in [
            "PASSIVE: the SERVER announces 198.51.100.1 port 43102, and YOU will\n",
            "Mode (|||43102|) <\n",
            ">X",
            "  > PORT 192,0,2,7,201,88\n         ^^^^^^^^^^^^^^^^\n",
            "ACTIVE: YOU announce 192.0.2.7 port 51544 (201 x 256 + 88), and the\n",
            "<-----",
            "the SERVER connected to YOU",
            "verdict: active mode works and passive mode does not",
        ] {
            assert!(plain.contains(part), "{part} is missing in\n{plain}");
        }
        assert!(text(&picture, true).contains("(|||\x1b[1;7m43102\x1b[0m|) <"), "{}", text(&picture, true));
    }
}
