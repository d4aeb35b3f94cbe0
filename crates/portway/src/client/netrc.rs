//! `~/.netrc`: names and passwords by host.

use std::path::PathBuf;

/// What one entry says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) user: Vec<u8>,
    pub(crate) password: Option<Vec<u8>>,
    pub(crate) account: Option<Vec<u8>>,
}

/// The entry for a host, and for a user if one is given, from `$NETRC` or `~/.netrc`.
pub(crate) fn of_user(host: &str, user: Option<&[u8]>) -> Option<Entry> {
    let file = std::env::var_os("NETRC")
        .map(PathBuf::from)
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".netrc")))?;
    find(&std::fs::read_to_string(file).ok()?, host, user)
}

fn find(text: &str, host: &str, user: Option<&[u8]>) -> Option<Entry> {
    let mut words = words(text).into_iter();
    let mut entry: Option<Entry> = None;
    let fits = |entry: &Option<Entry>| {
        entry.as_ref().is_some_and(|e| !e.user.is_empty() && user.is_none_or(|user| user == e.user))
    };
    while let Some(word) = words.next() {
        let mut value = || words.next().map(String::into_bytes);
        match (word.as_str(), &mut entry) {
            ("machine" | "default", _) => {
                if fits(&entry) {
                    break;
                }
                let ours = word == "default"
                    || value().is_some_and(|name| name.eq_ignore_ascii_case(host.as_bytes()));
                entry = ours.then(Entry::default);
            }
            ("login", Some(entry)) => entry.user = value().unwrap_or_default(),
            ("password", Some(entry)) => entry.password = value(),
            ("account", Some(entry)) => entry.account = value(),
            ("login" | "password" | "account", None) => drop(value()),
            _ => {}
        }
    }
    entry.filter(|_| true).filter(|e| !e.user.is_empty() && user.is_none_or(|user| user == e.user))
}

/// Words, with double quotes and backslashes; a `#` begins a comment, a macro ends at an empty line.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut in_macro = false;
    for line in text.lines() {
        if in_macro {
            in_macro = !line.trim().is_empty();
            continue;
        }
        let mut chars = line.chars().peekable();
        while let Some(&c) = chars.peek() {
            if c.is_whitespace() {
                chars.next();
                continue;
            }
            // Only at the start of a word: passwords hold this sign, too.
            if c == '#' {
                break;
            }
            let quoted = c == '"';
            if quoted {
                chars.next();
            }
            let mut word = String::new();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => word.extend(chars.next()),
                    '"' if quoted => break,
                    c => word.push(c),
                }
                if !quoted && chars.peek().is_none_or(|c| c.is_whitespace()) {
                    break;
                }
            }
            if word == "macdef" && !quoted {
                in_macro = true;
                break;
            }
            words.push(word);
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_entry_that_fits_host_and_user_counts() {
        let text = "# mine\nmachine a.example login u password p#1\n\
                    machine a.example\n  login v\n  password \"two words\"\n\
                    macdef init\n machine a.example login evil password x\n\n\
                    machine b.example login w account acct password q\ndefault login anonymous password me@\n";
        let found = |host, user: Option<&str>| {
            find(text, host, user.map(str::as_bytes)).map(|e| {
                (String::from_utf8(e.user).unwrap(), String::from_utf8(e.password.unwrap()).unwrap())
            })
        };
        let pair = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(found("a.example", None), pair("u", "p#1"));
        assert_eq!(found("A.EXAMPLE", Some("v")), pair("v", "two words"));
        assert_eq!(found("b.example", None), pair("w", "q"));
        assert_eq!(found("c.example", None), pair("anonymous", "me@"));
        assert_eq!(found("a.example", Some("nobody")), None);
        assert_eq!(find("machine h", "h", None), None);
    }
}
