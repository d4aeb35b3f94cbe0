//! The flags of `portway lab`.

use std::time::Duration;

use clap::{Args, Subcommand};
use portway_lab::{Client, Cure, Scenario, Server};

use crate::service::duration;

/// `portway lab`.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    #[command(subcommand)]
    pub(crate) command: LabCommand,
}

/// What to do in the lab.
#[derive(Debug, Subcommand)]
pub(crate) enum LabCommand {
    /// Name and draw the scenarios
    List,
    /// Try one scenario, `doctor`, or `all`: a file of 1 MiB, in every mode, with and without a cure
    ///
    /// Exit code 0: everything could be tried, and wherever portway has a cure the file arrived. 1: not so.
    Run(RunArgs),
    /// Inside the namespaces of one cell
    #[command(hide = true)]
    Cell { task: String },
    /// Inside the namespaces of one case of the doctor's
    #[command(hide = true)]
    Fault { task: String },
}

/// `portway lab run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// A name that `portway lab list` shows, or `all`, or `doctor`: one fault after the other, named and cured by
    /// `portway doctor`
    #[arg(value_name = "SCENARIO|all|doctor", value_parser = scenarios)]
    pub(crate) scenarios: Scenarios,
    /// Print one JSON object per transfer
    #[arg(long)]
    pub(crate) json: bool,
    /// Fetch with portway, lftp, curl or all of them (repeatable) [default: portway]
    #[arg(long, value_name = "PROGRAM", value_parser = clients)]
    client: Vec<Several<Client>>,
    /// Serve with portway, vsftpd or all of them (repeatable) [default: portway]
    #[arg(long, value_name = "PROGRAM", value_parser = servers)]
    server: Vec<Several<Server>>,
    /// Try with none, kernel-helper, portway, inspect (portway by --engine inspect) or all of these cures (repeatable)
    /// [default: all but inspect]
    #[arg(long, value_name = "CURE", value_parser = cures)]
    cure: Vec<Several<Cure>>,
    /// Print nothing but one table for all that was tried, in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,
    /// Give a transfer up after so long
    #[arg(long, value_name = "TIME", default_value = "8s", value_parser = duration)]
    pub(crate) limit: Duration,
    /// Try so many transfers at a time [default: four per processor, 16 at most]
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// Of the doctor's scenarios, only those whose names begin so (repeatable)
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Tell on standard error what the doctor said and what was done
    #[arg(long)]
    pub(crate) explain: bool,
    /// Ask no doctor; apply the cure that the lab knows
    #[arg(long, hide = true)]
    pub(crate) reference: bool,
}

/// What one argument names.
type Several<T> = std::sync::Arc<[T]>;
/// The scenarios to try; none are those of the doctor.
pub(crate) type Scenarios = Several<Scenario>;

impl RunArgs {
    /// The clients to try with, each once.
    pub(crate) fn clients(&self) -> Vec<Client> {
        let chosen = each(&self.client);
        if chosen.is_empty() { vec![Client::Portway] } else { chosen }
    }

    /// The servers to try with, each once.
    pub(crate) fn servers(&self) -> Vec<Server> {
        let chosen = each(&self.server);
        if chosen.is_empty() { vec![Server::Portway] } else { chosen }
    }

    /// The cures to try, each once.
    pub(crate) fn cures(&self) -> Vec<Cure> {
        let chosen = each(&self.cure);
        if chosen.is_empty() { Cure::USUAL.to_vec() } else { chosen }
    }

    /// How many cells at a time: nearly all of them wait for nothing.
    pub(crate) fn jobs(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        self.jobs.unwrap_or_else(|| (processors * 4).clamp(4, 16))
    }

    /// How many of the doctor's cases at a time: each measures times, which a busy machine makes longer.
    pub(crate) fn few_jobs(&self) -> usize {
        let processors = std::thread::available_parallelism().map_or(2, usize::from);
        self.jobs.unwrap_or_else(|| (processors * 2).clamp(2, 12))
    }
}

fn each<T: Copy + PartialEq>(chosen: &[Several<T>]) -> Vec<T> {
    let mut found = Vec::new();
    for &one in chosen.iter().flat_map(|several| several.iter()) {
        if !found.contains(&one) {
            found.push(one);
        }
    }
    found
}

fn scenarios(name: &str) -> Result<Scenarios, String> {
    if name == "doctor" {
        return Ok([].into());
    }
    named(name, &Scenario::ALL, Scenario::name)
}

fn clients(name: &str) -> Result<Several<Client>, String> {
    named(name, Client::ALL, Client::name)
}

fn servers(name: &str) -> Result<Several<Server>, String> {
    named(name, Server::ALL, Server::name)
}

fn cures(name: &str) -> Result<Several<Cure>, String> {
    named(name, Cure::ALL, Cure::name)
}

fn named<T: Copy>(wanted: &str, all: &[T], name: fn(T) -> &'static str) -> Result<Several<T>, String> {
    if wanted == "all" {
        return Ok(all.into());
    }
    match all.iter().find(|one| name(**one) == wanted) {
        Some(one) => Ok([*one].into()),
        None => {
            let names: Vec<_> = all.iter().map(|one| name(*one)).collect();
            Err(format!("expected all, {}", names.join(", ")))
        }
    }
}
