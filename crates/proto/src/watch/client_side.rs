//! What the client says.

use std::time::Instant;

use super::{AuthTls, Awaited, Notice, Ruling, Stage, Watch, stands_for, to_client};
use crate::{
    AnnounceError, Announced, Code, Command, Epsv, Family, LineError, ParseError, Reply, Verb, Vetted,
    split_verb,
};

impl Watch {
    /// Judges one line of the client, as a strict [`LineReader`](crate::LineReader) gives it.
    pub fn on_command(&mut self, line: Result<&[u8], LineError>, now: Instant) -> Vec<Ruling> {
        if self.stage != Stage::Clear {
            return Vec::new();
        }
        if self.queue.has_auth() {
            // The answer to AUTH decides whether this was FTP at all; it must never run.
            return vec![Ruling::Note(Notice::Injected)];
        }
        let mut out = Vec::new();
        match line {
            Err(error) if error.is_fatal() || !self.is_ftp => {
                let reply = Reply::new(Code::UNRECOGNIZED, format_args!("{error}."));
                return self.close_with(Some(reply), Some(Notice::BadLine(error.to_string())));
            }
            Err(error) => {
                out.push(Ruling::Note(Notice::BadLine(error.to_string())));
                self.say(Reply::new(Code::UNRECOGNIZED, format_args!("{error}.")), &mut out);
            }
            Ok(line) => {
                let verb = split_verb(line).0;
                if is_reply(verb) {
                    return self.close_with(None, Some(Notice::WrongSide("client")));
                }
                if !self.is_ftp && Verb::read(verb).is_none() {
                    let text = String::from_utf8_lossy(verb.get(..16).unwrap_or(verb)).into_owned();
                    return self.close_with(None, Some(Notice::NotFtp(text)));
                }
                self.is_ftp = true;
                match Command::parse(line) {
                    Ok(command) => self.command(&command, now, &mut out),
                    Err(error) => self.not_parsed(error, line, &mut out),
                }
            }
        }
        out
    }

    fn command(&mut self, command: &Command<'_>, now: Instant, out: &mut Vec<Ruling>) {
        let awaited = match *command {
            Command::Port(announced) | Command::Eprt(announced) => match self.active(announced) {
                Ok(to) => {
                    self.next_announcement(now, out);
                    Awaited::Active(to)
                }
                Err((reply, notice)) => return self.refuse(reply, notice, out),
            },
            Command::Pasv => match self.passive(None) {
                Ok(()) => {
                    self.next_announcement(now, out);
                    Awaited::Passive
                }
                Err((reply, notice)) => return self.refuse(reply, notice, out),
            },
            Command::Epsv(epsv) => match self.passive(Some(epsv)) {
                Ok(()) if epsv == Epsv::All => {
                    self.epsv_only = true;
                    Awaited::ExtendedPassive(epsv.into())
                }
                Ok(()) => {
                    self.next_announcement(now, out);
                    Awaited::ExtendedPassive(epsv.into())
                }
                Err((reply, notice)) => return self.refuse(reply, notice, out),
            },
            // RFC 1639: nobody sends it, and what we do not read we do not let through.
            Command::Unserved { verb: verb @ (Verb::Lprt | Verb::Lpsv), .. } => {
                let text = format_args!("{} does not pass this firewall, use EPRT or EPSV.", verb.name());
                return self.say(Reply::new(Code::NOT_IMPLEMENTED, text), out);
            }
            Command::Auth(_) => {
                if self.policy.auth_tls == AuthTls::Refuse {
                    let text = "This firewall reads the control channel and lets no TLS through.";
                    return self.say(Reply::new(Code::DENIED_BY_POLICY, text), out);
                }
                Awaited::Auth
            }
            Command::Ccc if !self.policy.ccc => {
                return self
                    .say(Reply::new(Code::DENIED_BY_POLICY, "This firewall does not allow CCC."), out);
            }
            Command::Ccc => Awaited::Ccc,
            Command::User(_) | Command::Pass(_) | Command::Acct(_) => Awaited::Login,
            Command::Rein | Command::Quit => {
                // A transfer that is still to come keeps its hole until the server says goodbye.
                if self.queue.is_empty() {
                    self.shut(Some(now), out);
                }
                Awaited::Farewell { rein: matches!(command, Command::Rein) }
            }
            Command::Abor => {
                self.shut(Some(now), out);
                Awaited::Plain
            }
            _ => Awaited::Plain,
        };
        self.forward(command, awaited, out);
    }

    /// Writes the command anew and awaits its answer.
    fn forward(&mut self, command: &Command<'_>, awaited: Awaited, out: &mut Vec<Ruling>) {
        let mut line = Vec::new();
        match command.emit(&mut line) {
            Ok(()) => {
                self.queue.push(awaited);
                out.push(Ruling::ToServer(line));
            }
            Err(error) => self.say(Reply::new(Code::BAD_PARAMETER, format_args!("{error}.")), out),
        }
    }

    /// A line that our server would refuse. Whether another one would is that one's business, unless the verb
    /// is one that opens something.
    fn not_parsed(&mut self, error: ParseError, line: &[u8], out: &mut Vec<Ruling>) {
        match error.verb() {
            Some(
                Verb::Port
                | Verb::Eprt
                | Verb::Pasv
                | Verb::Epsv
                | Verb::Lprt
                | Verb::Lpsv
                | Verb::Auth
                | Verb::Ccc,
            )
            | None => {
                if let ParseError::Announce { why, .. } = error {
                    out.push(Ruling::Note(Notice::Unreadable(why.to_string())));
                    if why == AnnounceError::Family {
                        return self.say(other_family(self.family()), out);
                    }
                }
                self.say(error.reply(), out);
            }
            Some(verb @ (Verb::Rein | Verb::Quit | Verb::Abor)) => {
                // The argument is dropped, or the server might obey where we did not.
                let awaited = if verb == Verb::Abor {
                    Awaited::Plain
                } else {
                    Awaited::Farewell { rein: verb == Verb::Rein }
                };
                self.forward(&Command::Unserved { verb, arg: None }, awaited, out);
            }
            Some(verb) => {
                let awaited = match verb {
                    Verb::User | Verb::Pass | Verb::Acct => Awaited::Login,
                    _ => Awaited::Plain,
                };
                self.forward(&Command::Unserved { verb, arg: split_verb(line).1 }, awaited, out);
            }
        }
    }

    /// PORT and EPRT: the client's own address, and a port that is nobody's service.
    fn active(&self, announced: Announced) -> Result<Vetted, (Reply, Notice)> {
        self.announcing("PORT and EPRT")?;
        let claim = announced.claim();
        if Family::of(claim.ip()) != self.family() {
            let notice = Notice::Unreadable(format!("{} is of the other family", claim.ip()));
            return Err((other_family(self.family()), notice));
        }
        // A translated client is known by another address; the hole leads to the one that we see.
        let vetted = if stands_for(claim, self.client, &self.policy.client_is_also) {
            announced.vet_port_on(self.client)
        } else {
            announced.vet(self.client)
        };
        let checked = vetted.map_err(Notice::from).and_then(|to| self.may_lead_to(to).map(|()| to));
        checked.map_err(|notice| (Reply::new(Code::BAD_PARAMETER, format_args!("{notice}.")), notice))
    }

    /// PASV (`None`) and EPSV.
    fn passive(&self, epsv: Option<Epsv>) -> Result<(), (Reply, Notice)> {
        match epsv {
            None => self.announcing("PASV")?,
            Some(_) => self.logged_in_or_soon()?,
        }
        match epsv {
            Some(Epsv::Family(family)) if family != self.family() => {
                let notice = Notice::Unreadable("EPSV for the other family".to_owned());
                Err((other_family(self.family()), notice))
            }
            None if self.family() == Family::V6 => {
                let notice = Notice::Unreadable("PASV over IPv6".to_owned());
                Err((Reply::new(Code::NOT_IMPLEMENTED, "PASV has no form for IPv6, use EPSV."), notice))
            }
            _ => Ok(()),
        }
    }

    fn announcing(&self, what: &str) -> Result<(), (Reply, Notice)> {
        if self.epsv_only {
            let notice = Notice::Unreadable(format!("{what} after EPSV ALL"));
            let text = format_args!("{what} is not allowed after EPSV ALL (RFC 2428).");
            return Err((Reply::new(Code::BAD_SEQUENCE, text), notice));
        }
        self.logged_in_or_soon()
    }

    /// Whether an announcement makes sense now; a pipelined login is judged when its reply is there.
    fn logged_in_or_soon(&self) -> Result<(), (Reply, Notice)> {
        if self.logged_in || !self.policy.login_first || self.queue.has_login() {
            return Ok(());
        }
        Err((Reply::new(Code::NOT_LOGGED_IN, "Please log in first."), Notice::NotLoggedIn))
    }

    /// A new announcement ends the old one; if commands are pipelined, only when its turn has come.
    fn next_announcement(&mut self, now: Instant, out: &mut Vec<Ruling>) {
        if self.queue.is_empty() {
            self.shut(Some(now), out);
        }
    }

    fn refuse(&mut self, reply: Reply, notice: Notice, out: &mut Vec<Ruling>) {
        out.push(Ruling::Note(notice));
        self.say(reply, out);
    }

    /// Our own answer, in its place among the server's.
    fn say(&mut self, reply: Reply, out: &mut Vec<Ruling>) {
        if self.queue.is_empty() {
            out.push(to_client(&reply));
        } else {
            self.queue.push(Awaited::Ours(reply));
        }
    }
}

/// Whether the verb has the form of a reply code.
fn is_reply(verb: &[u8]) -> bool {
    verb.split(|&b| b == b'-')
        .next()
        .is_some_and(|code| code.len() == 3 && code.iter().all(u8::is_ascii_digit))
}

/// 522 with the family that is of use (RFC 2428 §2).
fn other_family(usable: Family) -> Reply {
    let text = format_args!("Network protocol not supported, use ({}).", usable.number());
    Reply::new(Code::PROTOCOL_NOT_SUPPORTED, text)
}
