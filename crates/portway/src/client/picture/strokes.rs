//! What a picture is drawn with.

use super::{Line, Sheet};

impl Sheet {
    pub(super) fn push(&mut self, text: &str) {
        let text = text.chars().take(self.width).collect();
        self.lines.push(Line { part: self.part, text, mark: None });
    }

    pub(super) fn ends(&mut self, left: &str, right: &str) {
        let room = self.width.saturating_sub(left.chars().count() + right.chars().count());
        self.push(&format!("{left}{}{right}", " ".repeat(room)));
    }

    pub(super) fn arrow(&mut self, name: &str, left: u16, right: u16, to_the_right: bool, stroke: char) {
        let (head, tail) = (format!("{name:<9} {:<6}", format!(":{left}")), format!(":{right}"));
        let room = self.width.saturating_sub(head.len() + tail.len() + 3);
        let line: String = std::iter::repeat_n(stroke, room).collect();
        let arrow = if to_the_right { format!("{line}>") } else { format!("<{line}") };
        self.push(&format!("{head} {arrow} {tail}"));
    }

    pub(super) fn blocked(&mut self, port: u16, passive: bool) {
        let (name, port) = (format!("data #{}", self.tries), format!(":{port}"));
        let room = "-".repeat(self.width.saturating_sub(32) / 2);
        if passive {
            self.ends(&format!("{name:<9} you    {room}>X"), &port);
        } else {
            self.ends(&format!("{name:<9} {port:<6}"), &format!("X<{room} server"));
        }
    }

    pub(super) fn wrap(&mut self, text: &str) {
        let indent = if self.brief { 2 } else { 10 };
        for piece in pieces(text, self.width.saturating_sub(indent)) {
            self.push(&format!("{}{piece}", " ".repeat(indent)));
        }
    }
}

/// Cuts a text into lines of at most `width` columns, at blanks where there are any.
pub(super) fn pieces(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        if !line.is_empty() && line.chars().count() + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
        }
        while word.len() > width.max(1) {
            lines.push(word.drain(..width.max(1)).collect());
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.extend(word);
    }
    if !line.is_empty() || lines.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_word_is_lost_and_no_line_too_long() {
        for width in 1..20 {
            let cut = pieces("a bb  ccc dddddddddddddddddddddddd e", width);
            assert!(cut.iter().all(|line| line.chars().count() <= width), "{cut:?}");
            assert_eq!(cut.concat().replace(' ', ""), "abbcccdddddddddddddddddddddddde");
        }
    }
}
