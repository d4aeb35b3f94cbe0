//! SOCKS version 5 as values: what is said, and what the answers mean (RFC 1928; the password, RFC 1929).

use std::net::{IpAddr, SocketAddr};

use super::{Destination, ProxyError};

const VERSION: u8 = 5;

/// RFC 1928 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asked {
    Connect = 1,
    Bind = 2,
}

/// How to log in (RFC 1928 §3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    None,
    Password,
}

/// A reply, or how many octets more it takes to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Need(usize),
    Done(Destination),
}

/// The first words: the ways to log in that we offer.
pub(super) fn greeting(password: bool) -> &'static [u8] {
    if password { &[VERSION, 2, 0, 2] } else { &[VERSION, 1, 0] }
}

/// Which of them the proxy takes.
pub(super) fn method(reply: [u8; 2]) -> Result<Method, ProxyError> {
    match reply {
        [VERSION, 0] => Ok(Method::None),
        [VERSION, 2] => Ok(Method::Password),
        [VERSION, 0xFF] => Err(ProxyError::NoMethod),
        [VERSION, other] => Err(ProxyError::Strange(format!("with login method {other}"))),
        octets => Err(strange(&octets)),
    }
}

/// User and password (RFC 1929 §2).
pub(super) fn login(user: &[u8], password: &[u8]) -> Result<Vec<u8>, ProxyError> {
    let length = |text: &[u8]| u8::try_from(text.len()).map_err(|_| ProxyError::Login);
    Ok([&[1, length(user)?], user, &[length(password)?], password].concat())
}

/// Whether they were taken. Some proxies say version 5 here.
pub(super) fn logged_in(reply: [u8; 2]) -> Result<(), ProxyError> {
    match reply {
        [1 | VERSION, 0] => Ok(()),
        [1 | VERSION, _] => Err(ProxyError::Login),
        octets => Err(strange(&octets)),
    }
}

/// A request (RFC 1928 §4).
pub(super) fn request(asked: Asked, to: &Destination) -> Result<Vec<u8>, ProxyError> {
    let mut out = vec![VERSION, asked as u8, 0];
    match to {
        Destination::Name(name, _) => {
            out.extend([3, u8::try_from(name.len()).map_err(|_| ProxyError::Name)?]);
            out.extend(name.as_bytes());
        }
        Destination::Addr(addr) => match addr.ip().to_canonical() {
            IpAddr::V4(ip) => {
                out.push(1);
                out.extend(ip.octets());
            }
            IpAddr::V6(ip) => {
                out.push(4);
                out.extend(ip.octets());
            }
        },
    }
    out.extend(to.port().to_be_bytes());
    Ok(out)
}

/// The reply to a request, as far as it has come (RFC 1928 §6). Never asks for an octet behind it.
pub(super) fn reply(octets: &[u8], to: &Destination) -> Result<Step, ProxyError> {
    let more = |length: usize| Ok(Step::Need(length.saturating_sub(octets.len())));
    // Version and verdict first: a refusal may come without the rest.
    let (version, verdict) = match octets {
        [version, verdict, ..] => (*version, *verdict),
        _ => return more(2),
    };
    if version != VERSION {
        return Err(strange(octets));
    }
    let (to, said) = (to.clone(), format!("SOCKS reply {verdict}"));
    match verdict {
        0 => {}
        2 => return Err(ProxyError::Forbidden { to, said }),
        5 => return Err(ProxyError::Refused { to, said }),
        // 1 is what most say when a connection came to nothing.
        1 | 3 | 4 | 6 => return Err(ProxyError::Unreachable { to, said }),
        7 => return Err(ProxyError::Unsupported("SOCKS reply 7: it does not know this command")),
        8 => return Err(ProxyError::Unsupported("SOCKS reply 8: it does not know this kind of address")),
        _ => return Err(ProxyError::Strange(format!("with {said}"))),
    }
    let port = |at: usize| octets.get(at..at.saturating_add(2)).and_then(|p| p.try_into().ok());
    match octets.get(3..) {
        None | Some([]) => more(5),
        Some([1, rest @ ..]) => match (rest.first_chunk::<4>(), port(8)) {
            (Some(ip), Some(port)) => Ok(found(IpAddr::from(*ip), port)),
            _ => more(10),
        },
        Some([4, rest @ ..]) => match (rest.first_chunk::<16>(), port(20)) {
            (Some(ip), Some(port)) => Ok(found(IpAddr::from(*ip), port)),
            _ => more(22),
        },
        Some([3]) => more(5),
        Some([3, length, rest @ ..]) => {
            let length = usize::from(*length);
            match (rest.get(..length), port(5 + length)) {
                (Some(name), Some(port)) => {
                    let name = String::from_utf8_lossy(name);
                    Ok(Step::Done(Destination::named(&name, u16::from_be_bytes(port))))
                }
                _ => more(7 + length),
            }
        }
        Some([other, ..]) => Err(ProxyError::Strange(format!("with an address of type {other}"))),
    }
}

fn found(ip: IpAddr, port: [u8; 2]) -> Step {
    Step::Done(Destination::Addr(SocketAddr::new(ip, u16::from_be_bytes(port))))
}

fn strange(octets: &[u8]) -> ProxyError {
    ProxyError::Strange(format!("{:?}", String::from_utf8_lossy(octets)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server() -> Destination {
        Destination::named("ftp.example", 21)
    }

    #[test]
    fn requests_are_as_rfc_1928_draws_them() {
        let name = request(Asked::Connect, &server()).unwrap();
        assert_eq!(name, [&b"\x05\x01\x00\x03\x0bftp.example"[..], &[0, 21]].concat());
        let v4 = request(Asked::Bind, &Destination::named("192.0.2.1", 258)).unwrap();
        assert_eq!(v4, [5, 2, 0, 1, 192, 0, 2, 1, 1, 2]);
        let v6 = request(Asked::Connect, &Destination::named("2001:db8::1", 21)).unwrap();
        assert_eq!((v6.len(), v6[3], v6[4]), (22, 4, 0x20));
        assert!(request(Asked::Connect, &Destination::Name("x".repeat(256), 1)).is_err());
        assert_eq!(login(b"u", b"pw").unwrap(), b"\x01\x01u\x02pw");
        assert!(login(&[b'u'; 256], b"").is_err());
    }

    #[test]
    fn each_verdict_has_its_meaning() {
        let of = |verdict| reply(&[5, verdict], &server()).unwrap_err();
        assert!(matches!(of(2), ProxyError::Forbidden { .. }));
        assert!(matches!(of(5), ProxyError::Refused { .. }));
        for unreachable in [1, 3, 4, 6] {
            assert!(matches!(of(unreachable), ProxyError::Unreachable { .. }));
        }
        assert!(matches!(of(7), ProxyError::Unsupported(_)));
        assert!(matches!(method([5, 0xFF]), Err(ProxyError::NoMethod)));
        assert!(matches!(logged_in([1, 1]), Err(ProxyError::Login)));
        // A web server, asked in SOCKS.
        assert!(matches!(method(*b"HT"), Err(ProxyError::Strange(_))));
    }

    fn destination() -> impl Strategy<Value = Destination> {
        prop_oneof![
            ("[a-z]{1,60}", any::<u16>()).prop_map(|(name, port)| Destination::Name(name, port)),
            (any::<[u8; 4]>(), any::<u16>())
                .prop_map(|(ip, port)| Destination::Addr(SocketAddr::new(ip.into(), port))),
        ]
    }

    proptest! {
        /// A reply has the form of a request, so one can be made from the other.
        #[test]
        fn a_reply_is_read_to_its_last_octet_and_no_further(
            bound in destination(), behind in prop::collection::vec(any::<u8>(), 0..20)
        ) {
            let mut wire = request(Asked::Connect, &bound).unwrap();
            wire[1] = 0;
            let whole = wire.len();
            wire.extend(behind);
            let mut have = 0;
            loop {
                match reply(&wire[..have], &server()).unwrap() {
                    Step::Done(read) => {
                        prop_assert_eq!(have, whole);
                        prop_assert_eq!(read, bound);
                        break;
                    }
                    Step::Need(more) => {
                        prop_assert!(more > 0);
                        have += more;
                        prop_assert!(have <= whole);
                    }
                }
            }
        }

        #[test]
        fn no_octets_make_the_reader_panic_or_ask_for_more_than_a_reply_holds(
            octets in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            if let Ok(Step::Need(more)) = reply(&octets, &server()) {
                prop_assert!(more > 0 && octets.len() + more <= 262);
            }
        }
    }
}
