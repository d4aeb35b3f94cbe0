//! What the server says.

use std::time::Instant;

use super::opening::Told;
use super::queue::EpsvAsked;
use super::{AuthTls, Awaited, Notice, Opening, Ruling, Stage, Watch, stands_for, to_client};
use crate::{Announced, Class, Code, Expected, RawReply, Reply, Vetted};

impl Watch {
    /// Judges one reply of the server, as a strict [`ReplyReader`](crate::ReplyReader) gives it.
    pub fn on_reply(&mut self, reply: &RawReply, now: Instant) -> Vec<Ruling> {
        let mut out = Vec::new();
        if self.stage != Stage::Clear {
            return out;
        }
        let Some(code) = Code::new(reply.code) else {
            return self.close_with(None, Some(Notice::StrayReply(reply.code)));
        };
        if code.class() == Class::Preliminary {
            out.push(Ruling::ToClient(emit(code, reply)));
            return out;
        }
        let Some(awaited) = self.queue.pop() else {
            // 421 may come at any time (RFC 959 §5.4).
            if code != Code::UNAVAILABLE {
                out.push(Ruling::Note(match code {
                    Code::PASSIVE | Code::EXTENDED_PASSIVE => Notice::Unsolicited(code),
                    _ => Notice::StrayReply(reply.code),
                }));
            }
            if !is_announcement(code) {
                out.push(Ruling::ToClient(emit(code, reply)));
            }
            return out;
        };
        self.answer(awaited, code, reply, now, &mut out);
        while let Some(ours) = self.queue.pop_ours() {
            out.push(to_client(&ours));
        }
        out
    }

    fn answer(
        &mut self,
        awaited: Awaited,
        code: Code,
        reply: &RawReply,
        now: Instant,
        out: &mut Vec<Ruling>,
    ) {
        let done = code.class() == Class::Done;
        if matches!(
            awaited,
            Awaited::Active(_) | Awaited::Passive | Awaited::ExtendedPassive(EpsvAsked::Port)
        ) {
            // Its turn has come: the hole of the announcement before it is of no more use.
            self.shut(Some(now), out);
        }
        let pass = |out: &mut Vec<Ruling>| out.push(Ruling::ToClient(emit(code, reply)));
        match awaited {
            Awaited::Active(to) if done => {
                let told = Told::Agreed(emit(code, reply));
                self.open(Expected::new(self.server, to), told, now, out);
            }
            Awaited::Passive if code == Code::PASSIVE => {
                let announced = Announced::parse_passive(last_line(reply));
                let read = announced.map_err(|why| Notice::Unreadable(why.to_string()));
                match read.and_then(|announced| self.passive_target(announced)) {
                    Ok(to) => {
                        self.open(Expected::new(self.client, to), Told::Passive(to.addr()), now, out);
                    }
                    Err(notice) => no_data(notice, out),
                }
            }
            Awaited::ExtendedPassive(EpsvAsked::Port) if code == Code::EXTENDED_PASSIVE => {
                let announced = Announced::parse_extended_passive(last_line(reply), self.family());
                let read = announced.map_err(|why| Notice::Unreadable(why.to_string()));
                let to = read.and_then(|announced| announced.vet_port_on(self.server).map_err(Notice::from));
                match to.and_then(|to| self.may_lead_to(to).map(|()| to)) {
                    Ok(to) => {
                        self.open(Expected::new(self.client, to), Told::ExtendedPassive(to.addr()), now, out);
                    }
                    Err(notice) => no_data(notice, out),
                }
            }
            // An announcement in answer to anything else. The client must not act on it either.
            _ if is_announcement(code) => no_data(Notice::Unsolicited(code), out),
            Awaited::Auth if done => {
                pass(out);
                match self.policy.auth_tls {
                    AuthTls::Bridge => out.push(Ruling::StartTls),
                    AuthTls::Pass | AuthTls::Refuse => {
                        self.shut(Some(now), out);
                        self.stage = Stage::Opaque;
                        out.push(Ruling::Opaque);
                    }
                }
            }
            Awaited::Ccc if done => {
                pass(out);
                out.push(Ruling::StopTls);
            }
            Awaited::Login => {
                self.logged_in |= done;
                pass(out);
                if code == Code::NOT_LOGGED_IN {
                    out.push(Ruling::Note(Notice::LoginRefused));
                }
            }
            Awaited::Farewell { rein } => {
                self.shut(Some(now), out);
                if rein && done {
                    // REIN forgets the user and what he promised (RFC 959 §4.1.1, RFC 2428 §4).
                    self.logged_in = false;
                    self.epsv_only = false;
                }
                pass(out);
            }
            Awaited::Ours(ours) => {
                // Cannot be: an answer of ours leaves as soon as its turn comes.
                out.push(to_client(&ours));
                pass(out);
            }
            _ => pass(out),
        }
    }

    fn open(&mut self, mut want: Expected, told: Told, now: Instant, out: &mut Vec<Ruling>) {
        if !self.logged_in && self.policy.login_first {
            out.push(Ruling::Note(Notice::NotLoggedIn));
            out.push(to_client(&Reply::new(Code::NOT_LOGGED_IN, "Please log in first.")));
            return;
        }
        want.within = self.policy.within;
        self.open_until = now.checked_add(want.within);
        out.push(Ruling::Open(Opening { want, told }));
    }

    /// The address of a 227 must be the server's, or one that stands for it; the hole leads to the server.
    fn passive_target(&self, announced: Announced) -> Result<Vetted, Notice> {
        let to = if stands_for(announced.claim(), self.server, &self.policy.server_is_also) {
            announced.vet_port_on(self.server)
        } else {
            announced.vet(self.server)
        }?;
        self.may_lead_to(to)?;
        Ok(to)
    }
}

fn is_announcement(code: Code) -> bool {
    matches!(code, Code::PASSIVE | Code::LONG_PASSIVE | Code::EXTENDED_PASSIVE)
}

/// What the client gets in place of an announcement that opens nothing: the reason, at once.
fn no_data(notice: Notice, out: &mut Vec<Ruling>) {
    let text = format!("The firewall opens nothing for the server's answer: {notice}.");
    out.push(Ruling::Note(notice));
    out.push(to_client(&Reply::new(Code::CANT_OPEN_DATA, text)));
}

/// Only the last line of a reply announces: those before it are text.
fn last_line(reply: &RawReply) -> &[u8] {
    reply.lines.last().map(Vec::as_slice).unwrap_or_default()
}

/// The reply, written anew. A line between the first and the last that begins like a reply is indented, so that
/// nobody behind us takes it for one.
fn emit(code: Code, reply: &RawReply) -> Vec<u8> {
    let mut out = Vec::new();
    let last = reply.lines.len().saturating_sub(1);
    for (at, line) in reply.lines.iter().enumerate() {
        if at == 0 || at == last {
            out.extend_from_slice(&code.digits());
            out.push(if at == last { b' ' } else { b'-' });
        } else if line.first().is_some_and(u8::is_ascii_digit) {
            out.push(b' ');
        }
        for &octet in line {
            match octet {
                // A strict reader lets none of these through; nobody has to rely on that.
                b'\r' | b'\n' | 0 => out.push(b'?'),
                0xFF => out.extend_from_slice(&[0xFF, 0xFF]),
                other => out.push(other),
            }
        }
        out.extend_from_slice(b"\r\n");
    }
    out
}
