//! Lines in place of others, of the same length: a gate that ends no TCP can neither add nor take away an octet.

use std::net::SocketAddr;

use portway_proto::watch::Opening;
use portway_proto::{Announced, Class, Code};

/// A line that harms nobody and gets exactly one answer, in place of a refused command.
///
/// `kept` octets of the line have left already and stand before it; `length` counts what has not, line end included.
/// `None` if too little is left to change anything.
pub(crate) fn harmless(kept: usize, length: usize) -> Option<Vec<u8>> {
    // In small letters, so that a server's log shows whose it is.
    const NOOP: &[u8] = b"noop";
    let text = match length {
        0 | 1 => return None,
        // Only the line end: without its CR no server takes the line for what it was.
        2 if kept > 0 => return Some(b"?\n".to_vec()),
        2 => return None,
        _ => length - 2,
    };
    let mut line = vec![b' '; text];
    match line.get_mut(..NOOP.len()) {
        Some(verb) if kept == 0 => verb.copy_from_slice(NOOP),
        _ => line.fill(b'?'),
    }
    line.extend_from_slice(b"\r\n");
    Some(line)
}

/// A reply of one line in exactly `length` octets: filled up with blanks, or cut. `None` if not even the code fits.
pub(crate) fn reply(line: &[u8], length: usize) -> Option<Vec<u8>> {
    const SHORT: &[u8] = b"Refused by the firewall.";
    let text = length.checked_sub(2).filter(|text| *text >= 3)?;
    let mut said = line.strip_suffix(b"\r\n").unwrap_or(line).to_vec();
    if said.len() > text {
        // Half a sentence helps nobody; the whole one is in the gate's log.
        said.truncate(4);
        said.extend_from_slice(SHORT);
    }
    said.resize(text, b' ');
    said.extend_from_slice(b"\r\n");
    Some(said)
}

/// 227 or 229 in exactly `length` octets; `None` if it does not fit.
pub(crate) fn passive(line: &[u8], announced: SocketAddr, length: usize) -> Option<Vec<u8>> {
    let announced = Announced::new(announced);
    let code = Code::new(line.get(..3).and_then(digits)?).filter(|code| code.class() == Class::Done)?;
    let short = if code == Code::PASSIVE {
        format!("227 ({})", announced.host_port()?)
    } else {
        format!("229 ({})", announced.port_only())
    };
    let text = length.checked_sub(2)?;
    let mut said = line.strip_suffix(b"\r\n").unwrap_or(line).to_vec();
    if said.len() > text {
        said = short.into_bytes();
    }
    if said.len() > text {
        return None;
    }
    said.resize(text, b' ');
    said.extend_from_slice(b"\r\n");
    Some(said)
}

/// The announcement as the client is to read it, of the same length.
pub(crate) fn announce(raw: &[u8], opening: &Opening, announced: Option<SocketAddr>) -> Option<Vec<u8>> {
    let line = opening.line(announced);
    if !matches!(line.get(..3), Some(b"227" | b"229")) {
        // The server's consent to PORT.
        return Some(if line.len() == raw.len() { line } else { raw.to_vec() });
    }
    passive(&line, announced.unwrap_or(opening.want.to()), raw.len())
}

/// Whether there are Telnet commands (RFC 854) other than those of two octets before the verb, as clients send before
/// ABOR, and doubled octets 255: how servers read them differs, and we cannot take them out.
pub(crate) fn has_telnet_inside(raw: &[u8]) -> bool {
    let mut rest = raw;
    while let [0xFF, 241..=249, after @ ..] = rest {
        rest = after;
    }
    let mut octets = rest.iter();
    while let Some(octet) = octets.next() {
        if *octet == 0xFF && octets.next() != Some(&0xFF) {
            return true;
        }
    }
    false
}

fn digits(octets: &[u8]) -> Option<u16> {
    octets.iter().try_fold(0, |all, octet| octet.is_ascii_digit().then(|| all * 10 + u16::from(octet - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_takes_the_place_of_a_line_is_as_long_as_it() {
        for (kept, length) in [(0, 3), (0, 6), (0, 40), (5, 2), (5, 3), (5, 40)] {
            assert_eq!(harmless(kept, length).unwrap().len(), length, "{kept} {length}");
        }
        assert_eq!(harmless(0, 10).unwrap(), b"noop    \r\n");
        assert_eq!(harmless(5, 10).unwrap(), b"????????\r\n");
        for (kept, length) in [(0, 2), (0, 1), (9, 1)] {
            assert_eq!(harmless(kept, length), None, "{kept} {length}");
        }
    }

    #[test]
    fn a_reason_that_does_not_fit_is_said_shortly() {
        let why = b"501 10.0.0.7 is not your address.\r\n";
        assert_eq!(reply(why, 40).unwrap(), b"501 10.0.0.7 is not your address.     \r\n");
        assert_eq!(reply(why, 32).unwrap(), b"501 Refused by the firewall.  \r\n");
        assert_eq!(reply(why, 13).unwrap(), b"501 Refused\r\n");
        assert_eq!(reply(why, 5).unwrap(), b"501\r\n");
        assert_eq!(reply(why, 4), None);
    }

    #[test]
    fn an_announcement_fits_or_is_not_made() {
        let at = "203.0.113.100:50000".parse().unwrap();
        let line = b"227 Entering Passive Mode (203,0,113,100,195,80).\r\n";
        assert_eq!(passive(line, at, line.len()).unwrap(), line);
        assert_eq!(passive(line, at, 32).unwrap(), b"227 (203,0,113,100,195,80)    \r\n");
        assert_eq!(passive(line, at, 20), None);
        let v6 = "[2001:db8::1]:50000".parse().unwrap();
        assert_eq!(
            passive(b"229 Entering Extended Passive Mode (|||50000|).\r\n", v6, 18).unwrap(),
            b"229 (|||50000|) \r\n"
        );
    }
}
