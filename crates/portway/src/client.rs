//! The client's commands.

mod args;
mod copy;
mod explain;
mod list;
mod mirror;
mod netrc;
mod picture;
mod reach;
mod shell;
mod tell;
mod underway;

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use portway_client::{Connection, Error, Target};
use portway_proto::{Command as Verb, printable};
use tokio::signal::unix::{SignalKind, signal};

pub(crate) use args::{ConnectArgs, Rate};
use tell::Teller;

/// What every client command's help ends with.
const EXIT_CODES: &str = "Exit codes: 0 everything is done; 1 several things failed for different reasons; 2 wrong \
use, or a failure of this machine; 3 the server refused; 4 no such host, or no connection; 5 login failed; 6 TLS \
failed; 7 no data connection in any mode; 8 a transfer is incomplete or differs; 9 the session broke or timed out; 130 \
interrupted (what is incomplete is named and can be continued).";

/// The client's commands.
#[derive(Debug, Subcommand)]
pub(crate) enum ClientCommand {
    /// Fetch files
    #[command(after_help = EXIT_CODES)]
    Get(Box<copy::GetArgs>),
    /// Store files
    #[command(after_help = EXIT_CODES)]
    Put(Box<copy::PutArgs>),
    /// Write files to standard output
    #[command(after_help = EXIT_CODES)]
    Cat(Box<copy::CatArgs>),
    /// List directories
    #[command(after_help = EXIT_CODES)]
    Ls(Box<list::LsArgs>),
    /// Remove files, or directories with --recursive
    #[command(after_help = EXIT_CODES)]
    Rm(Box<RmArgs>),
    /// Make directories
    #[command(after_help = EXIT_CODES)]
    Mkdir(Box<MkdirArgs>),
    /// Rename a file or directory of one server
    #[command(after_help = EXIT_CODES)]
    Mv(Box<MvArgs>),
    /// Make a tree here like one at a server, or the other way round
    #[command(after_help = EXIT_CODES)]
    Mirror(Box<mirror::MirrorArgs>),
    /// Work with a server by hand: ls, cd, get, put and the like, with completion and history
    #[command(after_help = EXIT_CODES)]
    Shell(Box<shell::ShellArgs>),
    /// Run a listing or a download and draw both channels: who announced what, who connected to whom
    #[command(after_help = EXIT_CODES)]
    Explain(Box<explain::ExplainArgs>),
}

/// `rm`.
#[derive(Debug, Args)]
pub(crate) struct RmArgs {
    /// What to remove
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Directories with all below them
    #[arg(long, short)]
    recursive: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `mkdir`.
#[derive(Debug, Args)]
pub(crate) struct MkdirArgs {
    /// Directories to make, with those above them
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `mv`.
#[derive(Debug, Args)]
pub(crate) struct MvArgs {
    /// What to rename
    url: String,
    /// The new path at the same server (a path or a URL)
    to: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Runs a command of the client.
pub(crate) fn run(command: ClientCommand) -> Result<ExitCode> {
    // One thread moves more small files than two that wake each other; the shell blocks one while it edits.
    let mut runtime = match command {
        ClientCommand::Shell(_) => tokio::runtime::Builder::new_multi_thread(),
        _ => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime.worker_threads(2).enable_all().build().context("no runtime")?;
    // In the shell Ctrl-C ends what runs and not the shell.
    let interactive = matches!(command, ClientCommand::Shell(_));
    let code = runtime.block_on(async {
        let mut terminated = signal(SignalKind::terminate()).context("signals")?;
        tokio::select! {
            code = dispatch(command) => return code,
            _ = tokio::signal::ctrl_c(), if !interactive => {}
            _ = terminated.recv() => {}
        }
        underway::interrupted();
        Ok(ExitCode::from(130))
    });
    // A name lookup that hangs must not hold up the end.
    runtime.shutdown_background();
    code
}

async fn dispatch(command: ClientCommand) -> Result<ExitCode> {
    match command {
        ClientCommand::Get(args) => copy::get(*args).await,
        ClientCommand::Put(args) => copy::put(*args).await,
        ClientCommand::Cat(args) => copy::cat(*args).await,
        ClientCommand::Ls(args) => list::ls(*args).await,
        ClientCommand::Rm(args) => rm(*args).await,
        ClientCommand::Mkdir(args) => mkdir(*args).await,
        ClientCommand::Mv(args) => mv(*args).await,
        ClientCommand::Mirror(args) => mirror::run(*args).await,
        ClientCommand::Shell(args) => shell::run(*args).await,
        ClientCommand::Explain(args) => explain::run(*args).await,
    }
}

/// What URLs name; a slip in one of them is told before anything is done.
pub(crate) fn targets(urls: &[String]) -> Result<Vec<Target>> {
    urls.iter().map(|url| Target::parse(url).with_context(|| url.clone())).collect()
}

/// Sessions by server and account, so that several URLs of one server share one.
pub(crate) struct Sessions<'a> {
    connect: &'a ConnectArgs,
    teller: &'a Teller,
    open: Vec<Connection>,
}

impl<'a> Sessions<'a> {
    pub(crate) fn new(connect: &'a ConnectArgs, teller: &'a Teller) -> Self {
        Self { connect, teller, open: Vec::new() }
    }

    /// The session for a target; opened if need be.
    pub(crate) async fn of(&mut self, target: &Target) -> Result<Result<&mut Connection, Error>> {
        let same = |c: &Connection| {
            let t = c.target();
            c.is_usable()
                && (&t.host, t.port, &t.user, t.implicit_tls)
                    == (&target.host, target.port, &target.user, target.implicit_tls)
        };
        let at = match self.open.iter().position(same) {
            Some(at) => at,
            None => {
                let settings = self.connect.settings(target, self.teller.tracing())?;
                match Connection::open(target, settings).await {
                    Ok(connection) => self.open.push(connection),
                    Err(error) => return Ok(Err(error)),
                }
                self.open.len() - 1
            }
        };
        Ok(Ok(self.open.get_mut(at).context("a session")?))
    }

    pub(crate) async fn quit(self) {
        for connection in self.open {
            connection.quit().await;
        }
    }
}

async fn rm(args: RmArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    for target in targets(&args.urls)? {
        let result = match sessions.of(&target).await? {
            Ok(connection) if args.recursive => match connection.facts(&target.path).await {
                // Without MLST it is tried as a directory and then as a file.
                Ok(Some(row)) => connection.remove(&target.path, row.kind.is_dir(), true).await,
                Ok(None) => match connection.remove(&target.path, true, true).await {
                    Ok(()) => Ok(()),
                    Err(_) => connection.remove(&target.path, false, false).await,
                },
                Err(error) => Err(error),
            },
            Ok(connection) => connection.remove(&target.path, target.directory, false).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => teller.done("removed", &target.path, None, ""),
            Err(error) => teller.failed(&target.path, &error),
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

async fn mkdir(args: MkdirArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    for target in targets(&args.urls)? {
        let result = match sessions.of(&target).await? {
            Ok(connection) => connection.make_dir(&target.path).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(true) => teller.done("made", &target.path, None, ""),
            Ok(false) => teller.done("made", &target.path, None, "it was there"),
            Err(error) => teller.failed(&target.path, &error),
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

async fn mv(args: MvArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    let from = Target::parse(&args.url).with_context(|| args.url.clone())?;
    let to = match args.to.contains("://") {
        true => {
            let to = Target::parse(&args.to).with_context(|| args.to.clone())?;
            anyhow::ensure!(to.authority() == from.authority(), "both names must be at one server");
            to.path
        }
        false => args.to.clone().into_bytes(),
    };
    let result = match sessions.of(&from).await? {
        Ok(connection) => match connection.demand(&Verb::Rnfr(&from.path)).await {
            Ok(_) => connection.demand(&Verb::Rnto(&to)).await.map(drop),
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    match result {
        Ok(()) => teller.done("renamed", &from.path, None, &format!("now {}", printable(&to))),
        Err(error) => teller.failed(&from.path, &error),
    }
    sessions.quit().await;
    Ok(teller.exit())
}
