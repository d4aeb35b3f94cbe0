//! The command line.

use clap::{Parser, Subcommand};

use crate::client::ClientCommand;
use crate::gate::GateArgs;
use crate::lab::LabArgs;
use crate::serve::ServeArgs;

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
    /// Show which transfers get through which firewalls: client, firewall and server in network namespaces, without root
    Lab(LabArgs),
    /// Be the smart firewall: read control connections, open exactly the announced port (Linux)
    Gate(GateArgs),
}
