//! PCP and NAT-PMP, which share a port of the router.

use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use crate::{LIFETIME, Mapping, Protocol, Undo, natpmp, pcp};

/// Where routers listen (RFC 6886 §3.1, RFC 6887 §19.1).
const PORT: u16 = 5351;
/// The first repetition; each pause is twice the one before (RFC 6886 §3.1).
const FIRST: Duration = Duration::from_millis(250);
/// A router is near: what has not answered in a second does not speak this.
const PATIENCE: Duration = Duration::from_millis(1000);

/// PCP, and NAT-PMP where the router is that old. The error is for a person.
pub(crate) fn map(gateway: Ipv4Addr, local: Ipv4Addr, inside: u16) -> Result<Mapping, String> {
    let to = SocketAddr::new(gateway.into(), PORT);
    let socket = open(to, local).map_err(|error| format!("PCP: {error}"))?;
    let nonce = nonce();
    let question = pcp::request(local, inside, LIFETIME, nonce);
    let answer =
        ask(&socket, &[&question, &natpmp::ASK_ADDRESS], |octets| pcp::answer(octets, inside, nonce));
    let made = |outside, protocol, octets| {
        let undo = Undo::Datagram { to, from: local, octets };
        Mapping { outside, inside: SocketAddr::new(local.into(), inside), protocol, undo }
    };
    match answer {
        Ok(pcp::Answer::Mapped(outside)) => {
            Ok(made(outside, Protocol::Pcp, pcp::request(local, inside, 0, nonce)))
        }
        Ok(pcp::Answer::Refused(code)) => Err(format!("PCP: {} ({code})", pcp::refusal(code))),
        Err(error) => Err(format!("PCP and NAT-PMP: {}", words(&error))),
        Ok(pcp::Answer::Older) => {
            let refused = |code| format!("NAT-PMP: {} ({code})", natpmp::refusal(code));
            let silent = |error| format!("NAT-PMP: {}", words(&error));
            let ip =
                ask(&socket, &[&natpmp::ASK_ADDRESS], natpmp::address).map_err(silent)?.map_err(refused)?;
            let question = natpmp::request(inside, LIFETIME);
            let port = ask(&socket, &[&question], |octets| natpmp::port(octets, inside));
            let port = port.map_err(silent)?.map_err(refused)?;
            let outside = SocketAddr::new(IpAddr::V4(ip), port);
            Ok(made(outside, Protocol::NatPmp, natpmp::request(inside, 0)))
        }
    }
}

/// Sends a datagram that takes a mapping back, and waits a moment for any answer, so that a lost one is repaired.
pub(crate) fn send_and_forget(to: SocketAddr, from: Ipv4Addr, octets: &[u8]) {
    if let Ok(socket) = open(to, from) {
        let _ = ask(&socket, &[octets], |_| Some(()));
    }
}

fn open(to: SocketAddr, from: Ipv4Addr) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((from, 0))?;
    // Connected: only the router's own answers come in, and a closed port is known at once.
    socket.connect(to)?;
    Ok(socket)
}

/// Asks until an answer fits: the first question at first, all of them from then on.
fn ask<T>(socket: &UdpSocket, questions: &[&[u8]], read: impl Fn(&[u8]) -> Option<T>) -> io::Result<T> {
    let end = Instant::now() + PATIENCE;
    let mut pause = FIRST;
    let mut many = 1;
    loop {
        for question in questions.iter().take(many) {
            socket.send(question)?;
        }
        many = questions.len();
        let until = end.min(Instant::now() + pause);
        pause = pause.saturating_mul(2);
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            socket.set_read_timeout(Some(left))?;
            let mut octets = [0; 1100];
            match socket.recv(&mut octets) {
                Ok(length) => {
                    if let Some(answer) = read(octets.get(..length).unwrap_or_default()) {
                        return Ok(answer);
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                }
                Err(error) => return Err(error),
            }
        }
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
}

fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::TimedOut => "no answer".to_owned(),
        io::ErrorKind::ConnectionRefused => "it does not speak them".to_owned(),
        _ => error.to_string(),
    }
}

/// Nobody else is to guess it.
fn nonce() -> pcp::Nonce {
    // Each state has random keys of its own.
    let random = || RandomState::new().hash_one(0).to_ne_bytes();
    let mut nonce = [0; 12];
    for (octet, random) in nonce.iter_mut().zip(random().into_iter().chain(random())) {
        *octet = random;
    }
    nonce
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_repeated_until_its_answer_comes() {
        let router = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let socket = open(router.local_addr().unwrap(), Ipv4Addr::LOCALHOST).unwrap();
        let answering = std::thread::spawn(move || {
            let mut octets = [0; 64];
            for answer in [&b"noise"[..], &[0, 128, 0, 0, 0, 0, 0, 9, 198, 51, 100, 9]] {
                let (_, from) = router.recv_from(&mut octets).unwrap();
                router.send_to(answer, from).unwrap();
            }
        });
        let answer = ask(&socket, &[&natpmp::ASK_ADDRESS], natpmp::address).unwrap();
        assert_eq!(answer, Ok(Ipv4Addr::new(198, 51, 100, 9)));
        answering.join().unwrap();
    }

    #[test]
    fn a_router_without_it_is_known_at_once() {
        let closed = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
        let socket = open(closed, Ipv4Addr::LOCALHOST).unwrap();
        let began = Instant::now();
        let answer = ask(&socket, &[&natpmp::ASK_ADDRESS], natpmp::address);
        assert_eq!(answer.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
        assert!(began.elapsed() < PATIENCE);
        assert_ne!(nonce(), nonce());
    }
}
