//! As much HTTP as a router's UPnP speaks: one request, one answer, within a deadline and a size.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// The longest answer that is read, in octets; descriptions have some 10 KiB.
const LONGEST: usize = 256 * 1024;

/// Sends a request and reads the answer: its status, and its body as text.
pub(crate) fn call(at: SocketAddr, request: &str, within: Duration) -> io::Result<(u16, String)> {
    let end = Instant::now() + within;
    let mut stream = TcpStream::connect_timeout(&at, within)?;
    stream.set_write_timeout(Some(within))?;
    stream.write_all(request.as_bytes())?;
    let mut octets = Vec::new();
    let mut piece = [0; 4096];
    while !is_complete(&octets) && octets.len() < LONGEST {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut piece)? {
            0 => break,
            n => octets.extend_from_slice(piece.get(..n).unwrap_or_default()),
        }
    }
    read(&octets).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no HTTP"))
}

/// Whether the whole body is here, where its length was told.
fn is_complete(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets);
    let Some((head, _)) = text.split_once("\r\n\r\n") else { return false };
    if header(head, "transfer-encoding").is_some() {
        return text.ends_with("\r\n0\r\n\r\n");
    }
    let length = header(head, "content-length").and_then(|value| value.parse::<usize>().ok());
    length.is_some_and(|length| octets.len() >= head.len().saturating_add(4).saturating_add(length))
}

fn read(octets: &[u8]) -> Option<(u16, String)> {
    let text = String::from_utf8_lossy(octets);
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = match header(head, "transfer-encoding") {
        Some(how) if how.eq_ignore_ascii_case("chunked") => unchunked(body),
        _ => body.to_owned(),
    };
    Some((status, body))
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (found, value) = line.split_once(':')?;
        found.trim().eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// RFC 9112 §7.1; what is cut short counts as far as it came.
fn unchunked(mut body: &str) -> String {
    let mut out = String::new();
    while let Some((size, rest)) = body.split_once("\r\n") {
        let size = size.split(';').next().unwrap_or_default().trim();
        let Some(size) = usize::from_str_radix(size, 16).ok().filter(|&size| size > 0) else { break };
        let Some(chunk) = rest.get(..size) else {
            out.push_str(rest);
            break;
        };
        out.push_str(chunk);
        body = rest.get(size..).and_then(|rest| rest.strip_prefix("\r\n")).unwrap_or_default();
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn bodies_come_plain_or_in_chunks() {
        let plain = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";
        assert!(is_complete(plain) && !is_complete(&plain[..plain.len() - 1]));
        assert_eq!(read(plain), Some((200, "hello".to_owned())));
        let chunks =
            b"HTTP/1.1 500 No\r\nTRANSFER-encoding: chunked\r\n\r\n3\r\nhel\r\n2;x\r\nlo\r\n0\r\n\r\n";
        assert!(is_complete(chunks));
        assert_eq!(read(chunks), Some((500, "hello".to_owned())));
        assert_eq!(read(b"220 ftp\r\n\r\n"), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_reader_panic(head in "[ -~\r\n]{0,80}", body in "\\PC{0,80}") {
            let text = format!("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n{head}\r\n\r\n{body}");
            let _ = (is_complete(text.as_bytes()), read(text.as_bytes()));
        }
    }
}
