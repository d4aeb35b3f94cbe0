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

/// The reply: one `word=value` a line. How the routers on the way are called is for `named` users only.
pub(super) async fn tell(
    seen: &mut Option<Box<Seen>>,
    (peer, local): (SocketAddr, SocketAddr),
    protection: Protection,
    announced: Option<SocketAddr>,
    named: bool,
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
        reply = reply.line(format!("announced={to}")).line(format!("hops={}", hops(to, named).await));
    }
    reply.line("End")
}

/// How far SYNs to the client's port get: for each hop limit the router that answered (`?` if it is not named), `*`
/// for none, `open`, `closed` or `rejected` for the end.
async fn hops(to: SocketAddr, named: bool) -> String {
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
        let (word, end) = word(touched.unwrap_or(Touch::Silent), named);
        words.push(word);
        if end {
            break;
        }
    }
    words.join(",")
}

/// The word for what came back from one hop, and whether it was the last.
fn word(touched: Touch, named: bool) -> (String, bool) {
    match touched {
        Touch::Open => ("open".to_owned(), true),
        Touch::Reset => ("closed".to_owned(), true),
        Touch::Icmp { by: Some(by), said: Icmp::TimeExceeded } if named => (by.to_string(), false),
        Touch::Icmp { said: Icmp::TimeExceeded, .. } => ("?".to_owned(), false),
        Touch::Icmp { .. } => ("rejected".to_owned(), true),
        Touch::Silent => ("*".to_owned(), false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_users_with_a_name_learn_how_routers_are_called() {
        let router = || Touch::Icmp { by: Some([192, 0, 2, 1].into()), said: Icmp::TimeExceeded };
        assert_eq!(word(router(), true), ("192.0.2.1".to_owned(), false));
        assert_eq!(word(router(), false), ("?".to_owned(), false));
        assert_eq!(word(Touch::Open, false), ("open".to_owned(), true));
    }
}
