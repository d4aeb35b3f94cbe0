//! Which way to a data connection: passive before active, what worked before all, and each failure cheap.

use std::net::SocketAddr;
use std::time::Duration;

use portway_data::{Channel, LinkError};
use portway_proto::client::{accepted_address, passive};
use portway_proto::{Announced, Command, Epsv, Family, RawReply};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::Connection;
use crate::error::shown;
use crate::trace::micros;
use crate::verdict::{Attempt, Outcome, outcome_of};
use crate::{Cause, Error, ModeChoice, Phase, Seen, Verdict};

/// A way to a data connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Way {
    /// We connect to the port in a 229 (RFC 2428 §3).
    Epsv,
    /// We connect to the port in a 227 (RFC 959 §4.1.2).
    Pasv,
    /// The server connects to the address in PORT (RFC 959 §4.1.2).
    Port,
    /// The server connects to the address in EPRT (RFC 2428 §2).
    Eprt,
}

impl Way {
    /// The command.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Epsv => "EPSV",
            Self::Pasv => "PASV",
            Self::Port => "PORT",
            Self::Eprt => "EPRT",
        }
    }

    /// True if we connect.
    #[must_use]
    pub const fn is_passive(self) -> bool {
        matches!(self, Self::Epsv | Self::Pasv)
    }
}

/// A data channel and the way it came.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) way: Way,
    pub(crate) channel: Channel,
}

impl Connection {
    /// The least that a data connection gets, by the distance of the server.
    pub(crate) fn data_budget(&self, least: Duration) -> Duration {
        least.max(self.round_trip.saturating_mul(4))
    }

    /// The way that worked last, if any did.
    #[must_use]
    pub fn chosen_way(&self) -> Option<Way> {
        self.chosen
    }

    /// The ways that are left to try, best first.
    pub(crate) fn ways(&self) -> Vec<Way> {
        let v4 = Family::of(self.peer.ip()) == Family::V4;
        let passive: &[Way] = if v4 { &[Way::Epsv, Way::Pasv] } else { &[Way::Epsv] };
        // Helpers in NAT routers rewrite PORT more often than EPRT.
        let active: &[Way] = if v4 { &[Way::Port, Way::Eprt] } else { &[Way::Eprt] };
        let mut ways = match self.settings.mode {
            ModeChoice::Passive => passive.to_vec(),
            ModeChoice::Active => active.to_vec(),
            // A proxy that lets servers connect back is the exception.
            ModeChoice::Auto if self.through.is_some() => passive.to_vec(),
            ModeChoice::Auto => [passive, active].concat(),
        };
        let fact = self.settings.memory.recall(&self.memory_key);
        ways.sort_by_key(|way| {
            let works = self.chosen.or(fact.works) == Some(*way);
            (!works, fact.fails.contains_key(way))
        });
        ways.retain(|way| !self.is_lost(*way));
        ways
    }

    fn is_lost(&self, way: Way) -> bool {
        self.tried.attempts.iter().any(|attempt| {
            let same = attempt.by == way.name();
            let by_command = attempt.outcome == Outcome::CommandRefused;
            // What the server could not reach by PORT it cannot reach by EPRT.
            let alike = !way.is_passive() && matches!(attempt.by, "PORT" | "EPRT") && !by_command;
            same || alike
        })
    }

    /// Opens a data channel by the first way that works as far as can be known before the transfer.
    ///
    /// # Errors
    /// [`Cause::NoData`] when all ways are used up; what was tried is forgotten then.
    pub(crate) async fn open_data(&mut self) -> Result<Opened, Error> {
        loop {
            let Some(way) = self.ways().first().copied() else {
                let verdict = std::mem::take(&mut self.tried);
                return Err(Error::new(Phase::DataConnect, Cause::NoData(verdict)));
            };
            let began = Instant::now();
            let attempt =
                if way.is_passive() { self.try_passive(way).await? } else { self.try_active(way).await? };
            match attempt {
                Ok(channel) => {
                    if let Channel::Link(_) = channel {
                        self.way_works(way);
                    }
                    return Ok(Opened { way, channel });
                }
                Err(attempt) => self.way_failed(attempt, began.elapsed()),
            }
        }
    }

    /// Takes a way for one that works, on another session's word.
    pub(crate) fn believe(&mut self, works: Option<Way>) {
        let allowed = works.filter(|way| match self.settings.mode {
            ModeChoice::Auto => true,
            ModeChoice::Passive => way.is_passive(),
            ModeChoice::Active => !way.is_passive(),
        });
        self.chosen = self.chosen.or(allowed);
    }

    /// Notes that a way led to a data connection.
    pub(crate) fn way_works(&mut self, way: Way) {
        let tried = std::mem::take(&mut self.tried);
        if self.chosen == Some(way) && tried.attempts.is_empty() {
            return;
        }
        self.chosen = Some(way);
        let by_choice = way.is_passive() || self.settings.mode == ModeChoice::Auto;
        self.settings.memory.learn(&self.memory_key, |fact| {
            // Active mode that was asked for by name does not become the first that auto tries.
            if by_choice {
                fact.works = Some(way);
            }
            fact.fails.remove(&way);
            for attempt in &tried.attempts {
                let failed =
                    [Way::Epsv, Way::Pasv, Way::Port, Way::Eprt].into_iter().find(|w| w.name() == attempt.by);
                fact.fails.extend(failed.map(|way| (way, attempt.detail.clone())));
            }
        });
    }

    pub(crate) fn way_failed(&mut self, mut attempt: Attempt, took: Duration) {
        if let (true, Some(refusal)) = (matches!(attempt.by, "PORT" | "EPRT"), self.router_refusal()) {
            attempt.detail = format!("{}; {refusal}", attempt.detail);
        }
        self.trace.record(|| Seen::DataFailed {
            by: attempt.by,
            to: attempt.to,
            why: attempt.detail.clone(),
            took_us: micros(took),
        });
        if self.chosen.is_some_and(|way| way.name() == attempt.by) {
            self.chosen = None;
        }
        self.tried.attempts.push(attempt);
    }

    /// What the attempts since the last success showed.
    #[must_use]
    pub fn tried(&self) -> &Verdict {
        &self.tried
    }

    async fn try_passive(&mut self, way: Way) -> Result<Result<Channel, Attempt>, Error> {
        // Where one port was silent, with its SYN repeated, a second one is asked once: that is to learn what is dropped.
        let silent = |a: &Attempt| a.outcome == Outcome::Silent && matches!(a.by, "EPSV" | "PASV");
        let patience = self.settings.timeouts.data_connect;
        let again = self.tried.attempts.iter().any(silent);
        let budget = self.data_budget(if again { patience / 2 } else { patience });
        let mut second = false;
        loop {
            if let Some(next) = self.next.clone().filter(|_| self.wants_pret) {
                let pret = Command::Other { verb: b"PRET", arg: Some(&next) };
                self.call_in(Phase::DataConnect, &pret).await?;
            }
            let command = if way == Way::Epsv { Command::Epsv(Epsv::Same) } else { Command::Pasv };
            let reply = match self.call_in(Phase::DataConnect, &command).await {
                Ok(reply) => reply,
                // 22x without a port: BSDI answered EPSV like that.
                Err(Error { cause: Cause::OutOfStep { reply, .. }, .. }) if reply.code / 100 == 2 => {
                    self.broken = false;
                    reply
                }
                Err(error) => return Err(error),
            };
            if reply.code == 421 {
                return Err(self.fail(Phase::DataConnect, Cause::Closed(Some(reply))));
            }
            // A server whose files are on other machines wants to know which comes, to name the right one
            // (drftpd). Pure-FTPd lists PRET as well and does not need it.
            if reply.code >= 400 && !self.wants_pret && self.features.has("PRET") {
                self.wants_pret = true;
                continue;
            }
            let goal = match passive(&reply, self.peer.ip(), self.settings.address_trust) {
                Ok(goal) => goal,
                Err(error) => {
                    let detail = format!("{error}: {}", shown(&reply));
                    return Ok(Err(refused(way, None, detail)));
                }
            };
            let to = goal.to.addr();
            self.trace.record(|| Seen::Announced {
                by: way.name(),
                addr: goal.rewritten.map_or(to, |rewrite| rewrite.claimed(to)),
                instead: goal.rewritten.map(|_| to),
            });
            match self.dial(goal.to, budget).await {
                Ok(link) => return Ok(Ok(Channel::Link(link))),
                // The port of a transfer before, whose listener is gone: a second one tells.
                Err(LinkError::Refused) if !second => {
                    second = true;
                    self.trace.note(format_args!(
                        "port {} refused; asking for another one before judging",
                        to.port()
                    ));
                }
                Err(error) => {
                    let attempt = Attempt {
                        by: way.name(),
                        to: Some(to),
                        outcome: outcome_of(&error),
                        detail: error.to_string(),
                    };
                    return Ok(Err(attempt));
                }
            }
        }
    }

    async fn try_active(&mut self, way: Way) -> Result<Result<Channel, Attempt>, Error> {
        let listening = match self.listen().await {
            Ok(listening) => listening,
            Err(error) => {
                let outcome = outcome_of(&error);
                return Ok(Err(Attempt { by: way.name(), to: None, outcome, detail: error.to_string() }));
            }
        };
        let mut announced = self.announcement(&listening);
        let mut reply = self.announce(way, announced).await?;
        // `only to X`: X is our public address as the server sees it.
        if let (true, Some(public)) = (reply.code >= 400 && self.through.is_none(), accepted_address(&reply))
            && public != announced.claim().ip()
            && Family::of(public) == Family::of(self.peer.ip())
        {
            self.trace.note(format_args!("the server sees us as {public}; announcing that"));
            self.public = Some(public);
            announced = self.announcement(&listening);
            reply = self.announce(way, announced).await?;
        }
        if reply.code == 421 {
            return Err(self.fail(Phase::DataConnect, Cause::Closed(Some(reply))));
        }
        if reply.code >= 300 {
            return Ok(Err(refused(way, Some(announced.claim()), shown(&reply))));
        }
        Ok(Ok(Channel::Listening(listening)))
    }

    async fn announce(&mut self, way: Way, announced: Announced) -> Result<RawReply, Error> {
        self.trace.record(|| Seen::Announced { by: way.name(), addr: announced.claim(), instead: None });
        let command = if way == Way::Port { Command::Port(announced) } else { Command::Eprt(announced) };
        self.call_in(Phase::DataConnect, &command).await
    }
}

fn refused(way: Way, to: Option<SocketAddr>, detail: String) -> Attempt {
    Attempt { by: way.name(), to, outcome: Outcome::CommandRefused, detail }
}
