use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn ip(v4: bool, octets: [u8; 16]) -> IpAddr {
    match octets.first_chunk::<4>() {
        Some(front) if v4 => IpAddr::from(*front),
        _ => IpAddr::from(octets),
    }
}

fn ends() -> impl Strategy<Value = [SocketAddr; 3]> {
    (any::<bool>(), any::<[([u8; 16], u16); 3]>())
        .prop_map(|(v4, all)| all.map(|(octets, port)| SocketAddr::new(ip(v4, octets), port)))
}

fn asks() -> impl Strategy<Value = Ask> {
    (ends(), any::<u64>(), any::<u32>(), 0..13).prop_map(|([from, to, into], id, number, which)| {
        let key = Key { from: from.ip(), to };
        let within = Duration::from_millis(number.into());
        match which {
            0 => Ask::Open(Want { key, within }),
            1 => Ask::Close(id),
            2 => Ask::Ended,
            3 => Ask::Translate(Translation::To { key, into }, within),
            4 => Ask::Translate(Translation::From { key, into: into.ip() }, within),
            5 => Ask::Restore(Translation::To { key, into }),
            6 => Ask::Restore(Translation::From { key, into: into.ip() }),
            7 => Ask::AnsweredTo(from, to),
            8 => Ask::AskedFor(from, to),
            9 => Ask::Flows(number),
            10 => Ask::Look(from, to),
            11 => Ask::Leave,
            _ => Ask::Mended,
        }
    })
}

fn outcomes() -> impl Strategy<Value = Outcome> {
    let how = prop_oneof![Just(End::Used), Just(End::Expired), Just(End::Closed)];
    let some_ended = proptest::collection::vec((any::<u64>(), how.clone()), 0..=MOST_LISTED);
    let one = (any::<u32>(), ends(), any::<Option<(u64, u64)>>(), any::<bool>());
    let one =
        one.prop_map(|(id, [from, asked, to], octets, over)| Flow { id, from, asked, to, octets, over });
    let flows = proptest::collection::vec(one, 0..20);
    prop_oneof![
        any::<u64>().prop_map(Outcome::Opened),
        proptest::option::of(how).prop_map(Outcome::Closed),
        "[ -~]{0,96}".prop_map(Outcome::Refused),
        any::<u32>().prop_map(Outcome::Full),
        (any::<i32>(), "[ -~]{0,96}").prop_map(|(errno, why)| Outcome::Failed(errno, why)),
        Just(Outcome::Done),
        any::<u32>().prop_map(Outcome::Times),
        proptest::option::of(ends().prop_map(|[one, ..]| one)).prop_map(Outcome::Address),
        some_ended.prop_map(Outcome::Ended),
        flows.prop_map(Outcome::Flows),
    ]
}

proptest! {
    #[test]
    fn requests_read_back(tag: u64, ask in asks()) {
        let request = Request { tag, ask };
        prop_assert_eq!(Request::parse(&request.emit()), Some(request));
    }

    #[test]
    fn answers_read_back(tag: u64, result in outcomes()) {
        let answer = Answer { tag, result };
        let record = answer.emit();
        prop_assert!((ANSWER..=LONGEST_ANSWER).contains(&record.len()));
        prop_assert_eq!(Answer::parse(&record), Some(answer));
    }

    #[test]
    fn what_parses_is_what_would_be_emitted(
        op in 0_u8..15,
        octets in proptest::collection::vec(prop_oneof![Just(0_u8), any::<u8>()], REQUEST - 5),
    ) {
        let octets = [&MAGIC[..], &[op], &octets].concat();
        if let Some(request) = Request::parse(&octets) {
            prop_assert_eq!(request.emit().to_vec(), octets);
        }
    }

    #[test]
    fn no_record_makes_the_readers_panic(octets: Vec<u8>, known: bool) {
        let octets = if known { [&MAGIC[..], &octets].concat() } else { octets };
        let _ = Request::parse(&octets);
        let _ = Answer::parse(&octets);
    }
}

#[test]
fn records_of_another_size_are_refused() {
    let request = Request { tag: 1, ask: Ask::Close(7) }.emit();
    assert_eq!(Request::parse(&request[..REQUEST - 1]), None);
    assert_eq!(Request::parse(&[&request[..], &[0]].concat()), None);
}

#[test]
fn families_are_not_mixed_in_a_request() {
    let mut record = Request { tag: 1, ask: Ask::AnsweredTo(at("[2001:db8::1]:1"), at("[::1]:2")) }.emit();
    record[5] = 4;
    assert_eq!(Request::parse(&record), None);
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}
