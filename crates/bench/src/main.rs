//! portway and its rivals, measured side by side in one run.
//!
//! `cargo xtask bench server` and `bench client` run the release build of this program. The former starts each server with
//! the same folder, certificate and settings, lets one client of its own move the same octets
//! through each in turn, and reads from `/proc` what the servers spent. Ratios between servers of
//! one run mean something on any machine; absolute figures only on the machine at hand.

mod client;
mod counts;
mod gate;
mod load;
mod machine;
mod processes;
mod proxy;
mod report;
mod rivals;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask bench server [--rounds N] [--quick]
cargo xtask bench client [--rounds N] [--quick] [--only NAME]
cargo xtask bench gate [--rounds N] [--quick]
cargo xtask bench proxy [--rounds N] [--quick]
cargo xtask bench counts [--check | --update]

  --rounds N   how often each figure is taken; the table shows least, middle and most [default: 5, client 3]
  --quick      less is moved: files of 64 MiB (client 256 MiB), fewer small files and sessions
  --only NAME  of the clients, those with this in their name, and the first of each table

The table is also written to bench/results/.

counts runs the server under callgrind (Debian: valgrind) and prints the instructions that each hot path takes:
a figure that a busy machine does not change.

  --check      fail if one has grown by more than 5 % over bench/counts.txt
  --update     write bench/counts.txt";

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
    let what = match args.next() {
        None => "help".to_owned(),
        Some(what) => what,
    };
    if matches!(what.as_str(), "help" | "--help" | "-h") {
        println!("{HELP}");
        return Ok(());
    }
    if what == "counts" {
        return counts::run(&args.collect::<Vec<_>>());
    }
    if what == "bare" {
        return server::serve_bare(args.next().context("bare wants a file")?.as_ref());
    }
    let (mut rounds, mut quick, mut only) = (None, false, None);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let given = args.next().and_then(|n| n.parse().ok());
                rounds = Some(given.context("--rounds wants a number")?);
            }
            "--quick" => quick = true,
            "--only" if what == "client" => only = Some(args.next().context("--only wants a name")?),
            other => bail!("unknown option {other}\n\n{HELP}"),
        }
    }
    let text = match what.as_str() {
        "server" => {
            let sizes = if quick { server::Sizes::QUICK } else { server::Sizes::FULL };
            let report = server::run(rounds.unwrap_or(5), sizes)?;
            return keep("server", &report.to_string(), Some(&report));
        }
        "client" => {
            let sizes = if quick { client::Sizes::QUICK } else { client::Sizes::FULL };
            client::run(rounds.unwrap_or(3), sizes, only.as_deref())?
        }
        "gate" => {
            let sizes = if quick { gate::Sizes::QUICK } else { gate::Sizes::FULL };
            gate::run(rounds.unwrap_or(3), sizes)?
        }
        "proxy" => {
            let sizes = if quick { proxy::Sizes::QUICK } else { proxy::Sizes::FULL };
            proxy::run(rounds.unwrap_or(5), sizes)?
        }
        other => bail!("no such benchmark: {other}\n\n{HELP}"),
    };
    if gate::is_inside() {
        print!("{text}");
        return Ok(());
    }
    keep(&what, &text, None)
}

/// Shows a table and writes it to a file; a report's figures go to another beside it, for charts.
fn keep(what: &str, text: &str, report: Option<&report::Report>) -> Result<()> {
    println!("{text}");
    let file = results()?.join(format!("{what}-{}.txt", stamp()?));
    std::fs::write(&file, text)?;
    if let Some(report) = report {
        std::fs::write(file.with_extension("json"), serde_json::to_string(report)?)?;
    }
    println!("written to {}", file.display());
    Ok(())
}

/// As many open files as the system allows: each session takes one here.
fn more_descriptors() -> Result<()> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let most = getrlimit(Resource::Nofile).maximum;
    Ok(setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })?)
}

/// `bench` of the repository that this program was built from.
fn home() -> Result<PathBuf> {
    let root =
        Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).context("a crate is two levels deep")?;
    Ok(root.join("bench"))
}

/// Where the tables of former runs are.
fn results() -> Result<PathBuf> {
    let folder = home()?.join("results");
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
