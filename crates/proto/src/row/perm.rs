//! The perm fact (RFC 3659 §7.5.5).

use std::ops::BitOr;

/// What the logged-in user may do with an entry, as far as the server knows: a hint, not a promise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Perm(u16);

const LETTERS: &[(Perm, u8)] = &[
    (Perm::APPEND, b'a'),
    (Perm::CREATE, b'c'),
    (Perm::DELETE, b'd'),
    (Perm::ENTER, b'e'),
    (Perm::RENAME, b'f'),
    (Perm::LIST, b'l'),
    (Perm::MKDIR, b'm'),
    (Perm::PURGE, b'p'),
    (Perm::RETRIEVE, b'r'),
    (Perm::STORE, b'w'),
];

impl Perm {
    /// `a`: a file that takes `APPE`.
    pub const APPEND: Self = Self(1);
    /// `c`: a directory that takes new files by `STOR`, `STOU` and `RNTO`.
    pub const CREATE: Self = Self(1 << 1);
    /// `d`: `DELE` or `RMD` works.
    pub const DELETE: Self = Self(1 << 2);
    /// `e`: a directory for `CWD`.
    pub const ENTER: Self = Self(1 << 3);
    /// `f`: `RNFR` works.
    pub const RENAME: Self = Self(1 << 4);
    /// `l`: a directory for `LIST`, `NLST` and `MLSD`.
    pub const LIST: Self = Self(1 << 5);
    /// `m`: a directory that takes `MKD`.
    pub const MKDIR: Self = Self(1 << 6);
    /// `p`: a directory whose entries may be deleted.
    pub const PURGE: Self = Self(1 << 7);
    /// `r`: a file for `RETR`.
    pub const RETRIEVE: Self = Self(1 << 8);
    /// `w`: a file that takes `STOR`.
    pub const STORE: Self = Self(1 << 9);

    /// Reads the value of the fact, in either case; letters of later standards are passed over.
    #[must_use]
    pub fn parse(value: &[u8]) -> Self {
        let of = |octet: &u8| LETTERS.iter().find(|(_, letter)| octet.to_ascii_lowercase() == *letter);
        value.iter().filter_map(of).fold(Self::default(), |all, &(perm, _)| all | perm)
    }

    /// Whether all of `other` is granted.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Appends the letters, in alphabetical order.
    pub fn write(self, out: &mut Vec<u8>) {
        out.extend(LETTERS.iter().filter(|(perm, _)| self.contains(*perm)).map(|&(_, letter)| letter));
    }
}

impl BitOr for Perm {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}
