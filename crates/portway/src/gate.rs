//! `portway gate`: the smart firewall.

mod args;
mod bridge;
mod config;
mod enroll;
mod helper;
mod run;
mod status;

use std::process::ExitCode;

use anyhow::Result;
use portway_nft::paste::Rules;

pub(crate) use args::GateArgs;
use args::{GateCommand, RulesArgs};
pub(crate) use enroll::server_tls;
pub(crate) use helper::VERB as HELPER;

use crate::out;

/// Does what the subcommand says.
pub(crate) fn run(args: GateArgs) -> Result<ExitCode> {
    match args.command {
        GateCommand::Run(args) => run::run(*args),
        GateCommand::Status(args) => status::run(&args),
        GateCommand::Rules(args) => rules(args),
        GateCommand::Enroll(args) => enroll::run(&args),
    }
}

/// Prints what an administrator adds to a ruleset of his own.
fn rules(args: RulesArgs) -> Result<ExitCode> {
    let config = portway_gate::GateConfig::default();
    let ports = if args.ports.is_empty() { config.ports } else { args.ports };
    let hole = config.layout.mark;
    out::line(format_args!(
        "\
# For a gate between networks. Control connections are taken over before your chains see them, and data
# connections carry a mark. Into the chain that drops what is forwarded, before it drops:
#     ct mark and {hole:#010x} == {hole:#010x} accept
# With --engine inspect that is all: control connections that were judged bear the mark, too. With the relay also
# into the chain that drops what comes in, for the control connections that the gate itself ends:
#     socket transparent 1 meta mark and {mark:#010x} == {mark:#010x} accept
# With --agent ADDR:PORT, and for your servers alone:
#     ip saddr SERVER tcp dport PORT accept
# No rule that forwards the control ports is needed, and none should be there: without the gate it would let
# control connections through unread.
#
# For a server or client that opens its own firewall:",
        mark = config.mark
    ));
    out::print(format_args!(
        "{}",
        Rules { firewall: args.firewall, layout: &config.layout, control: &ports, ports: args.data.0 }
    ));
    Ok(ExitCode::SUCCESS)
}
