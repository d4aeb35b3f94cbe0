//! One direction of a TCP connection that passes by: segments in, one stream of octets out.
//!
//! The first copy of an octet counts. What leaves is made from this stream and from nothing else, so whatever was
//! sent twice, late, or cut otherwise, the receiver and we read the same. A second copy that differs is refused.
//!
//! Positions count octets from the first one behind SYN; sequence numbers wrap, positions do not.

use std::collections::VecDeque;

/// Octets that may arrive before the one that is due. Senders of control channels have no more on their way.
pub(crate) const AHEAD: usize = 16 * 1024;
/// Octets kept: those that wait for a judgement, and those that the receiver has not acknowledged.
pub(crate) const KEPT: usize = 64 * 1024;

/// One direction.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    /// The sequence number of position 0.
    start: u32,
    /// The receiver has acknowledged everything before.
    base: u64,
    /// Octets as they were sent, from `base` on.
    read: VecDeque<u8>,
    /// Octets as they leave, from `base` on: never more than were read.
    leaving: VecDeque<u8>,
    /// Octets behind a gap, from the one on that is due.
    ahead: VecDeque<Option<u8>>,
    /// What has left at least once.
    sent: u64,
    fin: Option<u64>,
    /// The end has left, too.
    fin_sent: bool,
}

/// Why a segment is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untaken {
    /// It says something else than was said before.
    #[error("a segment contradicts what was sent before")]
    Contradicts,
    /// It lies outside of any window, or there is no room for it now.
    #[error("a segment lies outside of the window")]
    Outside,
}

/// What a segment brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// Octets that can be read now, or an end.
    News,
    /// Octets behind a gap, or none at all.
    Nothing,
    /// Only octets that were read before and have not left: the sender waits for their acknowledgement.
    Again,
}

/// What may leave in place of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leaving {
    /// The sequence number of the first octet.
    pub(crate) seq: u32,
    /// The octets, perhaps none.
    pub(crate) octets: Vec<u8>,
    /// Whether the end of the stream comes right behind them.
    pub(crate) fin: bool,
}

impl Lane {
    /// A stream that begins behind a SYN with this sequence number.
    #[must_use]
    pub(crate) fn new(syn: u32) -> Self {
        Self {
            start: syn.wrapping_add(1),
            base: 0,
            read: VecDeque::new(),
            leaving: VecDeque::new(),
            ahead: VecDeque::new(),
            sent: 0,
            fin: None,
            fin_sent: false,
        }
    }

    /// The sequence number of SYN.
    #[must_use]
    pub(crate) fn syn(&self) -> u32 {
        self.start.wrapping_sub(1)
    }

    /// Octets in memory.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.read.len() + self.leaving.len() + 2 * self.ahead.len()
    }

    /// Takes what a segment carries.
    ///
    /// # Errors
    /// [`Untaken`]: drop it; the stream is as it was.
    pub(crate) fn take(&mut self, seq: u32, octets: &[u8], fin: bool) -> Result<Taken, Untaken> {
        let at = self.position(seq);
        let end = at + i64::try_from(octets.len()).map_err(|_| Untaken::Outside)?;
        let next = self.next();
        let due = i64::try_from(next).map_err(|_| Untaken::Outside)?;
        let window = i64::try_from(AHEAD).unwrap_or(i64::MAX);
        if at > due + window || end > due + window || at < due - i64::from(u16::MAX) * 16 {
            return Err(Untaken::Outside);
        }
        let fin_at = u64::try_from(end).ok().filter(|_| fin);
        if fin_at.is_some_and(|at| at < next || self.fin.is_some_and(|known| known != at))
            || self.fin.is_some_and(|known| {
                // What bears no octets may follow the end: it acknowledges.
                u64::try_from(end).is_ok_and(|end| end > known + u64::from(octets.is_empty() && !fin))
            })
        {
            return Err(Untaken::Contradicts);
        }
        if end > due && self.read.len() + octets.len() > KEPT {
            return Err(Untaken::Outside);
        }
        self.agrees(at, octets)?;
        self.keep(at, octets);
        self.fin = self.fin.or(fin_at);
        let ended = fin_at.is_some_and(|at| at == self.next());
        Ok(if self.next() > next || ended {
            Taken::News
        } else if !octets.is_empty() && end <= due && end > i64::try_from(self.sent).unwrap_or(i64::MAX) {
            Taken::Again
        } else {
            Taken::Nothing
        })
    }

    /// What was read and waits for a judgement.
    pub(crate) fn waiting(&mut self) -> &[u8] {
        let judged = self.leaving.len();
        self.read.make_contiguous().get(judged..).unwrap_or_default()
    }

    /// Lets the octets that wait longest leave in this form, each for one.
    pub(crate) fn clear(&mut self, octets: &[u8]) {
        let room = self.read.len().saturating_sub(self.leaving.len());
        debug_assert!(octets.len() <= room, "nothing leaves that was not read");
        self.leaving.extend(octets.iter().take(room));
    }

    /// Whether all has been read and cleared up to the end of the stream.
    #[must_use]
    pub(crate) fn has_ended(&self) -> bool {
        self.fin == Some(self.cleared())
    }

    /// Whether the sequence number is that of a sender who has sent what we know, or a part of it: a reset that
    /// the receiver believes bears one of these (RFC 5961 §3.2).
    #[must_use]
    pub(crate) fn is_current(&self, seq: u32) -> bool {
        let at = self.position(seq);
        u64::try_from(at).is_ok_and(|at| at >= self.base && at <= self.next() + self.ahead.len() as u64 + 1)
    }

    /// Whether the receiver may acknowledge this: nothing that has not left.
    #[must_use]
    pub(crate) fn may_acknowledge(&self, ack: u32) -> bool {
        let end = self.sent + u64::from(self.fin_sent);
        self.acknowledged(ack).is_none_or(|at| at <= end)
    }

    /// The receiver has everything before this sequence number.
    pub(crate) fn acknowledge(&mut self, ack: u32) {
        let Some(at) = self.acknowledged(ack) else { return };
        let at = at.min(self.sent);
        while self.base < at && self.leaving.pop_front().is_some() {
            self.read.pop_front();
            self.base += 1;
        }
        if self.read.is_empty() {
            // An idle session holds no memory.
            self.read = VecDeque::new();
            self.leaving = VecDeque::new();
        }
    }

    /// What leaves in place of a segment with this sequence number and so many octets: the same part of the
    /// stream once more, or all that may leave and has not, at most `room` octets.
    pub(crate) fn leave(&mut self, seq: u32, octets: usize, fin: bool, room: usize) -> Leaving {
        let at = self.position(seq);
        let sent = i64::try_from(self.sent).unwrap_or(i64::MAX);
        let base = i64::try_from(self.base).unwrap_or(i64::MAX);
        let end = at + i64::try_from(octets).unwrap_or(0);
        let acknowledges = octets == 0 && !fin;
        if (at < sent && (acknowledges || end <= base)) || (acknowledges && self.fin_sent) {
            // A probe, or octets that the receiver has: it throws them away, and answers.
            return Leaving { seq, octets: vec![0; octets], fin: false };
        }
        let from = at.clamp(base, sent.max(base));
        let from = u64::try_from(from).unwrap_or(self.base);
        let skip = usize::try_from(from.saturating_sub(self.base)).unwrap_or(usize::MAX);
        let octets: Vec<u8> = self.leaving.iter().skip(skip).take(room).copied().collect();
        let until = from + octets.len() as u64;
        self.sent = self.sent.max(until);
        let fin = fin && self.fin == Some(until);
        self.fin_sent |= fin;
        Leaving { seq: self.seq(from), octets, fin }
    }

    /// The sequence number that the receiver waits for, as far as we know.
    #[must_use]
    pub(crate) fn seq_sent(&self) -> u32 {
        self.seq(self.sent + u64::from(self.fin_sent))
    }

    fn agrees(&self, at: i64, octets: &[u8]) -> Result<(), Untaken> {
        for (at, octet) in (at..).zip(octets) {
            let Some(index) = u64::try_from(at).ok().and_then(|at| at.checked_sub(self.base)) else {
                continue;
            };
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            let known = match index.checked_sub(self.read.len()) {
                None => self.read.get(index).copied(),
                Some(behind) => self.ahead.get(behind).copied().flatten(),
            };
            if known.is_some_and(|known| known != *octet) {
                return Err(Untaken::Contradicts);
            }
        }
        Ok(())
    }

    fn keep(&mut self, at: i64, octets: &[u8]) {
        let due = i64::try_from(self.next()).unwrap_or(i64::MAX);
        for (at, octet) in (at..).zip(octets) {
            let Ok(index) = usize::try_from(at - due) else { continue };
            if index >= self.ahead.len() {
                self.ahead.resize(index + 1, None);
            }
            if let Some(place) = self.ahead.get_mut(index) {
                *place = Some(*octet);
            }
        }
        while let Some(Some(octet)) = self.ahead.front() {
            self.read.push_back(*octet);
            self.ahead.pop_front();
        }
        if self.ahead.is_empty() {
            self.ahead = VecDeque::new();
        }
    }

    fn next(&self) -> u64 {
        self.base + self.read.len() as u64
    }

    fn cleared(&self) -> u64 {
        self.base + self.leaving.len() as u64
    }

    #[expect(clippy::cast_possible_truncation, reason = "sequence numbers wrap")]
    fn seq(&self, at: u64) -> u32 {
        self.start.wrapping_add(at as u32)
    }

    /// The position nearest to the octet that is due; below 0 before the stream began.
    fn position(&self, seq: u32) -> i64 {
        let next = self.next();
        i64::try_from(next).unwrap_or(i64::MAX) + i64::from(seq.wrapping_sub(self.seq(next)).cast_signed())
    }

    fn acknowledged(&self, ack: u32) -> Option<u64> {
        u64::try_from(self.position(ack)).ok()
    }
}

#[cfg(test)]
// By its path, since the fuzz target takes this file in by one, too.
#[path = "lane/tests.rs"]
mod tests;
