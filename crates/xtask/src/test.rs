//! The README's test command: everything the tests need, then all tests, then one line that sums up.

use std::process::Stdio;

use anyhow::{Result, bail};

use crate::peers::Peers;
use crate::{needs, run};

/// Tests passed, failed, skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Tally {
    passed: u64,
    failed: u64,
    skipped: u64,
}

/// Installs what is missing, builds, runs unit, end-to-end and documentation tests. The last line on standard
/// output is `N passed, N failed`.
///
/// Arguments other than `--yes` go to the test runner (a filter, say), and documentation tests are left out then.
///
/// # Errors
/// If anything fails or nothing was run.
pub(crate) fn run(args: Vec<String>) -> Result<()> {
    let (yes, args): (Vec<String>, Vec<String>) = args.into_iter().partition(|arg| arg == "--yes");
    let ci = std::env::var("CI").is_ok_and(|value| value == "true" || value == "1");
    needs::ensure(!yes.is_empty() || ci)?;
    let peers = Peers::ensure()?;
    // The end-to-end tests run this binary.
    run::checked(run::cargo().args(["build", "--package", "portway"]))?;
    let mut tally = Tally::default();
    let mut all_well = true;
    for mut command in commands(&args) {
        let mut own = Tally::default();
        peers.tell(&mut command);
        all_well &= run::watched(&mut command, |line| own.hear(line))?;
        tally.add(own);
    }
    println!("{}", tally.line());
    if !all_well || tally.failed > 0 {
        bail!("some tests failed");
    }
    if tally.passed == 0 {
        bail!("no test was run");
    }
    Ok(())
}

fn commands(args: &[String]) -> Vec<std::process::Command> {
    let nextest = run::cargo()
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    let mut tests = run::cargo();
    if nextest {
        tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    } else {
        eprintln!(
            "NOTE: cargo-nextest is not here, so cargo test runs the tests: slower, and one process for many."
        );
        eprintln!("NOTE: cargo install --locked cargo-nextest brings it.");
        tests.args(["test", "--workspace", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    }
    tests.args(args);
    if !args.is_empty() {
        return vec![tests];
    }
    let mut docs = run::cargo();
    docs.args(["test", "--doc", "--workspace", "--no-fail-fast"]);
    vec![tests, docs]
}

impl Tally {
    /// Takes in a line of one command. nextest's summary replaces what was counted before: it shows what a test
    /// that failed had printed, closing lines too, also of one that passed when it was tried again.
    fn hear(&mut self, line: &str) {
        let heard = Self::read(line);
        if line.starts_with("Summary ") {
            *self = heard;
        } else {
            self.add(heard);
        }
    }

    /// Reads the closing line of nextest or of one test binary under cargo test; zeros for other lines.
    fn read(line: &str) -> Self {
        let numbers = match line.split_once(" run: ") {
            Some((before, numbers)) if before.starts_with("Summary ") => numbers,
            _ => match line.strip_prefix("test result: ").and_then(|rest| rest.split_once(". ")) {
                Some((_, numbers)) => numbers,
                None => return Self::default(),
            },
        };
        let mut tally = Self::default();
        for part in numbers.split([',', ';']) {
            let mut words = part.split_ascii_whitespace();
            let count = words.next().and_then(|word| word.parse::<u64>().ok()).unwrap_or(0);
            match words.next() {
                Some("passed") => tally.passed += count,
                Some("failed" | "timed") => tally.failed += count,
                // "1 exec failed": the test's program did not even start.
                Some("exec") => tally.failed += count,
                Some("skipped" | "ignored") => tally.skipped += count,
                _ => {}
            }
        }
        tally
    }

    fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    fn line(&self) -> String {
        let mut line = format!("{} passed, {} failed", self.passed, self.failed);
        if self.skipped > 0 {
            line += &format!(", {} skipped", self.skipped);
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_of_both_runners_are_understood() {
        for (line, passed, failed, skipped) in [
            ("Summary [   0.222s] 29 tests run: 29 passed, 0 skipped", 29, 0, 0),
            (
                "Summary [  10.1s] 5 tests run: 3 passed (1 slow, 1 flaky), 1 failed, 1 timed out, 2 skipped",
                3,
                2,
                2,
            ),
            ("Summary [  10.1s] 3/5 tests run: 2 passed, 1 exec failed, 0 skipped", 2, 1, 0),
            (
                "test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 4 filtered out; finished in 0.09s",
                12,
                0,
                1,
            ),
            ("test result: FAILED. 1 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out", 1, 2, 0),
            ("the words passed and failed in a test's own output: 7 passed", 0, 0, 0),
        ] {
            assert_eq!(Tally::read(line), Tally { passed, failed, skipped }, "{line}");
        }
    }

    #[test]
    fn the_last_line_names_skipped_tests_only_if_there_are_some() {
        let mut flaky = Tally::default();
        flaky.hear("test result: FAILED. 0 passed; 1 failed; 0 ignored; 0 measured; 7 filtered out");
        flaky.hear("Summary [   0.222s] 29 tests run: 29 passed (1 flaky), 0 skipped");
        assert_eq!(flaky, Tally { passed: 29, failed: 0, skipped: 0 });
        let mut tally = Tally { passed: 2, failed: 0, skipped: 0 };
        assert_eq!(tally.line(), "2 passed, 0 failed");
        tally.add(Tally { passed: 1, failed: 1, skipped: 3 });
        assert_eq!(tally.line(), "3 passed, 1 failed, 3 skipped");
    }
}
