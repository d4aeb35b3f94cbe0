use proptest::prelude::*;

use super::*;

/// A piece of the stream as a sender might cut it: begin, length, whether the packet is lost behind us.
type Piece = (usize, usize);

fn feed(lane: &mut Lane, syn: u32, stream: &[u8], (at, length): Piece) -> Result<Taken, Untaken> {
    let end = (at + length).min(stream.len());
    lane.take(seq(syn, at), &stream[at..end], false)
}

fn seq(syn: u32, at: usize) -> u32 {
    syn.wrapping_add(1).wrapping_add(u32::try_from(at).unwrap())
}

fn read_all(lane: &mut Lane) -> Vec<u8> {
    let octets = lane.waiting().to_vec();
    lane.clear(&octets);
    octets
}

#[test]
fn what_differs_from_the_first_copy_is_refused_read_or_not() {
    let mut lane = Lane::new(7);
    assert_eq!(lane.take(8, b"PORT", false), Ok(Taken::News));
    assert_eq!(lane.take(9, b"ASS ", false), Err(Untaken::Contradicts));
    // Behind a gap, too.
    assert_eq!(lane.take(14, b"late", false), Ok(Taken::Nothing));
    assert_eq!(lane.take(15, b"ATE", false), Err(Untaken::Contradicts));
    assert_eq!(lane.take(12, b" xL", false), Err(Untaken::Contradicts));
    assert_eq!(read_all(&mut lane), b"PORT");
    assert_eq!(lane.take(12, b" xla", false), Ok(Taken::News));
    assert_eq!(read_all(&mut lane), b" xlate");
}

#[test]
fn nothing_follows_the_end_and_the_end_does_not_move() {
    let mut lane = Lane::new(0);
    assert_eq!(lane.take(1, b"QUIT\r\n", true), Ok(Taken::News));
    assert_eq!(lane.take(7, b"NOOP\r\n", false), Err(Untaken::Contradicts));
    assert_eq!(lane.take(1, b"QU", true), Err(Untaken::Contradicts));
    assert!(!lane.has_ended());
    read_all(&mut lane);
    assert!(lane.has_ended());
    let left = lane.leave(1, 6, true, 1000);
    assert_eq!((left.octets.as_slice(), left.fin), (&b"QUIT\r\n"[..], true));
    assert!(lane.may_acknowledge(8) && !lane.may_acknowledge(9));
    lane.acknowledge(8);
    // What acknowledges the other side's end comes behind one's own.
    assert_eq!(lane.take(8, b"", false), Ok(Taken::Nothing));
    assert_eq!(lane.leave(8, 0, false, 1000).seq, 8);
    assert!(lane.take(7, b"", true).is_ok(), "the end once more");
    assert!(lane.leave(7, 0, true, 1000).fin);
}

#[test]
fn what_waits_leaves_with_the_next_packet_and_old_octets_leave_as_nothing() {
    let mut lane = Lane::new(0);
    lane.take(1, b"PORT 1,", false).unwrap();
    assert_eq!(lane.leave(1, 7, false, 1000).octets, b"");
    assert!(!lane.may_acknowledge(8), "nothing has left");
    assert_eq!(lane.take(1, b"PORT 1,", false), Ok(Taken::Again));
    lane.take(8, b"2\r\n", false).unwrap();
    read_all(&mut lane);
    let left = lane.leave(8, 3, false, 1000);
    assert_eq!((left.seq, left.octets.as_slice()), (1, &b"PORT 1,2\r\n"[..]));
    // Once more, as it was sent.
    assert_eq!(lane.take(8, b"2\r\n", false), Ok(Taken::Nothing));
    assert_eq!(lane.leave(8, 3, false, 1000).octets, b"2\r\n");
    lane.acknowledge(11);
    assert_eq!(lane.held(), 0);
    assert_eq!(lane.take(8, b"9\r\n", false), Ok(Taken::Nothing), "nobody reads it any more");
    assert_eq!(lane.leave(8, 3, false, 1000).octets, [0; 3]);
    // A probe of one octet that was never sent before (RFC 1122 §4.2.3.6).
    assert_eq!(lane.take(10, b"?", false), Ok(Taken::Nothing));
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut lane = Lane::new(0);
    let big = [b'x'; 1000];
    for n in 0..200 {
        let _ = lane.take(1 + n * 1000, &big, false);
        let _ = lane.take(1 + n * 1000 + 2000, &big, false);
    }
    assert!(lane.held() <= 2 * KEPT + 2 * AHEAD, "{}", lane.held());
    let _ = lane.take(u32::MAX / 2, &big, false);
    assert!(lane.held() <= 2 * KEPT + 2 * AHEAD, "{}", lane.held());
}

proptest! {
    /// However a stream is cut, repeated and disordered, it is read as it is, and what leaves is the same stream.
    #[test]
    fn any_cut_order_and_repetition_yields_the_same_stream(
        syn: u32,
        stream in proptest::collection::vec(any::<u8>(), 1..2000),
        pieces in proptest::collection::vec((0..2000_usize, 1..700_usize), 0..40),
        cut in 1..500_usize,
        acknowledged: bool,
    ) {
        let mut lane = Lane::new(syn);
        let mut received = vec![None; stream.len()];
        let mut read = Vec::new();
        let pieces = pieces.into_iter().filter(|(at, _)| *at < stream.len());
        let all: Vec<Piece> = pieces.chain((0..stream.len()).step_by(cut).map(|at| (at, cut))).collect();
        for piece in all {
            prop_assert!(feed(&mut lane, syn, &stream, piece).is_ok());
            read.extend(read_all(&mut lane));
            let length = piece.1.min(stream.len() - piece.0);
            let left = lane.leave(seq(syn, piece.0), length, false, 1100);
            let at = left.seq.wrapping_sub(seq(syn, 0)) as usize;
            for (at, octet) in (at..).zip(&left.octets) {
                // What the receiver has it throws away.
                if received[at].is_none() {
                    received[at] = Some(*octet);
                }
            }
            if acknowledged {
                let first_gap = received.iter().position(Option::is_none).unwrap_or(stream.len());
                prop_assert!(lane.may_acknowledge(seq(syn, first_gap)));
                lane.acknowledge(seq(syn, first_gap));
            }
        }
        prop_assert_eq!(&read, &stream);
        // Whatever came out of its turn leaves when it is sent again.
        let mut at = 0;
        while at < stream.len() {
            let left = lane.leave(seq(syn, at), 1.max(stream.len() - at), false, 1100);
            let from = left.seq.wrapping_sub(seq(syn, 0)) as usize;
            for (at, octet) in (from..).zip(&left.octets) {
                received[at].get_or_insert(*octet);
            }
            at = (from + left.octets.len()).max(at + 1);
        }
        let received: Vec<u8> = received.into_iter().flatten().collect();
        prop_assert_eq!(&received, &stream);
    }

    /// A copy that differs anywhere in what is still kept is refused, and changes nothing.
    #[test]
    fn an_inconsistent_overlap_is_refused(
        syn: u32,
        stream in proptest::collection::vec(any::<u8>(), 2..1000),
        known: prop::sample::Index,
        at: prop::sample::Index,
        length in 1..300_usize,
        wrong: prop::sample::Index,
        ahead: bool,
    ) {
        let mut lane = Lane::new(syn);
        // Read, or waiting behind a gap of one octet.
        let from = usize::from(ahead);
        let known = from + known.index(stream.len() - from).max(1).min(stream.len() - from);
        lane.take(seq(syn, from), &stream[from..known], false).unwrap();
        let at = from + at.index(known - from);
        let end = (at + length).min(stream.len());
        let mut other = stream[at..end].to_vec();
        let wrong = wrong.index((known - at).min(other.len()));
        other[wrong] ^= 1;
        prop_assert_eq!(lane.take(seq(syn, at), &other, false), Err(Untaken::Contradicts));
        lane.take(seq(syn, 0), &stream, false).unwrap();
        prop_assert_eq!(read_all(&mut lane), stream);
    }
}
