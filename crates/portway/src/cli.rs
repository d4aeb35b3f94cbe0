//! The command line.

use clap::{Parser, Subcommand};

use crate::client::ClientCommand;
use crate::config::ConfigArgs;
use crate::doctor::DoctorArgs;
use crate::gate::GateArgs;
use crate::lab::LabArgs;
use crate::paper::{CompletionsArgs, ManArgs};
use crate::proxy::ProxyArgs;
use crate::serve::ServeArgs;
use crate::status::StatusArgs;
use crate::user::UserArgs;

/// FTP where the data channel just works: server, client, proxy and smart firewall.
#[derive(Debug, Parser)]
#[command(name = "portway", version, about, propagate_version = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What to be.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve a folder by FTP and FTPS; ready without a configuration file
    Serve(Box<ServeArgs>),
    #[command(flatten)]
    Client(ClientCommand),
    /// Try every mode, name who is to blame for what does not work, and print what cures it
    #[command(after_help = crate::doctor::EXIT_CODES)]
    Doctor(Box<DoctorArgs>),
    /// Show which transfers get through which firewalls: client, firewall and server in network namespaces, without root
    Lab(LabArgs),
    /// Stand between clients and servers: forward, reverse or transparent, with or without TLS on either side
    Proxy(Box<ProxyArgs>),
    /// Be the smart firewall: read control connections, open exactly the announced port (Linux)
    Gate(GateArgs),
    /// Print an account for the configuration file of `serve`, with the password as a hash
    User(UserArgs),
    /// Show or check the configuration file of `serve`
    Config(ConfigArgs),
    /// Ask a running server who is connected and how the transfers fare
    Status(StatusArgs),
    /// Print completions for a shell
    Completions(CompletionsArgs),
    /// Print the manual page, or write those of all commands into a folder
    Man(ManArgs),
}
