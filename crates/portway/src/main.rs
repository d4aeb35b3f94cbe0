//! FTP server, client, proxy and smart firewall in one program.

mod cli;
mod client;
mod gate;
mod lab;
mod memory;
mod serve;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    memory::give_large_blocks_back();
    let cli = cli::Cli::parse();
    let done = match cli.command {
        cli::Command::Serve(args) => serve::run(*args),
        cli::Command::Client(command) => client::run(command),
        cli::Command::Lab(args) => lab::run(args),
        cli::Command::Gate(args) => gate::run(args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portway: {error:#}");
            ExitCode::from(2)
        }
    }
}
