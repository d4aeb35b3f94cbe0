//! `shell`: a session by hand, with the verbs people know from ftp and lftp.

use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Args;
use portway_client::{Connection, Error, Settings, Target};
use portway_proto::client::quoted_path;
use portway_proto::{Command, Representation, printable};
use portway_vfs::VPath;
use rustyline::config::Configurer;
use rustyline::error::ReadlineError;
use rustyline::history::DefaultHistory;
use rustyline::{CompletionType, Editor};
use tokio::sync::Mutex;

use super::args::ConnectArgs;
use super::tell::Teller;

mod complete;
mod files;
mod jobs;
mod table;
mod verbs;
mod words;

use complete::Names;
use jobs::Jobs;
use words::Line;

/// `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The server, and a directory to begin in; without one, begin with open
    url: Option<String>,
    /// Run these lines and end (repeatable)
    #[arg(long, short, value_name = "LINE")]
    execute: Vec<String>,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// One user's session, on one server at a time.
struct Shell {
    connect: ConnectArgs,
    /// Shared with the completion, which lists directories between two lines.
    connection: Arc<Mutex<Option<Connection>>>,
    names: Names,
    teller: Teller,
    /// Where we are at the server, from the root.
    cwd: Vec<u8>,
    /// Where we are here.
    here: PathBuf,
    representation: Representation,
    jobs: Jobs,
}

/// What becomes of the shell after a line.
#[derive(PartialEq, Eq)]
enum Then {
    Go,
    End,
}

/// Why a line failed; none of these ends the shell.
#[derive(Debug)]
enum Trouble {
    Client(Error),
    /// In words, about this machine or the line itself.
    Words(String),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        Self::Client(error)
    }
}

impl From<anyhow::Error> for Trouble {
    fn from(error: anyhow::Error) -> Self {
        Self::Words(format!("{error:#}"))
    }
}

fn trouble<T>(words: impl std::fmt::Display) -> Result<T, Trouble> {
    Err(Trouble::Words(words.to_string()))
}

pub(crate) async fn run(args: ShellArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let connection = Arc::new(Mutex::new(None));
    let mut shell = Shell {
        names: Names::new(Arc::clone(&connection)),
        connection,
        connect: args.connect,
        teller,
        cwd: b"/".to_vec(),
        here: std::env::current_dir()?,
        representation: Representation::Image,
        jobs: Jobs::default(),
    };
    if let Some(url) = &args.url {
        let target = Target::parse(url).with_context(|| url.clone())?;
        if let Err(error) = shell.open(target).await {
            shell.tell(&error);
            // Without a terminal nobody is there to open another one.
            if !args.execute.is_empty() || !io::stdin().is_terminal() {
                return Ok(shell.teller.exit());
            }
        }
    }
    let alone = if args.execute.is_empty() {
        shell.converse().await?
    } else {
        for line in &args.execute {
            if shell.line(line).await == Then::End {
                break;
            }
        }
        true
    };
    shell.jobs.finish(&shell.teller).await;
    if let Some(connection) = shell.connection.lock().await.take() {
        connection.quit().await;
    }
    // A person was told of each failure when it happened; a script asks at the end.
    Ok(if alone { shell.teller.exit() } else { ExitCode::SUCCESS })
}

impl Shell {
    /// Reads lines until there are no more; true if nobody sits at a terminal.
    async fn converse(&mut self) -> Result<bool> {
        if !io::stdin().is_terminal() {
            while let Some(line) = tokio::task::block_in_place(|| io::stdin().lines().next()) {
                if self.line(&line?).await == Then::End {
                    break;
                }
            }
            return Ok(true);
        }
        let mut editor: Editor<Names, DefaultHistory> = Editor::new()?;
        editor.set_helper(Some(self.names.clone()));
        editor.set_completion_type(CompletionType::List);
        let history = history_file();
        if let Some(history) = &history {
            // There is none the first time.
            let _ = editor.load_history(history);
        }
        loop {
            self.jobs.tell_finished(&self.teller).await;
            let prompt = self.prompt().await;
            let line = match tokio::task::block_in_place(|| editor.readline(&prompt)) {
                Ok(line) => line,
                Err(ReadlineError::Interrupted) => continue,
                Err(ReadlineError::Eof) => break,
                Err(error) => return Err(error.into()),
            };
            if !line.trim().is_empty() && !words::holds_secret(&line) {
                let _ = editor.add_history_entry(line.as_str());
            }
            if self.line(&line).await == Then::End {
                break;
            }
        }
        if let Some(history) = &history {
            let _ = history.parent().map(std::fs::create_dir_all);
            let _ = editor.save_history(history);
        }
        Ok(false)
    }

    async fn prompt(&self) -> String {
        match &*self.connection.lock().await {
            Some(connection) => format!("{}:{}> ", connection.target().host, printable(&self.cwd)),
            None => "portway> ".to_owned(),
        }
    }

    /// Does one line, whatever comes of it. Ctrl-C ends what the line began and not the shell.
    async fn line(&mut self, line: &str) -> Then {
        let line = match Line::read(line) {
            Ok(line) => line,
            Err(words) => {
                self.teller.failed_here(words);
                return Then::Go;
            }
        };
        let outcome = tokio::select! {
            outcome = self.attempt(&line) => Some(outcome),
            _ = tokio::signal::ctrl_c() => None,
        };
        match outcome {
            Some(Ok(then)) => then,
            Some(Err(error)) => {
                self.tell(&error);
                Then::Go
            }
            None => {
                super::underway::interrupted();
                // Half a dialogue is of no use; the next line begins a new one.
                if let Some(connection) = &mut *self.connection.lock().await {
                    connection.abandon();
                }
                Then::Go
            }
        }
    }

    /// Does a line; once more on a new connection where the old one was lost meanwhile and that can do no harm.
    async fn attempt(&mut self, line: &Line) -> Result<Then, Trouble> {
        match self.verb(line).await {
            Err(Trouble::Client(error)) if error.ends_session() && table::may_be_repeated(line.verb()) => {
                self.teller.line("the connection was lost; connecting again");
                self.verb(line).await
            }
            done => done,
        }
    }

    fn tell(&self, error: &Trouble) {
        match error {
            Trouble::Client(error) => self.teller.failed(b"", error),
            Trouble::Words(words) => self.teller.failed_here(words),
        }
    }

    /// Leaves the server we are at, and goes to another one.
    async fn open(&mut self, target: Target) -> Result<(), Trouble> {
        let settings = self.connect.settings(&target, self.teller.tracing())?;
        let connection = Connection::open(&target, settings).await?;
        self.teller.line(format_args!("{}; help shows the commands", connection.greeting()));
        let old = self.connection.lock().await.replace(connection);
        if let Some(old) = old {
            old.quit().await;
        }
        let path = (!target.path.is_empty()).then_some(target.path);
        self.change(path.as_deref()).await
    }

    /// The same server with changed settings.
    async fn reopen(&mut self) -> Result<(), Trouble> {
        let Some(target) = self.target().await else { return Ok(()) };
        let cwd = self.cwd.clone();
        self.open(target.with_path(cwd)).await
    }

    async fn target(&self) -> Option<Target> {
        self.connection.lock().await.as_ref().map(|connection| connection.target().clone())
    }

    async fn settings(&self) -> Option<Arc<Settings>> {
        self.connection.lock().await.as_ref().map(|connection| Arc::clone(connection.settings()))
    }

    /// Goes somewhere at the server, and asks where that is.
    async fn change(&mut self, to: Option<&[u8]>) -> Result<(), Trouble> {
        let mut connection = self.connected().await?;
        let Some(connection) = connection.as_mut() else { return Ok(()) };
        if let Some(to) = to {
            connection.demand(&Command::Cwd(to)).await?;
        }
        let reply = connection.call(&Command::Pwd).await?;
        self.cwd = quoted_path(&reply).or_else(|| to.map(<[u8]>::to_vec)).unwrap_or_else(|| b"/".to_vec());
        self.names.stand_in(&self.cwd);
        Ok(())
    }

    /// The connection, made anew if it was lost; it is in the directory where we are.
    async fn connected(&self) -> Result<tokio::sync::OwnedMutexGuard<Option<Connection>>, Trouble> {
        let mut guard = Arc::clone(&self.connection).lock_owned().await;
        let Some(connection) = guard.as_mut() else { return trouble("not connected; open HOST or open URL") };
        if !connection.is_usable() {
            connection.reconnect().await?;
            connection.demand(&Command::Cwd(&self.cwd)).await?;
        }
        Ok(guard)
    }

    /// A path at the server: from where we are, or from the root.
    fn path(&self, name: &str) -> Vec<u8> {
        VPath::resolve(&VPath::root(), &self.cwd)
            .and_then(|cwd| VPath::resolve(&cwd, name.as_bytes()))
            .map_or_else(|| name.as_bytes().to_vec(), |path| path.as_bytes().to_vec())
    }
}

/// `$XDG_STATE_HOME/portway/history`, or the same below `~/.local/state`.
fn history_file() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state"));
    state.or_else(home).map(|state| state.join("portway/history"))
}
