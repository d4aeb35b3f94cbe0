//! [`VPath`]: the only kind of path that storage ever sees.

use std::fmt;

/// A path inside a [`Vfs`](crate::Vfs): absolute, without `.`, `..`, empty parts or NUL.
///
/// Bytes, not text: a name need not be UTF-8 (RFC 2640 §2.2). The separator is `/`. The length is not limited
/// here; storage answers [`NameTooLong`](crate::VfsError::NameTooLong).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VPath(Vec<u8>);

impl VPath {
    /// The root, `/`.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Reads the argument of a command as seen from `cwd`.
    ///
    /// `..` is taken by name and stops at the root, so that `CWD ..` undoes a `CWD` through a link. `None` if
    /// the argument holds a NUL, which no name can (answer 501 or 553).
    pub fn resolve(cwd: &Self, arg: &[u8]) -> Option<Self> {
        if arg.contains(&0) {
            return None;
        }
        let mut parts: Vec<&[u8]> = if arg.starts_with(b"/") { Vec::new() } else { cwd.parts().collect() };
        for part in arg.split(|&b| b == b'/') {
            match part {
                b"" | b"." => {}
                b".." => {
                    parts.pop();
                }
                part => parts.push(part),
            }
        }
        Some(Self([b"/", parts.join(&b'/').as_slice()].concat()))
    }

    /// One level up; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        self.split().map(|(parent, _)| Self(parent.to_vec()))
    }

    /// The last part; `None` for the root.
    pub fn file_name(&self) -> Option<&[u8]> {
        self.split().map(|(_, name)| name)
    }

    /// One level down. `None` unless `name` is a single plain part: no `/`, no NUL, not empty, not `.` or `..`.
    pub fn join(&self, name: &[u8]) -> Option<Self> {
        if matches!(name, b"" | b"." | b"..") || name.iter().any(|b| matches!(b, 0 | b'/')) {
            return None;
        }
        let start: &[u8] = if self.is_root() { b"" } else { &self.0 };
        Some(Self([start, b"/", name].concat()))
    }

    /// The parts from the root down; none for the root.
    pub fn parts(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|&b| b == b'/').filter(|part| !part.is_empty())
    }

    /// The whole path, starting with `/`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is `/`.
    pub fn is_root(&self) -> bool {
        self.0 == b"/"
    }

    /// Parent and last part without a copy; `None` for the root.
    fn split(&self) -> Option<(&[u8], &[u8])> {
        let slash = self.0.iter().rposition(|&b| b == b'/')?;
        let (parent, name) = self.0.split_at_checked(slash)?;
        let name = name.get(1..).filter(|name| !name.is_empty())?;
        Some((if parent.is_empty() { b"/" } else { parent }, name))
    }
}

impl fmt::Debug for VPath {
    /// Lossy: bytes that are no UTF-8 show as U+FFFD.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&String::from_utf8_lossy(&self.0), f)
    }
}

#[cfg(test)]
mod tests {
    use super::VPath;
    use proptest::prelude::*;

    fn path(text: &str) -> VPath {
        VPath::resolve(&VPath::root(), text.as_bytes()).unwrap()
    }

    #[test]
    fn arguments_resolve_as_a_user_expects() {
        for (cwd, arg, want) in [
            ("/", "", "/"),
            ("/a/b", "", "/a/b"),
            ("/a/b", "c", "/a/b/c"),
            ("/a/b", "/c", "/c"),
            ("/a/b", "..", "/a"),
            ("/a/b", "../../../../etc", "/etc"),
            ("/a", "./b//c/./", "/a/b/c"),
            ("/a", "//b", "/b"),
            ("/", "...", "/..."),
            ("/", "a..", "/a.."),
            ("/", "a\\..\\b", "/a\\..\\b"),
            ("/", "%2e%2e/x", "/%2e%2e/x"),
        ] {
            assert_eq!(path(cwd).as_bytes(), path(cwd).as_bytes());
            let got = VPath::resolve(&path(cwd), arg.as_bytes()).unwrap();
            assert_eq!(got.as_bytes(), want.as_bytes(), "{arg} from {cwd}");
        }
        assert_eq!(VPath::resolve(&VPath::root(), b"a\0b"), None);
        assert_eq!(VPath::resolve(&VPath::root(), b"a\0/.."), None, "NUL also where `..` would drop it");
    }

    #[test]
    fn the_root_has_neither_name_nor_parent() {
        assert_eq!((VPath::root().parent(), VPath::root().file_name()), (None, None));
        assert_eq!(VPath::root().parts().count(), 0);
        assert_eq!(path("/a").parent(), Some(VPath::root()));
    }

    #[test]
    fn join_takes_one_plain_name() {
        for name in ["", ".", "..", "a/b", "/", "a\0"] {
            assert_eq!(path("/x").join(name.as_bytes()), None, "{name:?}");
        }
        assert_eq!(path("/x").join(b"...").unwrap().as_bytes(), b"/x/...");
        assert_eq!(VPath::root().join(b"\xff").unwrap().as_bytes(), b"/\xff");
    }

    fn argument() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            Just(b"..".to_vec()),
            Just(b".".to_vec()),
            Just(b"/".to_vec()),
            Just(b"a".to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn no_argument_leads_outside(cwd in argument(), arg in argument()) {
            let Some(cwd) = VPath::resolve(&VPath::root(), &cwd) else { return Ok(()) };
            let Some(got) = VPath::resolve(&cwd, &arg) else {
                prop_assert!(arg.contains(&0));
                return Ok(());
            };
            prop_assert!(got.as_bytes().starts_with(b"/"));
            prop_assert!(!got.as_bytes().contains(&0));
            if !got.is_root() {
                for part in got.as_bytes()[1..].split(|&b| b == b'/') {
                    prop_assert!(!matches!(part, b"" | b"." | b".."), "{got:?}");
                }
            }
            let again = VPath::resolve(&VPath::root(), got.as_bytes());
            prop_assert_eq!(again.as_ref(), Some(&got), "a resolved path resolves to itself");
            let rejoined = got.parts().try_fold(VPath::root(), |path, part| path.join(part));
            prop_assert_eq!(rejoined.as_ref(), Some(&got));
            if let (Some(parent), Some(name)) = (got.parent(), got.file_name()) {
                prop_assert_eq!(parent.join(name), Some(got));
            }
        }
    }
}
