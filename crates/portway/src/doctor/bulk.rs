//! What listings do not show: large files, and TLS that resumes nothing.

use std::net::SocketAddr;

use portway_doctor::{Bulk, Command, NoTransfer, Outcome};
use portway_proto::Timestamp;
use portway_proto::row::{RowFormat, RowKind, RowParser};

use super::attempt::{How, Load, Tried, attempt};
use super::entry::{self, Way};
use super::probe::Plan;

/// So much of a large file proves that it comes through.
const ENOUGH: usize = 512 * 1024;
/// A smaller file proves nothing about large segments.
const LARGE: u64 = 8 * 1024;
/// Segments tried where large ones vanish, largest first.
const SEGMENTS: [u16; 2] = [1220, 536];

/// Fetches a part of the largest file there is; with small segments if that stands still.
pub(super) async fn large(plan: &Plan, to: SocketAddr, way: Way, listing: &[u8]) -> Option<Bulk> {
    let target = &plan.wish.target;
    let name = match target.directory {
        true => largest(listing)?,
        false => target.path.clone(),
    };
    let load = Load::File(name, ENOUGH);
    let first = fetch(plan, to, way, &load, plan.mss).await?;
    match stalled(&first) {
        None if first.attempt.outcome == Outcome::Works => Some(Bulk::Works(first.listing.len() as u64)),
        None => None,
        Some(after) => Some(Bulk::Stalled { after, works_with_mss: smaller(plan, to, way, &load).await }),
    }
}

/// Nothing comes through at all: perhaps a listing does with small segments.
pub(super) async fn small_segments(plan: &Plan, to: SocketAddr, way: Way) -> Option<Bulk> {
    let mss = smaller(plan, to, way, &Load::Listing).await?;
    Some(Bulk::Stalled { after: 0, works_with_mss: Some(mss) })
}

async fn smaller(plan: &Plan, to: SocketAddr, way: Way, load: &Load) -> Option<u16> {
    let tries = SEGMENTS.map(|mss| fetch(plan, to, way, load, Some(mss)));
    let [a, b] = tries;
    let (a, b) = tokio::join!(a, b);
    let works = |tried: &Option<Tried>| tried.as_ref().is_some_and(|t| t.attempt.outcome == Outcome::Works);
    match (works(&a), works(&b)) {
        (true, _) => SEGMENTS.first().copied(),
        (false, true) => SEGMENTS.last().copied(),
        (false, false) => None,
    }
}

async fn fetch(plan: &Plan, to: SocketAddr, way: Way, load: &Load, mss: Option<u16>) -> Option<Tried> {
    let mut talk = entry::enter(plan, to, way).await.ok()?;
    let how = How { mss, ..How::default() };
    let mut tried = attempt(&mut talk, way.passive(), load, &how).await;
    if !matches!(tried.attempt.outcome, Outcome::Works | Outcome::NoTransfer(_))
        && tried.alive
        && to.is_ipv4()
    {
        tried = attempt(&mut talk, Command::Pasv, load, &how).await;
    }
    if tried.alive {
        talk.quit().await;
    }
    Some(tried)
}

fn stalled(tried: &Tried) -> Option<u64> {
    match tried.attempt.outcome {
        Outcome::NoTransfer(NoTransfer::NoOctets) => Some(0),
        Outcome::NoTransfer(NoTransfer::Stalled(after)) => Some(after),
        _ => None,
    }
}

/// The largest file of a listing, if it is large enough to tell anything.
fn largest(listing: &[u8]) -> Option<Vec<u8>> {
    let mut parser = RowParser::new(RowFormat::Unix);
    let now = Timestamp::from_unix(0, 0)?;
    let rows = listing.split(|&b| b == b'\n').filter_map(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        parser.parse_line(line, now).ok().flatten()
    });
    let files = rows.filter(|row| row.kind == RowKind::File && row.size.is_some_and(|size| size >= LARGE));
    let best = files.max_by_key(|row| row.size)?;
    best.safe_name().map(<[u8]>::to_vec)
}

/// Whether the server refuses a data connection that resumes nothing, where it served one that did.
pub(super) async fn resumption(plan: &Plan, to: SocketAddr, way: Way) -> Option<bool> {
    let mut talk = entry::enter(plan, to, way).await.ok()?;
    let how = How { mss: plan.mss, fresh_tls: true, ..How::default() };
    let tried = attempt(&mut talk, way.passive(), &Load::Listing, &how).await;
    if tried.alive {
        talk.quit().await;
    }
    match tried.attempt.outcome {
        Outcome::Works => Some(false),
        // portway takes a stranger for one, closes and goes on waiting; others say no.
        Outcome::NoTransfer(
            NoTransfer::NotResumed(_)
            | NoTransfer::TlsRefused(_)
            | NoTransfer::NoOctets
            | NoTransfer::Stalled(0)
            | NoTransfer::ControlLost(_),
        ) => Some(true),
        _ => None,
    }
}
