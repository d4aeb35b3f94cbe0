//! What each verb does.

use std::io::{self, Write};

use portway_client::Target;
use portway_proto::row::RowKind;
use portway_proto::{Command, Representation, Site, printable};

use super::super::args::Mode;
use super::super::list::long;
use super::table::{help, named};
use super::words::Line;
use super::{Shell, Then, Trouble, trouble};

/// A closed pipe ends the output and not the shell.
fn say(text: impl std::fmt::Display) {
    let _ = writeln!(io::stdout(), "{text}");
}

impl Shell {
    /// Does what a line says.
    pub(super) async fn verb(&mut self, line: &Line) -> Result<Then, Trouble> {
        if let Some(escape) = &line.escape {
            self.escape(escape)?;
            return Ok(Then::Go);
        }
        if line.verb().is_empty() {
            return Ok(Then::Go);
        }
        let verb = named(line.verb()).or_else(trouble)?;
        let args = line.args();
        let movable =
            matches!(verb, "get" | "reget" | "mget" | "put" | "reput" | "mput" | "append" | "mirror");
        if line.background && !movable {
            return trouble(format_args!("{verb} does not run in the background"));
        }
        match (verb, args.as_slice()) {
            ("quit", _) => return Ok(Then::End),
            ("help", rest) => say(help(rest.first().copied()).or_else(trouble)?.trim_end()),
            ("open", place) if !place.is_empty() && place.len() < 3 => {
                let target = match *place {
                    [host, port] if host.matches(':').count() > 1 => format!("[{host}]:{port}"),
                    [host, port] => format!("{host}:{port}"),
                    _ => place.concat(),
                };
                self.open(Target::parse(&target).or_else(trouble)?).await?;
            }
            ("user", [name, password @ ..]) if password.len() < 2 => {
                self.user(name, password.first().copied()).await?;
            }
            ("close", []) => {
                if let Some(connection) = self.connection.lock().await.take() {
                    connection.quit().await;
                }
            }
            ("ls" | "nlist", places) => self.list(places, verb == "ls").await?,
            ("cd", []) => self.change(Some(b"/")).await?,
            ("cd", [dir]) => self.change(Some(&self.path(dir))).await?,
            ("cdup", []) => self.change(Some(&self.path(".."))).await?,
            ("pwd", []) => {
                drop(self.connected().await?);
                say(printable(&self.cwd));
            }
            ("lpwd", []) => say(self.here.display()),
            ("lcd", [] | [_]) => self.go_here(args.first().copied())?,
            ("lls", args) => self.escape(&format!("ls {}", args.join(" ")))?,
            ("binary", []) => self.representation = Representation::Image,
            ("ascii", []) => self.representation = Representation::Ascii,
            ("type", []) => say(self.type_name()),
            ("type", ["binary" | "image" | "i" | "I"]) => self.representation = Representation::Image,
            ("type", ["ascii" | "a" | "A"]) => self.representation = Representation::Ascii,
            ("passive", rest) => {
                let mode = match (rest, self.connect.mode) {
                    (["on"], _) | ([], Mode::Active) => Mode::Passive,
                    (["off"], _) | ([], _) => Mode::Active,
                    (["auto"], _) => Mode::Auto,
                    _ => return trouble("passive on, off or auto"),
                };
                self.set_mode(mode).await?;
            }
            ("mode", []) => say(format_args!("mode {}", self.connect.mode.word())),
            ("mode", ["auto"]) => self.set_mode(Mode::Auto).await?,
            ("mode", ["passive"]) => self.set_mode(Mode::Passive).await?,
            ("mode", ["active"]) => self.set_mode(Mode::Active).await?,
            ("jobs", []) => self.jobs.list().iter().for_each(say),
            ("wait" | "kill", rest) => self.with_jobs(verb, rest).await?,
            ("status", []) => self.status().await,
            ("explain", [] | [_]) => self.explain(args.first().copied()).await?,
            (_, args) if movable => self.move_files(verb, args, line.background).await?,
            (_, args) => self.remote(verb, args).await?,
        }
        Ok(Then::Go)
    }

    async fn move_files(&mut self, verb: &str, args: &[&str], background: bool) -> Result<(), Trouble> {
        if verb == "mirror" {
            return self.mirror(args, background).await;
        }
        let resume = matches!(verb, "reget" | "reput") || args.contains(&"-c");
        let args: Vec<&str> = args.iter().copied().filter(|arg| !matches!(*arg, "-c" | "-o")).collect();
        let what = format!("{verb} {}", args.join(" "));
        let tasks = match (verb, args.as_slice()) {
            ("get" | "reget", [file]) => vec![self.task_get(file, None, resume)?],
            ("get" | "reget", [file, name]) => vec![self.task_get(file, Some(name), resume)?],
            ("put" | "reput", [file]) => vec![self.task_put(file, None, resume)?],
            ("put" | "reput", [file, name]) => vec![self.task_put(file, Some(name), resume)?],
            ("append", [file, name]) => match self.task_put(file, Some(name), false)? {
                super::files::Task::Put { local, remote, .. } => {
                    vec![super::files::Task::Append { local, remote }]
                }
                task => vec![task],
            },
            ("mget", patterns) if !patterns.is_empty() => {
                let mut tasks = Vec::new();
                for pattern in patterns {
                    for file in self.remote_files(pattern).await? {
                        // Only what can be typed came out of a pattern that was typed; other names go by octets.
                        let name = file.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec();
                        tasks.push(super::files::Task::Get {
                            remote: file,
                            folder: self.here.clone(),
                            name,
                            resume,
                        });
                    }
                }
                tasks
            }
            ("mput", patterns) if !patterns.is_empty() => {
                let mut tasks = Vec::new();
                for pattern in patterns {
                    for file in self.local_files(pattern)? {
                        tasks.push(self.task_put(&file, None, resume)?);
                    }
                }
                tasks
            }
            (verb, _) => return wrong(verb),
        };
        self.transfer(tasks, what, background).await
    }

    /// Verbs that ask the server for one thing after the other.
    async fn remote(&mut self, verb: &str, args: &[&str]) -> Result<(), Trouble> {
        let recursive = verb == "rm" && args.first() == Some(&"-r");
        let args = args.get(usize::from(recursive)..).unwrap_or_default();
        if args.is_empty() {
            return wrong(verb);
        }
        if matches!(verb, "mkdir" | "rmdir" | "rm" | "rename") {
            self.names.forget();
        }
        if matches!(verb, "quote" | "site") {
            return self.quote(verb, args).await;
        }
        let mut files = Vec::new();
        match (verb, args) {
            ("rm", patterns) => {
                for pattern in patterns {
                    files.extend(self.remote_files(pattern).await?);
                }
            }
            ("chmod", [_, names @ ..]) if !names.is_empty() => {
                files.extend(names.iter().map(|name| self.path(name)));
            }
            ("rename", [old, new]) => files.extend([self.path(old), self.path(new)]),
            ("rename" | "chmod", _) => return wrong(verb),
            (_, names) => files.extend(names.iter().map(|name| self.path(name))),
        }
        let mut guard = self.connected().await?;
        let Some(connection) = guard.as_mut() else { return trouble("not connected") };
        if let ("rename", [old, new]) = (verb, files.as_slice()) {
            return Ok(connection.rename(old, new).await?);
        }
        for file in &files {
            match verb {
                "mkdir" => drop(connection.make_dir(file).await?),
                "rmdir" => connection.remove(file, true, false).await?,
                "rm" if recursive => match connection.facts(file).await? {
                    Some(row) if row.kind != RowKind::Dir => connection.remove(file, false, false).await?,
                    _ => connection.remove(file, true, true).await?,
                },
                "rm" => connection.remove(file, false, false).await?,
                "chmod" => {
                    let Some(mode) = args.first().and_then(|mode| u32::from_str_radix(mode, 8).ok()) else {
                        return trouble("chmod wants the bits in octal, as 644");
                    };
                    connection.demand(&Command::Site(Site::Chmod { mode, path: file })).await?;
                }
                "size" => match connection.size(file).await? {
                    Some(size) => say(format_args!("{}  {size}", printable(file))),
                    None => return trouble(format_args!("{}: the server tells no size", printable(file))),
                },
                "modtime" => match connection.modified(file).await? {
                    Some(time) => {
                        let digits = time.to_string();
                        let part = |from: usize, to: usize| digits.get(from..to).unwrap_or_default();
                        let day = format!("{}-{}-{}", part(0, 4), part(4, 6), part(6, 8));
                        let hour = format!("{}:{}:{}", part(8, 10), part(10, 12), part(12, 14));
                        say(format_args!("{}  {day} {hour}", printable(file)));
                    }
                    None => return trouble(format_args!("{}: the server tells no time", printable(file))),
                },
                "cat" => {
                    let mut target = connection.target().with_path(file.clone());
                    target.representation = self.representation;
                    super::super::copy::cat_one(connection, &target, Default::default()).await?;
                }
                _ => return wrong(verb),
            }
        }
        Ok(())
    }

    async fn quote(&self, verb: &str, args: &[&str]) -> Result<(), Trouble> {
        let words =
            if verb == "site" { ["SITE"].iter().chain(args).copied().collect() } else { args.to_vec() };
        let Some((first, rest)) = words.split_first() else { return wrong(verb) };
        let arg = rest.join(" ").into_bytes();
        let command = Command::Other { verb: first.as_bytes(), arg: (!arg.is_empty()).then_some(&arg) };
        let mut guard = self.connected().await?;
        let Some(connection) = guard.as_mut() else { return trouble("not connected") };
        let reply = connection.call(&command).await?;
        for line in &reply.lines {
            say(format_args!("{} {}", reply.code, printable(line)));
        }
        Ok(())
    }

    async fn list(&mut self, places: &[&str], details: bool) -> Result<(), Trouble> {
        let places: Vec<&str> = places.iter().copied().filter(|place| !place.starts_with('-')).collect();
        for place in if places.is_empty() { vec!["."] } else { places } {
            for row in self.matching(place).await? {
                say(if details { long(&row, &row.name) } else { printable(&row.name) });
            }
        }
        Ok(())
    }

    async fn user(&mut self, name: &str, password: Option<&str>) -> Result<(), Trouble> {
        let Some(mut target) = self.target().await else { return trouble("not connected; open HOST") };
        target.user = Some(name.as_bytes().to_vec());
        target.password = match password {
            Some(password) => Some(password.as_bytes().to_vec()),
            None => {
                let question = format!("password for {target}: ");
                let asked = tokio::task::block_in_place(|| crate::prompt::secret(&question));
                Some(asked.or_else(|error| trouble(format_args!("no password: {error}")))?)
            }
        };
        target.path.clear();
        self.open(target).await
    }

    async fn set_mode(&mut self, mode: Mode) -> Result<(), Trouble> {
        self.connect.mode = mode;
        self.teller.line(format_args!("mode {}", mode.word()));
        self.reopen().await
    }

    async fn with_jobs(&mut self, verb: &str, args: &[&str]) -> Result<(), Trouble> {
        let number = match args {
            [] | ["all"] => None,
            [number] => match number.trim_start_matches(['%', '[']).trim_end_matches(']').parse() {
                Ok(number) => Some(number),
                Err(_) => return wrong(verb),
            },
            _ => return wrong(verb),
        };
        let teller = self.teller.clone();
        let known = match verb {
            "wait" => self.jobs.wait(number, &teller).await,
            _ if args.is_empty() => return wrong(verb),
            _ => self.jobs.kill(number, &teller),
        };
        if known { Ok(()) } else { trouble("no such job; jobs lists them") }
    }

    async fn status(&self) {
        match &*self.connection.lock().await {
            Some(connection) => {
                let target = connection.target();
                let secure = if connection.is_encrypted() { "under TLS" } else { "in the clear" };
                say(format_args!("connected to {} ({}), {secure}", target.authority(), connection.peer()));
                say(format_args!("at {} there, {} here", printable(&self.cwd), self.here.display()));
                let way = connection.chosen_way().map_or("none yet", |way| way.name());
                say(format_args!("mode {}; data connections by {way}", self.connect.mode.word()));
            }
            None => say(format_args!("not connected; at {} here", self.here.display())),
        }
        say(format_args!("type {}; {} in the background", self.type_name(), self.jobs.list().len()));
    }

    fn type_name(&self) -> &'static str {
        if self.representation == Representation::Ascii { "ascii" } else { "binary" }
    }

    async fn explain(&self, file: Option<&str>) -> Result<(), Trouble> {
        let (Some(target), Some(settings)) = (self.target().await, self.settings().await) else {
            return trouble("not connected");
        };
        let mut target = target.with_path(file.map_or_else(|| self.cwd.clone(), |file| self.path(file)));
        target.directory = file.is_none();
        super::super::explain::show(&target, &settings).await;
        Ok(())
    }

    /// The whole process goes there, so that `!` and the completion of names agree with us.
    fn go_here(&mut self, dir: Option<&str>) -> Result<(), Trouble> {
        let home = || std::env::var("HOME").unwrap_or_else(|_| "/".to_owned());
        let goal = self.here.join(dir.map_or_else(home, str::to_owned));
        let gone = goal.canonicalize().and_then(|goal| std::env::set_current_dir(&goal).map(|()| goal));
        self.here = gone.or_else(|error| trouble(format_args!("{}: {error}", goal.display())))?;
        say(self.here.display());
        Ok(())
    }

    fn escape(&self, line: &str) -> Result<(), Trouble> {
        let shell = std::env::var_os("SHELL").unwrap_or_else(|| "/bin/sh".into());
        let mut command = std::process::Command::new(shell);
        if !line.is_empty() {
            command.arg("-c").arg(line);
        }
        let status = tokio::task::block_in_place(|| command.current_dir(&self.here).status());
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => trouble(format_args!("{line}: {status}")),
            Err(error) => trouble(format_args!("no shell: {error}")),
        }
    }
}

fn wrong<T>(verb: &str) -> Result<T, Trouble> {
    let usage = help(Some(verb)).unwrap_or_default();
    trouble(format_args!("that is not how it goes: {}", usage.trim_end()))
}
