//! No source file grows until nobody wants to read it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::run;

/// Lines of a Rust file, tests and comments included.
const LIMIT: usize = 400;

/// Files that may be longer: path, lines, and why splitting would not help the reader.
const EXCEPTIONS: &[(&str, usize, &str)] = &[];

/// Checks all Rust files of the workspace and of `fuzz`.
///
/// # Errors
/// Lists every file that is too long, and every exception that is no longer needed.
pub(crate) fn run() -> Result<()> {
    let root = run::root();
    let mut files = Vec::new();
    for folder in ["crates", "fuzz"] {
        collect(&root.join(folder), &mut files)?;
    }
    let mut sizes = Vec::new();
    for file in files {
        let text = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        let lines = text.split_inclusive(|&octet| octet == b'\n').count();
        let name = file.strip_prefix(&root).unwrap_or(&file).to_string_lossy().into_owned();
        sizes.push((name, lines));
    }
    let wrong = complaints(&sizes, EXCEPTIONS);
    if wrong.is_empty() {
        println!("sizes: {} files, none above {LIMIT} lines without a reason", sizes.len());
        return Ok(());
    }
    bail!("split these by idea, or give a reason in crates/xtask/src/sizes.rs:\n  {}", wrong.join("\n  "));
}

fn complaints(sizes: &[(String, usize)], exceptions: &[(&str, usize, &str)]) -> Vec<String> {
    let allowed =
        |name: &str| exceptions.iter().find(|(file, ..)| *file == name).map_or(LIMIT, |(_, lines, _)| *lines);
    let mut wrong: Vec<String> = sizes
        .iter()
        .filter(|(name, lines)| *lines > allowed(name))
        .map(|(name, lines)| format!("{name} has {lines} lines, {} are allowed", allowed(name)))
        .collect();
    for (file, ..) in exceptions {
        match sizes.iter().find(|(name, _)| name == file) {
            None => wrong.push(format!("{file} is an exception and does not exist")),
            Some((_, lines)) if *lines <= LIMIT => wrong.push(format!("{file} needs no exception any more")),
            Some(_) => {}
        }
    }
    wrong
}

/// Rust files below a folder; build results are not ours.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files)?;
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_and_stale_exceptions_are_named() {
        let sizes = [("short.rs", LIMIT), ("long.rs", LIMIT + 1), ("table.rs", 900), ("shrunk.rs", 10)]
            .map(|(name, lines)| (name.to_owned(), lines));
        let exceptions =
            [("table.rs", 900, "one table"), ("shrunk.rs", 600, "was long"), ("gone.rs", 600, "was")];
        let wrong = complaints(&sizes, &exceptions);
        assert_eq!(wrong.len(), 3, "{wrong:?}");
        for name in ["long.rs", "shrunk.rs", "gone.rs"] {
            assert!(wrong.iter().any(|line| line.starts_with(name)), "{name}: {wrong:?}");
        }
    }
}
