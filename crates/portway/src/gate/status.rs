//! `portway gate status`.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_gate::STATUS_SOCKET;
use serde_json::Value;

use super::args::StatusArgs;

/// Asks a running gate and prints what it says.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let path = args.status_socket.clone().unwrap_or_else(|| STATUS_SOCKET.into());
    let socket =
        UnixStream::connect(&path).with_context(|| format!("no gate answers on {}", path.display()))?;
    socket.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut out = std::io::stdout().lock();
    for line in BufReader::new(socket).lines() {
        let line = line.context("the gate stopped in mid-sentence")?;
        let text = if args.json { line } else { plain(&line) };
        // A closed standard output (`| head`) ends it without a word.
        if writeln!(out, "{text}").is_err() {
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `kind` first, then `key=value` for everything that has one.
fn plain(line: &str) -> String {
    let Ok(Value::Object(fields)) = serde_json::from_str(line) else { return line.to_owned() };
    let mut text = format!("{:<8}", fields.get("kind").and_then(Value::as_str).unwrap_or_default());
    for (key, value) in fields.iter().filter(|(key, value)| *key != "kind" && !value.is_null()) {
        let value = match value {
            Value::String(word) if word.chars().all(|c| !c.is_whitespace() && !c.is_control()) => {
                word.clone()
            }
            // What moves a terminal's cursor is escaped; it may be a name that a stranger has made up.
            Value::String(words) => format!("{words:?}"),
            other => other.to_string(),
        };
        text.push_str(&format!(" {key}={value}"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_stranger_has_made_up_moves_no_cursor() {
        let line = r#"{"kind":"session","session":7,"user":"\u001b[2J\u009bH","by":"relay","server":"a b"}"#;
        let text = plain(line);
        assert!(!text.chars().any(char::is_control), "{text:?}");
        assert_eq!(text, r#"session  by=relay server="a b" session=7 user="\u{1b}[2J\u{9b}H""#);
    }
}
