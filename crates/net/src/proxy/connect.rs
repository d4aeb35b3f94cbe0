//! HTTP CONNECT as values: the request, and what the answer means (RFC 9110 §9.3.6).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{Destination, ProxyError};

/// The longest head of an answer that is read, in octets.
pub(super) const LONGEST: usize = 16 * 1024;

/// The request; the login goes by the Basic scheme (RFC 7617 §2).
pub(super) fn request(to: &Destination, login: Option<(&[u8], &[u8])>) -> Vec<u8> {
    let mut head = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n");
    if let Some((user, password)) = login {
        let pair = STANDARD.encode([user, b":", password].concat());
        head.push_str(&format!("Proxy-Authorization: Basic {pair}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// Whether the head has ended, with CRLF or bare LF; what is no HTTP has ended with its first line.
pub(super) fn is_complete(head: &[u8]) -> bool {
    let other = head.ends_with(b"\n") && !head.starts_with(b"HTTP/");
    other || head.ends_with(b"\r\n\r\n") || head.ends_with(b"\n\n")
}

/// What a complete head means.
pub(super) fn verdict(head: &[u8], to: &Destination) -> Result<(), ProxyError> {
    let line = head.split(|&b| b == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line.trim_ascii());
    let said: String = line.chars().map(|c| if c.is_control() { '?' } else { c }).take(200).collect();
    let mut words = said.split(' ');
    let version = words.next().filter(|word| word.starts_with("HTTP/"));
    let code = words.next().filter(|word| word.len() == 3).and_then(|word| word.parse::<u16>().ok());
    let (Some(_), Some(code)) = (version, code) else {
        return Err(ProxyError::Strange(format!("{said:?}")));
    };
    let to = to.clone();
    match code {
        200..=299 => Ok(()),
        407 => Err(ProxyError::Login),
        // 405: not this method here. Squid and Tinyproxy say 403 for ports that they do not allow.
        400 | 401 | 403 | 405 | 451 => Err(ProxyError::Forbidden { to, said }),
        500..=599 => Err(ProxyError::Unreachable { to, said }),
        _ => Err(ProxyError::Strange(format!("{said:?}"))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn to() -> Destination {
        Destination::named("2001:db8::1", 2121)
    }

    #[test]
    fn a_request_names_the_server_twice_and_hides_nothing_in_the_first_line() {
        let request = String::from_utf8(request(&to(), Some((b"Aladdin", b"open sesame")))).unwrap();
        let lines: Vec<&str> = request.split("\r\n").collect();
        // The example of RFC 7617 §2.
        assert_eq!(
            lines,
            [
                "CONNECT [2001:db8::1]:2121 HTTP/1.1",
                "Host: [2001:db8::1]:2121",
                "Proxy-Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
                "",
                ""
            ]
        );
    }

    #[test]
    fn each_status_has_its_meaning() {
        let of = |head: &str| verdict(head.as_bytes(), &to());
        assert!(of("HTTP/1.0 200 Connection established\r\nProxy-agent: x\r\n\r\n").is_ok());
        assert!(of("HTTP/1.1 200\r\n\r\n").is_ok());
        assert!(matches!(of("HTTP/1.1 407 Auth\r\n\r\n"), Err(ProxyError::Login)));
        assert!(matches!(of("HTTP/1.0 403 Access violation\r\n\r\n"), Err(ProxyError::Forbidden { .. })));
        assert!(matches!(of("HTTP/1.1 503 No\r\n\r\n"), Err(ProxyError::Unreachable { .. })));
        for strange in
            ["220 ftp.example\r\n\r\n", "HTTP/1.1 20 x\r\n\r\n", "HTTP/1.1 302 x\r\n\r\n", "\r\n\r\n"]
        {
            assert!(matches!(of(strange), Err(ProxyError::Strange(_))), "{strange:?}");
        }
    }

    proptest! {
        #[test]
        fn no_head_makes_the_reader_panic_or_forges_a_line(head in prop::collection::vec(any::<u8>(), 0..400)) {
            if let Err(error) = verdict(&head, &to()) {
                let said = error.to_string();
                prop_assert!(!said.contains(['\r', '\n', '\x1b']));
            }
        }

        #[test]
        fn a_head_ends_at_its_first_empty_line(lines in prop::collection::vec("[ -~]{1,20}", 1..6)) {
            let head = format!("HTTP/1.1 {}\r\n\r\n", lines.join("\r\n"));
            let ends = (1..=head.len()).filter(|&n| is_complete(&head.as_bytes()[..n])).count();
            prop_assert_eq!(ends, 1);
        }
    }
}
