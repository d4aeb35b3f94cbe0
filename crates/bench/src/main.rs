//! portway and its rivals, measured side by side in one run.
//!
//! `cargo xtask bench` runs the release build of this program. `server` starts each server with the same folder,
//! certificate and settings, lets one client of its own move the same octets through each in turn, and reads from
//! `/proc` what the servers spent. Ratios between servers of one run mean something on any machine; absolute figures
//! only on the machine at hand. `docs/speed.md` has the method.

mod chart;
mod client;
mod counts;
mod draw;
mod gate;
mod growth;
mod load;
mod machine;
mod processes;
mod proxy;
mod report;
mod rivals;
mod rows;
mod server;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask bench [rows] [--fresh] [--quick]   every row of the budget, from the newest results of this machine
cargo xtask bench server [--rounds N] [--quick]
cargo xtask bench growth [--quick]
cargo xtask bench charts                       draws docs/charts from the newest results
cargo xtask bench client [--rounds N] [--quick] [--only NAME]
cargo xtask bench gate [--rounds N] [--quick]
cargo xtask bench proxy [--rounds N] [--quick] [--only NAME]
cargo xtask bench counts [--check | --update]

  --rounds N   how often each figure is taken; the table shows least, middle and most [default: 5, client 3, proxy --quick 2]
  --quick      less is moved: files of 64 MiB (client 256 MiB), fewer small files and sessions
  --fresh      measure everything anew, not only what has no results yet
  --only NAME  of the clients, those with this in their name, and the first of each table; of the proxy's figures, those
               with this in their name («FTPS STOR», «plain RETR by reverse»), which are shown and not kept

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
        None => "rows".to_owned(),
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
    // The gate's benchmark calls the program again, with the same words, in namespaces of its own.
    let what = if gate::is_inside() { "gate".to_owned() } else { what };
    let (mut rounds, mut quick, mut only, mut fresh) = (None, false, None, false);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--rounds" => {
                let given = args.next().and_then(|n| n.parse().ok());
                rounds = Some(given.context("--rounds wants a number")?);
            }
            "--quick" => quick = true,
            "--fresh" if what == "rows" || gate::is_inside() => fresh = true,
            "--only" if matches!(what.as_str(), "client" | "proxy") => {
                only = Some(args.next().context("--only wants a name")?);
            }
            other => bail!("unknown option {other}\n\n{HELP}"),
        }
    }
    match what.as_str() {
        "rows" => rows::run(fresh, |what| measure(what, rounds, quick, None)),
        "charts" => {
            for file in draw::all()? {
                println!("drawn: {}", file.display());
            }
            Ok(())
        }
        other => measure(other, rounds, quick, only.as_deref()).map(drop),
    }
}

/// Runs one benchmark, shows its table and writes it to a file.
fn measure(what: &str, rounds: Option<usize>, quick: bool, only: Option<&str>) -> Result<String> {
    let text = match what {
        "server" => {
            let sizes = if quick { server::Sizes::QUICK } else { server::Sizes::FULL };
            let report = server::run(rounds.unwrap_or(5), sizes)?;
            return keep(what, &report.to_string(), Some(&serde_json::to_string(&report)?));
        }
        "growth" => {
            let growth = growth::run(if quick { growth::Sizes::QUICK } else { growth::Sizes::FULL })?;
            return keep(what, &growth.to_string(), Some(&serde_json::to_string(&growth)?));
        }
        "client" => {
            let sizes = if quick { client::Sizes::QUICK } else { client::Sizes::FULL };
            client::run(rounds.unwrap_or(3), sizes, only)?
        }
        "gate" => {
            let sizes = if quick { gate::Sizes::QUICK } else { gate::Sizes::FULL };
            gate::run(rounds.unwrap_or(3), sizes)?
        }
        "proxy" => {
            let sizes = if quick { proxy::Sizes::QUICK } else { proxy::Sizes::FULL };
            proxy::run(rounds.unwrap_or(if quick { 2 } else { 5 }), sizes, only)?
        }
        other => bail!("no such benchmark: {other}\n\n{HELP}"),
    };
    if gate::is_inside() || (what == "proxy" && only.is_some()) {
        print!("{text}");
        return Ok(text);
    }
    let machine = machine::describe();
    let text = if text.contains(&machine) { text } else { format!("{machine}\n{text}") };
    keep(what, &text, None)
}

/// Shows a table and writes it to a file; its figures go to another beside it, for charts.
fn keep(what: &str, text: &str, figures: Option<&str>) -> Result<String> {
    println!("{text}");
    let file = results()?.join(format!("{what}-{}.txt", stamp()?));
    std::fs::write(&file, text)?;
    if let Some(figures) = figures {
        std::fs::write(file.with_extension("json"), figures)?;
    }
    println!("written to {}", file.display());
    Ok(text.to_owned())
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
