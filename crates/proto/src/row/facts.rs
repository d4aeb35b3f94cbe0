//! Which facts MLSx lists, and how `FEAT` and `OPTS MLST` speak of them (RFC 3659 §7.8, §7.9).

use std::ops::BitOr;

/// A set of facts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MlsxFacts(u16);

const NAMES: &[(MlsxFacts, &str)] = &[
    (MlsxFacts::TYPE, "type"),
    (MlsxFacts::SIZE, "size"),
    (MlsxFacts::MODIFY, "modify"),
    (MlsxFacts::CREATE, "create"),
    (MlsxFacts::PERM, "perm"),
    (MlsxFacts::UNIQUE, "unique"),
    (MlsxFacts::UNIX_MODE, "UNIX.mode"),
    (MlsxFacts::UNIX_OWNER, "UNIX.owner"),
    (MlsxFacts::UNIX_GROUP, "UNIX.group"),
];

impl MlsxFacts {
    /// No fact: rows are a space and the name.
    pub const NONE: Self = Self(0);
    /// `type`.
    pub const TYPE: Self = Self(1);
    /// `size`, in octets.
    pub const SIZE: Self = Self(1 << 1);
    /// `modify`, in UTC.
    pub const MODIFY: Self = Self(1 << 2);
    /// `create`, in UTC.
    pub const CREATE: Self = Self(1 << 3);
    /// `perm`, see [`Perm`](super::Perm).
    pub const PERM: Self = Self(1 << 4);
    /// `unique`.
    pub const UNIQUE: Self = Self(1 << 5);
    /// `UNIX.mode`, octal.
    pub const UNIX_MODE: Self = Self(1 << 6);
    /// `UNIX.owner`.
    pub const UNIX_OWNER: Self = Self(1 << 7);
    /// `UNIX.group`.
    pub const UNIX_GROUP: Self = Self(1 << 8);
    /// Every fact there is here.
    pub const ALL: Self = Self((1 << 9) - 1);

    /// Reads the argument of `OPTS MLST`, such as `type;size;`. Facts that are not known are passed over, and
    /// no argument asks for no fact (RFC 3659 §7.9).
    #[must_use]
    pub fn parse_opts(argument: &[u8]) -> Self {
        argument.trim_ascii().split(|&b| b == b';').fold(Self::NONE, |all, name| {
            let known = NAMES.iter().find(|(_, known)| name.eq_ignore_ascii_case(known.as_bytes()));
            known.map_or(all, |&(fact, _)| all | fact)
        })
    }

    /// Whether all of `other` is in the set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The line for `FEAT`: all facts there are, with a star after those in the set.
    #[must_use]
    pub fn feat(self) -> String {
        let mut text = String::from("MLST ");
        for &(fact, name) in NAMES {
            text.push_str(name);
            text.push_str(if self.contains(fact) { "*;" } else { ";" });
        }
        text
    }

    /// The text of the 200 to `OPTS MLST`: the facts that will be listed.
    #[must_use]
    pub fn opts_reply(self) -> String {
        let mut text = String::from("MLST OPTS ");
        for (_, name) in NAMES.iter().filter(|(fact, _)| self.contains(*fact)) {
            text.push_str(name);
            text.push(';');
        }
        text.truncate(text.trim_end().len());
        text
    }
}

impl Default for MlsxFacts {
    /// What is listed before any `OPTS MLST`: everything a mirror needs, without owners.
    fn default() -> Self {
        Self::TYPE | Self::SIZE | Self::MODIFY | Self::PERM | Self::UNIQUE | Self::UNIX_MODE
    }
}

impl BitOr for MlsxFacts {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
