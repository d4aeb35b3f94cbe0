//! One side of a dialogue: its lane, and how far its current line has left.

use super::lane::Lane;
use super::records::Records;

/// One side's lane and what belongs to it.
#[derive(Debug)]
pub(crate) struct Half {
    pub(crate) lane: Lane,
    /// The begin of a line that had to leave before the line was whole.
    pub(crate) begun: Vec<u8>,
    pub(crate) tls: Option<Records>,
}

impl Half {
    pub(crate) fn new(syn: u32, implicit: bool) -> Self {
        Self { lane: Lane::new(syn), begun: Vec::new(), tls: implicit.then(Records::default) }
    }

    /// Lets a line leave in this form, less what has left of it.
    pub(crate) fn clear_line(&mut self, line: &[u8]) -> bool {
        let fits = line.starts_with(&self.begun);
        self.lane.clear(line.get(self.begun.len()..).unwrap_or_default());
        self.begun.clear();
        fits
    }

    /// The begin of a line leaves: its sender sends nothing else until that is acknowledged (RFC 896).
    pub(crate) fn push(&mut self) {
        let octets = self.lane.waiting().to_vec();
        self.lane.clear(&octets);
        if self.tls.is_none() {
            self.begun.extend_from_slice(&octets);
        }
    }

    /// The next line with its end, whole; `seen` octets of it were looked at before.
    pub(crate) fn line(&mut self, seen: usize) -> Option<Vec<u8>> {
        let from = seen.saturating_sub(self.begun.len());
        let waiting = self.lane.waiting();
        let end = waiting.get(from..)?.iter().position(|&octet| octet == b'\n')? + from + 1;
        Some([&self.begun[..], waiting.get(..end)?].concat())
    }
}
