//! What the server says: judged by line, and what leaves in the place of each.

use std::time::Instant;

use portway_proto::RawReply;
use portway_proto::watch::{Notice, Opening, Ruling};

use super::super::keeper::{Keeper, Side};
use super::super::substitute;
use super::{Dialogue, Due, LONGEST};

impl Dialogue {
    pub(super) fn server_says(&mut self, now: Instant, keeper: &mut dyn Keeper) {
        while !self.over && self.strip_tls(Side::Server, keeper) {
            let Some(line) = self.server.line(0) else {
                if self.server.lane.waiting().len() > LONGEST {
                    keeper.note(&"a reply without an end");
                    self.end(keeper);
                }
                return;
            };
            let inside = self.replies.has_partial();
            if substitute::has_telnet_inside(&line) {
                keeper.note(&"a Telnet command in a reply");
                return self.part(&line, inside, "The server's answer is not FTP.", keeper);
            }
            self.replies.feed(&line);
            match self.replies.next_reply() {
                None => self.part_of_reply(line, inside, keeper),
                Some(Ok(reply)) => self.reply(&line, inside, &reply, now, keeper),
                Some(Err(error)) => {
                    let rulings = self.watch.on_reply_error(&error);
                    notes(rulings, keeper);
                    self.part(&line, inside, "The server's answer is not FTP.", keeper);
                }
            }
            // What waited for this answer.
            self.client_says(now, keeper);
        }
    }

    /// A line of a reply that goes on.
    fn part_of_reply(&mut self, mut line: Vec<u8>, inside: bool, keeper: &mut dyn Keeper) {
        if inside {
            // Nobody behind us takes it for a reply of its own.
            if self.server.begun.is_empty()
                && let Some(first) = line.first_mut().filter(|first| first.is_ascii_digit())
            {
                *first = b' ';
            }
        } else if let Some(Due::Ours(Some(ours))) = self.due.front() {
            let code = ours.get(..3).unwrap_or_default().to_vec();
            if let Some(place) = line.get_mut(..code.len()) {
                place.copy_from_slice(&code);
            }
        }
        if !self.server.clear_line(&line) {
            self.end(keeper);
        }
    }

    /// The last line of a reply.
    fn reply(&mut self, raw: &[u8], inside: bool, reply: &RawReply, now: Instant, keeper: &mut dyn Keeper) {
        let preliminary = reply.code < 200;
        if let Some(Due::Ours(ours)) = self.due.front()
            && !preliminary
        {
            let ours = ours.clone().unwrap_or_else(|| b"500 Refused by the firewall.\r\n".to_vec());
            self.due.pop_front();
            let said = substitute::reply(&ours, raw.len());
            return self.say(said.as_deref(), keeper);
        }
        if !preliminary {
            self.due.pop_front();
        }
        let (mut said, mut opaque) = (None, false);
        for ruling in self.watch.on_reply(reply, now) {
            match ruling {
                Ruling::ToClient(line) if said.is_none() => said = Some(self.in_place_of(raw, inside, line)),
                // Answers of ours whose turn has come: each takes the place of one to come.
                Ruling::ToClient(line) => self.assign(line),
                Ruling::Open(opening) => said = Some(self.open(raw, inside, &opening, keeper)),
                Ruling::Shut => keeper.shut(),
                Ruling::Note(Notice::LoginRefused) => {
                    if !keeper.login_refused() {
                        return self.part(raw, inside, "Too many failed logins from your address.", keeper);
                    }
                }
                Ruling::Note(notice) => keeper.note(&notice),
                Ruling::Opaque => opaque = true,
                _ => return self.end(keeper),
            }
        }
        let Some(said) = said else {
            // It cannot be taken out of the stream, and the client would take it for the next answer.
            return self.part(raw, inside, "The server has answered what nobody asked.", keeper);
        };
        self.say(said.as_deref(), keeper);
        if opaque && !self.over {
            self.go_dark(keeper);
        }
    }

    /// Opens the hole before the line about it may leave, and gives that line.
    fn open(&self, raw: &[u8], inside: bool, opening: &Opening, keeper: &mut dyn Keeper) -> Option<Vec<u8>> {
        let opened = if self.client.lane.has_ended() {
            Err("the client has ended the session".to_owned())
        } else {
            keeper.open(opening)
        };
        match opened {
            Ok(announced) => {
                let line = substitute::announce(raw, opening, announced)
                    .filter(|line| line.starts_with(&self.server.begun));
                // Without a translation the server's own words will do.
                line.or_else(|| announced.is_none().then(|| raw.to_vec()))
            }
            Err(_) if inside => None,
            Err(why) => substitute::reply(&opening.failed(why), raw.len()),
        }
    }

    /// What the watch says in place of a reply: the reply itself if the code is the same. `None` if it does not fit.
    fn in_place_of(&self, raw: &[u8], inside: bool, line: Vec<u8>) -> Option<Vec<u8>> {
        let last = line.strip_suffix(b"\r\n")?.rsplit(|&octet| octet == b'\n').next()?;
        if last.get(..3) == raw.get(..3) {
            let same = line.len() == raw.len() && line.starts_with(&self.server.begun);
            return Some(if same { line } else { raw.to_vec() });
        }
        // The first lines have left with another code.
        if inside { None } else { substitute::reply(&line, raw.len()) }
    }

    fn assign(&mut self, line: Vec<u8>) {
        if let Some(Due::Ours(place)) = self.due.iter_mut().find(|due| **due == Due::Ours(None)) {
            *place = Some(line);
        }
    }

    fn say(&mut self, line: Option<&[u8]>, keeper: &mut dyn Keeper) {
        if !line.is_some_and(|line| self.server.clear_line(line)) {
            self.end(keeper);
        }
    }

    /// Ends it with a last word to the client in place of this line, if it can still be said.
    fn part(&mut self, raw: &[u8], inside: bool, why: &str, keeper: &mut dyn Keeper) {
        let last = substitute::reply(format!("421 {why}\r\n").as_bytes(), raw.len());
        if let Some(last) = last.filter(|_| !inside && self.server.begun.is_empty()) {
            self.server.lane.clear(&last);
            self.farewell = true;
        }
        self.end(keeper);
    }
}

pub(super) fn notes(rulings: Vec<Ruling>, keeper: &mut dyn Keeper) {
    for ruling in rulings {
        if let Ruling::Note(notice) = ruling {
            keeper.note(&notice);
        }
    }
}
