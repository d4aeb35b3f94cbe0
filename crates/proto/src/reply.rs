//! Replies as a server writes them.

use std::fmt::{self, Write as _};

use crate::{Code, RawReply};

/// One reply, of one or more lines, that no argument can forge.
///
/// CR, LF and NUL in any text become `?` when the reply is made, so that a file name echoed in it can
/// neither end the line nor begin another reply (RFC 959 §4.2). Every line between the first and the last
/// is indented by one space, so that none can be taken for the end of the reply.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    code: Code,
    /// Another server's: its middle lines are indented as they came.
    passed_on: bool,
    /// Lines of it have been written before.
    begun: bool,
    /// More lines of it follow.
    more: bool,
    /// The lines, parted by LF; a line itself holds none.
    text: Vec<u8>,
}

impl Reply {
    /// A reply of one line.
    #[must_use]
    pub fn new(code: Code, text: impl fmt::Display) -> Self {
        Self { code, passed_on: false, begun: false, more: false, text: Vec::new() }.push(text, false)
    }

    /// A reply of one line whose text is octets, such as a path (RFC 2640 §3: names need not be UTF-8).
    #[must_use]
    pub fn octets(code: Code, text: &[u8]) -> Self {
        let text_of = Vec::with_capacity(text.len());
        let mut reply = Self { code, passed_on: false, begun: false, more: false, text: text_of };
        reply.text.extend(text.iter().copied().map(harmless));
        reply
    }

    /// Another server's reply, as a proxy passes it on: the same code and lines, written anew, so that nothing
    /// but a reply gets through. Middle lines stay as they came (listings in them are read by column) unless
    /// they begin with a digit and could end the reply. `None` for codes that are none.
    #[must_use]
    pub fn passed_on(raw: &RawReply) -> Option<Self> {
        let mut lines = raw.lines.iter();
        let first = lines.next().map_or(&[][..], Vec::as_slice);
        let mut reply = Self::octets(Code::new(raw.code)?, first);
        reply.passed_on = true;
        Some(lines.fold(reply, |reply, line| reply.line_octets(line)))
    }

    /// The same for a part of a long one, which is passed on before its end has come: whether a part went before it,
    /// and whether another follows.
    #[must_use]
    pub fn part_passed_on(raw: &RawReply, begun: bool, more: bool) -> Option<Self> {
        Some(Self { begun, more, ..Self::passed_on(raw)? })
    }

    /// Adds a line.
    #[must_use]
    pub fn line(self, text: impl fmt::Display) -> Self {
        self.push(text, true)
    }

    /// Adds a line of octets.
    #[must_use]
    pub fn line_octets(mut self, text: &[u8]) -> Self {
        self.text.push(b'\n');
        self.text.extend(text.iter().copied().map(harmless));
        self
    }

    /// The code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// The lines without code and line end.
    pub fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.text.split(|&b| b == b'\n')
    }

    /// Appends the reply as it goes on the wire, CRLF included; 0xFF is doubled as Telnet demands
    /// (RFC 959 §3.1.1.5.2, RFC 854).
    pub fn emit(&self, out: &mut Vec<u8>) {
        let last = self.text.iter().filter(|&&b| b == b'\n').count();
        out.reserve(self.text.len() + 6 * (last + 1));
        for (at, line) in self.lines().enumerate() {
            let (starts, ends) = (at == 0 && !self.begun, at == last && !self.more);
            if starts || ends {
                out.extend_from_slice(&self.code.digits());
                out.push(if ends { b' ' } else { b'-' });
            } else if !self.passed_on || line.first().is_none_or(u8::is_ascii_digit) {
                out.push(b' ');
            }
            if line.contains(&IAC) {
                line.iter().for_each(|&b| out.extend(std::iter::repeat_n(b, 1 + usize::from(b == IAC))));
            } else {
                out.extend_from_slice(line);
            }
            out.extend_from_slice(b"\r\n");
        }
    }

    fn push(mut self, text: impl fmt::Display, new_line: bool) -> Self {
        if new_line {
            self.text.push(b'\n');
        }
        // Writing into a vector cannot fail; a failing `Display` leaves a shorter text.
        let _ = write!(Harmless(&mut self.text), "{text}");
        self
    }
}

const IAC: u8 = 0xFF;

const fn harmless(octet: u8) -> u8 {
    if matches!(octet, b'\r' | b'\n' | 0) { b'?' } else { octet }
}

struct Harmless<'a>(&'a mut Vec<u8>);

impl fmt::Write for Harmless<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.0.extend(text.bytes().map(harmless));
        Ok(())
    }
}

impl fmt::Display for Reply {
    /// The reply as a person reads it: lines parted by LF, octets that are not UTF-8 replaced.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, String::from_utf8_lossy(&self.text))
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(reply: &Reply) -> String {
        let mut out = Vec::new();
        reply.emit(&mut out);
        String::from_utf8_lossy(&out).into_owned()
    }

    #[test]
    fn one_line_is_code_blank_text() {
        assert_eq!(wire(&Reply::new(Code::OK, "Fine.")), "200 Fine.\r\n");
        assert_eq!(wire(&Reply::new(Code::OK, "")), "200 \r\n");
    }

    #[test]
    fn middle_lines_are_indented_and_the_last_repeats_the_code() {
        let reply = Reply::new(Code::SYSTEM_STATUS, "Features:").line("UTF8").line("End");
        assert_eq!(wire(&reply), "211-Features:\r\n UTF8\r\n211 End\r\n");
    }

    #[test]
    fn a_reply_in_parts_reads_like_one() {
        let lines: Vec<Vec<u8>> =
            ["Status", " a", "200 b", "", "211 c", "End"].map(|line| line.as_bytes().to_vec()).into();
        let whole = wire(&Reply::passed_on(&RawReply { code: 211, lines: lines.clone() }).unwrap());
        for cuts in [&[1][..], &[5], &[2, 3], &[1, 2, 3, 4, 5]] {
            let (mut said, mut from) = (String::new(), 0);
            for &to in cuts.iter().chain([&lines.len()]) {
                let raw = RawReply { code: 211, lines: lines[from..to].to_vec() };
                said += &wire(&Reply::part_passed_on(&raw, from > 0, to < lines.len()).unwrap());
                from = to;
            }
            assert_eq!(said, whole, "{cuts:?}");
        }
    }

    #[test]
    fn a_name_cannot_forge_a_reply_line() {
        let hostile = "x\r\n230 Logged in\0";
        for reply in [
            Reply::new(Code::FILE_UNAVAILABLE, hostile),
            Reply::octets(Code::FILE_UNAVAILABLE, hostile.as_bytes()),
            Reply::new(Code::HELP, "a").line(hostile).line_octets(hostile.as_bytes()).line("b"),
        ] {
            let out = wire(&reply);
            assert!(!out.contains("\n230"), "{out:?}");
            assert_eq!(out.matches("\r\n").count(), reply.lines().count(), "{out:?}");
        }
    }

    #[test]
    fn a_reply_passed_on_keeps_its_columns_and_forges_nothing() {
        let lines = ["Status:", "-rw-r--r-- 1 a", " MDTM", "", "213 End?", "End"];
        let raw = RawReply { code: 213, lines: lines.map(|line| line.as_bytes().to_vec()).to_vec() };
        let wanted = "213-Status:\r\n-rw-r--r-- 1 a\r\n MDTM\r\n \r\n 213 End?\r\n213 End\r\n";
        assert_eq!(wire(&Reply::passed_on(&raw).unwrap()), wanted);
        assert!(Reply::passed_on(&RawReply { code: 7, lines: vec![] }).is_none());
        let hostile = RawReply { code: 200, lines: vec![b"a\r\n230 in".to_vec()] };
        assert_eq!(wire(&Reply::passed_on(&hostile).unwrap()), "200 a??230 in\r\n");
    }

    #[test]
    fn telnet_iac_is_doubled() {
        let mut out = Vec::new();
        Reply::octets(Code::PATH, b"\"/\xFF\"").emit(&mut out);
        assert_eq!(out, b"257 \"/\xFF\xFF\"\r\n");
    }
}
