//! FTP server, client, proxy and smart firewall in one program.

mod cli;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let done = match cli.command {
        cli::Command::Serve(args) => serve::run(*args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portway: {error:#}");
            ExitCode::from(2)
        }
    }
}
