//! A box at the client's network that relays control connections and meddles with them, as some routers do.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};

use super::setting::Meddling;
use crate::error::LabError;
use crate::network::filter;
use crate::space::Host;

/// A line that is longer is passed on in pieces.
const LINE: u64 = 8192;

/// Takes over the connections to port 21 of `server` that go through this machine.
pub(super) fn start(
    host: &Host,
    meddling: Meddling,
    own: Ipv4Addr,
    server: Ipv4Addr,
) -> Result<(), LabError> {
    let port = host.run(move || -> Result<u16, LabError> {
        let failed = LabError::system("the middlebox");
        let listener = TcpListener::bind((own, 0)).map_err(failed)?;
        let port = listener.local_addr().map_err(LabError::system("the middlebox"))?.port();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                // In the namespace of the thread that starts it.
                std::thread::spawn(move || relay(client, SocketAddr::from((server, 21)), meddling, own));
            }
        });
        Ok(port)
    })??;
    filter(
        host,
        format!(
            "table ip takeover {{
                 chain prerouting {{ type nat hook prerouting priority dstnat - 1;
                     iifname \"lan\" ip daddr {server} tcp dport 21 dnat to {own}:{port}
                 }}
             }}"
        ),
    )
}

fn relay(client: TcpStream, server: SocketAddr, meddling: Meddling, own: Ipv4Addr) {
    let Ok(server) = TcpStream::connect(server) else { return };
    let copies = (client.try_clone(), server.try_clone());
    let (Ok(from_client), Ok(to_server)) = copies else { return };
    let opaque = meddling != Meddling::CutsTls;
    let upwards = std::thread::spawn(move || {
        pass(from_client, to_server, opaque, |line| match meddling {
            Meddling::StripsAuth if line.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"AUTH")) => {
                Some(crossed_out(line))
            }
            _ => Some(line.to_vec()),
        });
    });
    pass(server, client, opaque, |line| match meddling {
        Meddling::Rewrites227 if line.starts_with(b"227 ") => Some(rewritten(line, own)),
        Meddling::Swallows229 if line.starts_with(b"229 ") => None,
        Meddling::StripsAuth if line.starts_with(b" AUTH") => {
            Some([b" ".as_slice(), &crossed_out(line.get(1..).unwrap_or_default())].concat())
        }
        _ => Some(line.to_vec()),
    });
    // It ends when its side does; whether it panicked is no matter any more.
    let _ = upwards.join();
}

/// Passes lines on until one side ends. What is not text, TLS, passes as it is if `opaque`, and is the end otherwise.
fn pass(from: TcpStream, mut to: TcpStream, opaque: bool, change: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    // One small write for each line: nobody is to wait for an acknowledgement.
    let _ = to.set_nodelay(true);
    let mut from = BufReader::new(from);
    let mut encrypted = false;
    while let Ok(ready) = from.fill_buf() {
        if ready.is_empty() {
            break;
        }
        // A TLS record begins with its type (RFC 8446 §5.1), which is no letter, digit or blank.
        encrypted |= ready.first().is_some_and(|first| (20..=23).contains(first));
        if encrypted && !opaque {
            break;
        }
        let out = if encrypted {
            let out = ready.to_vec();
            from.consume(out.len());
            Some(out)
        } else {
            let mut line = Vec::new();
            if std::io::Read::take(&mut from, LINE).read_until(b'\n', &mut line).is_err() {
                break;
            }
            change(&line)
        };
        if out.is_some_and(|out| to.write_all(&out).is_err()) {
            break;
        }
    }
    // The other direction may go on.
    let _ = to.shutdown(Shutdown::Write);
}

fn crossed_out(line: &[u8]) -> Vec<u8> {
    line.iter().map(|octet| if octet.is_ascii_alphanumeric() { b'X' } else { *octet }).collect()
}

/// The reply with another address, whatever it is for.
fn rewritten(line: &[u8], own: Ipv4Addr) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let Some((before, rest)) = text.split_once('(') else { return line.to_vec() };
    let numbers: Vec<&str> = rest.split([',', ')']).collect();
    let [_, _, _, _, high, low, ..] = numbers.as_slice() else { return line.to_vec() };
    let [a, b, c, d] = own.octets();
    format!("{before}({a},{b},{c},{d},{high},{low}).\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_is_rewritten() {
        let line = b"227 Entering Passive Mode (10,0,0,9,78,33).\r\n";
        let text = String::from_utf8(rewritten(line, Ipv4Addr::new(192, 168, 1, 1))).expect("text");
        assert_eq!(text, "227 Entering Passive Mode (192,168,1,1,78,33).\r\n");
        assert_eq!(crossed_out(b"AUTH TLS\r\n"), b"XXXX XXX\r\n");
    }
}
