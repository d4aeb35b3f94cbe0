use super::{Hello, Octets, Peek, offer, peek, read_hello};
use crate::SessionTag;

/// A ClientHello with these extensions, in one record.
fn hello(version: u16, extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let mut list = vec![];
    for (kind, value) in extensions {
        list.extend_from_slice(&kind.to_be_bytes());
        list.extend_from_slice(&(value.len() as u16).to_be_bytes());
        list.extend_from_slice(value);
    }
    let mut body = [&version.to_be_bytes()[..], &[7; 32], &[0], &[0, 2, 0xc0, 0x2f], &[1, 0]].concat();
    body.extend_from_slice(&(list.len() as u16).to_be_bytes());
    body.extend(list);
    let message = [&[1, 0], &(body.len() as u16).to_be_bytes()[..], &body].concat();
    [&[22, 3, 1], &(message.len() as u16).to_be_bytes()[..], &message].concat()
}

fn psk(identity: &[u8]) -> Vec<u8> {
    let len = identity.len() as u16;
    [&(len + 6).to_be_bytes()[..], &len.to_be_bytes(), identity, &[0; 4], &[0, 33, 32], &[0; 32]].concat()
}

#[test]
fn the_tag_is_the_head_of_the_ticket() {
    let ticket: Vec<u8> = (0..64).collect();
    let tag = SessionTag(ticket[..16].try_into().unwrap());
    let other = psk(&[9; 64]);
    for (name, extensions, expected) in [
        ("TLS 1.3", vec![(41, psk(&ticket))], Hello::Session(tag)),
        ("TLS 1.2", vec![(35, ticket.clone())], Hello::Session(tag)),
        ("both: 1.3 counts", vec![(35, ticket.clone()), (41, other)], Hello::Session(SessionTag([9; 16]))),
        ("an empty ticket asks for one", vec![(35, vec![])], Hello::NoSession),
        ("a ticket too short for a tag", vec![(41, psk(&ticket[..15]))], Hello::NoSession),
        ("no extension we know", vec![(0x0a0a, vec![1])], Hello::NoSession),
    ] {
        let extensions: Vec<_> = extensions.iter().map(|(kind, value)| (*kind, &value[..])).collect();
        assert_eq!(read_hello(&hello(0x0303, &extensions)), expected, "{name}");
    }
}

#[test]
fn the_offer_tells_name_protocols_and_newest_version() {
    let octets = hello(
        0x0303,
        &[
            (0, b"\x00\x0e\x00\x00\x0bEXAMPLE.net"),
            (16, b"\x00\x0c\x02h2\x08http/1.1"),
            (43, b"\x06\x3a\x3a\x03\x04\x03\x03"), // GREASE, 1.3, 1.2
        ],
    );
    let Peek::Offer(offer) = peek(&octets) else { panic!("a whole hello") };
    assert_eq!(offer.sni.as_deref(), Some("example.net"));
    assert_eq!(offer.alpn, [&b"h2"[..], b"http/1.1"]);
    assert_eq!(offer.newest, 0x0304);
}

#[test]
fn what_is_no_hello_is_told_at_the_first_octets() {
    for (name, octets) in [
        ("plain FTP", &b"USER anonymous\r\n"[..]),
        ("a file", b"\x7fELF"),
        ("application data", b"\x17\x03\x03\x00\x10"),
        ("version 2 hello", b"\x80\x2e\x01\x03\x01"),
        ("another major version", b"\x16\x02\x00"),
        ("an empty record", b"\x16\x03\x01\x00\x00"),
        ("a record too long", b"\x16\x03\x01\x40\x01"),
        ("a server's hello", b"\x16\x03\x03\x00\x30\x02"),
        ("a message of 16 MiB", b"\x16\x03\x01\x40\x00\x01\xff\xff\xff"),
        ("an empty hello", b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"),
    ] {
        assert_eq!(read_hello(octets), Hello::NotTls, "{name}");
    }
    assert_eq!(read_hello(b""), Hello::NeedMore);
}

proptest::proptest! {
    #[test]
    fn arbitrary_octets_never_panic(octets: Vec<u8>) {
        read_hello(&octets);
        offer(&mut Octets(&octets));
        let length = (octets.len() as u16).to_be_bytes();
        read_hello(&[&[22, 3, 1], &length[..], &octets].concat());
    }

    #[test]
    fn a_damaged_hello_never_panics(ticket: [u8; 40], at: proptest::sample::Index, with: u8) {
        let mut octets = hello(0x0303, &[(0, b"\x00\x04\x00\x00\x01a"), (16, b"\x00\x03\x02h2"), (41, &psk(&ticket))]);
        let at = at.index(octets.len());
        octets[at] = with;
        read_hello(&octets);
    }
}
