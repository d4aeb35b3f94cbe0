//! A TCP segment inside its IP packet: read where it lies, and written anew with other octets.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

/// Flags of TCP (RFC 9293 §3.1).
pub(crate) mod flag {
    /// No more from the sender.
    pub(crate) const FIN: u8 = 0x01;
    /// The first segment.
    pub(crate) const SYN: u8 = 0x02;
    /// The connection is no more.
    pub(crate) const RST: u8 = 0x04;
    /// The acknowledgement counts.
    pub(crate) const ACK: u8 = 0x10;
    /// The urgent pointer counts.
    pub(crate) const URG: u8 = 0x20;
}

const TCP: u8 = 6;
/// Octets that fit into a packet everywhere: the least MTU of IPv6, less the longest headers we leave alone.
const ALWAYS_FITS: usize = 1100;

/// A segment, and where its parts lie in the packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// Who sent it.
    pub(crate) from: SocketAddr,
    /// To whom.
    pub(crate) to: SocketAddr,
    /// The sequence number of its first octet, or of SYN.
    pub(crate) seq: u32,
    /// The acknowledgement, if [`flag::ACK`] is set.
    pub(crate) ack: u32,
    /// See [`flag`].
    pub(crate) flags: u8,
    /// Where the TCP header begins.
    header: usize,
    payload: Range<usize>,
}

impl Segment {
    /// Reads an IPv4 or IPv6 packet with a whole TCP segment and a right checksum; `None` if it is none.
    #[must_use]
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        let (from, to, header, end): (IpAddr, IpAddr, usize, usize) = match packet.first()? >> 4 {
            4 => {
                let header = usize::from(packet.first()? & 15) * 4;
                let end = usize::from(number16(packet, 2)?);
                // The gate's connection tracking puts fragments together before us.
                let fragment = number16(packet, 6)? & 0x3FFF != 0;
                if header < 20 || fragment || *packet.get(9)? != TCP {
                    return None;
                }
                (address4(packet, 12)?, address4(packet, 16)?, header, end)
            }
            6 => {
                let end = 40 + usize::from(number16(packet, 4)?);
                (address6(packet, 8)?, address6(packet, 24)?, behind_extensions(packet)?, end)
            }
            _ => return None,
        };
        let segment = packet.get(header..end)?;
        let offset = usize::from(segment.get(12)? >> 4) * 4;
        if offset < 20 || offset > segment.len() || checksum(from, to, segment) != 0 {
            return None;
        }
        Some(Self {
            from: SocketAddr::new(from, number16(segment, 0)?),
            to: SocketAddr::new(to, number16(segment, 2)?),
            seq: number32(segment, 4)?,
            ack: number32(segment, 8)?,
            flags: *segment.get(13)?,
            header,
            payload: header + offset..end,
        })
    }

    /// What it carries.
    #[must_use]
    pub(crate) fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.payload.clone()).unwrap_or_default()
    }

    /// How many octets a packet in its place may carry.
    #[must_use]
    pub(crate) fn room(&self) -> usize {
        self.payload.len().max(ALWAYS_FITS)
    }

    /// Whether any of these flags is set.
    #[must_use]
    pub(crate) fn has(&self, flags: u8) -> bool {
        self.flags & flags != 0
    }

    /// The same packet with another sequence number, other flags and other octets. Urgent data becomes plain data:
    /// receivers disagree whether the urgent octet is a part of the stream (RFC 6093).
    #[must_use]
    pub(crate) fn rewritten(&self, packet: &[u8], seq: u32, flags: u8, octets: &[u8]) -> Vec<u8> {
        let mut out = packet.get(..self.payload.start).unwrap_or_default().to_vec();
        out.extend_from_slice(octets);
        put(&mut out, self.header + 4, &seq.to_be_bytes());
        put(&mut out, self.header + 13, &[flags & !flag::URG]);
        // Checksum and urgent pointer.
        put(&mut out, self.header + 16, &[0; 4]);
        let total = u16::try_from(out.len()).unwrap_or(u16::MAX);
        if self.from.is_ipv4() {
            put(&mut out, 2, &total.to_be_bytes());
            put(&mut out, 10, &[0; 2]);
            let sum = fold(sum(out.get(..self.ip_header(&out)).unwrap_or_default()));
            put(&mut out, 10, &sum.to_be_bytes());
        } else {
            put(&mut out, 4, &total.saturating_sub(40).to_be_bytes());
        }
        let sum = checksum(self.from.ip(), self.to.ip(), out.get(self.header..).unwrap_or_default());
        put(&mut out, self.header + 16, &sum.to_be_bytes());
        out
    }

    fn ip_header(&self, packet: &[u8]) -> usize {
        packet.first().map_or(self.header, |first| usize::from(first & 15) * 4)
    }
}

/// Walks over the extension headers that may come before TCP (RFC 8200 §4.1); a fragment is no whole segment.
fn behind_extensions(packet: &[u8]) -> Option<usize> {
    let (mut next, mut at) = (*packet.get(6)?, 40);
    while next != TCP {
        // Hop-by-hop, routing, destination options.
        if !matches!(next, 0 | 43 | 60) {
            return None;
        }
        next = *packet.get(at)?;
        at += 8 + usize::from(*packet.get(at + 1)?) * 8;
    }
    Some(at)
}

fn number16(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().map(|b| u16::from_be_bytes(*b))
}

fn number32(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().map(|b| u32::from_be_bytes(*b))
}

fn address4(octets: &[u8], at: usize) -> Option<IpAddr> {
    octets.get(at..)?.first_chunk::<4>().map(|b| IpAddr::from(*b))
}

fn address6(octets: &[u8], at: usize) -> Option<IpAddr> {
    octets.get(at..)?.first_chunk::<16>().map(|b| IpAddr::from(*b))
}

fn put(octets: &mut [u8], at: usize, value: &[u8]) {
    if let Some(place) = octets.get_mut(at..at + value.len()) {
        place.copy_from_slice(value);
    }
}

/// Over the pseudo-header and the segment (RFC 9293 §3.1, RFC 8200 §8.1); 0 if the segment's own is right.
fn checksum(from: IpAddr, to: IpAddr, segment: &[u8]) -> u16 {
    let mut total = u64::from(TCP) + segment.len() as u64 + sum(segment);
    for ip in [from, to] {
        total += match ip {
            IpAddr::V4(ip) => sum(&ip.octets()),
            IpAddr::V6(ip) => sum(&ip.octets()),
        };
    }
    fold(total)
}

fn sum(octets: &[u8]) -> u64 {
    let pairs = octets.chunks(2).map(|pair| match *pair {
        [high, low] => u64::from(u16::from_be_bytes([high, low])),
        [high] => u64::from(high) << 8,
        _ => 0,
    });
    pairs.sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(u16::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A packet as a host makes it, its checksums left to [`Segment::rewritten`].
    fn packet(v6: bool, payload: &[u8]) -> Vec<u8> {
        let mut out = if v6 {
            let mut ip = vec![0x60, 0, 0, 0, 0, 0, 0, 64];
            // One destination option of eight octets before TCP.
            ip[6] = 60;
            ip.extend([0x20, 1, 0xd, 0xb8].iter().chain(&[0; 11]).chain(&[7]));
            ip.extend([0x20, 1, 0xd, 0xb8].iter().chain(&[0; 11]).chain(&[9]));
            ip.extend([TCP, 0, 1, 4, 0, 0, 0, 0]);
            ip
        } else {
            vec![0x45, 0, 0, 0, 0, 1, 0x40, 0, 64, TCP, 0, 0, 192, 0, 2, 7, 198, 51, 100, 1]
        };
        let header = out.len();
        out.extend([0x9C, 0x40, 0, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0x60, 0x18, 1, 0, 0, 0, 0, 0, 1, 1, 1, 0]);
        let [from, to] = if v6 { ["2001:db8::7", "2001:db8::9"] } else { ["192.0.2.7", "198.51.100.1"] };
        let raw = Segment {
            from: SocketAddr::new(from.parse().unwrap(), 40000),
            to: SocketAddr::new(to.parse().unwrap(), 21),
            seq: 1,
            ack: 2,
            flags: 0x18,
            header,
            payload: out.len()..out.len(),
        };
        raw.rewritten(&out, 1, 0x18, payload)
    }

    proptest! {
        #[test]
        fn what_is_written_anew_is_read_back(v6: bool, payload: Vec<u8>, other: Vec<u8>, seq: u32) {
            let first = packet(v6, &payload);
            let segment = Segment::read(&first).unwrap();
            prop_assert_eq!(segment.payload(&first), &payload[..]);
            let again = segment.rewritten(&first, seq, flag::RST | flag::URG, &other);
            let read = Segment::read(&again).unwrap();
            prop_assert_eq!((read.seq, read.flags, read.from, read.to), (seq, flag::RST, segment.from, segment.to));
            prop_assert_eq!(read.payload(&again), &other[..]);
        }

        #[test]
        fn a_packet_with_a_wrong_octet_is_no_segment(v6: bool, payload: Vec<u8>, at: prop::sample::Index, bit in 0..8_u8) {
            let mut octets = packet(v6, &payload);
            let at = at.index(octets.len());
            octets[at] ^= 1_u8 << bit;
            // What TCP does not protect: version and class, flow label, identification, hop limit, options.
            let header = if v6 { 48 } else { 20 };
            if at >= header {
                prop_assert_eq!(Segment::read(&octets), None);
            }
        }

        #[test]
        fn no_packet_makes_the_reader_panic(octets: Vec<u8>) {
            let _ = Segment::read(&octets);
        }
    }
}
