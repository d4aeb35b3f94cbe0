//! The benchmarks, and the servers that they measure ours beside.

use std::path::Path;

use anyhow::Result;

use crate::peers::Peers;
use crate::run;

/// What is built from crates.io; the version is fixed so that figures can be compared.
const UNFTP: [&str; 3] = ["unftp", "--version", "0.16.0"];

/// Runs `portway-bench`, in the release build, with what it needs beside it.
///
/// # Errors
/// If Debian's or Python's servers cannot be fetched, or a benchmark fails.
pub(crate) fn run(args: &[String]) -> Result<()> {
    let mut bench = run::cargo();
    bench.args(["run", "--release", "-p", "portway-bench", "--"]).args(args);
    if matches!(args.first().map(String::as_str), Some("server" | "proxy" | "rows") | None) {
        Peers::ensure()?.tell(&mut bench);
        if args.first().is_none_or(|what| what != "proxy") {
            unftp();
        }
    }
    if args.first().is_some_and(|what| what == "proxy") {
        Peers::ensure()?.tell(&mut bench);
    }
    run::checked(&mut bench)
}

/// Builds unftp below `target/`, once. It takes some ten minutes of two CPUs, so a failure is told and the others are
/// measured without it.
fn unftp() {
    let root = run::root().join("target/bench-peers");
    if root.join("bin/unftp").is_file() {
        return;
    }
    eprintln!("unftp is built from crates.io now: minutes, once. PORTWAY_BENCH_NO_UNFTP=1 does without.");
    if std::env::var_os("PORTWAY_BENCH_NO_UNFTP").is_some() {
        return;
    }
    if let Err(why) = install(&root) {
        eprintln!("unftp cannot be had, and is not measured: {why:#}");
    }
}

fn install(root: &Path) -> Result<()> {
    let mut cargo = run::cargo();
    // Local files and accounts from a file are all that is measured.
    cargo.arg("install").args(UNFTP).args([
        "--locked",
        "--no-default-features",
        "--features",
        "auth_jsonfile",
    ]);
    run::checked(cargo.arg("--root").arg(root))
}
