//! What an account may do, as a small set of bits.

use std::fmt;
use std::ops::{BitOr, BitOrAssign, Sub};

/// A set of permissions; the empty set allows nothing but logging in and out.
///
/// Exhaustive as far as callers go: a verb needs one or more of these bits, and the server decides which.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u16);

/// The table that `Debug`, `Display` and configuration names come from.
const NAMES: [(Rights, &str); 11] = [
    (Rights::READ, "read"),
    (Rights::LIST, "list"),
    (Rights::WRITE, "write"),
    (Rights::OVERWRITE, "overwrite"),
    (Rights::APPEND, "append"),
    (Rights::DELETE, "delete"),
    (Rights::RENAME, "rename"),
    (Rights::MKDIR, "mkdir"),
    (Rights::RMDIR, "rmdir"),
    (Rights::CHMOD, "chmod"),
    (Rights::SYMLINK, "symlink"),
];

impl Rights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// Fetch files and their hashes: `RETR`, `HASH`.
    pub const READ: Self = Self(1);
    /// See names, sizes and times: `LIST`, `NLST`, `MLSD`, `MLST`, `STAT`, `SIZE`, `MDTM`, `CWD`.
    pub const LIST: Self = Self(1 << 1);
    /// Store files that do not exist yet: `STOR`, `STOU`.
    pub const WRITE: Self = Self(1 << 2);
    /// Replace files that exist: `STOR` and `RNTO` onto them. Useless without [`WRITE`](Self::WRITE) or
    /// [`RENAME`](Self::RENAME).
    pub const OVERWRITE: Self = Self(1 << 3);
    /// Lengthen files that exist: `APPE`, `REST` and `STOR`.
    pub const APPEND: Self = Self(1 << 4);
    /// `DELE`.
    pub const DELETE: Self = Self(1 << 5);
    /// `RNFR` and `RNTO`.
    pub const RENAME: Self = Self(1 << 6);
    /// `MKD`.
    pub const MKDIR: Self = Self(1 << 7);
    /// `RMD`, `RMDA`.
    pub const RMDIR: Self = Self(1 << 8);
    /// Change what is recorded about a file: `SITE CHMOD`, `SITE UTIME`, `MFMT`, `MFCT`, `MFF`.
    pub const CHMOD: Self = Self(1 << 9);
    /// `SITE SYMLINK`.
    pub const SYMLINK: Self = Self(1 << 10);

    /// See and fetch: what anonymous users get.
    pub const READ_ONLY: Self = Self(Self::READ.0 | Self::LIST.0);
    /// Everything.
    pub const FULL: Self = Self((1 << 11) - 1);

    /// Whether every right of `needed` is here.
    pub const fn allows(self, needed: Self) -> bool {
        self.0 & needed.0 == needed.0
    }

    /// The rights that both sets have; `--read-only` narrows every account by it.
    #[must_use]
    pub const fn narrowed_to(self, limit: Self) -> Self {
        Self(self.0 & limit.0)
    }

    /// The right of that name as [`Display`](fmt::Display) writes it, or `None`.
    ///
    /// Also knows `read-only`, `full` and `none`.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "none" => Some(Self::NONE),
            "read-only" => Some(Self::READ_ONLY),
            "full" => Some(Self::FULL),
            _ => NAMES.iter().find(|(_, known)| *known == name).map(|(right, _)| *right),
        }
    }
}

impl BitOr for Rights {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Rights {
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The rights of the left set that are not in the right one.
impl Sub for Rights {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::FULL => return f.write_str("full"),
            Self::NONE => return f.write_str("none"),
            Self::READ_ONLY => return f.write_str("read-only"),
            _ => {}
        }
        let mut comma = "";
        for (_, name) in NAMES.iter().filter(|(right, _)| self.allows(*right)) {
            write!(f, "{comma}{name}")?;
            comma = ",";
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_neither_stores_nor_removes_nor_renames() {
        for (right, name) in NAMES {
            let harmless = matches!(right, Rights::READ | Rights::LIST);
            assert_eq!(Rights::READ_ONLY.allows(right), harmless, "{name}");
            assert!(Rights::FULL.allows(right), "{name}");
            assert!(!Rights::NONE.allows(right), "{name}");
        }
    }

    #[test]
    fn narrowing_never_adds_a_right() {
        let mixed = Rights::READ | Rights::WRITE | Rights::DELETE;
        assert_eq!(mixed.narrowed_to(Rights::READ_ONLY), Rights::READ);
        assert_eq!(Rights::READ.narrowed_to(Rights::FULL), Rights::READ);
        assert_eq!(mixed - Rights::DELETE, Rights::READ | Rights::WRITE);
    }

    #[test]
    fn every_right_is_found_by_the_name_it_prints() {
        for (right, _) in NAMES {
            assert_eq!(Rights::named(&right.to_string()), Some(right));
        }
        assert_eq!(Rights::named("root"), None);
        assert_eq!((Rights::READ | Rights::WRITE).to_string(), "read,write");
    }
}
