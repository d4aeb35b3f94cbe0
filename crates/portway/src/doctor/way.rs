//! The way there: how far packets get, and whose firewall drops what comes back.

use std::net::SocketAddr;
use std::time::Duration;

use portway_data::Listening;
use portway_doctor::{Command, Hop, Outcome, Reach, Trace};
use portway_net::{Icmp, Touch, TouchOptions, touch};
use tokio::task::JoinSet;

use super::attempt::{How, Load, attempt, feel};
use super::entry::{self, Way};
use super::probe::Plan;

/// What a router gets to say that a packet has gone far enough.
const HOP: Duration = Duration::from_millis(900);
/// The longest way looked at.
const FARTHEST: u8 = 30;

/// Sends SYNs with hop limits 1, 2, 3, …; goes on behind `at_once` only if the far end was not reached and
/// something answered.
pub(super) async fn trace(to: SocketAddr, at_once: u8) -> Trace {
    let mut trace = Trace { port: to.port(), hops: Vec::new() };
    let mut from = 1;
    while from <= FARTHEST {
        let until = from.saturating_add(at_once.max(1)).min(FARTHEST + 1);
        let mut tries = JoinSet::new();
        for hops in from..until {
            tries.spawn(async move { (hops, hop(to, hops).await) });
        }
        let mut found: Vec<(u8, Hop)> = Vec::new();
        while let Some(done) = tries.join_next().await {
            found.extend(done.ok());
        }
        found.sort_by_key(|(hops, _)| *hops);
        trace.hops.extend(found.iter().map(|(_, hop)| *hop));
        let ended = trace.routers().is_some();
        let dead = found.last().is_none_or(|(_, hop)| *hop == Hop::Silent);
        if ended || dead {
            break;
        }
        from = until;
    }
    if let Some(end) = trace.routers() {
        trace.hops.truncate(end.saturating_add(1));
    }
    trace
}

async fn hop(to: SocketAddr, hops: u8) -> Hop {
    match touch(to, TouchOptions { hops: Some(hops), from: None }, HOP).await {
        Ok(Touch::Open | Touch::Reset) => Hop::Answer,
        Ok(Touch::Icmp { by, said: Icmp::TimeExceeded }) => Hop::Router(by),
        Ok(Touch::Icmp { .. }) => Hop::Answer,
        Ok(Touch::Silent) | Err(_) => Hop::Silent,
    }
}

/// Opens the way for the server's connection as a client's firewall does for answers: by a packet of ours from the
/// announced port to port 20 of the server, which dies behind the first router. True if active mode works then;
/// `None` if it could not be tried.
pub(super) async fn punch(plan: &Plan, to: SocketAddr, way: Way) -> Option<bool> {
    let mut talk = entry::enter(plan, to, way).await.ok()?;
    let port = Listening::open(talk.local.ip(), None).ok()?.addr().port();
    let from = SocketAddr::new(talk.local.ip(), port);
    let options = TouchOptions { hops: Some(2), from: Some(from) };
    let source = SocketAddr::new(to.ip(), 20);
    match touch(source, options, Duration::from_millis(400)).await {
        // The packet must not have arrived, or the firewall has forgotten it with the answer.
        Ok(Touch::Open | Touch::Reset) | Err(_) => return None,
        Ok(_) => {}
    }
    let command = if to.is_ipv4() { Command::Port } else { Command::Eprt };
    let how = How { port: Some(port), mss: plan.mss, ..How::default() };
    let tried = tokio::select! {
        tried = attempt(&mut talk, command, &Load::Listing, &how) => tried,
        // Our answer carries another sequence number than the packet with which we opened the way, and the firewall may
        // drop it for that: that the server's SYN came counts.
        () = arrives(from) => return Some(true),
    };
    if tried.alive {
        talk.quit().await;
    }
    Some(matches!(tried.attempt.outcome, Outcome::Works | Outcome::NoTransfer(_)))
}

/// Waits until the kernel holds a SYN for this port and waits for the rest of the handshake. For ever where the system
/// does not tell.
async fn arrives(at: SocketAddr) {
    let table = if at.is_ipv4() { "/proc/net/tcp" } else { "/proc/net/tcp6" };
    // The kernel writes it from memory: nobody waits for a disk.
    while !std::fs::read_to_string(table).is_ok_and(|table| holds_syn(&table, at.port())) {
        tokio::time::sleep(Duration::from_millis(40)).await;
    }
}

/// Whether a connection to this port is in state SYN_RECV, 3, in a table of proc(5): number, local address and port,
/// remote address and port, state.
fn holds_syn(table: &str, port: u16) -> bool {
    table.lines().any(|line| {
        let mut words = line.split_whitespace().skip(1);
        let local = words.next().and_then(|local| local.rsplit_once(':'));
        let state = words.nth(1);
        local.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port)) && state == Some("03")
    })
}

/// The server's port 20, and closed ports beside it: the best answer of those.
pub(super) async fn port_20(to: SocketAddr) -> Option<(Reach, Reach)> {
    let at =
        |port: u16| feel(SocketAddr::new(to.ip(), port), TouchOptions::default(), Duration::from_millis(900));
    let (twenty, a, b) = tokio::join!(at(20), at(19), at(24));
    let answers = |reach: Reach| matches!(reach, Reach::Reset | Reach::Open);
    Some((twenty, if answers(a) { a } else { b }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_open_connection_is_seen_in_the_kernels_table() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr\n\
                       0: 0100007F:0BB8 00000000:0000 0A 00000000:00000000 00\n\
                       1: 0100007F:9C40 0200007F:0014 03 00000000:00000000 01\n\
                       2: 0100007F:9C41 0200007F:0014 01 00000000:00000000 01\n";
        assert!(holds_syn(table, 40000));
        assert!(!holds_syn(table, 3000) && !holds_syn(table, 40001) && !holds_syn(table, 20));
    }
}
