//! portway and its rivals, measured side by side in one run.
//!
//! `cargo xtask bench server` runs the release build of this program. It starts each server with
//! the same folder, certificate and settings, lets one client of its own move the same octets
//! through each in turn, and reads from `/proc` what the servers spent. Ratios between servers of
//! one run mean something on any machine; absolute figures only on the machine at hand.

mod load;
mod processes;
mod server;
mod table;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask bench server [--rounds N] [--quick]

  --rounds N   how often each figure is taken; the table shows least, middle and most [default: 5]
  --quick      files of 64 MiB in place of 1 GiB, fewer small files and sessions

The table is also written to bench/results/.";

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let mut args = std::env::args().skip(1);
    match args.next().as_deref() {
        Some("server") => {}
        None | Some("help" | "--help" | "-h") => {
            println!("{HELP}");
            return Ok(());
        }
        Some(other) => bail!("no such benchmark: {other}\n\n{HELP}"),
    }
    let (mut rounds, mut sizes) = (5, server::Sizes::FULL);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                rounds = args.next().and_then(|n| n.parse().ok()).context("--rounds wants a number")?;
            }
            "--quick" => sizes = server::Sizes::QUICK,
            other => bail!("unknown option {other}\n\n{HELP}"),
        }
    }
    let text = server::run(rounds, sizes)?;
    println!("{text}");
    let file = results()?.join(format!("server-{}.txt", stamp()?));
    std::fs::write(&file, text)?;
    println!("written to {}", file.display());
    Ok(())
}

/// `bench/results` of the repository that this program was built from.
fn results() -> Result<PathBuf> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("a crate is two levels deep")?;
    let folder = root.join("bench/results");
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn stamp() -> Result<String> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    // jiff without its `std` feature has errors of its own kind.
    let now =
        jiff::Timestamp::from_second(now.as_secs().try_into()?).map_err(|why| anyhow::anyhow!("{why}"))?;
    Ok(now.strftime("%Y%m%d-%H%M%S").to_string())
}
