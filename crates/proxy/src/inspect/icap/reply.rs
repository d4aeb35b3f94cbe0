//! What an ICAP server says, from octets; whatever they are, nothing here grows beyond its limit.

/// Octets of a head, of the HTTP heads it encapsulates, or of the trailers of a body. More are refused.
pub(super) const LONGEST: usize = 64 * 1024;

/// Octets of one line of a chunked body that are no content.
const LONGEST_LINE: usize = 4096;

/// Fields of a head.
const MOST_FIELDS: usize = 128;

/// Why octets are no ICAP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::inspect) enum Malformed {
    #[error("a head longer than {LONGEST} octets")]
    TooLong,
    #[error("no status line of ICAP")]
    Status,
    #[error("fields that are none")]
    Fields,
    #[error("no usable Encapsulated field")]
    Encapsulated,
    #[error("a body that is not chunked")]
    Chunk,
}

/// Status line and fields (RFC 3507 §4.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) words: String,
    fields: Vec<(String, String)>,
}

/// What follows a head (RFC 3507 §4.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Encapsulated {
    /// An HTTP response is in it, and no request alone.
    pub(super) response: Option<usize>,
    /// Octets of HTTP heads in all.
    pub(super) heads: usize,
    pub(super) body: bool,
}

impl Head {
    /// A head and its length; `None` if more octets are needed.
    pub(super) fn read(octets: &[u8]) -> Result<Option<(Self, usize)>, Malformed> {
        let more = || if octets.len() >= LONGEST { Err(Malformed::TooLong) } else { Ok(None) };
        let Some(end) = octets.iter().take(LONGEST).position(|&octet| octet == b'\n') else { return more() };
        let (line, rest) = octets.split_at_checked(end + 1).ok_or(Malformed::Status)?;
        let (status, words) = status_line(line.trim_ascii_end(), b"ICAP/").ok_or(Malformed::Status)?;
        let mut room = [httparse::EMPTY_HEADER; MOST_FIELDS];
        let rest = unfolded(rest);
        let (length, fields) = match httparse::parse_headers(&rest, &mut room) {
            Ok(httparse::Status::Complete(done)) => done,
            Ok(httparse::Status::Partial) => return more(),
            Err(_) => return Err(Malformed::Fields),
        };
        let text = |value: &[u8]| String::from_utf8_lossy(value).trim().to_owned();
        let fields = fields.iter().map(|field| (field.name.to_owned(), text(field.value))).collect();
        Ok(Some((Self { status, words, fields }, line.len() + length)))
    }

    /// The first field of this name.
    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let found = self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// What the field Encapsulated announces.
    pub(super) fn encapsulated(&self) -> Result<Encapsulated, Malformed> {
        let text = self.field("Encapsulated").ok_or(Malformed::Encapsulated)?;
        let (mut response, mut last, mut ended) = (None, 0, None);
        for part in text.split(',') {
            let (name, offset) = part.trim().split_once('=').ok_or(Malformed::Encapsulated)?;
            let offset: usize = offset.trim().parse().map_err(|_| Malformed::Encapsulated)?;
            if offset < last || offset > LONGEST || ended.is_some() {
                return Err(Malformed::Encapsulated);
            }
            last = offset;
            match name.trim().to_ascii_lowercase().as_str() {
                "req-hdr" => {}
                "res-hdr" => response = Some(offset),
                "req-body" | "res-body" => ended = Some(true),
                "null-body" => ended = Some(false),
                _ => return Err(Malformed::Encapsulated),
            }
        }
        let body = ended.ok_or(Malformed::Encapsulated)?;
        Ok(Encapsulated { response, heads: last, body })
    }
}

/// The head with each field on one line, octet for octet: c-icap lists what ClamAV has found on lines of their own
/// (RFC 9112 §5.2).
fn unfolded(octets: &[u8]) -> Vec<u8> {
    let mut octets: Vec<u8> = octets.iter().copied().take(LONGEST).collect();
    let mut at = 0;
    while let Some(line) = octets.get_mut(at..) {
        let Some(end) = line.iter().position(|&octet| octet == b'\n') else { break };
        if matches!(line.get(..end), Some(b"" | b"\r")) {
            break;
        }
        if let Some(b' ' | b'\t') = line.get(end + 1) {
            line.iter_mut()
                .take(end + 1)
                .filter(|octet| matches!(octet, b'\r' | b'\n'))
                .for_each(|octet| *octet = b' ');
        }
        at += end + 1;
    }
    octets
}

/// Code and words of a status line.
fn status_line(line: &[u8], protocol: &[u8]) -> Option<(u16, String)> {
    let rest = line.strip_prefix(protocol)?;
    let mut parts = rest.splitn(3, |&octet| octet == b' ').skip(1);
    let code = std::str::from_utf8(parts.next()?).ok()?;
    let code = if code.len() == 3 { code.parse().ok()? } else { return None };
    Some((code, portway_proto::printable(parts.next().unwrap_or_default())))
}

/// The status of an encapsulated HTTP response.
pub(super) fn http_status(head: &[u8]) -> Option<(u16, String)> {
    status_line(head.split(|&octet| octet == b'\n').next()?.trim_ascii_end(), b"HTTP/")
}

/// Takes a chunked body apart (RFC 9112 §7.1).
#[derive(Debug, Default)]
pub(super) struct Chunks {
    at: At,
    line: Vec<u8>,
    trailers: usize,
}

#[derive(Clone, Copy, Debug, Default)]
enum At {
    #[default]
    Size,
    /// Octets of content that are left.
    Content(u64),
    Trailers,
    End,
}

impl Chunks {
    /// Takes the next octets, shows the content in them, and says whether that was all of it.
    pub(super) fn feed(
        &mut self,
        mut octets: &[u8],
        mut content: impl FnMut(&[u8]),
    ) -> Result<bool, Malformed> {
        loop {
            if let At::Content(left @ 1..) = self.at {
                let here = octets.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let Some((part, rest)) = octets.split_at_checked(here) else { return Ok(false) };
                content(part);
                octets = rest;
                self.at = At::Content(left - here as u64);
                if octets.is_empty() {
                    return Ok(false);
                }
                continue;
            }
            if matches!(self.at, At::End) {
                return Ok(true);
            }
            let Some(line) = self.line(&mut octets)? else { return Ok(false) };
            self.at = match self.at {
                At::Size => match httparse::parse_chunk_size(&line) {
                    Ok(httparse::Status::Complete((_, 0))) => At::Trailers,
                    Ok(httparse::Status::Complete((_, size))) => At::Content(size),
                    _ => return Err(Malformed::Chunk),
                },
                At::Content(_) if line == b"\r\n" => At::Size,
                At::Content(_) => return Err(Malformed::Chunk),
                At::Trailers if line == b"\r\n" => At::End,
                At::Trailers => {
                    self.trailers += line.len();
                    if self.trailers > LONGEST {
                        return Err(Malformed::TooLong);
                    }
                    At::Trailers
                }
                At::End => At::End,
            };
        }
    }

    /// The next whole line with its end.
    fn line(&mut self, octets: &mut &[u8]) -> Result<Option<Vec<u8>>, Malformed> {
        let end = octets.iter().position(|&octet| octet == b'\n').map(|at| at + 1);
        let (part, rest) = octets.split_at_checked(end.unwrap_or(octets.len())).unwrap_or_default();
        *octets = rest;
        if self.line.len() + part.len() > LONGEST_LINE {
            return Err(Malformed::Chunk);
        }
        self.line.extend_from_slice(part);
        Ok(end.map(|_| std::mem::take(&mut self.line)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_head_says_what_follows_it() {
        let text = b"ICAP/1.0 200 OK\r\nServer: x\r\nEncapsulated: res-hdr=0, res-body=20\r\n\r\nrest";
        let (head, length) = Head::read(text).unwrap().unwrap();
        assert_eq!((head.status, head.words.as_str(), &text[length..]), (200, "OK", &b"rest"[..]));
        let wanted = Encapsulated { response: Some(0), heads: 20, body: true };
        assert_eq!(head.encapsulated(), Ok(wanted));
        for end in 0..length {
            assert_eq!(Head::read(&text[..end]), Ok(None), "{end}");
        }
        for (field, good) in [
            ("req-hdr=0, res-hdr=5, null-body=30", true),
            ("null-body=0", true),
            ("res-hdr=0", false),
            ("res-hdr=9, res-body=3", false),
            ("res-hdr=0, res-body=99999999999", false),
            ("res-body=0, res-hdr=3", false),
            ("what", false),
            ("", false),
        ] {
            let text = format!("ICAP/1.0 200 OK\r\nEncapsulated: {field}\r\n\r\n");
            let (head, _) = Head::read(text.as_bytes()).unwrap().unwrap();
            assert_eq!(head.encapsulated().is_ok(), good, "{field}");
        }
        assert_eq!(
            http_status(b"HTTP/1.1 403 Forbidden\r\nA: b\r\n\r\n"),
            Some((403, "Forbidden".to_owned()))
        );
    }

    /// As c-icap's virus_scan says it.
    #[test]
    fn a_field_may_go_on_on_the_next_lines() {
        let text = b"ICAP/1.0 200 OK\r\nX-Violations-Found: 1\r\n\t-\r\n\tEicar-Test\r\n\t0\r\n\t0\r\n\
                     Encapsulated: res-hdr=0, res-body=20\r\n\r\n no field\r\n\r\n";
        let (head, length) = Head::read(text).unwrap().unwrap();
        assert_eq!(&text[length..], b" no field\r\n\r\n");
        assert!(head.field("X-Violations-Found").unwrap().contains("Eicar-Test"));
        assert!(head.encapsulated().is_ok());
        for end in 0..length {
            assert_eq!(Head::read(&text[..end]), Ok(None), "{end}");
        }
    }

    #[test]
    fn a_head_without_end_is_given_up() {
        for start in ["", "ICAP/1.0 200 OK\r\n", "ICAP/1.0 200 OK\r\nField: "] {
            let endless = [start.as_bytes(), &b"x".repeat(LONGEST)].concat();
            assert!(Head::read(&endless).is_err(), "{start}");
        }
        assert_eq!(Head::read(b"HTTP/1.1 200 OK\r\n\r\n"), Err(Malformed::Status));
    }

    #[test]
    fn lines_and_trailers_without_end_are_given_up() {
        let mut chunks = Chunks::default();
        let endless =
            std::iter::repeat_with(|| chunks.feed(&[b'0'; 512], |_| {})).take(100).any(|fed| fed.is_err());
        assert!(endless);
        let mut chunks = Chunks::default();
        assert_eq!(chunks.feed(b"0\r\n", |_| {}), Ok(false));
        let mut lines = std::iter::repeat_with(|| chunks.feed(b"Trailer: more\r\n", |_| {})).take(10_000);
        assert!(lines.any(|fed| fed == Err(Malformed::TooLong)));
        assert!(Chunks::default().feed(b"fffffffffffffffff\r\n", |_| {}).is_err());
    }

    proptest! {
        /// However a body is cut into chunks and packets, the content is the same.
        #[test]
        fn what_was_chunked_comes_out(
            chunks in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 1..300), 0..8),
            cut in 1_usize..50,
        ) {
            let mut wire = Vec::new();
            for chunk in &chunks {
                wire.extend_from_slice(format!("{:x};a=b\r\n", chunk.len()).as_bytes());
                wire.extend_from_slice(chunk);
                wire.extend_from_slice(b"\r\n");
            }
            wire.extend_from_slice(b"0\r\nT: x\r\n\r\n");
            let (mut body, mut out) = (Chunks::default(), Vec::new());
            let pieces: Vec<_> = wire.chunks(cut).collect();
            for (i, piece) in pieces.iter().enumerate() {
                let done = body.feed(piece, |part| out.extend_from_slice(part)).unwrap();
                prop_assert_eq!(done, i + 1 == pieces.len());
            }
            prop_assert_eq!(out, chunks.concat());
        }

        /// No octets make it panic or keep more than its limits.
        #[test]
        fn any_octets_are_a_reply_or_an_error(
            head in proptest::option::of(Just("ICAP/1.0 200 OK\r\nEncapsulated: ")),
            noise in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(&b"\r\n0aF=,: "[..])], 0..600),
        ) {
            let all = [head.unwrap_or_default().as_bytes(), &noise].concat();
            if let Ok(Some((head, length))) = Head::read(&all) {
                prop_assert!(length <= all.len());
                let _ = head.encapsulated();
            }
            let _ = http_status(&noise);
            let mut chunks = Chunks::default();
            for piece in noise.chunks(7) {
                if chunks.feed(piece, |_| {}).is_err() {
                    break;
                }
                prop_assert!(chunks.line.len() <= LONGEST_LINE);
            }
        }
    }
}
