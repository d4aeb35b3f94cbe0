//! `get`, `put` and `cat`.

use std::io::{self, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use portway_client::{
    Body, Connection, Digesting, Error, Fetched, GetOptions, Job, PutOptions, Target, Verify,
};
use portway_data::Progress;
use portway_proto::client::{Evidence, Judgement};
use portway_proto::row::ListRow;
use portway_vfs::{LinkPolicy, LocalFs, VPath};

use super::args::ConnectArgs;
use super::tell::Teller;
use super::underway;
use super::{Sessions, targets};

/// `get`.
#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// Files to fetch: ftp://USER:PASSWORD@HOST:PORT/PATH;type=a; user, password, port and type may be left out
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// Where to put them: a file name, or a directory; - is standard output, as with `portway cat`
    #[arg(long, short, value_name = "PATH", default_value = ".")]
    output: PathBuf,
    /// Go on with what an earlier try left
    #[arg(long = "continue", short = 'c')]
    resume: bool,
    /// Parts of one file fetched at the same time, each over a session of its own
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    segments: u16,
    /// How to check what arrived
    #[arg(long, value_enum, default_value_t)]
    verify: VerifyArg,
    /// Give files the server's time
    #[arg(long)]
    times: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `put`.
#[derive(Debug, Args)]
pub(crate) struct PutArgs {
    /// Files to store (- is standard input), then the URL: a directory if it ends with /, else the file's new name
    #[arg(required = true, num_args = 2.., value_name = "FILE… URL")]
    names: Vec<String>,
    /// Go on with what an earlier try left
    #[arg(long = "continue", short = 'c')]
    resume: bool,
    /// Store under a hidden name and rename when complete
    #[arg(long)]
    atomic: bool,
    /// Parts of one file stored at the same time, each over a session of its own, where the server can join them
    /// (COMB); elsewhere the file goes up in one piece
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=32))]
    segments: u16,
    /// How to check what was stored
    #[arg(long, value_enum, default_value_t)]
    verify: VerifyArg,
    /// Give files our time (MFMT)
    #[arg(long)]
    times: bool,
    /// Give files our permission bits (SITE CHMOD)
    #[arg(long)]
    modes: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// `cat`.
#[derive(Debug, Args)]
pub(crate) struct CatArgs {
    /// Files to write to standard output
    #[arg(required = true, value_name = "URL")]
    urls: Vec<String>,
    /// How to check what was written
    #[arg(long, value_enum, default_value_t)]
    verify: VerifyArg,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Spellings of [`Verify`].
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum VerifyArg {
    /// Believe the replies
    Replies,
    /// Compare sizes
    #[default]
    Size,
    /// Compare digests, where the server has HASH or the like
    Hash,
}

impl From<VerifyArg> for Verify {
    fn from(arg: VerifyArg) -> Self {
        match arg {
            VerifyArg::Replies => Self::Replies,
            VerifyArg::Size => Self::Size,
            VerifyArg::Hash => Self::Digest,
        }
    }
}

fn note(fetched: &Fetched) -> String {
    let mut notes = Vec::new();
    if fetched.resumed_at == fetched.size && fetched.size > 0 {
        notes.push("it was there".to_owned());
    } else if fetched.resumed_at > 0 {
        notes.push(format!("continued at {}", fetched.resumed_at));
    }
    if fetched.by_proof && fetched.resumed_at < fetched.size {
        notes.push("complete by its size, after trouble".to_owned());
    }
    if fetched.digest {
        notes.push("digests agree".to_owned());
    }
    notes.join(", ")
}

pub(crate) async fn get(args: GetArgs) -> Result<ExitCode> {
    if args.output.as_os_str() == "-" {
        let plain = !args.resume && !args.times && args.segments == 1;
        ensure!(
            plain,
            "standard output (-o -) takes the file in order, without --continue, --segments or --times"
        );
        return cat(CatArgs { urls: args.urls, verify: args.verify, connect: args.connect }).await;
    }
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    let targets = targets(&args.urls)?;
    for (target, url) in targets.iter().zip(&args.urls) {
        ensure!(!target.directory, "{url} names a directory; use portway mirror");
    }
    for target in targets {
        let (folder, name) = place(&args.output, &target, args.urls.len())?;
        let local =
            LocalFs::open(&folder, LinkPolicy::InRoot).with_context(|| folder.display().to_string())?;
        underway::fetching_into(&folder);
        let options = GetOptions {
            resume: args.resume,
            verify: args.verify.into(),
            keep_time: args.times,
            known: None,
            representation: Some(target.representation),
            keep_mode: false,
        };
        let progress = Progress::new();
        let result = match sessions.of(&target).await? {
            Err(error) => Err(error),
            Ok(connection) => {
                let total = connection.size(&target.path).await.ok().flatten();
                let options =
                    GetOptions { known: total.filter(|_| !args.times).map(|size| (size, None)), ..options };
                let segments = usize::from(args.segments);
                match total {
                    Some(size) if segments > 1 => {
                        let path = &target.path;
                        let work = connection.get_segments(
                            path,
                            &local,
                            &name,
                            (size, segments),
                            options,
                            &progress,
                        );
                        teller.watch(&target.path, total, &progress, work).await
                    }
                    _ => {
                        let work = connection.get(&target.path, &local, &name, options, &progress);
                        teller.watch(&target.path, total, &progress, work).await
                    }
                }
            }
        };
        match result {
            Ok(fetched) => teller.done("got", &target.path, Some(fetched.size), &note(&fetched)),
            Err(error) => {
                teller.failed(&target.path, &error);
                let part = format!(
                    ".portway-part.{}",
                    String::from_utf8_lossy(name.file_name().unwrap_or_default())
                );
                let part = folder.join(part);
                if progress.octets() > 0 && part.exists() {
                    teller.line(format_args!(
                        "portway: what arrived waits in {}; portway get --continue goes on with it",
                        part.display()
                    ));
                }
            }
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

/// Folder and name for a download. Only `--output` chooses the folder; the server's name is one plain part.
fn place(output: &Path, target: &Target, count: usize) -> Result<(PathBuf, VPath)> {
    let as_folder = output.is_dir() || count > 1 || output.as_os_str().as_encoded_bytes().ends_with(b"/");
    let (folder, name) = if as_folder {
        let row = ListRow { name: target.file_name().to_vec(), ..ListRow::default() };
        let name = row.safe_name().context("the URL's last part is no file name; give one with --output")?;
        std::fs::create_dir_all(output).with_context(|| output.display().to_string())?;
        (output.to_path_buf(), name.to_vec())
    } else {
        let name = output.file_name().context("--output names no file")?;
        let folder =
            output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        (folder.to_path_buf(), name.as_encoded_bytes().to_vec())
    };
    let path = VPath::root().join(&name).context("the name cannot be used here")?;
    Ok((folder, path))
}

pub(crate) async fn put(args: PutArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let Some((url, files)) = args.names.split_last() else { bail!("nothing to store") };
    ensure!(url.contains("://"), "the last argument must be an ftp:// or ftps:// URL");
    let target = Target::parse(url).with_context(|| url.clone())?;
    ensure!(target.directory || files.len() == 1, "for several files the URL must end with /");
    let mut sessions = Sessions::new(&args.connect, &teller);
    for name in files {
        let path = Path::new(name);
        let remote = match target.directory {
            false => target.path.clone(),
            true if name == "-" => bail!("standard input has no name; give one behind the last / of the URL"),
            true => {
                let own = path.file_name().context("a file name")?.as_encoded_bytes();
                let slash: &[u8] =
                    if target.path.is_empty() || target.path.ends_with(b"/") { b"" } else { b"/" };
                [&target.path, slash, own].concat()
            }
        };
        let opened = if name == "-" { standard_input() } else { std::fs::File::open(path) };
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                teller.failed_here(&format!("{name}: {error}"));
                continue;
            }
        };
        let facts = file.metadata()?;
        if !facts.is_file() {
            teller.failed_here(&format!("{name} is no regular file; use portway mirror for directories"));
            continue;
        }
        let options = PutOptions {
            resume: args.resume,
            atomic: args.atomic,
            verify: args.verify.into(),
            keep_time: args.times,
            keep_mode: args.modes,
            representation: Some(target.representation),
        };
        let progress = Progress::new();
        let goal = target.with_path(remote.clone());
        let segments = usize::from(args.segments);
        underway::storing(&goal, segments);
        let say = |what: &str| teller.note(&remote, what);
        let result = match sessions.of(&target).await? {
            Err(error) => Err(error),
            Ok(connection) if segments > 1 => {
                let work = connection.put_segments(&file, &remote, segments, options, &progress, &say);
                teller.watch(name.as_bytes(), Some(facts.len()), &progress, work).await
            }
            Ok(connection) => {
                let work = connection.put(&file, &remote, options, &progress);
                teller.watch(name.as_bytes(), Some(facts.len()), &progress, work).await
            }
        };
        underway::stored(&goal);
        match result {
            Ok(stored) => teller.done("stored", &remote, Some(stored.size), &note(&stored)),
            Err(error) => teller.failed(&remote, &error),
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

/// Standard input, kept in a file without a name: it is compared, and sent again after failures that may pass.
fn standard_input() -> io::Result<std::fs::File> {
    let mut kept = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut kept)?;
    kept.rewind()?;
    Ok(kept)
}

pub(crate) async fn cat(args: CatArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let mut sessions = Sessions::new(&args.connect, &teller);
    for target in targets(&args.urls)? {
        let result = match sessions.of(&target).await? {
            Err(error) => Err(error),
            Ok(connection) => cat_one(connection, &target, args.verify.into()).await,
        };
        if let Err(error) = result {
            teller.failed(&target.path, &error);
        }
    }
    sessions.quit().await;
    Ok(teller.exit())
}

/// What was written cannot be taken back, so a broken transfer is not begun again.
pub(super) async fn cat_one(
    connection: &mut Connection,
    target: &Target,
    verify: Verify,
) -> Result<(), Error> {
    let image = target.representation == portway_proto::Representation::Image;
    // What is made as it is read has the size 0 with many servers.
    let size = match verify {
        Verify::Size | Verify::Digest if image => connection.size(&target.path).await?,
        _ => None,
    };
    let expected = size.filter(|&size| size > 0);
    // Asked before, since what has gone by cannot be read again.
    let theirs = match verify {
        Verify::Digest if image => connection.remote_digest(&target.path, size.unwrap_or(0)).await?,
        _ => None,
    };
    let mut ours = theirs.as_ref().map(|(algorithm, _)| Digesting::new(*algorithm));
    let mut out = io::stdout();
    let mut sink = |octets: &[u8]| {
        if let Some(digest) = &mut ours {
            digest.take(octets);
        }
        out.write_all(octets)
    };
    let progress = Progress::new();
    let job = Job::Retr { path: &target.path, offset: 0 };
    let done = connection.transfer(job, Body::To(&mut sink), target.representation, &progress).await?;
    let reply = done.reply.as_ref().map(|reply| reply.code);
    let evidence = Evidence { expected, reached: done.octets, end: done.end, reply, upload: false };
    if !matches!(evidence.judge(), Judgement::Complete | Judgement::CompleteByProof) {
        return Err(done.into_error(expected));
    }
    match (ours, theirs) {
        (Some(ours), Some((algorithm, theirs))) => portway_client::agree(algorithm, ours.end(), theirs),
        _ => Ok(()),
    }
}
