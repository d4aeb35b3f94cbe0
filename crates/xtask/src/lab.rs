//! The table of firewalls in the README, from a run of `portway lab`.

use std::fs;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::run;

const BEGIN: &str = "<!-- lab -->\n";
const END: &str = "<!-- /lab -->";

/// Tries every arrangement of firewalls with lftp and portway's server, with the kernel's helper and with portway, and puts
/// the table into the README.
///
/// # Errors
/// If a promised transfer does not work, or the README has no place for the table.
pub(crate) fn run() -> Result<()> {
    run::checked(run::cargo().args(["build", "-p", "portway"]))?;
    let mut lab = Command::new(run::root().join("target/debug/portway"));
    lab.args(["lab", "run", "all", "--markdown", "--client", "lftp", "--jobs", "2"]);
    lab.args(["--cure", "kernel-helper", "--cure", "portway"]);
    let output = lab.stderr(Stdio::inherit()).output().context("portway lab")?;
    if !output.status.success() {
        bail!("portway lab kept not all of its promises: {}", output.status);
    }
    let table = String::from_utf8(output.stdout).context("the table")?;
    let file = run::root().join("README.md");
    let text = fs::read_to_string(&file)?;
    let new = put(&text, &table).context("README.md lacks the two marks between which the table belongs")?;
    fs::write(&file, new)?;
    print!("{table}");
    Ok(())
}

/// The text with this table between the marks.
fn put(text: &str, table: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{table}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_takes_the_place_of_the_one_before() {
        let text = "a\n<!-- lab -->\nold\n<!-- /lab -->\nb\n";
        assert_eq!(put(text, "| new |\n").as_deref(), Some("a\n<!-- lab -->\n| new |\n<!-- /lab -->\nb\n"));
        assert_eq!(put("a\n<!-- lab -->\n", ""), None);
    }
}
