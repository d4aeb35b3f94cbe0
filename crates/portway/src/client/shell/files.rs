//! Files down and up, one or many, now or in the background.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portway_client::{
    Body, Connection, Direction, GetOptions, Globs, Job, MirrorOptions, PutOptions, mirror,
};
use portway_data::Progress;
use portway_proto::client::{Evidence, Judgement};
use portway_proto::row::{ListRow, RowKind};
use portway_proto::{Representation, printable};
use portway_vfs::{LinkPolicy, LocalFs, VPath};

use super::super::list::listed;
use super::super::mirror::{Listener, open_root};
use super::super::underway;
use super::{Shell, Trouble, trouble};

/// One file to move.
#[derive(Clone, Debug)]
pub(super) enum Task {
    Get { remote: Vec<u8>, folder: PathBuf, name: Vec<u8>, resume: bool },
    Put { local: PathBuf, remote: Vec<u8>, resume: bool },
    Append { local: PathBuf, remote: Vec<u8> },
}

impl Task {
    /// The file's name, for people.
    fn shown(&self) -> String {
        match self {
            Self::Get { name, .. } => printable(name),
            Self::Put { local, .. } | Self::Append { local, .. } => local.display().to_string(),
        }
    }

    async fn perform(
        &self,
        connection: &mut Connection,
        representation: Representation,
        progress: &Progress,
    ) -> Result<u64, Trouble> {
        match self {
            Self::Get { remote, folder, name, resume } => {
                let local = LocalFs::open(folder, LinkPolicy::InRoot)
                    .or_else(|error| trouble(format_args!("{}: {error}", folder.display())))?;
                let Some(name) = VPath::root().join(name) else {
                    return trouble(format_args!("{} is no name for a file here", printable(name)));
                };
                underway::fetching_into(folder);
                let options = GetOptions {
                    resume: *resume,
                    representation: Some(representation),
                    ..GetOptions::default()
                };
                Ok(connection.get(remote, &local, &name, options, progress).await?.size)
            }
            Self::Put { local, remote, resume } => {
                let file = open(local)?;
                let options = PutOptions {
                    resume: *resume,
                    representation: Some(representation),
                    ..PutOptions::default()
                };
                let goal = connection.target().with_path(remote.clone());
                underway::storing(&goal, 1);
                let put = connection.put(&file, remote, options, progress).await;
                underway::stored(&goal);
                Ok(put?.size)
            }
            Self::Append { local, remote } => {
                let file = open(local)?;
                let job = Job::Appe { path: remote };
                let body = Body::FromFile(&file, 0, None);
                let done = connection.transfer(job, body, representation, progress).await?;
                let reply = done.reply.as_ref().map(|reply| reply.code);
                let evidence =
                    Evidence { expected: None, reached: done.octets, end: done.end, reply, upload: true };
                match evidence.judge() {
                    Judgement::Complete | Judgement::CompleteByProof => Ok(done.octets),
                    _ => Err(done.into_error(None).into()),
                }
            }
        }
    }
}

fn open(local: &Path) -> Result<std::fs::File, Trouble> {
    std::fs::File::open(local).or_else(|error| trouble(format_args!("{}: {error}", local.display())))
}

/// The last part of a path, as a name that is harmless here.
fn safe_name(path: &[u8]) -> Option<Vec<u8>> {
    let last = path.rsplit(|&b| b == b'/').next().unwrap_or_default();
    ListRow { name: last.to_vec(), ..ListRow::default() }.safe_name().map(<[u8]>::to_vec)
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?', '['])
}

impl Shell {
    /// Does the tasks one after the other: here and now with bars, or in the background.
    pub(super) async fn transfer(
        &mut self,
        tasks: Vec<Task>,
        what: String,
        background: bool,
    ) -> Result<(), Trouble> {
        let representation = self.representation;
        self.names.forget();
        if background {
            let (Some(target), Some(settings)) = (self.target().await, self.settings().await) else {
                return trouble("not connected");
            };
            let progress = Arc::new(Progress::new());
            let seen = Arc::clone(&progress);
            self.jobs.start(&self.teller, what, seen, async move {
                let mut connection = Connection::open(&target, settings).await?;
                let mut octets = 0;
                for task in &tasks {
                    octets += task.perform(&mut connection, representation, &progress).await?;
                }
                connection.quit().await;
                Ok(format!("{octets} octets"))
            });
            return Ok(());
        }
        let alone = tasks.len() == 1;
        for task in &tasks {
            let outcome = self.now(task, representation).await;
            match outcome {
                Err(error) if alone => return Err(error),
                // One file that does not come does not keep the others.
                Err(Trouble::Client(error)) => self.teller.failed(task.shown().as_bytes(), &error),
                Err(Trouble::Words(words)) => self.teller.failed_here(&words),
                Ok(()) => {}
            }
        }
        Ok(())
    }

    async fn now(&self, task: &Task, representation: Representation) -> Result<(), Trouble> {
        let mut guard = self.connected().await?;
        let Some(connection) = guard.as_mut() else { return trouble("not connected") };
        let (verb, path, total) = match task {
            Task::Get { remote, .. } => ("got", remote, connection.size(remote).await.ok().flatten()),
            Task::Put { local, remote, .. } | Task::Append { local, remote } => {
                ("stored", remote, std::fs::metadata(local).ok().map(|facts| facts.len()))
            }
        };
        if !connection.is_usable() {
            connection.reconnect().await?;
        }
        let progress = Progress::new();
        let work = task.perform(connection, representation, &progress);
        let size = self.teller.watch(task.shown().as_bytes(), total, &progress, work).await?;
        self.teller.done(verb, path, Some(size), "");
        Ok(())
    }

    /// Where a download goes: into a directory under its own name, or under a name of the user's choice.
    pub(super) fn task_get(&self, file: &str, name: Option<&str>, resume: bool) -> Result<Task, Trouble> {
        let remote = self.path(file);
        let goal = self.here.join(name.unwrap_or("."));
        let as_folder = goal.is_dir() || name.is_some_and(|name| name.ends_with('/'));
        let (folder, own) = match (as_folder, goal.file_name(), goal.parent()) {
            (false, Some(own), Some(folder)) => (folder.to_path_buf(), own.as_encoded_bytes().to_vec()),
            _ => match safe_name(&remote) {
                Some(own) => (goal, own),
                None => return trouble(format_args!("{file} is no name for a file here; give another one")),
            },
        };
        Ok(Task::Get { remote, folder, name: own, resume })
    }

    /// Where an upload goes: under its own name where we are, or under a name of the user's choice.
    pub(super) fn task_put(&self, file: &str, name: Option<&str>, resume: bool) -> Result<Task, Trouble> {
        let local = self.here.join(file);
        let own = file.trim_end_matches('/').rsplit('/').next().unwrap_or(file);
        let remote = match name {
            Some(folder) if folder.ends_with('/') => self.path(&format!("{folder}{own}")),
            name => self.path(name.unwrap_or(own)),
        };
        match std::fs::metadata(&local) {
            Ok(facts) if facts.is_dir() => {
                trouble(format_args!("{file} is a directory; mirror -R {file} stores all of it"))
            }
            Ok(_) => Ok(Task::Put { local, remote, resume }),
            Err(error) => trouble(format_args!("{}: {error}", local.display())),
        }
    }

    /// The files at the server that a pattern means; a name without `*`, `?` and `[` means itself.
    pub(super) async fn remote_files(&self, pattern: &str) -> Result<Vec<Vec<u8>>, Trouble> {
        if !is_pattern(pattern) {
            return Ok(vec![self.path(pattern)]);
        }
        let rows = self.matching(pattern).await?;
        let folder = pattern.rsplit_once('/').map_or(".", |(folder, _)| folder);
        let files = rows.iter().filter(|row| row.kind != RowKind::Dir).filter_map(ListRow::safe_name);
        let above = self.path(if folder.is_empty() { "/" } else { folder });
        let slash: &[u8] = if above.ends_with(b"/") { b"" } else { b"/" };
        let join = |name: &[u8]| [&above, slash, name].concat();
        let found: Vec<Vec<u8>> = files.map(join).collect();
        if found.is_empty() { trouble(format_args!("no file matches {pattern}")) } else { Ok(found) }
    }

    /// The rows of a listing, of those that match if the last part is a pattern.
    pub(super) async fn matching(&self, place: &str) -> Result<Vec<ListRow>, Trouble> {
        let (folder, pattern) = match place.rsplit_once('/') {
            _ if !is_pattern(place) => (place, None),
            Some(("", pattern)) => ("/", Some(pattern)),
            Some((folder, pattern)) => (folder, Some(pattern)),
            None => (".", Some(place)),
        };
        let path = self.path(folder);
        let mut guard = self.connected().await?;
        let Some(connection) = guard.as_mut() else { return trouble("not connected") };
        let mut rows = listed(connection, Some(&path)).await?;
        if let Some(pattern) = pattern {
            let globs = Globs { include: vec![pattern.as_bytes().to_vec()], exclude: Vec::new() };
            rows.retain(|row| globs.admits(&row.name, false));
        }
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(rows)
    }

    /// The files here that a pattern means.
    pub(super) fn local_files(&self, pattern: &str) -> Result<Vec<String>, Trouble> {
        if !is_pattern(pattern) {
            return Ok(vec![pattern.to_owned()]);
        }
        let (folder, last) = pattern.rsplit_once('/').map_or(("", pattern), |(folder, last)| (folder, last));
        let globs = Globs { include: vec![last.as_bytes().to_vec()], exclude: Vec::new() };
        let place = self.here.join(if pattern.starts_with('/') && folder.is_empty() { "/" } else { folder });
        let entries = std::fs::read_dir(&place)
            .or_else(|error| trouble(format_args!("{}: {error}", place.display())))?;
        let mut found: Vec<String> = entries
            .flatten()
            .filter(|entry| entry.path().is_file())
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| globs.admits(name.as_bytes(), false))
            .map(|name| if folder.is_empty() { name } else { format!("{folder}/{name}") })
            .collect();
        found.sort();
        if found.is_empty() { trouble(format_args!("no file here matches {pattern}")) } else { Ok(found) }
    }

    /// `mirror`, with the flags that lftp has.
    pub(super) async fn mirror(&mut self, args: &[&str], background: bool) -> Result<(), Trouble> {
        let mut options = MirrorOptions::new(Direction::Down);
        let mut places = Vec::new();
        let mut args = args.iter().copied();
        while let Some(arg) = args.next() {
            let (flag, joined) = match arg.split_once('=') {
                Some((flag, value)) if flag.starts_with("--") => (flag, Some(value)),
                _ => (arg, None),
            };
            let mut value = || match joined.or_else(|| args.next()) {
                Some(value) => Ok(value),
                None => trouble(format_args!("{flag} wants a value")),
            };
            match flag {
                "-R" | "--reverse" => options.direction = Direction::Up,
                "-e" | "--delete" => options.delete = true,
                "-n" | "--only-newer" | "--newer-only" => options.newer_only = true,
                "--dry-run" => options.dry_run = true,
                "-c" | "--continue" => options.get.resume = true,
                "-P" | "--parallel" | "--jobs" => match value()?.parse() {
                    Ok(jobs @ 1..=64) => options.jobs = jobs,
                    _ => return trouble("-P wants a number from 1 to 64"),
                },
                "-X" | "--exclude" | "--exclude-glob" => options.globs.exclude.push(value()?.into()),
                "-I" | "--include" | "--include-glob" => options.globs.include.push(value()?.into()),
                flag if flag.starts_with('-') && flag.len() > 1 => {
                    return trouble(format_args!("mirror knows no {flag}; see help mirror"));
                }
                place => places.push(place),
            }
        }
        let up = options.direction == Direction::Up;
        let (source, goal) = match places.as_slice() {
            [] => (".", "."),
            // A tree keeps its name.
            [one] => (*one, one.trim_end_matches('/').rsplit('/').next().unwrap_or(".")),
            [source, goal] => (*source, *goal),
            _ => return trouble("mirror takes a source and a target"),
        };
        let (remote, local) = if up { (goal, source) } else { (source, goal) };
        let (Some(target), Some(settings)) = (self.target().await, self.settings().await) else {
            return trouble("not connected");
        };
        let (target, folder) = (target.with_path(self.path(remote)), self.here.join(local));
        if !up && !options.dry_run {
            std::fs::create_dir_all(&folder)
                .or_else(|error| trouble(format_args!("{}: {error}", folder.display())))?;
            underway::fetching_into(&folder);
        }
        let local = open_root(&folder, options.dry_run)?;
        let teller = if background { self.teller.silent() } else { self.teller.clone() };
        let what = format!("mirror {source} {goal}");
        self.names.forget();
        let work = async move {
            let audience = Arc::new(Listener(teller));
            let report = mirror(&target, settings, local, options, audience).await?;
            let all = format!(
                "{} transferred ({} octets), {} equal, {} deleted, {} failed",
                report.transferred, report.octets, report.equal, report.deleted, report.failed
            );
            if report.failed > 0 { Err(Trouble::Words(all)) } else { Ok(all) }
        };
        if background {
            self.jobs.start(&self.teller, what, Arc::new(Progress::new()), work);
            return Ok(());
        }
        let all = work.await?;
        self.teller.line(all);
        Ok(())
    }
}
