//! `portway config`: the settings file of `serve`, shown and checked.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Subcommand};

use crate::out;
use crate::serve;

/// Every setting with its default, as a file to begin with.
const EXAMPLE: &str = include_str!("serve/example.toml");

/// The flags of `portway config`.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Print a file with every setting and its default, to begin with
    Example,
    /// Say whether `serve --config FILE` would start with this file, and what is wrong with it if not
    Check {
        /// The file
        file: PathBuf,
    },
}

/// Prints or checks.
pub(crate) fn run(args: &ConfigArgs) -> Result<ExitCode> {
    match &args.what {
        What::Example => out::print(EXAMPLE),
        What::Check { file } => {
            serve::check(file)?;
            out::line(format_args!("{} is right", file.display()));
        }
    }
    Ok(ExitCode::SUCCESS)
}
