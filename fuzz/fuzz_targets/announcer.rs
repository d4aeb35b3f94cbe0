//! What announcers say to a gate and to its helper, and where TLS ends: whatever is read is exact, and no cut matters.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_agent::wire::{Answer, LONGEST, Request, emit, parse};
use portway_gate::{Found, Records};
use portway_nft::wire;

fuzz_target!(|data: &[u8]| {
    for line in data.split_inclusive(|&octet| octet == b'\n').take(64) {
        if let Some(request) = parse::<Request>(line) {
            let emitted = emit(&request);
            assert!(emitted.len() <= LONGEST, "{request:?}");
            assert_eq!(parse::<Request>(&emitted), Some(request));
        }
        if let Some(answer) = parse::<Answer>(line) {
            assert_eq!(parse::<Answer>(&emit(&answer)), Some(answer));
        }
    }
    if let Some(request) = wire::Request::parse(data) {
        assert_eq!(request.emit(), data, "a record has one spelling");
    }
    if let Some(answer) = wire::Answer::parse(data) {
        assert_eq!(wire::Answer::parse(&answer.emit()), Some(answer));
    }
    let whole = end_of_tls(data, data.len().max(1));
    for piece in [1, 3, 5, 64] {
        assert_eq!(end_of_tls(data, piece), whole, "cut into {piece}");
    }
});

/// Where TLS ends, and whether it is broken instead.
fn end_of_tls(data: &[u8], piece: usize) -> (Option<usize>, bool, bool) {
    let (mut records, mut at) = (Records::default(), 0);
    for piece in data.chunks(piece) {
        match records.feed(piece) {
            Found::Tls => at += piece.len(),
            Found::ClearFrom(here) => return (Some(at + here), false, records.has_spoken()),
            Found::Broken => return (None, true, false),
        }
    }
    (None, false, records.has_spoken())
}
