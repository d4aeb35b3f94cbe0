//! Control lines as a server, proxy or gate reads them.

pub(crate) mod telnet;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use memchr::memchr3;

use self::telnet::{Piece, Telnet};

/// Octets a line may have, its line end included, unless told otherwise.
pub const DEFAULT_LINE_LIMIT: usize = 4096;

/// Octets without a line end after which the peer is no FTP client, unless told otherwise.
pub const DEFAULT_FLOOD_LIMIT: usize = 64 * 1024;

/// Turns the octets of a control connection into lines, whatever the segments were.
///
/// Telnet commands are taken out first (RFC 1123 §4.1.2.10), so `ABOR` is found in every spelling of the
/// interrupt before it; IAC IAC becomes one octet 255. A bare LF ends a line unless the reader is
/// [`strict`](Self::strict). A faulty line costs exactly one [`LineError`], and the next line is read as if
/// nothing had happened.
///
/// Every octet is copied once, into the line it belongs to. Lines wait until they are taken, so feed no more
/// than you are ready to queue: about 32 octets of book-keeping per line on top of the text. An idle reader
/// holds no heap memory.
#[derive(Clone, Debug)]
pub struct LineReader {
    telnet: Telnet,
    line: Vec<u8>,
    /// Octets of this line so far as text, line end included.
    text: usize,
    /// Octets of this line so far as sent, Telnet commands included.
    wire: usize,
    cr: bool,
    fault: Option<LineError>,
    ready: VecDeque<(Result<Vec<u8>, LineError>, usize)>,
    held: usize,
    flooded: bool,
    strict: bool,
    limit: usize,
    flood: usize,
}

/// Why a line was refused; always the sender's fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum LineError {
    /// Answer 500; what the line said is lost.
    #[error("line longer than {limit} octets")]
    TooLong {
        /// The limit, line end included.
        limit: usize,
    },
    /// RFC 854 gives NUL no meaning in a line except after CR. Answer 500.
    #[error("NUL in a line")]
    Nul,
    /// RFC 854: CR is followed by LF or NUL, nothing else. Answer 500.
    #[error("CR without LF in a line")]
    BareCr,
    /// Only from a [strict](LineReader::strict) reader. Answer 500.
    #[error("LF without CR at the end of a line")]
    BareLf,
    /// No line end in sight. The reader is dead from here on: answer 500 and close.
    #[error("{limit} octets without a line end")]
    Flood {
        /// The limit that was passed.
        limit: usize,
    },
}

impl LineError {
    /// Whether the connection has to end; after any other error the session may live.
    #[must_use]
    pub fn is_fatal(self) -> bool {
        matches!(self, Self::Flood { .. })
    }
}

impl Default for LineReader {
    fn default() -> Self {
        Self::new()
    }
}

impl LineReader {
    /// A reader as a server wants it: bare LF accepted, [`DEFAULT_LINE_LIMIT`], [`DEFAULT_FLOOD_LIMIT`].
    #[must_use]
    pub fn new() -> Self {
        Self {
            telnet: Telnet::default(),
            line: Vec::new(),
            text: 0,
            wire: 0,
            cr: false,
            fault: None,
            ready: VecDeque::new(),
            held: 0,
            flooded: false,
            strict: false,
            limit: DEFAULT_LINE_LIMIT,
            flood: DEFAULT_FLOOD_LIMIT,
        }
    }

    /// As a gate wants it: only CRLF ends a line and no other CR is let in, not even as CR NUL, because a
    /// server behind the gate may take for a line end what the gate did not.
    #[must_use]
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Sets the octets a line may have, line end included.
    #[must_use]
    pub fn with_limit(mut self, octets: usize) -> Self {
        self.limit = octets;
        self
    }

    /// Sets the octets without a line end that end it all; over-long lines below are skipped.
    #[must_use]
    pub fn with_flood_limit(mut self, octets: usize) -> Self {
        self.flood = octets;
        self
    }

    /// Reads some octets, cut anywhere.
    pub fn feed(&mut self, octets: &[u8]) {
        let mut telnet = std::mem::take(&mut self.telnet);
        telnet.strip(octets, |piece| match piece {
            Piece::Text(text) => self.text(text),
            Piece::Dropped(octets) => self.count(octets),
        });
        self.telnet = telnet;
    }

    /// Takes the next whole line, without its line end.
    ///
    /// # Errors
    /// [`LineError`], once per faulty line and in its place among the others.
    pub fn next_line(&mut self) -> Option<Result<Vec<u8>, LineError>> {
        let Some((line, octets)) = self.ready.pop_front() else {
            self.shrink();
            return None;
        };
        self.held = self.held.saturating_sub(octets);
        Some(line)
    }

    /// Whether [`next_line`](Self::next_line) has something to give.
    #[must_use]
    pub fn has_pending(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Octets fed and not yet taken as lines, Telnet commands included.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.held.saturating_add(self.wire)
    }

    /// Says, once, whether the peer sent a Telnet interrupt or data mark, as clients do before `ABOR`
    /// (RFC 959 §4.1.3). Known as soon as it is fed, also while lines wait.
    pub fn take_interrupt(&mut self) -> bool {
        self.telnet.take_interrupt()
    }

    /// Forgets everything fed so far and says how many octets that were.
    ///
    /// Call it before a TLS handshake: what came in clear after `AUTH` must never run (STARTTLS injection).
    /// A flooded reader stays dead.
    pub fn clear(&mut self) -> usize {
        let dropped = self.buffered();
        self.telnet = Telnet::default();
        self.ready = VecDeque::new();
        self.held = 0;
        self.start_line();
        dropped
    }

    /// Gives back memory that is not in use. [`next_line`](Self::next_line) does it when it runs dry.
    pub fn shrink(&mut self) {
        if self.ready.is_empty() {
            self.ready = VecDeque::new();
        }
        if self.line.is_empty() {
            self.line = Vec::new();
        }
    }

    fn text(&mut self, mut text: &[u8]) {
        while let Some((&first, after)) = text.split_first() {
            if self.flooded {
                return;
            }
            if std::mem::take(&mut self.cr) {
                match first {
                    b'\n' => {
                        self.octets(1);
                        self.end_line();
                        text = after;
                    }
                    0 if !self.strict => {
                        self.octets(1);
                        self.keep(b"\r");
                        text = after;
                    }
                    _ => self.fail(LineError::BareCr),
                }
                continue;
            }
            let run = memchr3(b'\r', b'\n', 0, text).unwrap_or(text.len());
            let (plain, rest) = text.split_at(run);
            self.octets(plain.len());
            self.keep(plain);
            let Some((special, rest)) = rest.split_first() else { return };
            self.octets(1);
            match special {
                b'\r' => self.cr = true,
                b'\n' => {
                    if self.strict {
                        self.fail(LineError::BareLf);
                    }
                    self.end_line();
                }
                _ => self.fail(LineError::Nul),
            }
            text = rest;
        }
    }

    /// Counts octets of text, and finds the line too long as soon as it is.
    fn octets(&mut self, octets: usize) {
        self.text = self.text.saturating_add(octets);
        if self.text > self.limit {
            self.fail(LineError::TooLong { limit: self.limit });
        }
        self.count(octets);
    }

    /// Counts octets of the wire.
    fn count(&mut self, octets: usize) {
        if self.flooded {
            return;
        }
        self.wire = self.wire.saturating_add(octets);
        if self.wire > self.flood {
            self.start_line();
            self.flooded = true;
            self.ready.push_back((Err(LineError::Flood { limit: self.flood }), 0));
        }
    }

    fn keep(&mut self, text: &[u8]) {
        if self.fault.is_none() && !self.flooded {
            self.line.extend_from_slice(text);
        }
    }

    /// The first fault names the line's error; its text is of no use any more.
    fn fail(&mut self, fault: LineError) {
        if self.fault.is_none() && !self.flooded {
            self.fault = Some(fault);
            self.line = Vec::new();
        }
    }

    fn end_line(&mut self) {
        if self.flooded {
            return;
        }
        let line = match self.fault {
            Some(fault) => Err(fault),
            None => Ok(std::mem::take(&mut self.line)),
        };
        self.held = self.held.saturating_add(self.wire);
        self.ready.push_back((line, self.wire));
        self.start_line();
    }

    fn start_line(&mut self) {
        self.line = Vec::new();
        self.text = 0;
        self.wire = 0;
        self.cr = false;
        self.fault = None;
    }
}
