//! Path names inside replies (RFC 959, Appendix II), and names as a person may safely see them.

use std::fmt::Write as _;

/// Puts a path into double quotes and doubles those inside, as 257 wants it.
///
/// CR, LF and NUL become `?`: no name can end the reply it stands in.
#[must_use]
pub fn quote(path: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(path.len().saturating_add(2));
    quoted.push(b'"');
    for &octet in path {
        match octet {
            b'"' => quoted.extend_from_slice(b"\"\""),
            b'\r' | b'\n' | 0 => quoted.push(b'?'),
            _ => quoted.push(octet),
        }
    }
    quoted.push(b'"');
    quoted
}

/// Takes the path out of the text of a 257.
///
/// By the book it stands in double quotes, with those inside doubled. Servers that do not double them are
/// understood where it can be guessed: a quote ends the path only before a space, a punctuation mark or the
/// end. Single quotes and no quotes at all will do, too. `None` if there is no path.
#[must_use]
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let text = text.trim_ascii_start();
    if let Some(open) = text.iter().position(|&b| b == b'"') {
        return quoted(text.get(open..)?, b'"');
    }
    if text.first() == Some(&b'\'') {
        return quoted(text, b'\'');
    }
    let end = [&b" is "[..], b" created", b" directory", b" current"]
        .iter()
        .filter_map(|comment| memchr::memmem::find(text, comment))
        .min()
        .unwrap_or(text.len());
    let bare = text.get(..end)?.trim_ascii();
    (!bare.is_empty()).then(|| bare.to_vec())
}

/// Reads a text that begins with `mark` up to the mark that ends it.
fn quoted(text: &[u8], mark: u8) -> Option<Vec<u8>> {
    let mut path = Vec::new();
    let mut guess = None;
    let mut octets = text.get(1..)?.iter().copied().peekable();
    while let Some(octet) = octets.next() {
        if octet != mark {
            path.push(octet);
            continue;
        }
        match octets.peek() {
            Some(&next) if next == mark => {
                octets.next();
                // If no other mark ends the path, this pair was its last octet and its end.
                if octets.peek() == Some(&b' ') {
                    guess = Some(path.len().saturating_add(1));
                }
            }
            None | Some(b' ' | b'.' | b',' | b';' | b':' | b'!' | b')' | b'\r' | b'\n' | b'\t') => {
                return found(path);
            }
            Some(_) => {
                guess.get_or_insert(path.len());
            }
        }
        path.push(mark);
    }
    // Nothing ends it: a text after the quote without the space, or no closing quote at all.
    path.truncate(guess.unwrap_or(path.len()));
    found(path)
}

fn found(path: Vec<u8>) -> Option<Vec<u8>> {
    (!path.is_empty()).then_some(path)
}

/// A name or a server's words for a terminal, a log or a report: what is not UTF-8 becomes U+FFFD, and
/// control characters, which could move the cursor or forge a line, become `\x1b` and the like.
#[must_use]
pub fn printable(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets);
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        // Marks that turn the direction of text make a name look like another.
        if c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}') {
            // Writing to a String cannot fail.
            let _ = if u32::from(c) < 0x100 {
                write!(out, "\\x{:02x}", u32::from(c))
            } else {
                write!(out, "\\u{{{:x}}}", u32::from(c))
            };
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{printable, quote, unquote};

    #[test]
    fn paths_are_quoted_as_appendix_ii_says() {
        assert_eq!(quote(b"/a b"), b"\"/a b\"");
        assert_eq!(quote(b"/a\"b"), b"\"/a\"\"b\"");
        assert_eq!(quote(b"/a\r\n230 in\0"), b"\"/a??230 in?\"");
    }

    #[test]
    fn paths_are_found_in_the_words_of_all_servers() {
        for (name, text, path) in [
            ("plain", &b"\"/home/joe\" is the current directory"[..], Some(&b"/home/joe"[..])),
            ("nothing after", b"\"/\"", Some(b"/")),
            ("doubled", b"\"/a\"\"b\" created", Some(b"/a\"b")),
            ("only quotes", b"\"\"\"\"\"\" x", Some(b"\"\"")),
            ("not doubled", b"\"/a\"b\" created", Some(b"/a\"b")),
            ("not doubled, ends with it", b"\"/a.txt\"\" created", Some(b"/a.txt\"")),
            ("no space after", b"\"/a\"created", Some(b"/a")),
            ("full stop", b"\"/a\".", Some(b"/a")),
            ("never closed", b"\"/a", Some(b"/a")),
            ("words first", b"Directory \"/a\" created", Some(b"/a")),
            ("single quotes", b"'SYS1.PROC.' is working directory name prefix.", Some(b"SYS1.PROC.")),
            (
                "single quotes around double",
                b"\"'IBMUSER.'\" is the working directory name prefix.",
                Some(b"'IBMUSER.'"),
            ),
            ("no quotes", b"/home/joe is current directory", Some(b"/home/joe")),
            ("no quotes, bare", b" /home/my docs ", Some(b"/home/my docs")),
            ("vms", b"DKA0:[USER.DIR] is current directory.", Some(b"DKA0:[USER.DIR]")),
            ("spaces kept", b"\" a \" x", Some(b" a ")),
            ("empty", b"", None),
            ("empty quotes", b"\"\" is it", None),
        ] {
            assert_eq!(unquote(text).as_deref(), path, "{name}");
        }
    }

    #[test]
    fn a_name_cannot_drive_the_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\r\n\xff\xc2\x9b"), "a\\x1b[2Jb\\x0d\\x0a\u{fffd}\\x9b");
        assert_eq!(printable("ä \u{202e}gpj.exe".as_bytes()), "ä \\u{202e}gpj.exe");
    }

    proptest! {
        #[test]
        fn a_quoted_path_comes_back(path in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b' '), 1_u8..], 1..40), comment in "( .*)?") {
            prop_assume!(!path.iter().any(|b| matches!(b, b'\r' | b'\n')));
            let text = [quote(&path), comment.into_bytes()].concat();
            prop_assert_eq!(unquote(&text), Some(path));
        }

        #[test]
        fn any_text_is_survived(text: Vec<u8>) {
            let _ = unquote(&text);
            prop_assert!(!printable(&text).chars().any(char::is_control));
        }
    }
}
