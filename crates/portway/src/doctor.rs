//! `portway doctor`: who is to blame, and what cures it.

mod attempt;
mod bulk;
mod entry;
mod far;
mod local;
mod picture;
mod probe;
mod server;
mod talk;
mod way;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use portway_client::{Target, Trace};
use portway_doctor::judge;

use crate::client::ConnectArgs;
use probe::{Wish, probe};
pub(crate) use server::of_portway;

/// What the help ends with.
pub(crate) const EXIT_CODES: &str = "Exit codes: 0 usable in every mode; 10 usable in one mode, or with a flag; \
11 unusable; 2 wrong use, or a failure of this machine.";

/// `portway doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The server; a directory or file of it if that is what fails
    #[arg(value_name = "URL", required_unless_present = "server")]
    url: Option<String>,
    /// Check a server's own set-up on its own machine: portway's configuration, or that of vsftpd, ProFTPD or
    /// Pure-FTPd; without a file, each that is in a usual place
    #[arg(long, value_name = "CONFIG", num_args = 0..=1, conflicts_with = "url")]
    server: Option<Option<PathBuf>>,
    /// Insist on reading this machine's own packet filter (nftables, iptables; needs root); without the flag it is
    /// read where that is possible
    #[arg(long)]
    firewall: bool,
    /// How long a session stays silent before it is asked whether it still lives
    #[arg(long, value_name = "TIME", default_value = "4s", value_parser = crate::service::duration)]
    idle: Duration,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs it.
pub(crate) fn run(args: DoctorArgs) -> Result<ExitCode> {
    if let Some(config) = &args.server {
        return server::run(config.as_deref(), args.connect.json);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("no runtime")?;
    let code = runtime.block_on(examine(args));
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn examine(args: DoctorArgs) -> Result<ExitCode> {
    let url = args.url.clone().context("which server? give its URL")?;
    let target = Target::parse(&url).with_context(|| url.clone())?;
    let settings = args.connect.settings(&target, Trace::default())?;
    let firewall = match (args.firewall, local::read()) {
        (true, Err(why)) => anyhow::bail!("--firewall: {why}"),
        (_, rules) => rules.ok(),
    };
    let seen = probe(Wish { target, settings, idle: args.idle, firewall }).await;
    let verdict = judge(&seen);
    let mut out = std::io::stdout();
    if args.connect.json {
        let _ = writeln!(out, "{}", verdict.json(&seen));
    } else {
        for line in picture::draw(&seen, &verdict) {
            let _ = writeln!(out, "{line}");
        }
    }
    Ok(ExitCode::from(verdict.usable.exit_code()))
}
