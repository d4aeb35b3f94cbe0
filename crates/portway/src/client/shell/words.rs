//! One line of the shell: words, quotes, and whether it runs in the background.

/// A line, read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    words: Vec<String>,
    /// It ended with `&`.
    pub(super) background: bool,
    /// What followed a `!` at its beginning.
    pub(super) escape: Option<String>,
}

impl Line {
    /// Words stand between blanks; `"…"`, `'…'` and `\` keep blanks in them; `#` begins a comment.
    ///
    /// # Errors
    /// In words, for an unclosed quote.
    pub(super) fn read(line: &str) -> Result<Self, &'static str> {
        if let Some(rest) = line.trim_start().strip_prefix('!') {
            return Ok(Self { words: Vec::new(), background: false, escape: Some(rest.trim().to_owned()) });
        }
        let mut words = Vec::new();
        let mut word: Option<String> = None;
        let mut quote = None;
        let mut bare_and = false;
        let mut chars = line.chars();
        while let Some(c) = chars.next() {
            bare_and = quote.is_none() && c == '&' && word.is_none() || bare_and && c.is_whitespace();
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\\', None | Some('"')) => word.get_or_insert_default().extend(chars.next()),
                (c, Some(_)) => word.get_or_insert_default().push(c),
                ('"' | '\'', None) => {
                    quote = Some(c);
                    word.get_or_insert_default();
                }
                ('#', None) if word.is_none() && words.is_empty() => break,
                (c, None) if c.is_whitespace() => words.extend(word.take()),
                (c, None) => word.get_or_insert_default().push(c),
            }
        }
        if quote.is_some() {
            return Err("a quote is not closed");
        }
        words.extend(word);
        if bare_and {
            words.pop();
        }
        Ok(Self { words, background: bare_and, escape: None })
    }

    /// The verb; empty on an empty line.
    pub(super) fn verb(&self) -> &str {
        self.words.first().map_or("", String::as_str)
    }

    /// What follows it.
    pub(super) fn args(&self) -> Vec<&str> {
        self.words.iter().skip(1).map(String::as_str).collect()
    }
}

/// A name as it has to be typed.
pub(super) fn quoted(name: &str) -> String {
    let special = |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | '&' | '#' | '*' | '?' | '[');
    let mut out = String::with_capacity(name.len());
    for c in name.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// Whether a line must not be remembered: a password may be in it.
pub(super) fn holds_secret(line: &str) -> bool {
    let words: Vec<String> = line.split_whitespace().map(str::to_ascii_lowercase).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["user" | "login", _, _, ..] | ["quote" | "literal", "pass" | "acct", ..] => true,
        words => words.iter().any(|word| {
            word.split_once("://")
                .and_then(|(_, rest)| rest.rsplit_once('@'))
                .is_some_and(|(who, _)| who.contains(':'))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_may_hold_blanks_in_quotes_and_a_line_may_run_in_the_background() {
        for (text, words, background) in [
            ("get  \"a b\" c\\ d '' &", &["get", "a b", "c d", ""][..], true),
            ("get a&b", &["get", "a&b"], false),
            ("get a \\&", &["get", "a", "&"], false),
            ("get a '&'", &["get", "a", "&"], false),
            ("put \"say \\\"x\\\"\" 'it\\s'", &["put", "say \"x\"", "it\\s"], false),
            ("ls a#b", &["ls", "a#b"], false),
            ("# nothing", &[], false),
            ("   ", &[], false),
        ] {
            let line = Line::read(text).unwrap();
            assert_eq!(
                (line.words.as_slice(), line.background),
                (&words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>()[..], background),
                "{text}"
            );
        }
        assert!(Line::read("get \"a").is_err());
        assert_eq!(Line::read(" !ls -l & ").unwrap().escape.as_deref(), Some("ls -l &"));
    }

    #[test]
    fn what_is_offered_for_a_name_is_read_back_as_that_name() {
        for name in ["a b", "it's \"q\" \\ & # *?[x]", "größe", "plain"] {
            assert_eq!(Line::read(&format!("get {}", quoted(name))).unwrap().args(), [name]);
        }
    }

    #[test]
    fn lines_with_passwords_are_not_remembered() {
        for line in ["user ann secret", "quote PASS x", "open ftp://ann:secret@host/", "literal acct x"] {
            assert!(holds_secret(line), "{line}");
        }
        for line in ["user ann", "open ftp://ann@host/", "get a:b@c", "quote SITE HELP"] {
            assert!(!holds_secret(line), "{line}");
        }
    }
}
