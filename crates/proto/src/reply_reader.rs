//! Replies as a client, proxy or gate reads them (RFC 959 §4.2).

mod bounds;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use memchr::{memchr, memchr3};

pub use self::bounds::{ReplyError, ReplyLimits};
use crate::line::telnet::{Piece, Telnet};

/// One reply as it came: its code, and its lines without code, separator and line end.
///
/// Bytes, since servers name files in any character set. A line between the first and the last keeps its
/// leading spaces, as `FEAT` needs them, but loses a repeated `ddd-` that some servers put there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RawReply {
    /// The three digits; 100 to 699, since RFC 2228 adds the 6yz of protected replies.
    pub code: u16,
    /// At least one line, perhaps an empty one.
    pub lines: Vec<Vec<u8>>,
}

/// Turns the octets of a control connection into replies, whatever the segments were.
///
/// Only the first line's code with a space ends a reply of many lines; lines between may begin with other
/// digits (RFC 959 §4.2). Any number of CRs before the LF is part of the line end, a bare LF will do, NUL
/// means nothing (RFC 854) except after CR, and Telnet commands are taken out. After the first good reply,
/// lines that are none are passed over and counted, as servers let their libraries talk; before it they are
/// [`ReplyError::NotFtp`]. A [`strict`](Self::strict) reader, for a gate, forgives none of this.
#[derive(Clone, Debug)]
pub struct ReplyReader {
    telnet: Telnet,
    line: Vec<u8>,
    open: Option<Block>,
    ready: VecDeque<Result<RawReply, ReplyError>>,
    limits: ReplyLimits,
    stray: usize,
    greeted: bool,
    failed: bool,
    strict: bool,
    any_end: bool,
}

/// A reply of many lines that has not ended.
#[derive(Clone, Debug)]
struct Block {
    reply: RawReply,
    octets: usize,
    /// Lines that were taken before its end.
    taken: usize,
    /// The code of the last line, if that line could end a reply of its own.
    other_end: Option<u16>,
}

impl Default for ReplyReader {
    fn default() -> Self {
        Self::new()
    }
}

impl ReplyReader {
    /// A reader as a client wants it: forgiving, with the default [`ReplyLimits`].
    #[must_use]
    pub fn new() -> Self {
        Self::with_limits(ReplyLimits::default())
    }

    /// A forgiving reader with other bounds.
    #[must_use]
    pub fn with_limits(limits: ReplyLimits) -> Self {
        Self {
            telnet: Telnet::default(),
            line: Vec::new(),
            open: None,
            ready: VecDeque::new(),
            limits,
            stray: 0,
            greeted: false,
            failed: false,
            strict: false,
            any_end: false,
        }
    }

    /// As a gate wants it: CRLF only, every line a reply, and no guess after a pause.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Reads some octets, cut anywhere. After an error everything is dropped.
    pub fn feed(&mut self, octets: &[u8]) {
        let mut telnet = std::mem::take(&mut self.telnet);
        telnet.strip(octets, |piece| {
            if let Piece::Text(text) = piece {
                self.text(text);
            }
        });
        self.telnet = telnet;
    }

    /// Takes the next whole reply.
    ///
    /// # Errors
    /// [`ReplyError`], once; the reader is dead after it.
    pub fn next_reply(&mut self) -> Option<Result<RawReply, ReplyError>> {
        let next = self.ready.pop_front();
        if next.is_none() {
            self.ready = VecDeque::new();
        }
        next
    }

    /// Takes the lines so far of a reply that has begun and not ended, but for the last of them; `None` if there are none.
    /// The rest of the reply comes as if those had not been there. [`ReplyLimits`] are for all of it.
    pub fn take_part(&mut self) -> Option<RawReply> {
        let block = self.open.as_mut().filter(|_| self.ready.is_empty())?;
        let kept = block.reply.lines.pop()?;
        let lines = std::mem::replace(&mut block.reply.lines, vec![kept]);
        block.taken = block.taken.saturating_add(lines.len());
        (!lines.is_empty()).then_some(RawReply { code: block.reply.code, lines })
    }

    /// Takes what can be taken for a reply although the server has not ended it properly. Call it when the
    /// server has paused for a second or so.
    ///
    /// A block counts as ended by a last line with a *different* code and a space (seen from glFTPd), whose
    /// code is then the reply's; so does one whose last line is a bare code. A server that ends its lines
    /// with CR alone is recognised by its pause, and from then on CR and NUL end lines, too.
    ///
    /// # Errors
    /// [`ReplyError`], also for a first line that does not end but cannot become a reply.
    pub fn finish_by_pause(&mut self) -> Option<Result<RawReply, ReplyError>> {
        if self.ready.is_empty() && !self.strict && !self.failed {
            if matches!(self.line.last(), Some(b'\r' | 0)) {
                self.any_end = true;
                let line = std::mem::take(&mut self.line);
                self.text(&line);
            }
            if self.line.is_empty() {
                self.end_block();
            } else if self.is_foreign() {
                self.not_ftp();
            }
        }
        self.next_reply()
    }

    /// As [`finish_by_pause`](Self::finish_by_pause), when the server has closed the connection: a last line
    /// without line end counts, too.
    ///
    /// # Errors
    /// [`ReplyError`].
    pub fn finish_at_end(&mut self) -> Option<Result<RawReply, ReplyError>> {
        if self.ready.is_empty() && !self.strict && !self.failed && !self.line.is_empty() {
            self.text(b"\n");
        }
        self.finish_by_pause()
    }

    /// Whether [`next_reply`](Self::next_reply) has something to give.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Whether a reply has begun and not ended.
    #[must_use]
    pub fn has_partial(&self) -> bool {
        self.open.is_some() || !self.line.is_empty()
    }

    /// Lines passed over because they were no part of a reply.
    #[must_use]
    pub fn stray_lines(&self) -> usize {
        self.stray
    }

    /// Octets of text held: whole replies not yet taken, and the one that has begun.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let text = |reply: &RawReply| reply.lines.iter().map(Vec::len).sum::<usize>();
        self.ready.iter().flatten().map(text).sum::<usize>()
            + self.open.as_ref().map_or(0, |block| text(&block.reply))
            + self.line.len()
    }

    /// Forgets replies not yet taken and the one that has begun, and says whether there were any: after the
    /// reply to `AUTH` nothing in clear may count (STARTTLS injection).
    pub fn clear(&mut self) -> bool {
        let any = self.has_pending() || self.has_partial();
        self.telnet = Telnet::default();
        self.line = Vec::new();
        self.open = None;
        self.ready = VecDeque::new();
        any
    }

    fn text(&mut self, mut text: &[u8]) {
        while !text.is_empty() && !self.failed {
            let end = if self.any_end { memchr3(b'\r', b'\n', 0, text) } else { memchr(b'\n', text) };
            let (run, rest) = text.split_at(end.unwrap_or(text.len()));
            if self.line.len().saturating_add(run.len()) > self.limits.line {
                // What the line began with decides, not how much of it came at once.
                let room = self.limits.line.saturating_sub(self.line.len());
                self.line.extend_from_slice(run.get(..room).unwrap_or_default());
                if self.is_foreign() {
                    return self.not_ftp();
                }
                return self.fail(ReplyError::LineTooLong { limit: self.limits.line });
            }
            self.line.extend_from_slice(run);
            if self.line.len() >= SAMPLE && self.is_foreign() {
                return self.not_ftp();
            }
            let Some((_, rest)) = rest.split_first() else { return };
            text = rest;
            let line = std::mem::take(&mut self.line);
            match self.trim(line) {
                Some(line) => self.line_done(line),
                None => self.fail(ReplyError::LineEnd),
            }
        }
    }

    /// Removes the CR of the line end and whatever means nothing; `None` if a strict reader minds.
    fn trim(&self, mut line: Vec<u8>) -> Option<Vec<u8>> {
        if self.strict {
            let ended = line.pop() == Some(b'\r');
            return (ended && memchr::memchr2(b'\r', 0, &line).is_none()).then_some(line);
        }
        if memchr(0, &line).is_some() {
            line.retain(|&octet| octet != 0);
        }
        while line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(line)
    }

    fn line_done(&mut self, mut line: Vec<u8>) {
        if self.any_end && line.is_empty() {
            return;
        }
        let start = start_of(&line);
        let Some(block) = &mut self.open else {
            return self.first_line(line, start);
        };
        block.octets = block.octets.saturating_add(line.len());
        if block.octets > self.limits.octets {
            return self.fail(ReplyError::TooLarge { limit: self.limits.octets });
        }
        if block.taken.saturating_add(block.reply.lines.len()) >= self.limits.lines {
            return self.fail(ReplyError::TooManyLines { limit: self.limits.lines });
        }
        block.other_end = None;
        match start {
            Some((code, Some(b' '))) if code == block.reply.code => {
                line.drain(..4);
                block.reply.lines.push(line);
                if let Some(block) = self.open.take() {
                    self.done(block.reply);
                }
                return;
            }
            Some((code, Some(b'-'))) if code == block.reply.code => {
                line.drain(..4);
            }
            Some((code, None | Some(b' '))) => block.other_end = Some(code),
            _ => {}
        }
        block.reply.lines.push(line);
    }

    fn first_line(&mut self, mut line: Vec<u8>, start: Option<(u16, Option<u8>)>) {
        let Some((code, separator)) = start.filter(|(_, s)| !self.strict || matches!(s, Some(b' ' | b'-')))
        else {
            if self.strict || !self.greeted && !line.is_empty() {
                self.line = line;
                return self.not_ftp();
            }
            if !line.is_empty() {
                self.stray = self.stray.saturating_add(1);
            }
            if self.stray > self.limits.lines {
                self.fail(ReplyError::TooManyLines { limit: self.limits.lines });
            }
            return;
        };
        if line.len() > self.limits.octets {
            return self.fail(ReplyError::TooLarge { limit: self.limits.octets });
        }
        let octets = line.len();
        // `220:hello` is nobody's grammar, but it is somebody's server.
        line.drain(..if matches!(separator, Some(b' ' | b'-')) { 4 } else { 3 });
        let reply = RawReply { code, lines: vec![line] };
        if separator == Some(b'-') {
            self.open = Some(Block { reply, octets, taken: 0, other_end: None });
        } else {
            self.done(reply);
        }
    }

    fn end_block(&mut self) {
        let Some(code) = self.open.as_ref().and_then(|block| block.other_end) else { return };
        let Some(Block { mut reply, .. }) = self.open.take() else { return };
        reply.code = code;
        if let Some(last) = reply.lines.last_mut() {
            last.drain(..last.len().min(4));
        }
        self.done(reply);
    }

    fn done(&mut self, reply: RawReply) {
        self.greeted = true;
        self.ready.push_back(Ok(reply));
    }

    /// Whether the line that has begun can be told from a reply already, and matters.
    fn is_foreign(&self) -> bool {
        let free = self.open.is_none() && (self.strict || !self.greeted);
        free && self.line.iter().find(|b| !matches!(b, 0 | b'\r')).is_some_and(|b| !b.is_ascii_digit())
    }

    fn not_ftp(&mut self) {
        let mut starts_with = std::mem::take(&mut self.line);
        starts_with.truncate(SAMPLE);
        self.fail(ReplyError::NotFtp { starts_with });
    }

    fn fail(&mut self, error: ReplyError) {
        self.failed = true;
        self.open = None;
        self.line = Vec::new();
        self.ready.push_back(Err(error));
    }
}

/// Octets after which a first line that does not begin with a digit is given up.
const SAMPLE: usize = 16;

/// The code a line begins with, and the octet after it. A fourth digit makes it no code.
fn start_of(line: &[u8]) -> Option<(u16, Option<u8>)> {
    let (digits, rest) = line.split_first_chunk::<3>()?;
    if !digits.iter().all(u8::is_ascii_digit) || rest.first().is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let code = digits.iter().fold(0_u16, |code, digit| code * 10 + u16::from(digit - b'0'));
    (100..700).contains(&code).then(|| (code, rest.first().copied()))
}
