//! Where TLS ends: the frames of its records, seen from outside.
//!
//! A gate that lets AUTH TLS pass sees records and nothing of what is in them. After CCC (RFC 4217 §6) both sides
//! go on in the clear, and the first octet that begins no record is the first one to be read again. No line
//! of FTP begins with such an octet: they are control characters.

/// The longest record: 2^14 octets and what encryption adds (RFC 8446 §5.2, RFC 5246 §6.2.3).
const LONGEST: usize = (1 << 14) + 2048;
const HEADER: usize = 5;

/// Follows the records of one direction.
#[derive(Clone, Debug, Default)]
pub struct Records {
    header: [u8; HEADER],
    have: usize,
    /// Octets of the current record still to come.
    left: usize,
    /// A record was seen that only comes once a handshake is under way on both sides.
    spoken: bool,
}

/// What the octets are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// All of them TLS.
    Tls,
    /// TLS up to here, and clear text from here on.
    ClearFrom(usize),
    /// Neither.
    Broken,
}

impl Records {
    /// Whether this side has spoken TLS at all.
    #[must_use]
    pub fn has_spoken(&self) -> bool {
        self.spoken
    }

    /// Follows some octets, cut anywhere. Feed nothing more after clear text was found.
    pub fn feed(&mut self, octets: &[u8]) -> Found {
        let mut rest = octets;
        while let Some((&first, after)) = rest.split_first() {
            if self.left > 0 {
                let skip = self.left.min(rest.len());
                self.left -= skip;
                rest = rest.get(skip..).unwrap_or_default();
                continue;
            }
            if self.have == 0 && !(20..=24).contains(&first) {
                return Found::ClearFrom(octets.len() - rest.len());
            }
            if let Some(place) = self.header.get_mut(self.have) {
                *place = first;
            }
            self.have += 1;
            rest = after;
            if self.have == HEADER {
                let [_, major, _, high, low] = self.header;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.have = 0;
                if major != 3 || self.left > LONGEST {
                    return Found::Broken;
                }
                self.spoken = true;
            }
        }
        Found::Tls
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(kind: u8, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&[kind, 3, 3, length[0], length[1]], body].concat()
    }

    #[test]
    fn lines_inside_of_records_are_not_seen() {
        let mut records = Records::default();
        assert_eq!(records.feed(&record(23, b"\r\n227 (10,0,0,1,19,136)\r\n")), Found::Tls);
        assert!(records.has_spoken());
    }

    #[test]
    fn what_is_neither_a_record_nor_text_is_broken() {
        assert_eq!(Records::default().feed(&[22, 9, 9, 0, 1]), Found::Broken);
        assert_eq!(Records::default().feed(&[22, 3, 3, 0xFF, 0xFF]), Found::Broken);
    }

    proptest! {
        #[test]
        fn the_end_of_tls_is_found_however_it_is_cut(
            bodies in proptest::collection::vec((20_u8..=24, proptest::collection::vec(any::<u8>(), 0..300)), 0..8),
            text in "[A-Za-z0-9 ]{1,40}",
            cut in 1_usize..64,
        ) {
            let tls: Vec<u8> = bodies.iter().flat_map(|(kind, body)| record(*kind, body)).collect();
            let all = [&tls[..], text.as_bytes()].concat();
            let (mut records, mut at) = (Records::default(), 0);
            for piece in all.chunks(cut) {
                match records.feed(piece) {
                    Found::Tls => at += piece.len(),
                    Found::ClearFrom(here) => {
                        prop_assert_eq!(at + here, tls.len());
                        return Ok(());
                    }
                    Found::Broken => prop_assert!(false, "broken"),
                }
            }
            prop_assert!(false, "the clear text was not seen");
        }
    }
}
