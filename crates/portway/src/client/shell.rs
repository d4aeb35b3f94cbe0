//! `shell`: a session by hand, with the verbs people know from ftp and lftp.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use clap::Args;
use portway_client::{Connection, Error, GetOptions, PutOptions, Settings, Target};
use portway_data::Progress;
use portway_proto::client::quoted_path;
use portway_proto::row::{ListRow, RowKind};
use portway_proto::{Command, printable};
use portway_vfs::{LinkPolicy, LocalFs, VPath};
use rustyline::completion::Completer;
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::history::DefaultHistory;
use rustyline::validate::Validator;
use rustyline::{Context, Editor, Helper};
use tokio::task::JoinSet;

use super::args::ConnectArgs;
use super::list::long;
use super::tell::Teller;

/// `shell`.
#[derive(Debug, Args)]
pub(crate) struct ShellArgs {
    /// The server, and a directory to begin in
    url: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

const HELP: &str = "\
ls [DIR]          list            cd DIR, pwd       go, where am I
get FILE [NAME]   fetch           put FILE [NAME]   store
cat FILE          show            lcd DIR, lpwd     the same on this machine
mkdir DIR         make            rm FILE, rmdir DIR
mv OLD NEW        rename          quote COMMAND     send as it is
jobs              what runs       quit              end
A line that ends with & (get, put) runs in the background over a session of its own.
Words with blanks stand in double quotes.";

const VERBS: [&str; 18] = [
    "bye", "cat", "cd", "dir", "exit", "get", "help", "jobs", "lcd", "lpwd", "ls", "mkdir", "mv", "put",
    "pwd", "quit", "quote", "rm",
];

/// Completes verbs, and names in the directory last seen.
struct Names(Arc<Mutex<Vec<String>>>);

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}

impl Hinter for Names {
    type Hint = String;
}

impl Completer for Names {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        let before = line.get(..at).unwrap_or_default();
        let from = before.rfind(' ').map_or(0, |blank| blank + 1);
        let start = before.get(from..).unwrap_or_default();
        let fits = |name: &str| name.starts_with(start);
        if from == 0 {
            return Ok((0, VERBS.iter().filter(|verb| fits(verb)).map(|verb| format!("{verb} ")).collect()));
        }
        let names = self.0.lock().map(|names| names.clone()).unwrap_or_default();
        Ok((from, names.into_iter().filter(|name| fits(name)).collect()))
    }
}

struct Shell {
    connection: Connection,
    settings: Arc<Settings>,
    teller: Teller,
    cwd: Vec<u8>,
    here: PathBuf,
    names: Arc<Mutex<Vec<String>>>,
    jobs: JoinSet<(String, Result<u64, Error>)>,
}

pub(crate) async fn run(args: ShellArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let target = Target::parse(&args.url).with_context(|| args.url.clone())?;
    let settings = args.connect.settings(&target, teller.tracing())?;
    let connection = match Connection::open(&target, Arc::clone(&settings)).await {
        Ok(connection) => connection,
        Err(error) => {
            teller.failed(b"", &error);
            return Ok(teller.exit());
        }
    };
    teller.line(format_args!("{}; help shows the commands", connection.greeting()));
    let names = Arc::new(Mutex::new(Vec::new()));
    let here = std::env::current_dir()?;
    let mut shell =
        Shell { connection, settings, teller, cwd: Vec::new(), here, names, jobs: JoinSet::new() };
    let first = if target.path.is_empty() { None } else { Some(target.path.as_slice()) };
    if let Err(error) = shell.change(first).await {
        shell.teller.failed(&target.path, &error);
    }
    let mut editor: Editor<Names, DefaultHistory> = Editor::new()?;
    editor.set_helper(Some(Names(Arc::clone(&shell.names))));
    let history = std::env::var_os("HOME").map(|home| Path::new(&home).join(".local/state/portway/history"));
    if let Some(history) = &history {
        // There is none the first time.
        let _ = editor.load_history(history);
    }
    loop {
        shell.finished_jobs();
        let prompt = format!("{}:{}> ", shell.connection.target().host, printable(&shell.cwd));
        let line = match tokio::task::block_in_place(|| editor.readline(&prompt)) {
            Ok(line) => line,
            Err(ReadlineError::Interrupted) => continue,
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        };
        let words = words(&line);
        if words.is_empty() {
            continue;
        }
        let _ = editor.add_history_entry(&line);
        match shell.line(&words).await {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => shell.teller.failed(b"", &error),
        }
    }
    if let Some(history) = &history {
        let _ = history.parent().map(std::fs::create_dir_all);
        let _ = editor.save_history(history);
    }
    if !shell.jobs.is_empty() {
        shell.teller.line("waiting for what runs in the background");
    }
    while let Some(job) = shell.jobs.join_next().await {
        shell.finished(job);
    }
    shell.connection.quit().await;
    // What failed was told when it did; the session itself went well.
    Ok(ExitCode::SUCCESS)
}

impl Shell {
    /// Does one line; false at the end.
    async fn line(&mut self, words: &[String]) -> Result<bool, Error> {
        let (words, background) = match words.split_last() {
            Some((last, rest)) if last == "&" => (rest, true),
            _ => (words, false),
        };
        let Some((verb, args)) = words.split_first() else { return Ok(true) };
        if !self.connection.is_usable() && !matches!(verb.as_str(), "quit" | "bye" | "exit") {
            self.connection.reconnect().await?;
        }
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        match (verb.as_str(), args.as_slice()) {
            ("quit" | "bye" | "exit", _) => return Ok(false),
            ("help" | "?", _) => println!("{HELP}"),
            ("ls" | "dir", rest) => self.list(rest.first().copied()).await?,
            ("cd", []) => self.change(Some(b"/")).await?,
            ("cd", [dir]) => {
                let path = self.path(dir);
                self.change(Some(&path)).await?;
            }
            ("pwd", _) => println!("{}", printable(&self.cwd)),
            ("lpwd", _) => println!("{}", self.here.display()),
            ("lcd", [dir]) => match self.here.join(dir).canonicalize() {
                Ok(dir) if dir.is_dir() => self.here = dir,
                _ => self.teller.failed_here(&format!("{dir} is no directory here")),
            },
            ("get", [file, rest @ ..]) => self.get(file, rest.first().copied(), background).await?,
            ("put", [file, rest @ ..]) => self.put(file, rest.first().copied(), background).await?,
            ("cat", [file]) => {
                let target = self.connection.target().with_path(self.path(file));
                super::copy::cat_one(&mut self.connection, &target).await?;
            }
            ("mkdir", [dir]) => drop(self.connection.make_dir(&self.path(dir)).await?),
            ("rm", [file]) => self.connection.remove(&self.path(file), false, false).await?,
            ("rmdir", [dir]) => self.connection.remove(&self.path(dir), true, false).await?,
            ("mv", [from, to]) => {
                let (from, to) = (self.path(from), self.path(to));
                self.connection.rename(&from, &to).await?;
            }
            ("quote", [verb, rest @ ..]) => {
                let arg = rest.join(" ").into_bytes();
                let command =
                    Command::Other { verb: verb.as_bytes(), arg: (!arg.is_empty()).then_some(&arg) };
                let reply = self.connection.call(&command).await?;
                for line in &reply.lines {
                    println!("{} {}", reply.code, printable(line));
                }
            }
            ("jobs", _) => println!("{} in the background", self.jobs.len()),
            _ => self.teller.failed_here(&format!("{verb}: no such command, or wrong arguments; try help")),
        }
        Ok(true)
    }

    fn path(&self, name: &str) -> Vec<u8> {
        VPath::resolve(&VPath::root(), &self.cwd)
            .and_then(|cwd| VPath::resolve(&cwd, name.as_bytes()))
            .map_or_else(|| name.as_bytes().to_vec(), |path| path.as_bytes().to_vec())
    }

    async fn change(&mut self, to: Option<&[u8]>) -> Result<(), Error> {
        if let Some(to) = to {
            self.connection.demand(&Command::Cwd(to)).await?;
        }
        let reply = self.connection.call(&Command::Pwd).await?;
        self.cwd = quoted_path(&reply).or_else(|| to.map(<[u8]>::to_vec)).unwrap_or_else(|| b"/".to_vec());
        let rows = self.connection.list(None).await?;
        self.remember(&rows);
        Ok(())
    }

    fn remember(&self, rows: &[ListRow]) {
        if let Ok(mut names) = self.names.lock() {
            let shown = |row: &ListRow| match row.kind {
                RowKind::Dir => format!("{}/", printable(&row.name)),
                _ => printable(&row.name),
            };
            *names = rows.iter().map(shown).collect();
        }
    }

    async fn list(&mut self, dir: Option<&str>) -> Result<(), Error> {
        let path = dir.map_or_else(|| self.cwd.clone(), |dir| self.path(dir));
        let mut rows = self.connection.list(Some(&path)).await?;
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        for row in &rows {
            println!("{}", long(row, &row.name));
        }
        if dir.is_none() {
            self.remember(&rows);
        }
        Ok(())
    }

    async fn get(&mut self, file: &str, name: Option<&str>, background: bool) -> Result<(), Error> {
        let path = self.path(file);
        let own = name.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file)).to_owned();
        let here = |error: &dyn std::fmt::Display| format!("{}: {error}", self.here.display());
        let local = match LocalFs::open(&self.here, LinkPolicy::InRoot) {
            Ok(local) => local,
            Err(error) => {
                self.teller.failed_here(&here(&error));
                return Ok(());
            }
        };
        let Some(name) = VPath::root().join(own.as_bytes()) else {
            self.teller.failed_here("that name cannot be used here");
            return Ok(());
        };
        if background {
            let (target, settings) = (self.connection.target().clone(), Arc::clone(&self.settings));
            self.jobs.spawn(async move {
                let work = async {
                    let mut connection = Connection::open(&target, settings).await?;
                    let got =
                        connection.get(&path, &local, &name, GetOptions::default(), &Progress::new()).await?;
                    connection.quit().await;
                    Ok(got.size)
                };
                (format!("get {own}"), work.await)
            });
            return Ok(());
        }
        let total = self.connection.size(&path).await?;
        let progress = Progress::new();
        let work = self.connection.get(&path, &local, &name, GetOptions::default(), &progress);
        let got = self.teller.watch(own.as_bytes(), total, &progress, work).await?;
        self.teller.done("got", &path, Some(got.size), "");
        Ok(())
    }

    async fn put(&mut self, file: &str, name: Option<&str>, background: bool) -> Result<(), Error> {
        let own = self.here.join(file);
        let remote = self.path(name.unwrap_or_else(|| file.rsplit('/').next().unwrap_or(file)));
        let opened = match std::fs::File::open(&own) {
            Ok(opened) => opened,
            Err(error) => {
                self.teller.failed_here(&format!("{}: {error}", own.display()));
                return Ok(());
            }
        };
        if background {
            let (target, settings) = (self.connection.target().clone(), Arc::clone(&self.settings));
            let shown = file.to_owned();
            self.jobs.spawn(async move {
                let work = async {
                    let mut connection = Connection::open(&target, settings).await?;
                    let put =
                        connection.put(&opened, &remote, PutOptions::default(), &Progress::new()).await?;
                    connection.quit().await;
                    Ok(put.size)
                };
                (format!("put {shown}"), work.await)
            });
            return Ok(());
        }
        let total = opened.metadata().ok().map(|facts| facts.len());
        let progress = Progress::new();
        let work = self.connection.put(&opened, &remote, PutOptions::default(), &progress);
        let put = self.teller.watch(file.as_bytes(), total, &progress, work).await?;
        self.teller.done("stored", &remote, Some(put.size), "");
        Ok(())
    }

    fn finished_jobs(&mut self) {
        while let Some(job) = self.jobs.try_join_next() {
            self.finished(job);
        }
    }

    fn finished(&self, job: Result<(String, Result<u64, Error>), tokio::task::JoinError>) {
        match job {
            Ok((what, Ok(size))) => {
                self.teller.line(format_args!("done in the background: {what}, {size} octets"));
            }
            Ok((what, Err(error))) => self.teller.failed(what.as_bytes(), &error),
            Err(error) => self.teller.failed_here(&error.to_string()),
        }
    }
}

/// Words by blanks, with double quotes and backslashes.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                quoted = !quoted;
                word.get_or_insert_default();
            }
            '\\' => word.get_or_insert_default().extend(chars.next()),
            c if c.is_whitespace() && !quoted => words.extend(word.take()),
            c => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::words;

    #[test]
    fn words_may_hold_blanks_in_quotes() {
        assert_eq!(words("get  \"a b\" c\\ d \"\" &"), ["get", "a b", "c d", "", "&"]);
        assert_eq!(words("   "), Vec::<String>::new());
    }
}
