//! The chores of this repository: `cargo xtask CHORE`.

mod bench;
mod compliance;
mod fuzz;
mod lab;
mod layers;
mod needs;
mod peers;
mod run;
mod sizes;
mod test;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};

const HELP: &str = "\
cargo xtask test [--yes] [ARGS for nextest]   install what the tests need (asks first), then run all of them
cargo xtask layers                            check which crate may import which
cargo xtask sizes                             check that no source file grows beyond 500 lines
cargo xtask docs [--check]                    write docs/rfc-compliance.md, or fail when it is stale
cargo xtask bench [rows] [--fresh] [--quick]      every row of the budget, and what was reached on this machine
cargo xtask bench growth [--quick]                how the server's cost grows with sessions, entries, sizes
cargo xtask bench charts                          draw docs/charts from the newest results
cargo xtask bench server [--rounds N] [--quick]   measure the server beside five others; see bench/results
cargo xtask bench gate [--rounds N] [--quick]     measure the gate beside the kernel's FTP helper
cargo xtask bench proxy [--rounds N] [--quick]    measure the proxy beside none, mod_proxy and SUSE ftp-proxy
cargo xtask bench client [--rounds N] [--quick]   measure the client beside lftp, curl and others
cargo xtask bench counts [--check | --update]     instructions of the hot paths, by callgrind, against bench/counts.txt
cargo xtask lab                               try every firewall, and put the table into the README
cargo xtask fuzz [--seconds N] [TARGET…]      run the fuzz targets, 60 s each unless told
cargo xtask help                              this text";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let chore = args.next().unwrap_or_default();
    let result = dispatch(&chore, args.collect());
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask {chore}: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(chore: &str, args: Vec<String>) -> Result<()> {
    match chore {
        "test" => test::run(args),
        "layers" => without_args(&args).and_then(|()| layers::run()),
        "sizes" => without_args(&args).and_then(|()| sizes::run()),
        "lab" => without_args(&args).and_then(|()| lab::run()),
        "docs" => match args.as_slice() {
            [] => compliance::write(),
            [flag] if flag == "--check" => compliance::check(),
            _ => bail!("expected nothing or --check"),
        },
        "bench" => bench::run(&args),
        "fuzz" => {
            let (seconds, targets) = fuzz_args(args)?;
            fuzz::run(seconds, &targets)
        }
        "" | "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        _ => bail!("no such chore\n\n{HELP}"),
    }
}

fn without_args(args: &[String]) -> Result<()> {
    if args.is_empty() { Ok(()) } else { bail!("takes no arguments") }
}

/// `--seconds N` anywhere, everything else is the name of a target.
fn fuzz_args(args: Vec<String>) -> Result<(u64, Vec<String>)> {
    let (mut seconds, mut targets) = (60, Vec::new());
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        if arg == "--seconds" {
            let value = args.next().context("--seconds wants a number")?;
            seconds = value.parse().with_context(|| format!("--seconds wants a number, not {value:?}"))?;
        } else if arg.starts_with('-') {
            bail!("unknown option {arg}");
        } else {
            targets.push(arg);
        }
    }
    Ok((seconds, targets))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(line: &str) -> Vec<String> {
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn fuzz_takes_seconds_and_targets_in_any_order() {
        assert_eq!(fuzz_args(words("")).unwrap(), (60, vec![]));
        assert_eq!(fuzz_args(words("reply --seconds 5 listing")).unwrap(), (5, words("reply listing")));
        for wrong in ["--seconds", "--seconds soon", "--minutes 3"] {
            assert!(fuzz_args(words(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn unknown_chores_and_surplus_arguments_are_refused() {
        for (chore, args) in [("tets", ""), ("layers", "--all"), ("docs", "--force"), ("fuzz", "--x")] {
            assert!(dispatch(chore, words(args)).is_err(), "{chore} {args}");
        }
    }
}
