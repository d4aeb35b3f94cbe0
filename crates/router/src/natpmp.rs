//! NAT-PMP: the outer address, and one mapping (RFC 6886 §3).

use std::net::Ipv4Addr;

/// Asks for the outer address (RFC 6886 §3.2).
pub(crate) const ASK_ADDRESS: [u8; 2] = [0, 0];

/// A request for a port; a lifetime of 0 takes it back (RFC 6886 §3.3, §3.4).
pub(crate) fn request(inside: u16, lifetime: u32) -> Vec<u8> {
    let outside = if lifetime == 0 { 0 } else { inside };
    let mut out = vec![0, 2, 0, 0];
    out.extend(inside.to_be_bytes());
    out.extend(outside.to_be_bytes());
    out.extend(lifetime.to_be_bytes());
    out
}

/// The outer address, or the result code of a refusal; `None` if it is another answer.
pub(crate) fn address(octets: &[u8]) -> Option<Result<Ipv4Addr, u16>> {
    checked(octets, 128, 12).map(|good| {
        good.map(|octets| {
            octets.get(8..12).and_then(|ip| <[u8; 4]>::try_from(ip).ok()).unwrap_or_default().into()
        })
    })
}

/// The outer port, or the result code of a refusal; `None` if it is another answer.
pub(crate) fn port(octets: &[u8], inside: u16) -> Option<Result<u16, u16>> {
    match checked(octets, 130, 16)? {
        Err(code) => Some(Err(code)),
        Ok(octets) if octets.get(8..10)? == inside.to_be_bytes() => {
            Some(Ok(u16::from_be_bytes(octets.get(10..12)?.try_into().ok()?)))
        }
        Ok(_) => None,
    }
}

fn checked(octets: &[u8], kind: u8, length: usize) -> Option<Result<&[u8], u16>> {
    let (&[version, op, high, low], _) = octets.split_first_chunk::<4>()?;
    let code = u16::from_be_bytes([high, low]);
    match (version, op) {
        (0, op) if op == kind && code != 0 => Some(Err(code)),
        (0, op) if op == kind && octets.len() >= length => Some(Ok(octets)),
        _ => None,
    }
}

/// A refusal in words (RFC 6886 §3.5).
pub(crate) fn refusal(code: u16) -> &'static str {
    match code {
        1 => "it speaks no version of it",
        2 => "not authorised",
        3 => "its network is down",
        4 => "no resources",
        5 => "it does not know the request",
        _ => "refused",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn questions_and_answers_are_as_rfc_6886_draws_them() {
        assert_eq!(request(0x1234, 600), [0, 2, 0, 0, 0x12, 0x34, 0x12, 0x34, 0, 0, 2, 88]);
        assert_eq!(request(0x1234, 0), [0, 2, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 0, 0]);
        let ip = [0, 128, 0, 0, 0, 0, 0, 9, 198, 51, 100, 9];
        assert_eq!(address(&ip), Some(Ok(Ipv4Addr::new(198, 51, 100, 9))));
        let mapped = [0, 130, 0, 0, 0, 0, 0, 9, 0x12, 0x34, 0x56, 0x78, 0, 0, 2, 88];
        assert_eq!(port(&mapped, 0x1234), Some(Ok(0x5678)));
        assert_eq!(port(&mapped, 0x1235), None, "another port's answer");
        assert_eq!(port(&[0, 130, 0, 2, 0, 0, 0, 0], 1), Some(Err(2)));
        assert_eq!((address(&mapped), port(&ip, 1)), (None, None));
    }

    proptest! {
        #[test]
        fn no_octets_make_the_readers_panic(octets in prop::collection::vec(any::<u8>(), 0..40), inside: u16) {
            let _ = (address(&octets), port(&octets, inside));
        }
    }
}
