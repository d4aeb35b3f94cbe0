//! What FEAT tells (RFC 2389 §3.2). A hint: servers leave out what they have and list what is broken.

use crate::{Algorithm, RawReply};

/// What a server says it can do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Features {
    /// Name in upper case, and the rest of the line.
    lines: Vec<(Vec<u8>, Vec<u8>)>,
}

impl Features {
    /// Reads the reply to FEAT; a refusal has no features.
    #[must_use]
    pub fn read(reply: &RawReply) -> Self {
        if reply.code / 100 != 2 {
            return Self::default();
        }
        // The first and the last line frame the list; a server that says all in one line has no list.
        let inner = reply.lines.get(1..reply.lines.len().saturating_sub(1)).unwrap_or_default();
        let lines = inner.iter().filter_map(|line| {
            let line = strip_code(line.trim_ascii());
            let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
            let (name, rest) = line.split_at(end);
            (!name.is_empty()).then(|| (name.to_ascii_uppercase(), rest.trim_ascii().to_vec()))
        });
        Self { lines: lines.collect() }
    }

    /// True if the server listed nothing at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Whether the name is listed, in any letter case.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.arguments(name).next().is_some()
    }

    /// Whether the name is listed with this word among its arguments, as in `REST STREAM` or `AUTH TLS;SSL`.
    #[must_use]
    pub fn has_with(&self, name: &str, word: &str) -> bool {
        self.arguments(name).any(|rest| {
            rest.split(|b| matches!(b, b' ' | b';' | b',' | b'/'))
                .any(|part| part.eq_ignore_ascii_case(word.as_bytes()))
        })
    }

    /// MLST and MLSD (RFC 3659 §7.8).
    #[must_use]
    pub fn mlst(&self) -> bool {
        self.has("MLST") || self.has("MLSD")
    }

    /// The digests of HASH, best first, each with whether it is in force (draft-bryan-ftpext-hash §3.1).
    #[must_use]
    pub fn hashes(&self) -> Vec<(Algorithm, bool)> {
        let offered: Vec<(Vec<u8>, bool)> = self
            .arguments("HASH")
            .flat_map(|rest| rest.split(|&b| b == b';'))
            .map(|name| {
                let name = name.trim_ascii();
                (name.strip_suffix(b"*").unwrap_or(name).to_vec(), name.ends_with(b"*"))
            })
            .collect();
        let find = |algorithm: Algorithm| {
            let found = offered.iter().find(|(name, _)| Algorithm::read(name) == Some(algorithm));
            found.map(|(_, on)| (algorithm, *on))
        };
        Algorithm::ALL.iter().filter_map(|row| find(row.0)).collect()
    }

    /// The digests that have a verb of their own (XSHA256 and the like), best first.
    #[must_use]
    pub fn digest_verbs(&self) -> Vec<Algorithm> {
        Algorithm::ALL.iter().filter(|row| self.has(row.2.name())).map(|row| row.0).collect()
    }

    fn arguments(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let name = name.to_ascii_uppercase();
        self.lines.iter().filter(move |line| line.0 == name.as_bytes()).map(|line| line.1.as_slice())
    }
}

/// Some servers begin each feature with `211-` instead of a space.
fn strip_code(line: &[u8]) -> &[u8] {
    line.strip_prefix(b"211-").map_or(line, <[u8]>::trim_ascii_start)
}
