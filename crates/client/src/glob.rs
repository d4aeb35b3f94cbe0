//! Which names of a tree are meant: shell patterns, includes before excludes.

/// Patterns with `*` (anything but `/`), `**` (anything), `?` and `[a-z]`.
///
/// A pattern without `/` is matched against the last part of a path, one with `/` against the whole path below
/// the root of the mirror. A directory that is excluded is not entered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Globs {
    /// If there are any, a file must match one; directories are always entered.
    pub include: Vec<Vec<u8>>,
    /// What matches one of these is left out.
    pub exclude: Vec<Vec<u8>>,
}

impl Globs {
    /// Whether a path, relative to the root of the mirror, is meant.
    #[must_use]
    pub fn admits(&self, path: &[u8], directory: bool) -> bool {
        let hit = |patterns: &[Vec<u8>]| patterns.iter().any(|pattern| applies(pattern, path, directory));
        let included = directory || self.include.is_empty() || hit(&self.include);
        included && !hit(&self.exclude)
    }
}

fn applies(pattern: &[u8], path: &[u8], directory: bool) -> bool {
    let (pattern, directories_only) = match pattern.strip_suffix(b"/") {
        Some(pattern) => (pattern, true),
        None => (pattern, false),
    };
    if directories_only && !directory {
        return false;
    }
    let pattern = pattern.strip_prefix(b"/").map_or((pattern, false), |rest| (rest, true));
    let whole = pattern.1 || pattern.0.contains(&b'/');
    let text = if whole { path } else { path.rsplit(|&b| b == b'/').next().unwrap_or_default() };
    matches(pattern.0, text)
}

/// Whether a pattern matches all of a text. Takes time proportional to the product of their lengths.
fn matches(pattern: &[u8], text: &[u8]) -> bool {
    // reach[i]: the pattern so far matches the first i octets.
    let mut reach = vec![false; text.len() + 1];
    if let Some(first) = reach.first_mut() {
        *first = true;
    }
    let mut rest = pattern;
    while let Some((&octet, after)) = rest.split_first() {
        if octet == b'*' {
            let deep = after.first() == Some(&b'*');
            rest = if deep { after.get(1..).unwrap_or_default() } else { after };
            let mut on = false;
            for (i, reached) in reach.iter_mut().enumerate() {
                let crosses = !deep && i > 0 && text.get(i - 1) == Some(&b'/');
                on = *reached || (on && !crosses);
                *reached = on;
            }
            continue;
        }
        let (test, after) = one(octet, after);
        let mut next = vec![false; text.len() + 1];
        for ((reached, &octet), next) in reach.iter().zip(text).zip(next.iter_mut().skip(1)) {
            *next = *reached && test.admits(octet);
        }
        reach = next;
        rest = after;
    }
    reach.last().copied().unwrap_or(false)
}

enum One<'a> {
    Any,
    Octet(u8),
    Set { members: &'a [u8], not: bool },
}

impl One<'_> {
    fn admits(&self, octet: u8) -> bool {
        match self {
            Self::Any => octet != b'/',
            Self::Octet(wanted) => octet == *wanted,
            Self::Set { members, not } => {
                let mut left = *members;
                let mut hit = false;
                while let Some((&first, after)) = left.split_first() {
                    match after {
                        [b'-', last, rest @ ..] => {
                            hit |= (first..=*last).contains(&octet);
                            left = rest;
                        }
                        _ => {
                            hit |= first == octet;
                            left = after;
                        }
                    }
                }
                hit != *not && octet != b'/'
            }
        }
    }
}

fn one(octet: u8, after: &[u8]) -> (One<'_>, &[u8]) {
    match (octet, after) {
        (b'?', _) => (One::Any, after),
        (b'\\', [escaped, rest @ ..]) => (One::Octet(*escaped), rest),
        (b'[', _) => {
            let (inner, not) = match after {
                [b'!' | b'^', rest @ ..] => (rest, true),
                _ => (after, false),
            };
            // A bracket that comes first is a member.
            match inner.iter().skip(1).position(|&b| b == b']') {
                Some(end) => {
                    let (members, rest) = inner.split_at(end + 1);
                    (One::Set { members, not }, rest.get(1..).unwrap_or_default())
                }
                None => (One::Octet(b'['), after),
            }
        }
        _ => (One::Octet(octet), after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_mean_what_a_shell_means() {
        for (pattern, path, directory, hit) in [
            ("*.txt", "a/b.txt", false, true),
            ("*.txt", "a/b.txt.gz", false, false),
            ("a/*.txt", "a/b.txt", false, true),
            ("a/*.txt", "a/b/c.txt", false, false),
            ("a/**.txt", "a/b/c.txt", false, true),
            ("/top", "top", false, true),
            ("/top", "a/top", false, false),
            ("?[a-c]x", "zbx", false, true),
            ("[!a]b", "ab", false, false),
            ("[]]", "]", false, true),
            ("cache/", "x/cache", true, true),
            ("cache/", "x/cache", false, false),
            ("\\*", "*", false, true),
            ("[", "[", false, true),
            ("", "", false, true),
        ] {
            assert_eq!(applies(pattern.as_bytes(), path.as_bytes(), directory), hit, "{pattern} {path}");
        }
        let globs = Globs { include: vec![b"*.rs".to_vec()], exclude: vec![b"target".to_vec()] };
        assert!(globs.admits(b"src", true) && globs.admits(b"a/b.rs", false));
        assert!(!globs.admits(b"target", true) && !globs.admits(b"a.txt", false));
    }

    proptest::proptest! {
        #[test]
        fn no_pattern_hangs_or_panics(pattern: Vec<u8>, text: Vec<u8>) {
            let _ = matches(&pattern, &text);
            proptest::prop_assert!(matches(b"**", &text));
            let escaped: Vec<u8> = text.iter().flat_map(|&b| [b'\\', b]).collect();
            proptest::prop_assert!(matches(&escaped, &text));
        }
    }
}
