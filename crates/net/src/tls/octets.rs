//! A buffer with a front and a back: octets are put in behind and taken off before.

/// Octets between a start and an end. Holds no memory before first use, and none after [`Self::release`].
#[derive(Default)]
pub(crate) struct Octets {
    space: Vec<u8>,
    start: usize,
    end: usize,
}

impl Octets {
    pub(crate) fn filled(&self) -> &[u8] {
        self.space.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn filled_mut(&mut self) -> &mut [u8] {
        self.space.get_mut(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    /// Octets this buffer could hold without growing.
    pub(crate) fn capacity(&self) -> usize {
        self.space.len()
    }

    /// Takes `n` octets off the front.
    pub(crate) fn discard(&mut self, n: usize) {
        self.start = (self.start + n).min(self.end);
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for at least `n` more octets at the back; say [`Self::commit`] how many were put there.
    pub(crate) fn spare(&mut self, n: usize) -> &mut [u8] {
        if self.space.len() - self.end < n && self.start > 0 {
            self.space.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        if self.space.len() - self.end < n {
            self.space.reserve_exact(self.end + n - self.space.len());
            self.space.resize(self.end + n, 0);
        }
        self.space.get_mut(self.end..).unwrap_or_default()
    }

    pub(crate) fn commit(&mut self, n: usize) {
        self.end = (self.end + n).min(self.space.len());
    }

    pub(crate) fn push(&mut self, octets: &[u8]) {
        if let Some(room) = self.spare(octets.len()).get_mut(..octets.len()) {
            room.copy_from_slice(octets);
        }
        self.commit(octets.len());
    }

    /// Moves as much as fits to `sink`.
    pub(crate) fn pop_into(&mut self, sink: &mut [u8]) -> usize {
        let n = self.len().min(sink.len());
        if let (Some(to), Some(from)) = (sink.get_mut(..n), self.filled().get(..n)) {
            to.copy_from_slice(from);
        }
        self.discard(n);
        n
    }

    /// Gives the memory back, if nothing is in it.
    pub(crate) fn release(&mut self) {
        if self.is_empty() {
            *self = Self::default();
        }
    }

    /// Takes out what is inside.
    pub(crate) fn take(&mut self) -> Vec<u8> {
        let octets = self.filled().to_vec();
        *self = Self::default();
        octets
    }
}

#[cfg(test)]
mod tests {
    use super::Octets;

    proptest::proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(steps: Vec<(Vec<u8>, u8)>) {
            let (mut buffer, mut put, mut got) = (Octets::default(), vec![], vec![]);
            for (octets, take) in steps {
                buffer.push(&octets);
                put.extend_from_slice(&octets);
                let mut sink = vec![0; take.into()];
                let n = buffer.pop_into(&mut sink);
                got.extend_from_slice(&sink[..n]);
                buffer.release();
            }
            got.extend(buffer.take());
            proptest::prop_assert_eq!(got, put);
        }
    }
}
