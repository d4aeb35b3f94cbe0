//! What a server answered.

use std::fmt;

/// One reply, with all its lines. RFC 959 §4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The three digits.
    pub code: u16,
    /// Every line without CRLF, the first and last with their code.
    pub lines: Vec<Vec<u8>>,
}

impl Reply {
    /// The lines as text, joined by LF; octets that are not UTF-8 are replaced.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.lines.join(&b'\n')).into_owned()
    }

    /// What stands between the first pair of `open` and the last `close`.
    #[must_use]
    pub fn between(&self, open: char, close: char) -> Option<String> {
        let text = self.text();
        let (from, to) = (text.find(open)? + open.len_utf8(), text.rfind(close)?);
        text.get(from..to).map(str::to_owned)
    }

    /// What follows the code and a blank on the first line.
    #[must_use]
    pub fn value(&self) -> String {
        self.text().lines().next().and_then(|line| line.get(4..)).unwrap_or_default().trim().to_owned()
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}
