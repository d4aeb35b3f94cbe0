//! A client that makes its TCP segments by itself, as no kernel would.

use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, recv, sendto,
    socket_with,
};

use crate::lab::{CLIENT, Host, SERVER, at};

pub(crate) const FIN: u8 = 1;
pub(crate) const SYN: u8 = 2;
pub(crate) const RST: u8 = 4;
pub(crate) const ACK: u8 = 16;
pub(crate) const URG: u8 = 32;

/// Our packets bear this; the client's own kernel, which knows nothing of these connections, resets with 64.
const HOPS: u8 = 77;

/// One connection.
pub(crate) struct Raw {
    send: OwnedFd,
    read: OwnedFd,
    from: SocketAddr,
    to: SocketAddr,
    /// Of the next octet to send.
    pub(crate) seq: u32,
    /// Of the next octet to read.
    pub(crate) ack: u32,
    text: Vec<u8>,
}

/// A segment that was read.
#[derive(Clone, Debug)]
pub(crate) struct Heard {
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) octets: Vec<u8>,
}

impl Raw {
    /// On the client's machine, from this port, its first sequence number being `seq`.
    pub(crate) fn new(client: &Host, family: usize, port: u16, seq: u32) -> Self {
        Self { seq, ..Self::between(client, at(CLIENT[family], port), at(SERVER[family], 21)) }
    }

    /// On any machine, from one place to another.
    pub(crate) fn between(host: &Host, from: SocketAddr, to: SocketAddr) -> Self {
        let (send, read) = host.run(move || {
            let family = if from.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
            let open = |protocol: Protocol| {
                socket_with(family, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).unwrap()
            };
            crate::lab::nft(&format!(
                "table inet quiet {{\n chain output {{ type filter hook output priority 0;
                    ip ttl 64 tcp sport {0} tcp flags & rst == rst drop
                    ip6 hoplimit 64 tcp sport {0} tcp flags & rst == rst drop
                }}\n}}",
                from.port()
            ));
            (open(ipproto::RAW), open(ipproto::TCP))
        });
        set_socket_timeout(&read, Timeout::Recv, Some(Duration::from_millis(20))).unwrap();
        Self { send, read, from, to, seq: 0, ack: 0, text: Vec::new() }
    }

    /// Shakes hands; what it sends from then on has the numbers it is told.
    pub(crate) fn shake_hands(&mut self) {
        self.segment(self.seq, SYN, b"");
        let answer = self.hears(|heard| heard.flags & (SYN | ACK) == SYN | ACK).expect("an answer to SYN");
        assert_eq!(answer.ack, self.seq.wrapping_add(1));
        self.seq = answer.ack;
        self.ack = answer.seq.wrapping_add(1);
        self.segment(self.seq, ACK, b"");
    }

    /// Sends octets in their turn.
    pub(crate) fn says(&mut self, octets: &[u8]) {
        self.segment(self.seq, ACK, octets);
        self.seq = self.seq.wrapping_add(u32::try_from(octets.len()).unwrap());
    }

    /// Sends a segment with any number and flags, and the acknowledgement that is due.
    pub(crate) fn segment(&self, seq: u32, flags: u8, octets: &[u8]) {
        let mut tcp = Vec::new();
        tcp.extend(self.from.port().to_be_bytes());
        tcp.extend(self.to.port().to_be_bytes());
        tcp.extend(seq.to_be_bytes());
        tcp.extend((if flags & ACK == 0 { 0 } else { self.ack }).to_be_bytes());
        let urgent = if flags & URG == 0 { 0 } else { u16::try_from(octets.len()).unwrap() };
        tcp.extend([5 << 4, flags, 0x40, 0, 0, 0]);
        tcp.extend(urgent.to_be_bytes());
        tcp.extend(octets);
        let sum = checksum(self.from.ip(), self.to.ip(), &tcp);
        tcp[16..18].copy_from_slice(&sum.to_be_bytes());
        let length = u16::try_from(tcp.len()).unwrap();
        let mut packet = match (self.from.ip(), self.to.ip()) {
            (IpAddr::V4(from), IpAddr::V4(to)) => {
                let [high, low] = (length + 20).to_be_bytes();
                let head = [0x45, 0, high, low, 0, 0, 0x40, 0, HOPS, 6, 0, 0];
                [&head[..], &from.octets(), &to.octets()].concat()
            }
            (IpAddr::V6(from), IpAddr::V6(to)) => {
                let [high, low] = length.to_be_bytes();
                [&[0x60, 0, 0, 0, high, low, 6, HOPS][..], &from.octets(), &to.octets()].concat()
            }
            _ => unreachable!("one family"),
        };
        packet.extend(tcp);
        sendto(&self.send, &packet, SendFlags::empty(), &SocketAddr::new(self.to.ip(), 0)).unwrap();
    }

    /// The next segment of the server that is as wanted; `None` if none comes within a second.
    pub(crate) fn hears(&mut self, wanted: impl Fn(&Heard) -> bool) -> Option<Heard> {
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end {
            let Some(heard) = self.read() else { continue };
            if heard.seq == self.ack && !heard.octets.is_empty() {
                self.text.extend_from_slice(&heard.octets);
                self.ack = self.ack.wrapping_add(u32::try_from(heard.octets.len()).unwrap());
                self.segment(self.seq, ACK, b"");
            }
            if wanted(&heard) {
                return Some(heard);
            }
        }
        None
    }

    /// Waits for a line that begins like this.
    pub(crate) fn line(&mut self, start: &str) -> String {
        let end = Instant::now() + crate::words::SOON;
        loop {
            if let Some(at) = self.text.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.text.drain(..at + 2).collect();
                let line = String::from_utf8_lossy(&line[..at]).into_owned();
                assert!(line.starts_with(start), "{start:?} was due, and it was {line:?}");
                return line;
            }
            assert!(Instant::now() < end, "{start:?} was due, and there is only {:?}", self.text);
            self.hears(|heard| !heard.octets.is_empty());
        }
    }

    fn read(&self) -> Option<Heard> {
        let mut buffer = [0; 4096];
        let length = recv(&self.read, &mut buffer[..], RecvFlags::empty()).ok()?.0;
        // With IPv4 the header comes along.
        let begin = if self.from.is_ipv4() { usize::from(buffer[0] & 15) * 4 } else { 0 };
        let tcp = &buffer[begin..length];
        let port = |at: usize| u16::from_be_bytes([tcp[at], tcp[at + 1]]);
        let number = |at: usize| u32::from_be_bytes(tcp[at..at + 4].try_into().unwrap());
        if (port(0), port(2)) != (21, self.from.port()) {
            return None;
        }
        let octets = tcp[usize::from(tcp[12] >> 4) * 4..].to_vec();
        Some(Heard { seq: number(4), ack: number(8), flags: tcp[13], octets })
    }
}

fn checksum(from: IpAddr, to: IpAddr, tcp: &[u8]) -> u16 {
    let mut all = Vec::new();
    for ip in [from, to] {
        match ip {
            IpAddr::V4(ip) => all.extend(ip.octets()),
            IpAddr::V6(ip) => all.extend(ip.octets()),
        }
    }
    all.extend([0, 6]);
    all.extend(u16::try_from(tcp.len()).unwrap().to_be_bytes());
    all.extend(tcp);
    let mut sum: u32 = all
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |low| u32::from(*low)))
        .sum();
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap()
}
