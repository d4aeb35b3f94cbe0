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
use portway_nft::paste::{Firewall, Rules};

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
    out::print(format_args!("{}", between(args.firewall, hole, config.mark)));
    out::print(format_args!(
        "{}",
        Rules { firewall: args.firewall, layout: &config.layout, control: &ports, ports: args.data.0 }
    ));
    Ok(ExitCode::SUCCESS)
}

/// What a gate between networks needs, as comments.
fn between(firewall: Firewall, hole: u32, socket: u32) -> String {
    let (forward, input) = match firewall {
        Firewall::Nftables => (
            format!("ct mark and {hole:#010x} == {hole:#010x} accept"),
            format!("socket transparent 1 meta mark and {socket:#010x} == {socket:#010x} accept"),
        ),
        Firewall::Iptables => (
            format!("iptables -I FORWARD -m connmark --mark {hole:#x}/{hole:#x} -j ACCEPT  (and ip6tables)"),
            format!("iptables -I INPUT -m mark --mark {socket:#x}/{socket:#x} -j ACCEPT  (and ip6tables)"),
        ),
        Firewall::Ufw => (
            "the lines with ufw-before-forward and ufw6-before-forward below".to_owned(),
            // Appended it would stand behind the line that drops what is for other hosts.
            format!("-I ufw-before-input -m mark --mark {socket:#x}/{socket:#x} -j ACCEPT  (and ufw6-)"),
        ),
        Firewall::Firewalld => {
            return "\
# firewalld's zones and policies match no marks: what it forwards between zones it forwards to everybody. A gate
# between networks needs a firewall that can, nftables for example.
#
# For a server or client that opens its own firewall:
"
            .to_owned();
        }
    };
    format!(
        "\
# For a gate between networks. Control connections are taken over before your chains see them, and data
# connections carry a mark. Into the chain that drops what is forwarded, before it drops:
#     {forward}
# With --engine inspect that is all: control connections that were judged bear the mark, too. With the relay also
# into the chain that drops what comes in, for the control connections that the gate itself ends:
#     {input}
# With --agent ADDR:PORT, and for your servers alone: let them in to that port, TCP.
# No rule that forwards the control ports is needed, and none should be there: without the gate it would let
# control connections through unread.
#
# For a server or client that opens its own firewall:
"
    )
}
