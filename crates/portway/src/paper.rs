//! `portway completions` and `portway man`: made from the very command line that is parsed.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::out;

/// The flags of `portway completions`.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// For which shell
    shell: Shell,
}

/// The flags of `portway man`.
#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// Write one page per command here: portway.1, portway-serve.1, … [default: the main page on standard output]
    directory: Option<PathBuf>,
}

/// Prints what the shell has to read.
pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "portway", &mut text);
    out::print(String::from_utf8_lossy(&text));
    Ok(ExitCode::SUCCESS)
}

/// Prints or writes the manual.
pub(crate) fn man(args: &ManArgs) -> Result<ExitCode> {
    let Some(directory) = &args.directory else {
        let mut text = Vec::new();
        clap_mangen::Man::new(Cli::command()).render(&mut text)?;
        out::print(String::from_utf8_lossy(&text));
        return Ok(ExitCode::SUCCESS);
    };
    std::fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    clap_mangen::generate_to(Cli::command(), directory)
        .with_context(|| format!("cannot write to {}", directory.display()))?;
    Ok(ExitCode::SUCCESS)
}
