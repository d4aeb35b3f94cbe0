//! TYPE A: text with the line ends of the network, CRLF, and those of this machine, LF (RFC 959 §3.1.1.1).
//!
//! Both ways work piece by piece and remember what a piece ended with. A CRLF that is already there is left
//! alone on the way out, so that a text file from another system does not arrive with CR CR LF; the price is
//! that such a file comes back with LF. A CR with no LF after it stays a CR both ways.

#[cfg(test)]
mod tests;

use memchr::memchr;

/// LF to CRLF, for sending.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ToNetwork {
    after_cr: bool,
}

impl ToNetwork {
    /// A conversion that begins at the start of a file; [`Restart::to_network`] begins elsewhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the network form of `local` to `out`: at most twice as many octets, and nothing is held back.
    pub fn convert(&mut self, mut local: &[u8], out: &mut Vec<u8>) {
        out.reserve(local.len().saturating_add(local.len() / 32));
        while let Some(lf) = memchr(b'\n', local) {
            let (run, rest) = local.split_at(lf);
            if run.last().map_or(self.after_cr, |&last| last == b'\r') {
                out.extend_from_slice(run);
                out.push(b'\n');
            } else {
                out.extend_from_slice(run);
                out.extend_from_slice(b"\r\n");
            }
            self.after_cr = false;
            local = rest.get(1..).unwrap_or_default();
        }
        if let Some(&last) = local.last() {
            out.extend_from_slice(local);
            self.after_cr = last == b'\r';
        }
    }
}

/// CRLF to LF, for receiving.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FromNetwork {
    cr: bool,
}

impl FromNetwork {
    /// A conversion that begins at the start of a file; [`Restart::from_network`] begins elsewhere.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the local form of `network` to `out`, except for a CR at the very end, which waits for what
    /// follows it.
    pub fn convert(&mut self, mut network: &[u8], out: &mut Vec<u8>) {
        out.reserve(network.len().saturating_add(1));
        if self.cr && !network.is_empty() {
            self.cr = false;
            if network.first() != Some(&b'\n') {
                out.push(b'\r');
            }
        }
        while let Some(cr) = memchr(b'\r', network) {
            let (run, rest) = network.split_at(cr);
            out.extend_from_slice(run);
            network = rest.get(1..).unwrap_or_default();
            match network.first() {
                None => self.cr = true,
                Some(b'\n') => {}
                Some(_) => out.push(b'\r'),
            }
        }
        out.extend_from_slice(network);
    }

    /// Ends the file: appends the CR that was waiting, if any.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.cr) {
            out.push(b'\r');
        }
    }
}

/// Finds the octet of a local file that a `REST` offset means: offsets count the octets of the network form
/// (RFC 959 §3.5, RFC 3659 §5.2), so the file before it has to be read through.
#[derive(Clone, Debug)]
pub struct RestartSearch {
    left: u64,
    local: u64,
    after_cr: bool,
}

/// A place in a local file that belongs to an offset in its network form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart {
    local: u64,
    before: Before,
}

/// What the octet before the restart is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Before {
    Other,
    /// A CR that stands in the local file.
    LocalCr,
    /// A CR that only the network form has: the offset cuts a CRLF in two.
    NetworkCr,
}

impl RestartSearch {
    /// A search for offset `network`, at the start of the file.
    #[must_use]
    pub fn new(network: u64) -> Self {
        Self { left: network, local: 0, after_cr: false }
    }

    /// Reads the next piece of the local file; stop when the place is found.
    pub fn skip(&mut self, mut local: &[u8]) -> Option<Restart> {
        while let Some((&first, after)) = local.split_first() {
            if self.left == 0 {
                break;
            }
            if first == b'\n' {
                let grows = !self.after_cr;
                if grows && self.left == 1 {
                    self.left = 0;
                    return Some(Restart { local: self.local, before: Before::NetworkCr });
                }
                self.pass(1, if grows { 2 } else { 1 });
                self.after_cr = false;
                local = after;
                continue;
            }
            let line = memchr(b'\n', local).unwrap_or(local.len());
            let run = usize::try_from(self.left).map_or(line, |left| line.min(left));
            let (passed, rest) = local.split_at(run);
            self.pass(run, run);
            self.after_cr = passed.last() == Some(&b'\r');
            local = rest;
        }
        self.found()
    }

    /// The place, if all that was read is enough; ask at the end of the file. `None` means that the offset
    /// lies beyond it: answer 554 (RFC 1123 §4.1.3.4).
    #[must_use]
    pub fn found(&self) -> Option<Restart> {
        let before = if self.after_cr { Before::LocalCr } else { Before::Other };
        (self.left == 0).then_some(Restart { local: self.local, before })
    }

    fn pass(&mut self, local: usize, network: usize) {
        self.local = self.local.saturating_add(local as u64);
        self.left = self.left.saturating_sub(network as u64);
    }
}

impl Restart {
    /// Where to read on, and the conversion that goes on there.
    #[must_use]
    pub fn to_network(self) -> (u64, ToNetwork) {
        (self.local, ToNetwork { after_cr: self.before != Before::Other })
    }

    /// Where to cut the file and write on, and the conversion that goes on there. A CR at the end of the
    /// file is taken back, because the LF that makes it a line end may be the first octet to come.
    #[must_use]
    pub fn from_network(self) -> (u64, FromNetwork) {
        match self.before {
            Before::Other => (self.local, FromNetwork { cr: false }),
            Before::LocalCr => (self.local.saturating_sub(1), FromNetwork { cr: true }),
            Before::NetworkCr => (self.local, FromNetwork { cr: true }),
        }
    }
}
