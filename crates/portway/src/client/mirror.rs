//! `mirror`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::Args;
use portway_client::{
    Audience, Direction, End, Fate, GetOptions, Globs, MirrorOptions, PutOptions, Report, Target, mirror,
    mirror_across,
};
use portway_data::Progress;
use portway_vfs::{LinkPolicy, LocalFs};
use serde_json::json;

use super::args::ConnectArgs;
use super::copy::VerifyArg;
use super::tell::Teller;

/// `mirror`.
#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    /// Where from: a URL, or a directory here (two URLs: from one server to the other, through us)
    source: String,
    /// Where to: a directory here, or a URL
    target: String,
    /// Sessions at once
    #[arg(long, short, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    jobs: u16,
    /// Remove from the target what the source has not
    #[arg(long)]
    delete: bool,
    /// Only say what would be done
    #[arg(long, short = 'n')]
    dry_run: bool,
    /// Take files of one size for equal, whatever their times
    #[arg(long)]
    size_only: bool,
    /// Only files that are newer at the source
    #[arg(long)]
    newer_only: bool,
    /// Compare digests of files that seem equal, where the server has them
    #[arg(long)]
    checksum: bool,
    /// Only files that match this pattern (repeatable): *, **, ?, [a-z]; with a / it is matched to the whole path
    #[arg(long, value_name = "GLOB")]
    include: Vec<String>,
    /// Not what matches this pattern (repeatable)
    #[arg(long, value_name = "GLOB")]
    exclude: Vec<String>,
    /// Store under hidden names and rename when complete
    #[arg(long)]
    atomic: bool,
    /// How to check what arrived
    #[arg(long, value_enum, default_value_t)]
    verify: VerifyArg,
    /// Do not keep times
    #[arg(long)]
    no_times: bool,
    /// Keep permission bits, as far as the listing tells them (down) or SITE CHMOD sets them (up)
    #[arg(long)]
    modes: bool,
    #[command(flatten)]
    connect: ConnectArgs,
}

/// Tells of each file.
pub(super) struct Listener(pub(super) Teller);

impl Audience for Listener {
    fn begins(&self, progress: &Arc<Progress>) {
        self.0.begins(progress);
    }

    fn hears(&self, path: &[u8], fate: &Fate) {
        match fate {
            Fate::Transferred(size) => {
                self.0.done("transferred", path, Some(*size), "");
                self.0.counted(*size);
            }
            Fate::Deleted => self.0.done("deleted", path, None, ""),
            Fate::Made => self.0.done("made", path, None, ""),
            Fate::Skipped(why) => self.0.done("skipped", path, None, why),
            Fate::Failed(error) => self.0.failed(path, error),
            _ => {}
        }
    }
}

pub(crate) async fn run(args: MirrorArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let is_url = |text: &str| text.contains("://");
    if is_url(&args.source) && is_url(&args.target) {
        return across(&args, &teller).await;
    }
    let (url, folder, direction) = match (is_url(&args.source), is_url(&args.target)) {
        (true, false) => (&args.source, Path::new(&args.target), Direction::Down),
        (false, true) => (&args.target, Path::new(&args.source), Direction::Up),
        _ => bail!("at least one of the two must be an ftp:// or ftps:// URL, the other a directory here"),
    };
    let target = Target::parse(url).with_context(|| url.clone())?;
    if direction == Direction::Down && !args.dry_run {
        std::fs::create_dir_all(folder).with_context(|| folder.display().to_string())?;
    }
    let folder: PathBuf = folder.to_path_buf();
    if direction == Direction::Down {
        super::underway::fetching_into(&folder);
    }
    let local = open_root(&folder, args.dry_run)?;
    let options = options(&args, direction);
    let settings = args.connect.settings(&target, teller.tracing())?;
    let began = std::time::Instant::now();
    teller.begin_total();
    let report = mirror(&target, settings, local, options, Arc::new(Listener(teller.clone()))).await;
    teller.end_total();
    Ok(conclude(&teller, &target, report, began))
}

fn options(args: &MirrorArgs, direction: Direction) -> MirrorOptions {
    let octets = |patterns: &[String]| patterns.iter().map(|p| p.clone().into_bytes()).collect();
    let verify = args.verify.into();
    MirrorOptions {
        jobs: args.jobs.into(),
        delete: args.delete,
        dry_run: args.dry_run,
        size_only: args.size_only,
        newer_only: args.newer_only,
        checksum: args.checksum,
        globs: Globs { include: octets(&args.include), exclude: octets(&args.exclude) },
        get: GetOptions { keep_time: !args.no_times, keep_mode: args.modes, verify, ..GetOptions::default() },
        put: PutOptions {
            keep_time: !args.no_times,
            keep_mode: args.modes,
            atomic: args.atomic,
            verify,
            ..PutOptions::default()
        },
        ..MirrorOptions::new(direction)
    }
}

/// From one server to another, through a folder here that goes at the end.
async fn across(args: &MirrorArgs, teller: &Teller) -> Result<ExitCode> {
    let end = |url: &str| -> Result<End> {
        let target = Target::parse(url).with_context(|| url.to_owned())?;
        let settings = args.connect.settings(&target, teller.tracing())?;
        Ok(End { target, settings })
    };
    let (from, to) = (end(&args.source)?, end(&args.target)?);
    let spool =
        tempfile::Builder::new().prefix(".portway-across-").tempdir().context("no temporary folder")?;
    let local = LocalFs::open(spool.path(), LinkPolicy::Forbid)?;
    let began = std::time::Instant::now();
    teller.begin_total();
    let options = options(args, Direction::Up);
    let report = mirror_across(&from, &to, local, options, Arc::new(Listener(teller.clone()))).await;
    teller.end_total();
    Ok(conclude(teller, &from.target, report, began))
}

fn conclude(
    teller: &Teller,
    target: &Target,
    report: Result<Report, portway_client::Error>,
    began: std::time::Instant,
) -> ExitCode {
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            teller.failed(&target.path, &error);
            return teller.exit();
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    if teller.is_json() {
        teller.object(&json!({
            "event": "total", "transferred": report.transferred, "octets": report.octets, "equal": report.equal,
            "deleted": report.deleted, "made": report.made, "skipped": report.skipped, "failed": report.failed,
            "seconds": seconds,
        }));
    } else {
        teller.line(format_args!(
            "{} transferred ({} octets), {} equal, {} deleted, {} made, {} skipped, {} failed, {seconds:.1} s",
            report.transferred, report.octets, report.equal, report.deleted, report.made, report.skipped, report.failed
        ));
    }
    if report.failed > 0 && report.errors.is_empty() {
        teller.failed_here("not everything was done: no session was left");
    }
    teller.exit()
}

/// The folder of a mirror. In a dry run it need not exist: an empty one takes its place and is gone already.
pub(super) fn open_root(folder: &Path, dry_run: bool) -> Result<LocalFs> {
    if dry_run && !folder.exists() {
        let empty = std::env::temp_dir().join(format!(".portway-empty-{}", std::process::id()));
        std::fs::create_dir_all(&empty).with_context(|| empty.display().to_string())?;
        let opened = LocalFs::open(&empty, LinkPolicy::Forbid);
        let _ = std::fs::remove_dir(&empty);
        return opened.with_context(|| empty.display().to_string());
    }
    LocalFs::open(folder, LinkPolicy::Forbid).with_context(|| folder.display().to_string())
}
