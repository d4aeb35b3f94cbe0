//! One way to a data connection, tried from the announcement to the last octet of a listing.

mod carry;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portway_data::{Channel, Link, LinkError, Listening};
use portway_doctor::{Attempt, Command, Family, Mode, Offered, Outcome, Passive, Reach};
use portway_net::{Icmp, Touch, TouchOptions, touch};
use portway_proto::client::{AddressTrust, Rewrite, accepted_address, passive};
use portway_proto::{self as proto, Announced, Epsv, RawReply, Vetted};

use self::carry::carry;
use super::talk::{Talk, shown, words};

/// What a data connection gets to come about: one SYN may be lost.
pub(super) const CONNECT: Duration = Duration::from_millis(1300);

/// What was tried and what else it showed.
#[derive(Debug)]
pub(super) struct Tried {
    pub(super) attempt: Attempt,
    pub(super) offered: Option<Offered>,
    /// The passive port that did not answer.
    pub(super) dead: Option<SocketAddr>,
    /// Our address, as the server says it sees it.
    pub(super) seen_as: Option<std::net::IpAddr>,
    /// The listing.
    pub(super) listing: Vec<u8>,
    /// Whether the control connection can be used further.
    pub(super) alive: bool,
}

/// What to move through the data connection.
#[derive(Clone, Debug)]
pub(super) enum Load {
    Listing,
    File(Vec<u8>, usize),
}

/// How the data connection is to be made.
#[derive(Clone, Debug, Default)]
pub(super) struct How {
    pub(super) mss: Option<u16>,
    /// TLS without resuming anything.
    pub(super) fresh_tls: bool,
    /// The port to listen on in active mode.
    pub(super) port: Option<u16>,
}

impl Tried {
    fn new(
        talk: &Talk,
        command: Command,
        began: Instant,
        outcome: Outcome,
        detail: impl Into<String>,
    ) -> Self {
        let attempt = Attempt {
            command,
            tls: talk.tls.is_some(),
            family: Family::of(talk.peer.ip()),
            outcome,
            announced: None,
            seconds: began.elapsed().as_secs_f64(),
            detail: detail.into(),
        };
        Self { attempt, offered: None, dead: None, seen_as: None, listing: Vec::new(), alive: true }
    }

    fn lost(mut self) -> Self {
        self.alive = false;
        self
    }
}

/// Tries one way.
pub(super) async fn attempt(talk: &mut Talk, command: Command, load: &Load, how: &How) -> Tried {
    match command.mode() {
        Mode::Passive => try_passive(talk, command, load, how).await,
        Mode::Active => try_active(talk, command, load, how).await,
    }
}

/// Asks for a passive port. `Err` is the attempt that ended here.
async fn offer(
    talk: &mut Talk,
    command: Command,
    began: Instant,
) -> Result<(RawReply, proto::client::Passive), Tried> {
    let verb = if command == Command::Epsv { proto::Command::Epsv(Epsv::Same) } else { proto::Command::Pasv };
    let reply = match talk.call(&verb).await {
        Ok(reply) => reply,
        Err(lost) => {
            let detail = format!("{}: {lost}", command.name());
            return Err(Tried::new(talk, command, began, Outcome::CommandLost, detail).lost());
        }
    };
    let (code, text) = (reply.code, words(&reply));
    if code / 100 == 4 || cannot_bind(&text) {
        let tried = Tried::new(talk, command, began, Outcome::Full { code, text }, shown(&reply));
        return Err(if code == 421 || code >= 500 { tried.lost() } else { tried });
    }
    match passive(&reply, talk.peer.ip(), AddressTrust::Peer) {
        Ok(goal) => Ok((reply, goal)),
        Err(_) => {
            Err(Tried::new(talk, command, began, Outcome::CommandRefused { code, text }, shown(&reply)))
        }
    }
}

/// vsftpd without a free port ends the session: `500 OOPS: vsf_sysutil_bind`.
fn cannot_bind(text: &str) -> bool {
    text.contains("OOPS") && text.contains("bind")
}

async fn try_passive(talk: &mut Talk, command: Command, load: &Load, how: &How) -> Tried {
    let began = Instant::now();
    let (reply, goal) = match offer(talk, command, began).await {
        Ok(offer) => offer,
        Err(tried) => return tried,
    };
    let to = goal.to.addr();
    if let Some(rewrite) = goal.rewritten {
        return elsewhere(talk, command, began, to, rewrite, &reply).await;
    }
    let link = match how.mss {
        None => Link::connect(goal.to, None, CONNECT).await,
        Some(mss) => Link::connect_small(goal.to, mss, CONNECT).await,
    };
    let reach = match &link {
        Ok(_) => Reach::Open,
        Err(error) => reach_of(error, to).await,
    };
    let offered = Some(Offered {
        command,
        tls: talk.tls.is_some(),
        family: Family::of(talk.peer.ip()),
        port: to.port(),
        reach,
    });
    let mut tried = match link {
        Ok(link) => carry(talk, command, began, Channel::Link(link), load, how).await,
        Err(error) => {
            let (outcome, detail) = match reach {
                Reach::Silent => (Outcome::Silent, format!("port {} does not answer", to.port())),
                Reach::Prohibited(by) => (Outcome::Prohibited(by), {
                    let by = by.map_or_else(String::new, |by| format!(" by {by}"));
                    format!("port {} is rejected by ICMP{by}", to.port())
                }),
                Reach::Reset => (Outcome::Reset, format!("port {} is refused by a reset", to.port())),
                _ => (Outcome::Silent, error.to_string()),
            };
            let mut tried = Tried::new(talk, command, began, outcome, detail);
            tried.dead = Some(to);
            tried
        }
    };
    tried.attempt.announced = Some(to);
    tried.offered = offered;
    tried
}

/// What a failed connection means; a second SYN asks for the sender of a refusal.
async fn reach_of(error: &LinkError, to: SocketAddr) -> Reach {
    match error {
        LinkError::Silent { .. } => Reach::Silent,
        _ => feel(to, TouchOptions::default(), Duration::from_millis(700)).await,
    }
}

/// What comes back to one SYN.
pub(super) async fn feel(to: SocketAddr, options: TouchOptions, within: Duration) -> Reach {
    match touch(to, options, within).await {
        Ok(Touch::Open) => Reach::Open,
        Ok(Touch::Reset) => Reach::Reset,
        Ok(Touch::Icmp { by, said: Icmp::Prohibited }) => Reach::Prohibited(by),
        Ok(Touch::Icmp { by, .. }) => Reach::NoWay(by),
        Ok(Touch::Silent) => Reach::Silent,
        Err(_) => Reach::NoWay(None),
    }
}

/// 227 names another host: who answers there, and who here.
async fn elsewhere(
    talk: &Talk,
    command: Command,
    began: Instant,
    here: SocketAddr,
    rewrite: Rewrite,
    reply: &RawReply,
) -> Tried {
    let there = rewrite.claimed(here);
    let options = TouchOptions::default();
    let reach_there = async {
        // Nobody is at 0.0.0.0, and this machine's own loopback is not the server's.
        if there.ip().is_unspecified() || there.ip().is_loopback() {
            return Reach::NoWay(None);
        }
        feel(there, options, CONNECT).await
    };
    let (at_there, at_here) = tokio::join!(reach_there, feel(here, options, CONNECT));
    let passive = Passive { said: there.ip(), there: at_there, here: at_here };
    let detail = format!("the reply names {}, not the server {}: {}", there.ip(), here.ip(), shown(reply));
    let mut tried = Tried::new(talk, command, began, Outcome::OtherAddress(passive), detail);
    tried.attempt.announced = Some(there);
    tried
}

async fn try_active(talk: &mut Talk, command: Command, load: &Load, how: &How) -> Tried {
    let began = Instant::now();
    let ports = how.port.map(|port| port..=port);
    let listening = match Listening::open(talk.local.ip(), ports) {
        Ok(listening) => listening,
        Err(error) => return Tried::new(talk, command, began, Outcome::NobodyCame, error.to_string()),
    };
    let announced = Announced::new(listening.addr());
    let verb = match command {
        Command::Port => proto::Command::Port(announced),
        _ => proto::Command::Eprt(announced),
    };
    let reply = match talk.call(&verb).await {
        Ok(reply) => reply,
        Err(lost) => {
            let detail = format!("{}: {lost}", command.name());
            return Tried::new(talk, command, began, Outcome::CommandLost, detail).lost();
        }
    };
    let mut tried = if reply.code >= 300 {
        let (code, text) = (reply.code, words(&reply));
        let mut tried =
            Tried::new(talk, command, began, Outcome::CommandRefused { code, text }, shown(&reply));
        tried.seen_as = accepted_address(&reply).or_else(|| last_address(&reply, listening.addr().ip()));
        tried
    } else {
        carry(talk, command, began, Channel::Listening(listening), load, how).await
    };
    tried.attempt.announced = Some(announced.claim());
    tried
}

/// `501 10.0.0.7 is not your address, 192.0.2.9`: the address that is not the one we announced.
fn last_address(reply: &RawReply, ours: std::net::IpAddr) -> Option<std::net::IpAddr> {
    let text = words(reply);
    if !text.contains("not your") {
        return None;
    }
    let part = |c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':');
    let found = text
        .split(part)
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|word| word.trim_matches('.').parse().ok());
    found.rev().find(|ip: &std::net::IpAddr| *ip != ours)
}

/// Asks for passive ports again and again, and says which answer; stops at the deadline.
pub(super) async fn offers(talk: &mut Talk, command: Command, most: usize, until: Instant) -> Vec<Offered> {
    let mut seen: Vec<Offered> = Vec::new();
    while seen.len() < most && Instant::now() < until {
        let Ok((_, goal)) = offer(talk, command, Instant::now()).await else { break };
        let to: Vetted = goal.to;
        let reach = match Link::connect(to, None, Duration::from_millis(1100)).await {
            Ok(_) => Reach::Open,
            Err(error) => reach_of(&error, to.addr()).await,
        };
        let (tls, family) = (talk.tls.is_some(), Family::of(talk.peer.ip()));
        seen.push(Offered { command, tls, family, port: to.addr().port(), reach });
    }
    seen
}
