//! FTP server, client, proxy and smart firewall in one program.

mod cli;
mod client;
mod config;
mod doctor;
mod gate;
mod lab;
mod memory;
mod out;
mod paper;
mod privileges;
mod prompt;
mod proxy;
mod serve;
mod service;
mod status;
mod user;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    if std::env::args_os().nth(1).is_some_and(|verb| verb == gate::HELPER) {
        return portway_holed::run(std::env::args_os().skip(2));
    }
    memory::give_large_blocks_back();
    let cli = cli::Cli::parse();
    let done = match cli.command {
        cli::Command::Serve(args) => serve::run(*args),
        cli::Command::Client(command) => client::run(command),
        cli::Command::Doctor(args) => doctor::run(*args),
        cli::Command::Lab(args) => lab::run(args),
        cli::Command::Gate(args) => gate::run(args),
        cli::Command::Proxy(args) => proxy::run(*args),
        cli::Command::User(args) => user::run(&args),
        cli::Command::Config(args) => config::run(&args),
        cli::Command::Status(args) => status::run(&args),
        cli::Command::Completions(args) => paper::completions(&args),
        cli::Command::Man(args) => paper::man(&args),
    };
    match done {
        Ok(code) => code,
        Err(error) => {
            eprintln!("portway: {error:#}");
            ExitCode::from(2)
        }
    }
}
