//! Octets from strangers, made fit for a log line and a terminal.

use std::fmt::{self, Write};

use serde::{Serialize, Serializer};

/// A path, name or text from outside that cannot forge a log line.
///
/// Kept as the octets that came. Shown as UTF-8 with everything escaped that would end a line, move a cursor
/// or turn the reading direction: `\n`, `\u{1b}`, `\u{202e}`; octets that are not UTF-8 as `\xNN`, a backslash
/// as `\\`. No two different values look alike.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct Shown(Vec<u8>);

impl Shown {
    /// Takes the octets as they are.
    pub fn new(octets: impl Into<Vec<u8>>) -> Self {
        Self(octets.into())
    }

    /// The octets as they came.
    pub fn as_octets(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Shown {
    fn from(octets: &[u8]) -> Self {
        Self(octets.to_vec())
    }
}

impl From<Vec<u8>> for Shown {
    fn from(octets: Vec<u8>) -> Self {
        Self(octets)
    }
}

impl From<&str> for Shown {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().to_vec())
    }
}

impl From<String> for Shown {
    fn from(text: String) -> Self {
        Self(text.into_bytes())
    }
}

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for c in chunk.valid().chars() {
                match c {
                    '\\' => f.write_str("\\\\")?,
                    '\n' => f.write_str("\\n")?,
                    '\r' => f.write_str("\\r")?,
                    '\t' => f.write_str("\\t")?,
                    c if misleads(c) => write!(f, "\\u{{{:x}}}", u32::from(c))?,
                    c => f.write_char(c)?,
                }
            }
            for octet in chunk.invalid() {
                write!(f, "\\x{octet:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

/// Whether a character does something else than stand there: controls, line separators, direction marks and
/// the invisible ones.
fn misleads(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_forge_or_hide_text_is_escaped_and_the_rest_is_left_alone() {
        for (octets, shown) in [
            (&b"/pub/file.txt"[..], "/pub/file.txt"),
            ("/Käse und 日本/ü.txt".as_bytes(), "/Käse und 日本/ü.txt"),
            (b"a\r\nb\tc", "a\\r\\nb\\tc"),
            (b"\x1b[2Jgone\0", "\\u{1b}[2Jgone\\u{0}"),
            ("\u{85}\u{2028}\u{202e}txt.exe\u{feff}".as_bytes(), "\\u{85}\\u{2028}\\u{202e}txt.exe\\u{feff}"),
            (b"caf\xe9", "caf\\xe9"),
            (b"back\\n", "back\\\\n"),
            (b"", ""),
        ] {
            assert_eq!(Shown::from(octets).to_string(), shown);
        }
    }

    proptest::proptest! {
        #[test]
        fn two_different_values_never_look_alike(a: Vec<u8>, b: Vec<u8>) {
            let alike = Shown::new(a.clone()).to_string() == Shown::new(b.clone()).to_string();
            proptest::prop_assert_eq!(alike, a == b);
        }

        #[test]
        fn nothing_shown_ends_a_line(octets: Vec<u8>) {
            let shown = Shown::new(octets).to_string();
            proptest::prop_assert!(!shown.chars().any(misleads), "{}", shown);
        }
    }
}
