//! The Port Control Protocol: one MAP request and its answer (RFC 6887 §7, §11).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Octets of a MAP request and of its answer.
pub(crate) const LENGTH: usize = 60;
const VERSION: u8 = 2;
const MAP: u8 = 1;
const RESPONSE: u8 = 0x80;
const TCP: u8 = 6;

/// Tells our mapping from others; whoever deletes it must know it.
pub(crate) type Nonce = [u8; 12];

/// A request for a port; a lifetime of 0 takes it back (RFC 6887 §15.1).
pub(crate) fn request(local: Ipv4Addr, inside: u16, lifetime: u32, nonce: Nonce) -> Vec<u8> {
    let mut out = Vec::with_capacity(LENGTH);
    out.extend([VERSION, MAP, 0, 0]);
    out.extend(lifetime.to_be_bytes());
    out.extend(local.to_ipv6_mapped().octets());
    out.extend(nonce);
    out.extend([TCP, 0, 0, 0]);
    out.extend(inside.to_be_bytes());
    // The same number outside, if it is free; none when deleting. And any address, of our family.
    out.extend(if lifetime == 0 { [0; 2] } else { inside.to_be_bytes() });
    out.extend(Ipv4Addr::UNSPECIFIED.to_ipv6_mapped().octets());
    out
}

/// What a router answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The port is ours.
    Mapped(SocketAddr),
    /// It speaks an older version: NAT-PMP (RFC 6887 appendix A).
    Older,
    /// It does not want to (RFC 6887 §7.4).
    Refused(u8),
}

/// Reads an answer; `None` if it is none to this request.
pub(crate) fn answer(octets: &[u8], inside: u16, nonce: Nonce) -> Option<Answer> {
    let (&version, &kind) = (octets.first()?, octets.get(1)?);
    if version == 0 && kind & RESPONSE != 0 {
        return Some(Answer::Older);
    }
    if version != VERSION || kind != RESPONSE | MAP {
        return None;
    }
    match octets.get(3)? {
        0 => {}
        1 => return Some(Answer::Older),
        code => return Some(Answer::Refused(*code)),
    }
    let field = |from: usize, to: usize| octets.get(from..to);
    if field(24, 36)? != nonce || field(40, 42)? != inside.to_be_bytes() {
        return None;
    }
    let port = u16::from_be_bytes(field(42, 44)?.try_into().ok()?);
    let ip: [u8; 16] = field(44, 60)?.try_into().ok()?;
    let ip = IpAddr::V6(Ipv6Addr::from(ip)).to_canonical();
    Some(Answer::Mapped(SocketAddr::new(ip, port)))
}

/// A refusal in words.
pub(crate) fn refusal(code: u8) -> &'static str {
    match code {
        2 => "not authorised",
        3..=6 => "it does not understand the request",
        7 => "its network is down",
        8 => "no resources",
        9 => "it maps no TCP",
        10 => "we have used up our share",
        11 => "it cannot provide that port",
        12 => "a second NAT is in between",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NONCE: Nonce = *b"twelve bytes";

    fn mapped() -> Vec<u8> {
        let mut octets = request(Ipv4Addr::new(192, 168, 1, 2), 40_000, 600, NONCE);
        octets[1] = 0x81;
        octets[42..44].copy_from_slice(&40_001_u16.to_be_bytes());
        octets[44..60].copy_from_slice(&Ipv4Addr::new(198, 51, 100, 9).to_ipv6_mapped().octets());
        octets
    }

    #[test]
    fn a_request_is_as_rfc_6887_draws_it() {
        let octets = request(Ipv4Addr::new(192, 168, 1, 2), 0x1234, 600, NONCE);
        assert_eq!(octets.len(), LENGTH);
        assert_eq!(octets[..8], [2, 1, 0, 0, 0, 0, 2, 88]);
        assert_eq!(octets[18..24], [0xFF, 0xFF, 192, 168, 1, 2]);
        assert_eq!(octets[36..44], [6, 0, 0, 0, 0x12, 0x34, 0x12, 0x34]);
        assert_eq!(
            request(Ipv4Addr::LOCALHOST, 1, 0, NONCE)[42..44],
            [0, 0],
            "deleting names no port outside"
        );
    }

    #[test]
    fn an_answer_must_be_to_our_question() {
        let read = |octets: &[u8]| answer(octets, 40_000, NONCE);
        assert_eq!(read(&mapped()), Some(Answer::Mapped("198.51.100.9:40001".parse().unwrap())));
        let mut other = mapped();
        other[24] ^= 1;
        assert_eq!(read(&other), None, "another nonce");
        assert_eq!(answer(&mapped(), 40_002, NONCE), None, "another port");
        assert_eq!(read(&[0, 128, 0, 1, 0, 0, 0, 0]), Some(Answer::Older));
        assert_eq!(read(&[2, 0x81, 0, 2]), Some(Answer::Refused(2)));
        assert_eq!(read(&mapped()[..59]), None);
    }

    proptest! {
        #[test]
        fn no_octets_make_the_reader_panic(octets in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = answer(&octets, 1, NONCE);
        }
    }
}
