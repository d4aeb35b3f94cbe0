//! Every row of the design's table of speed, from the newest results of this machine.

mod read;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::machine;
use crate::report::Verdict;

/// The benchmarks that have rows, in the design's order.
pub(crate) const ALL: [&str; 5] = ["server", "client", "proxy", "gate", "growth"];

/// Prints them, and where the analysis of a missed one is. What has no results on this machine yet is run by `measure`,
/// everything if `fresh`.
///
/// # Errors
/// When a benchmark fails that had to be run.
pub(crate) fn run(fresh: bool, measure: impl Fn(&str) -> Result<String>) -> Result<()> {
    let mut told = Vec::new();
    for what in ALL {
        let kept = if fresh { None } else { newest(&crate::results()?, what, "txt")? };
        let (text, from) = match kept {
            Some(file) => (fs::read_to_string(&file)?, file.display().to_string()),
            None => {
                eprintln!("no results of {what} on this machine: running it");
                (measure(what)?, "just now".to_owned())
            }
        };
        told.push((what, from, read::verdicts(what, &text)));
    }
    print!("{}", shown(&told, &analyses()?));
    Ok(())
}

/// The newest file of a benchmark that was run on this machine.
///
/// # Errors
/// When the folder cannot be read.
pub(crate) fn newest(folder: &Path, what: &str, ending: &str) -> Result<Option<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let file = entry?.path();
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let fits = name.strip_prefix(what).is_some_and(|rest| rest.starts_with('-'));
        if fits && name.ends_with(ending) && fs::read_to_string(&file)?.contains(&machine::describe()) {
            found.push(file);
        }
    }
    // The name ends with the time.
    Ok(found.into_iter().max())
}

/// Headings of the page with the analyses.
fn analyses() -> Result<Vec<String>> {
    let page = crate::home()?.parent().context("bench is in the repository")?.join("docs/speed.md");
    let text = fs::read_to_string(page).unwrap_or_default();
    Ok(text.lines().filter_map(|line| line.strip_prefix("### ")).map(str::to_owned).collect())
}

fn shown(told: &[(&str, String, Vec<Verdict>)], analyses: &[String]) -> String {
    let mut text = format!("{}\n", machine::describe());
    for (what, from, verdicts) in told {
        text.push_str(&format!("\n{what} ({from})\n"));
        if verdicts.is_empty() {
            text.push_str("  nothing was measured\n");
        }
        for Verdict { row, budget, reached, kept } in verdicts {
            let end = if *kept {
                "kept".to_owned()
            } else {
                let about = analyses.iter().filter(|heading| row.contains(heading.as_str()));
                match about.max_by_key(|heading| heading.len()) {
                    Some(heading) => format!("MISSED: docs/speed.md, «{heading}»"),
                    None => "MISSED: no analysis yet".to_owned(),
                }
            };
            text.push_str(&format!("  {row:52}{budget:>28}  {reached:>20}  {end}\n"));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missed_row_points_to_its_analysis() {
        let verdict = |row: &str, kept| Verdict {
            row: row.to_owned(),
            budget: "<= 1 x".to_owned(),
            reached: "2 x".to_owned(),
            kept,
        };
        let told = [(
            "server",
            "file".to_owned(),
            vec![verdict("a", true), verdict("b", false), verdict("c", false)],
        )];
        let text = shown(&told, &["b".to_owned()]);
        assert!(
            text.contains("kept") && text.contains("docs/speed.md, «b»") && text.contains("no analysis yet"),
            "{text}"
        );
    }

    #[test]
    fn results_of_another_machine_do_not_count() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("server-1.txt", machine::describe()),
            ("server-2.txt", machine::describe()),
            ("server-3.txt", "machine: another".to_owned()),
            ("client-4.txt", machine::describe()),
        ] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let found = newest(folder.path(), "server", "txt").unwrap();
        assert_eq!(found, Some(folder.path().join("server-2.txt")));
        assert_eq!(newest(folder.path(), "gate", "txt").unwrap(), None);
    }
}
