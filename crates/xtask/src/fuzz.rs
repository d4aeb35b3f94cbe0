//! Fuzzing with libFuzzer on stable Rust: the coverage flags that `cargo fuzz` would set, without its nightly.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};

use crate::run;

/// Coverage counters and compared values, as libFuzzer wants them; and the checks that release builds leave out.
const RUSTFLAGS: &str = "-Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=1 -Cdebug-assertions=on -Coverflow-checks=on --cfg fuzzing";

/// One input longer than this is a test of patience, not of a parser.
const MAX_INPUT: &str = "-max_len=16384";

/// Builds all targets and runs the named ones, or all, for so many seconds each.
///
/// What is found interesting is kept in `fuzz/corpus`, what breaks in `fuzz/artifacts`; seeds come from
/// `fuzz/seeds`.
///
/// # Errors
/// At the first target that crashes, hangs for 10 s or needs more than 1 GiB; the message says how to run the
/// input again.
pub(crate) fn run(seconds: u64, targets: &[String]) -> Result<()> {
    let home = run::root().join("fuzz");
    let all = known_targets(&home)?;
    if let Some(unknown) = targets.iter().find(|target| !all.contains(target)) {
        bail!("no target {unknown:?}; there are {}", all.join(", "));
    }
    let triple = host()?;
    run::checked(
        run::cargo()
            .current_dir(&home)
            .env("RUSTFLAGS", RUSTFLAGS)
            // With a target named, the flags stay away from build scripts and macros.
            .args(["build", "--release", "--target", &triple]),
    )?;
    let chosen = if targets.is_empty() { &all } else { targets };
    for target in chosen {
        let program = home.join("target").join(&triple).join("release").join(target);
        let [corpus, seeds, artifacts] =
            ["corpus", "seeds", "artifacts"].map(|kind| home.join(kind).join(target));
        fs::create_dir_all(&corpus)?;
        fs::create_dir_all(&artifacts)?;
        let mut command = std::process::Command::new(&program);
        command.arg(&corpus);
        if seeds.is_dir() {
            command.arg(&seeds);
        }
        command
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-artifact_prefix={}/", artifacts.display()))
            .args([MAX_INPUT, "-timeout=10", "-rss_limit_mb=1024", "-verbosity=0", "-print_final_stats=1"]);
        run::checked(&mut command).with_context(|| {
            format!("{target} broke; run {} with the file from {}", program.display(), artifacts.display())
        })?;
    }
    println!("fuzz: {} ran {seconds} s each and found nothing", chosen.join(", "));
    Ok(())
}

/// One target per file in `fuzz/fuzz_targets`.
fn known_targets(home: &Path) -> Result<Vec<String>> {
    let folder = home.join("fuzz_targets");
    let mut targets = Vec::new();
    for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            targets.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    targets.sort();
    Ok(targets)
}

/// The triple of this machine, from the compiler.
fn host() -> Result<String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = std::process::Command::new(rustc).arg("-vV").output().context("cannot run rustc")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let host =
        text.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc -vV names no host")?;
    Ok(host.to_owned())
}
