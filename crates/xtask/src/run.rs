//! Starting programs, and where the repository is.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// The repository's root: two folders above this crate, wherever cargo was called from.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    cargo
}

/// Shows the command and runs it.
///
/// # Errors
/// If it cannot be started or does not end with 0.
pub(crate) fn checked(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("cannot run {}", shown(command)))?;
    if !status.success() {
        bail!("{} failed: {status}", shown(command));
    }
    Ok(())
}

/// Shows the command, runs it, passes its output through and hands each line to `seen` as well.
///
/// Returns whether it ended with 0.
///
/// # Errors
/// If it cannot be started.
pub(crate) fn watched(command: &mut Command, mut seen: impl FnMut(&str)) -> Result<bool> {
    eprintln!("$ {}", shown(command));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {}", shown(command)))?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let lines = thread::scope(|scope| {
        let out = scope.spawn(|| stdout.map(|pipe| pass_on(pipe, std::io::stdout())).unwrap_or_default());
        let mut lines = stderr.map(|pipe| pass_on(pipe, std::io::stderr())).unwrap_or_default();
        lines.extend(out.join().unwrap_or_default());
        lines
    });
    lines.iter().for_each(|line| seen(line));
    Ok(child.wait()?.success())
}

/// Copies a pipe line by line, and keeps the lines that sum something up: whole logs would be large.
fn pass_on(pipe: impl std::io::Read, mut to: impl Write) -> Vec<String> {
    let mut kept = Vec::new();
    let mut pipe = BufReader::new(pipe);
    let mut line = Vec::new();
    // A broken pipe on our own output must not stop the tests.
    while matches!(pipe.read_until(b'\n', &mut line), Ok(read) if read > 0) {
        let _ = to.write_all(&line);
        let text = without_colours(&String::from_utf8_lossy(&line));
        if text.contains("passed") {
            kept.push(text);
        }
        line.clear();
    }
    kept
}

/// Takes the escape sequences out that colour a line.
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut parts = line.split('\u{1b}');
    text.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let end = part.find(|c: char| c.is_ascii_alphabetic()).map_or(part.len(), |at| at + 1);
        text.push_str(part.get(end..).unwrap_or_default());
    }
    text.trim().to_owned()
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_and_nothing_else() {
        for (coloured, plain) in [
            ("\u{1b}[32;1m  PASS\u{1b}[0m 3 passed\n", "PASS\u{20}3 passed"),
            ("plain", "plain"),
            ("\u{1b}[", ""),
            ("", ""),
        ] {
            assert_eq!(without_colours(coloured), plain);
        }
    }

    #[test]
    fn output_of_both_streams_is_seen_and_failure_is_told() {
        let mut seen = Vec::new();
        let script = "echo 1 passed; echo 2 passed >&2; echo noise; exit 3";
        let ok = watched(Command::new("sh").args(["-c", script]), |line| seen.push(line.to_owned())).unwrap();
        seen.sort();
        assert_eq!((ok, seen), (false, vec!["1 passed".to_owned(), "2 passed".to_owned()]));
    }

    #[test]
    fn the_root_is_where_the_workspace_is() {
        assert!(root().join("Cargo.toml").is_file() && root().join("crates/xtask").is_dir());
    }
}
