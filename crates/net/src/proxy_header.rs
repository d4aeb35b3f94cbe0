//! The PROXY protocol header (HAProxy's specification, versions 1 and 2): what a balancer in front says of the
//! connection that it passes on.
//!
//! By hand, since both forms take fewer lines here than a library takes to be called: nothing but addresses is read.

use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::io::{AsyncRead, AsyncReadExt};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// The longest first version, CR LF included (specification §2.1).
const LONGEST_V1: usize = 107;
/// The longest second version that is read past its 16 octets: addresses take 36, the rest is extras that are skipped.
const LONGEST_V2: usize = 4096;

/// Both ends of the connection that the balancer took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Forwarded {
    /// Who connected.
    pub client: SocketAddr,
    /// The address he connected to.
    pub reached: SocketAddr,
}

impl Forwarded {
    /// Reads a header and not one octet more; `None` if the balancer speaks for itself (a health check) or names
    /// no addresses.
    ///
    /// There is no deadline here: the caller sets one.
    ///
    /// # Errors
    /// `InvalidData` if what comes is no header; otherwise as `read(2)`.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Self>> {
        let mut head = vec![0; SIGNATURE.len()];
        stream.read_exact(&mut head).await?;
        if head == SIGNATURE {
            let mut rest = [0; 4];
            stream.read_exact(&mut rest).await?;
            let [command, family, high, low] = rest;
            let mut body = vec![0; usize::from(u16::from_be_bytes([high, low]))];
            if body.len() > LONGEST_V2 {
                return Err(no_header("is longer than 4096 octets"));
            }
            stream.read_exact(&mut body).await?;
            return second(command, family, &body);
        }
        if !head.starts_with(b"PROXY ") {
            return Err(no_header("is missing"));
        }
        while !head.ends_with(b"\r\n") {
            if head.len() >= LONGEST_V1 {
                return Err(no_header("has no end within 107 octets"));
            }
            head.push(stream.read_u8().await?);
        }
        first(&head)
    }

    /// The header in its second version, for a server that wants one.
    #[must_use]
    pub fn emit(&self) -> Vec<u8> {
        let mut header = SIGNATURE.to_vec();
        match (self.client.ip().to_canonical(), self.reached.ip().to_canonical()) {
            (IpAddr::V4(client), IpAddr::V4(reached)) => {
                header.extend([0x21, 0x11, 0, 12]);
                header.extend(client.octets());
                header.extend(reached.octets());
            }
            (client, reached) => {
                header.extend([0x21, 0x21, 0, 36]);
                header.extend(v6(client).octets());
                header.extend(v6(reached).octets());
            }
        }
        header.extend(self.client.port().to_be_bytes());
        header.extend(self.reached.port().to_be_bytes());
        header
    }

    /// The header in its first version, a line of text.
    #[must_use]
    pub fn emit_text(&self) -> Vec<u8> {
        let (client, reached) = (self.client.ip().to_canonical(), self.reached.ip().to_canonical());
        let (family, client, reached) = match (client, reached) {
            (IpAddr::V4(_), IpAddr::V4(_)) => ("TCP4", client, reached),
            _ => ("TCP6", v6(client).into(), v6(reached).into()),
        };
        let ports = (self.client.port(), self.reached.port());
        format!("PROXY {family} {client} {reached} {} {}\r\n", ports.0, ports.1).into_bytes()
    }
}

fn v6(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    }
}

/// Specification §2.1.
fn first(line: &[u8]) -> io::Result<Option<Forwarded>> {
    let strange = || no_header("is no line of the first version");
    let text =
        std::str::from_utf8(line).ok().and_then(|text| text.strip_suffix("\r\n")).ok_or_else(strange)?;
    let mut words = text.split(' ').skip(1);
    let family = words.next();
    if family == Some("UNKNOWN") {
        // What follows means nothing then.
        return Ok(None);
    }
    let [Some(client), Some(reached), Some(from), Some(to), None] = std::array::from_fn(|_| words.next())
    else {
        return Err(strange());
    };
    let address = |text: &str| -> Option<IpAddr> {
        match family {
            Some("TCP4") => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            Some("TCP6") => text.parse::<Ipv6Addr>().ok().map(|ip| IpAddr::V6(ip).to_canonical()),
            _ => None,
        }
    };
    // `parse` alone would take a sign.
    let port =
        |text: &str| text.bytes().all(|c| c.is_ascii_digit()).then(|| text.parse::<u16>().ok()).flatten();
    let end = |ip, at| Some(SocketAddr::new(address(ip)?, port(at)?));
    match (end(client, from), end(reached, to)) {
        (Some(client), Some(reached)) => Ok(Some(Forwarded { client, reached })),
        _ => Err(strange()),
    }
}

/// Specification §2.2.
fn second(command: u8, family: u8, body: &[u8]) -> io::Result<Option<Forwarded>> {
    match command {
        0x20 => return Ok(None),
        0x21 => {}
        _ => return Err(no_header("has an unknown version or command")),
    }
    let octets = |at: usize, count: usize| body.get(at..at + count).ok_or_else(|| no_header("is cut off"));
    let port = |at| octets(at, 2).map(|two| two.iter().fold(0, |sum, &octet| sum << 8 | u16::from(octet)));
    let (client, reached, ports): (IpAddr, IpAddr, usize) = match family {
        0x11 => {
            let ip = |at| octets(at, 4).and_then(|four| <[u8; 4]>::try_from(four).map_err(io::Error::other));
            (ip(0)?.into(), ip(4)?.into(), 8)
        }
        0x21 => {
            let ip = |at| octets(at, 16).and_then(|all| <[u8; 16]>::try_from(all).map_err(io::Error::other));
            (ip(0)?.into(), ip(16)?.into(), 32)
        }
        // Not TCP: no address that means anything to us.
        _ => return Ok(None),
    };
    Ok(Some(Forwarded {
        client: SocketAddr::new(client.to_canonical(), port(ports)?),
        reached: SocketAddr::new(reached.to_canonical(), port(ports + 2)?),
    }))
}

fn no_header(why: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("the PROXY header {why}"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(octets: &[u8]) -> (io::Result<Option<Forwarded>>, usize) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let mut left = octets;
        let read = runtime.block_on(Forwarded::read(&mut left));
        (read, left.len())
    }

    #[test]
    fn what_is_no_header_is_refused_and_what_names_nobody_is_nobody() {
        for bad in [
            &b"USER anonymous\r\n"[..],
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2 3\r\n",
            b"PROXY TCP4 ::1 ::1 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 +1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 70000\r\n",
            b"PROXY UDP4 1.2.3.4 5.6.7.8 1 2\r\n",
            b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\n                                                                                              ",
            b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c............",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x08........",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
            b"\r\n\r\n\0\r\nQUIT\n\x21",
        ] {
            assert!(read(bad).0.is_err(), "{:?}", String::from_utf8_lossy(bad));
        }
        for nobody in [
            &b"PROXY UNKNOWN\r\n"[..],
            b"PROXY UNKNOWN whatever it says\r\n",
            b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
            b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\x02xx",
        ] {
            assert_eq!(read(nobody).0.expect("a header"), None);
        }
    }

    fn end() -> impl Strategy<Value = SocketAddr> {
        any::<(IpAddr, u16)>().prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again_and_nothing_behind_it(
            client in end(), reached in end(), behind in proptest::collection::vec(any::<u8>(), 0..32),
        ) {
            let forwarded = Forwarded { client, reached };
            for mut header in [forwarded.emit(), forwarded.emit_text()] {
                header.extend(&behind);
                let (read, left) = read(&header);
                prop_assert_eq!(read.expect("a header"), Some(forwarded));
                prop_assert_eq!(left, behind.len());
            }
        }

        #[test]
        fn no_input_panics(octets in proptest::collection::vec(any::<u8>(), 0..200), as_second in any::<bool>()) {
            let mut input = if as_second { SIGNATURE.to_vec() } else { b"PROXY ".to_vec() };
            input.extend(octets);
            let _ = read(&input);
        }
    }
}
