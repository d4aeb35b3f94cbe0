//! Netlink messages as octets: headers, attributes, batches. Lengths and kinds are in host order, what
//! nf_tables stores is in network order.

/// Flags of a netlink header.
pub(crate) mod flag {
    pub(crate) const REQUEST: u16 = 1;
    pub(crate) const ACK: u16 = 4;
    pub(crate) const EXCL: u16 = 0x200;
    pub(crate) const DUMP: u16 = 0x300;
    pub(crate) const CREATE: u16 = 0x400;
    pub(crate) const APPEND: u16 = 0x800;
}

const HEADER: usize = 16;
const NESTED: u16 = 0x8000;
const BATCH_BEGIN: u16 = 16;
const BATCH_END: u16 = 17;
/// The nf_tables subsystem of nfnetlink.
const NFTABLES: u16 = 10;

/// Messages on their way into the kernel; nf_tables takes a batch wholly or not at all.
#[derive(Debug)]
pub(crate) struct Batch {
    octets: Vec<u8>,
    sequence: u32,
}

impl Batch {
    /// Begins a batch for nf_tables; its messages are numbered from `sequence` on.
    pub(crate) fn begin(sequence: u32) -> Self {
        let mut batch = Self { octets: Vec::with_capacity(256), sequence };
        batch.nfnetlink(BATCH_BEGIN, 0, 0, NFTABLES, |_| {});
        batch
    }

    /// Adds a message for nf_tables. `family` is 1 for `inet`.
    pub(crate) fn add(&mut self, kind: u16, flags: u16, family: u8, body: impl FnOnce(&mut Attributes<'_>)) {
        // Every message is acknowledged, so silence is an error too.
        self.nfnetlink((NFTABLES << 8) | kind, flags | flag::ACK, family, 0, body);
    }

    /// Ends the batch; the octets to send, and the number of the next message.
    pub(crate) fn end(mut self) -> (Vec<u8>, u32) {
        self.nfnetlink(BATCH_END, 0, 0, NFTABLES, |_| {});
        (self.octets, self.sequence)
    }

    fn nfnetlink(
        &mut self,
        kind: u16,
        flags: u16,
        family: u8,
        resource: u16,
        body: impl FnOnce(&mut Attributes<'_>),
    ) {
        let start = self.octets.len();
        header(&mut self.octets, kind, flags | flag::REQUEST, self.sequence);
        self.sequence = self.sequence.wrapping_add(1);
        let [high, low] = resource.to_be_bytes();
        self.octets.extend_from_slice(&[family, 0, high, low]);
        body(&mut Attributes(&mut self.octets));
        set_length(&mut self.octets, start);
    }
}

/// One message outside any batch: what rtnetlink and single questions to nf_tables want.
pub(crate) fn single(kind: u16, flags: u16, sequence: u32, body: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut octets = Vec::with_capacity(64);
    header(&mut octets, kind, flags | flag::REQUEST, sequence);
    body(&mut octets);
    set_length(&mut octets, 0);
    octets
}

fn header(octets: &mut Vec<u8>, kind: u16, flags: u16, sequence: u32) {
    octets.extend_from_slice(&[0; 4]);
    octets.extend_from_slice(&kind.to_ne_bytes());
    octets.extend_from_slice(&flags.to_ne_bytes());
    octets.extend_from_slice(&sequence.to_ne_bytes());
    octets.extend_from_slice(&[0; 4]);
}

fn set_length(octets: &mut [u8], start: usize) {
    let length = u32::try_from(octets.len().saturating_sub(start)).unwrap_or(u32::MAX);
    if let Some(field) = octets.get_mut(start..start + 4) {
        field.copy_from_slice(&length.to_ne_bytes());
    }
}

/// Writes the attributes of one message.
#[derive(Debug)]
pub(crate) struct Attributes<'a>(pub(crate) &'a mut Vec<u8>);

impl Attributes<'_> {
    /// Octets as they are.
    pub(crate) fn octets(&mut self, kind: u16, value: &[u8]) {
        let length = u16::try_from(value.len() + 4).unwrap_or(u16::MAX);
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// A number of 32 bits, in network order.
    pub(crate) fn number(&mut self, kind: u16, value: u32) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A number of 64 bits, in network order.
    pub(crate) fn long(&mut self, kind: u16, value: u64) {
        self.octets(kind, &value.to_be_bytes());
    }

    /// A name, with the NUL that the kernel wants behind it.
    pub(crate) fn name(&mut self, kind: u16, value: &str) {
        self.octets(kind, &[value.as_bytes(), &[0]].concat());
    }

    /// An attribute that holds attributes.
    pub(crate) fn nest(&mut self, kind: u16, body: impl FnOnce(&mut Attributes<'_>)) {
        let start = self.0.len();
        self.octets(kind | NESTED, &[]);
        body(self);
        let length = u16::try_from(self.0.len().saturating_sub(start)).unwrap_or(u16::MAX);
        if let Some(field) = self.0.get_mut(start..start + 2) {
            field.copy_from_slice(&length.to_ne_bytes());
        }
    }
}

/// One message as the kernel sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received<'a> {
    /// What it is: an answer, [`ERROR`] or [`DONE`].
    pub(crate) kind: u16,
    /// The number of the message that it answers.
    pub(crate) sequence: u32,
    /// What stands behind the header.
    pub(crate) body: &'a [u8],
}

/// An acknowledgement, or an error number below zero.
pub(crate) const ERROR: u16 = 2;
/// The end of a dump.
pub(crate) const DONE: u16 = 3;

impl Received<'_> {
    /// The error number of an [`ERROR`] message; 0 is an acknowledgement.
    pub(crate) fn errno(&self) -> Option<i32> {
        self.body
            .first_chunk()
            .filter(|_| self.kind == ERROR)
            .map(|b| i32::from_ne_bytes(*b).saturating_neg())
    }
}

/// The messages in what one read returned; stops at the first that is cut.
pub(crate) fn messages(mut octets: &[u8]) -> impl Iterator<Item = Received<'_>> {
    std::iter::from_fn(move || {
        let (length, rest) = octets.split_first_chunk::<4>()?;
        let length = u32::from_ne_bytes(*length) as usize;
        let body = octets.get(HEADER..length)?;
        let kind = u16::from_ne_bytes(*rest.first_chunk()?);
        let sequence = u32::from_ne_bytes(*rest.get(4..)?.first_chunk()?);
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Received { kind, sequence, body })
    })
}

/// The attributes in a run of octets, kind without flags; stops at the first that is cut.
pub(crate) fn attributes(mut octets: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16::from_ne_bytes(*octets.first_chunk()?));
        let kind = u16::from_ne_bytes(*octets.get(2..)?.first_chunk()?) & 0x3FFF;
        let value = octets.get(4..length)?;
        octets = octets.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let octets = single(7, flag::ACK, 9, |out| {
            let mut attributes = Attributes(out);
            attributes.name(1, "pin4");
            attributes.nest(2, |inner| inner.number(3, 0x0102_0304));
        });
        let message = messages(&octets).next().unwrap();
        assert_eq!((message.kind, message.sequence), (7, 9));
        let found: Vec<_> = attributes(message.body).collect();
        assert_eq!(found[0], (1, b"pin4\0".as_slice()));
        assert_eq!(attributes(found[1].1).next(), Some((3, [1, 2, 3, 4].as_slice())));
    }

    proptest::proptest! {
        #[test]
        fn no_answer_of_the_kernel_makes_the_reader_panic_or_hang(octets: Vec<u8>) {
            let read = messages(&octets).take(octets.len() + 1).count();
            proptest::prop_assert!(read <= octets.len());
            proptest::prop_assert!(attributes(&octets).take(octets.len() + 1).count() <= octets.len());
        }
    }
}
