//! SITE DOCTOR: what this side saw of a client's channels, for whoever looks for the fault from there.
//!
//! It tells a client about itself only. The one thing it does is to send SYNs with small hop limits to the port
//! that the client has announced by PORT or EPRT, which a transfer would connect to as well.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portway_data::Failure;
use portway_net::{Icmp, Touch, TouchOptions, touch};
use portway_proto::{Code, Protection, Reply};
use tokio::task::JoinSet;

/// The least time between two answers.
const REST: Duration = Duration::from_secs(1);
/// Answers to one session.
const MOST: u32 = 20;
/// Hops looked at.
const HOPS: u8 = 8;
/// What a router gets to answer.
const WAIT: Duration = Duration::from_millis(900);

/// What is remembered of one session.
#[derive(Debug, Default)]
pub(super) struct Seen {
    answered: u32,
    last: Option<Instant>,
    /// The last data connection that failed.
    failed: Option<String>,
}

/// Remembers a data connection that failed.
pub(super) fn failed(
    seen: &mut Option<Box<Seen>>,
    mode: &'static str,
    announced: Option<SocketAddr>,
    failure: &Failure,
) {
    let at = announced.map_or_else(String::new, |addr| format!(" {addr}"));
    seen.get_or_insert_default().failed = Some(format!("{mode}{at} {}", failure.cause()));
}

/// The reply: one `word=value` a line.
pub(super) async fn tell(
    seen: &mut Option<Box<Seen>>,
    (peer, local): (SocketAddr, SocketAddr),
    protection: Protection,
    announced: Option<SocketAddr>,
) -> Reply {
    let seen = seen.get_or_insert_default();
    if seen.answered >= MOST || seen.last.is_some_and(|last| last.elapsed() < REST) {
        return Reply::new(Code::FILE_BUSY, "SITE DOCTOR: not so often.");
    }
    seen.answered += 1;
    seen.last = Some(Instant::now());
    let mut reply = Reply::new(Code::SYSTEM_STATUS, "What this server sees of you:")
        .line(format!("control={peer}"))
        .line(format!("server={local}"))
        .line(format!("protection={}", if protection == Protection::Private { "private" } else { "clear" }));
    if let Some(failed) = &seen.failed {
        reply = reply.line(format!("failed={failed}"));
    }
    if let Some(to) = announced {
        reply = reply.line(format!("announced={to}")).line(format!("hops={}", hops(to).await));
    }
    reply.line("End")
}

/// How far SYNs to the client's port get: for each hop limit the router that answered, `*` for none, `open`,
/// `closed` or `rejected` for the end.
async fn hops(to: SocketAddr) -> String {
    let mut tries = JoinSet::new();
    for limit in 1..=HOPS {
        tries.spawn(async move {
            let options = TouchOptions { hops: Some(limit), from: None };
            (limit, touch(to, options, WAIT).await)
        });
    }
    let mut found = Vec::new();
    while let Some(done) = tries.join_next().await {
        found.extend(done.ok());
    }
    found.sort_by_key(|(limit, _)| *limit);
    let mut words = Vec::new();
    for (_, touched) in found {
        let (word, end) = match touched {
            Ok(Touch::Open) => ("open".to_owned(), true),
            Ok(Touch::Reset) => ("closed".to_owned(), true),
            Ok(Touch::Icmp { by: Some(by), said: Icmp::TimeExceeded }) => (by.to_string(), false),
            Ok(Touch::Icmp { said: Icmp::TimeExceeded, .. }) => ("?".to_owned(), false),
            Ok(Touch::Icmp { .. }) => ("rejected".to_owned(), true),
            Ok(Touch::Silent) | Err(_) => ("*".to_owned(), false),
        };
        words.push(word);
        if end {
            break;
        }
    }
    words.join(",")
}
