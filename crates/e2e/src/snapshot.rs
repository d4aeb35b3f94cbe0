//! Output that is compared with a file, or with a block of the README, as a whole.

use std::fs;
use std::path::Path;

/// Set to anything, snapshots are written in place of being compared.
pub const RECORD: &str = "PORTWAY_RECORD";

/// Compares `text` with the snapshot in `file`, or writes it if [`RECORD`] is set.
///
/// # Panics
/// When they differ: shows both.
pub fn snapshot(file: &Path, text: &str) {
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os(RECORD).is_some() {
        if let Some(folder) = file.parent() {
            let _ = fs::create_dir_all(folder);
        }
        assert!(fs::write(file, &text).is_ok(), "cannot write {}", file.display());
        return;
    }
    let known = fs::read_to_string(file).unwrap_or_default();
    let (name, how) = (file.display(), how());
    assert!(known == text, "{name} differs; {how}\n--- it was\n{known}\n--- it is\n{text}");
}

/// Compares `text` with the block of the README behind the line `<!-- recording: NAME -->`, or writes it there.
///
/// # Panics
/// When they differ, or when there is no such block.
pub fn recording(readme: &Path, name: &str, text: &str) {
    let page = fs::read_to_string(readme).unwrap_or_default();
    let start = format!("<!-- recording: {name} -->\n```text\n");
    let Some((before, rest)) = page.split_once(&start) else {
        panic!("no {start:?} in {}", readme.display())
    };
    let Some((known, after)) = rest.split_once("```\n") else { panic!("the recording {name} has no end") };
    let text = format!("{}\n", text.trim_end());
    if std::env::var_os(RECORD).is_some() {
        assert!(
            fs::write(readme, format!("{before}{start}{text}```\n{after}")).is_ok(),
            "cannot write the README"
        );
        return;
    }
    let how = how();
    assert!(
        known == text,
        "the recording {name} in the README differs; {how}\n--- it was\n{known}\n--- it is\n{text}"
    );
}

/// Puts numbers that differ from run to run into the order of their appearance: the first of five digits becomes
/// 50001, the next other one 50002. Numbers in `keep` stay.
#[must_use]
pub fn with_ports_in_order(text: &str, keep: &[u16]) -> String {
    let (mut out, mut known, mut digits) = (String::new(), Vec::new(), String::new());
    for c in text.chars().chain(['\0']) {
        if c.is_ascii_digit() {
            digits.push(c);
            continue;
        }
        match digits.parse::<u16>() {
            Ok(port) if digits.len() == 5 && !keep.contains(&port) => {
                let at = known.iter().position(|&other| other == port).unwrap_or_else(|| {
                    known.push(port);
                    known.len() - 1
                });
                out.push_str(&(50001 + at).to_string());
            }
            _ => out.push_str(&digits),
        }
        digits.clear();
        if c != '\0' {
            out.push(c);
        }
    }
    out
}

/// Replaces each number in front of `unit`, as in `0.3 ms`, by `shape`.
#[must_use]
pub fn without_numbers_before(text: &str, unit: &str, shape: &str) -> String {
    let mut pieces: Vec<String> = text.split(unit).map(str::to_owned).collect();
    let last = pieces.len().saturating_sub(1);
    for piece in pieces.iter_mut().take(last) {
        let cut = piece.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        if cut < piece.len() {
            piece.truncate(cut);
            piece.push_str(shape);
        }
    }
    pieces.join(unit)
}

fn how() -> String {
    format!("if it is right as it is now, run this test with {RECORD}=1")
}
