//! The inspect engine's judgement: segments of both sides in any order and number, lost, doubled and contradicting. What
//! each side receives is checked against what the gate has judged.

#![no_main]
#![allow(dead_code, reason = "the gate uses more of these modules than a fuzzer does")]

#[path = "../../crates/gate/src/inspect/dialogue.rs"]
mod dialogue;
#[path = "../../crates/gate/src/inspect/half.rs"]
mod half;
#[path = "../../crates/gate/src/inspect/keeper.rs"]
mod keeper;
#[path = "../../crates/gate/src/inspect/lane.rs"]
mod lane;
#[path = "../../crates/gate/src/records.rs"]
mod records;
#[path = "../../crates/gate/src/inspect/segment.rs"]
mod segment;
#[path = "../../crates/gate/src/inspect/substitute.rs"]
mod substitute;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use keeper::{Keeper, Outcome, Part, Side, TooLong};
use libfuzzer_sys::fuzz_target;
use portway_proto::watch::{Opening, Watch, WatchPolicy};

/// Keeps book of the one hole that a session may have.
#[derive(Default)]
struct Book {
    open: bool,
}

impl Keeper for Book {
    fn open(&mut self, opening: &Opening) -> Result<Option<SocketAddr>, String> {
        assert!(opening.want.to().port() >= 1024, "a service's port");
        self.open = true;
        Ok(None)
    }

    fn shut(&mut self) {
        self.open = false;
    }

    fn as_the_server_knows_it(&mut self, _: &[u8], _: usize) -> Result<Option<Vec<u8>>, TooLong> {
        Ok(None)
    }

    fn login_refused(&mut self) -> bool {
        true
    }

    fn note(&mut self, why: &dyn Display) {
        let _ = why.to_string();
    }

    fn user(&mut self, _: &[u8]) {}

    fn opaque(&mut self, _: bool) {}
}

/// What one side has received, by sequence number.
type Received = BTreeMap<u32, u8>;

fuzz_target!(|data: &[u8]| {
    // The first octet may begin a packet as well.
    let _ = segment::Segment::read(data);
    let (setting, mut rest) = data.split_first().unwrap_or((&0, data));
    let [client, server]: [IpAddr; 2] =
        ["192.0.2.7", "198.51.100.1"].map(|ip| ip.parse().expect("an address"));
    let policy = WatchPolicy { login_first: setting & 1 == 0, ..WatchPolicy::default() };
    // Near the end of the numbers, so that they wrap.
    let syns = [u32::MAX - 20, u32::MAX - 60];
    let mut dialogue = dialogue::Dialogue::new(syns, Watch::new(client, server, policy), setting & 2 != 0);
    let (mut book, mut received) = (Book::default(), [Received::new(), Received::new()]);
    let now = Instant::now();
    // A segment: flags, where it begins, how much the other side has acknowledged, its octets up to the next 0xFE.
    while let [flags, at, ack, after @ ..] = rest {
        let end = after.iter().position(|octet| *octet == 0xFE).unwrap_or(after.len());
        let (octets, next) = after.split_at(end);
        rest = next.get(1..).unwrap_or_default();
        let (index, side) = if flags & 1 == 0 { (0, Side::Client) } else { (1, Side::Server) };
        let seq =
            syns[index].wrapping_add(1).wrapping_add(u32::from(*at) * if flags & 4 == 0 { 1 } else { 16 });
        let part = Part {
            seq,
            ack: Some(syns[1 - index].wrapping_add(1).wrapping_add(u32::from(*ack))),
            octets,
            fin: flags & 2 != 0,
            room: 1100,
        };
        match dialogue.segment(side, part, now, &mut book) {
            Outcome::Drop => {}
            Outcome::Close(_) => {
                assert!(!book.open, "a hole outlives its session");
                return;
            }
            Outcome::Leave(leaving) => {
                let blank = leaving.octets.iter().all(|octet| *octet == 0);
                for (nth, octet) in (0_u32..).zip(&leaving.octets) {
                    let place = received[index].entry(leaving.seq.wrapping_add(nth)).or_insert(*octet);
                    // Octets that were acknowledged leave as nothing.
                    assert!(*place == *octet || blank, "an octet has left in two forms");
                }
            }
        }
        assert!(dialogue.held() < 1 << 20, "memory is bounded");
    }
});
