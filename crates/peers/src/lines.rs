//! Configuration files of one setting a line.

use std::fmt::Write as _;

/// The lines of `usual`, without those whose key stands in `more`, and then `more`.
///
/// Some servers heed the first line of a key and some the last, so no key may stand twice by accident.
pub(crate) fn merged(usual: &[(&str, String)], between: char, more: &str) -> String {
    let key = |line: &str| line.trim().split([between, ' ', '\t']).next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = more.lines().map(key).collect();
    let mut text = String::new();
    for (name, value) in usual.iter().filter(|(name, _)| !replaced.iter().any(|key| key == name)) {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}{between}{value}");
    }
    text.push_str(more);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_lines_replace_those_of_the_same_key() {
        let usual = [("listen", "YES".to_owned()), ("ssl_enable", "NO".to_owned())];
        let text = merged(&usual, '=', "ssl_enable=YES\nhide_ids=YES");
        assert_eq!(text, "listen=YES\nssl_enable=YES\nhide_ids=YES\n");
    }
}
