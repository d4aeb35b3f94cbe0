//! The words of a line, with the places they stand at: a name must be taken from its column, since spaces
//! may belong to it.

/// More words than any format has before its name.
const MOST: usize = 24;

/// The first words of a line, separated by spaces and tabs.
pub(super) struct Words<'a> {
    line: &'a [u8],
    spans: [(usize, usize); MOST],
    len: usize,
}

impl<'a> Words<'a> {
    pub(super) fn new(line: &'a [u8]) -> Self {
        let mut words = Self { line, spans: [(0, 0); MOST], len: 0 };
        let mut at = 0;
        for span in &mut words.spans {
            let gap = line.iter().skip(at).take_while(|b| is_space(b)).count();
            let start = at.saturating_add(gap);
            let long = line.iter().skip(start).take_while(|b| !is_space(b)).count();
            if long == 0 {
                break;
            }
            at = start.saturating_add(long);
            *span = (start, at);
            words.len += 1;
        }
        words
    }

    /// How many words there are, 24 at most.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn get(&self, index: usize) -> Option<&'a [u8]> {
        let (start, end) = self.span(index)?;
        self.line.get(start..end)
    }

    pub(super) fn start(&self, index: usize) -> Option<usize> {
        self.span(index).map(|(start, _)| start)
    }

    /// From the start of one word to the end of another.
    pub(super) fn join(&self, first: usize, last: usize) -> Option<&'a [u8]> {
        self.line.get(self.span(first)?.0..self.span(last)?.1)
    }

    /// What follows a word and exactly one separator; `None` if that is nothing.
    pub(super) fn after(&self, index: usize) -> Option<&'a [u8]> {
        let (_, end) = self.span(index)?;
        self.line.get(end.checked_add(1)?..).filter(|rest| !rest.is_empty())
    }

    fn span(&self, index: usize) -> Option<(usize, usize)> {
        self.spans.get(..self.len)?.get(index).copied()
    }
}

fn is_space(octet: &u8) -> bool {
    matches!(octet, b' ' | b'\t')
}
