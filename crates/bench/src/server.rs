//! The server's rows of the budget, beside its rivals: CPU for octets and files, memory for sessions, time and memory
//! for a long listing.
//!
//! All servers run during the whole benchmark; each figure is taken of one after the other, so that whatever else the
//! machine does meets all of them. One client of our own moves the same octets through each.

mod bare;
mod idle;

use std::fs::File;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portway_e2e::{Tls, Tree};

use crate::load;
use crate::machine;
use crate::processes::Processes;
use crate::report::{Budget, Report, Row};
use crate::rivals::{self, Rival, Server};

pub(crate) use bare::serve as serve_bare;

/// How much is moved for one figure.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Octets of the large file, and how often it is moved for one figure.
    large: (usize, usize),
    /// Small files in one session, in clear and under TLS.
    small: (usize, usize),
    /// Idle sessions of a server with a process for each, and of one without.
    idle: (usize, usize),
    /// Idle sessions that portway has to hold.
    pub(crate) held: usize,
    /// Entries of the folder that is listed.
    pub(crate) entries: usize,
    /// No round begins later.
    limit: Duration,
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        large: (512 << 20, 1),
        small: (2000, 700),
        idle: (60, 2000),
        held: 15_000,
        entries: 100_000,
        limit: Duration::from_secs(420),
    };
    pub(crate) const QUICK: Self = Self {
        large: (128 << 20, 1),
        small: (400, 200),
        idle: (20, 400),
        held: 2000,
        entries: 20_000,
        limit: Duration::from_secs(45),
    };
}

/// A server whose small files take longer is not asked for all of them: one of them waits 40 ms for each.
const SMALL_FILES: Duration = Duration::from_secs(3);

const RETR: &str = "plain RETR";
const STOR: &str = "plain STOR";
const FTPS_RETR: &str = "FTPS RETR, TLS 1.3";
const FTPS_STOR: &str = "FTPS STOR, TLS 1.3";
const OLD_RETR: &str = "FTPS RETR, TLS 1.2";
const SMALL: &str = "1 KiB files, plain";
const SMALL_TLS: &str = "1 KiB files, TLS";
const SMALL_OLD: &str = "1 KiB files, TLS 1.2";
const SMALL_FULL: &str = "1 KiB files, TLS, client never resumes";
const FIRST: &str = "listing, 150 and first octet";
const LISTING: &str = "listing, memory it takes at most";
const BARE: &str = "bare sendfile loop";
const BARE_WRITE: &str = "bare write(2) loop";

/// The rows, in the design's order.
fn rows() -> Vec<Row> {
    let of = |name: &str, ratio| Budget::Of(name.to_owned(), ratio);
    let mut rows = vec![
        Row::new(RETR, "CPU s/GiB", &[of("vsftpd", 1.0), of(BARE, 1.1)]),
        Row::new(STOR, "CPU s/GiB", &[of("vsftpd", 0.7)]),
        Row::new(FTPS_RETR, "CPU s/GiB", &[of("vsftpd", 0.3)]),
        Row::new(FTPS_STOR, "CPU s/GiB", &[of("Pure-FTPd", 0.5)]),
        Row::new(OLD_RETR, "CPU s/GiB", &[]),
        Row::new(SMALL, "CPU ms each", &[of("vsftpd", 0.4)]),
        Row::new(SMALL_TLS, "CPU ms each", &[of("vsftpd", 0.3)]),
        Row::new(SMALL_OLD, "CPU ms each", &[]),
        Row::new(SMALL_FULL, "CPU ms each", &[]),
    ];
    rows.extend(idle::rows());
    rows.push(Row::new(FIRST, "ms", &[Budget::Value(50.0)]));
    rows.push(Row::new(LISTING, "KiB", &[Budget::Value(1024.0)]));
    rows
}

/// Measures everything, in turn.
///
/// # Errors
/// When portway or vsftpd cannot be started or fails; another rival that fails is left out, with a note.
pub(crate) fn run(rounds: usize, sizes: Sizes) -> Result<Report> {
    crate::more_descriptors()?;
    let (here, missing) = rivals::available();
    let mut report = Report { about: about(rounds, sizes), rows: rows(), notes: missing };
    let begun = Instant::now();
    idle::measure(&here, sizes.idle, sizes.held, &mut report)?;
    let shared = shared()?;
    shared.write("large", portway_e2e::bytes(1, sizes.large.0))?;
    let mut running = Vec::new();
    for rival in here {
        match start(rival, &shared, sizes.entries) {
            Ok(server) => running.push(server),
            Err(why) if must(rival) => return Err(why),
            Err(why) => report.notes.push(format!("not measured: {}: {why:#}", rival.name())),
        }
    }
    let versions = running.iter().map(|server| format!("{} {}", server.rival.name(), server.rival.version()));
    if running.iter().any(|server| !server.rival.knows_tls13()) {
        report.notes.push("unftp speaks TLS 1.2 only: its figures under TLS are of that".to_owned());
    }
    report.about.push(versions.collect::<Vec<_>>().join(", "));
    let bare = bare::Bare::start(&shared.at("large"))?;
    let mut done = 0;
    while done < rounds && (done == 0 || begun.elapsed() < sizes.limit) {
        done += 1;
        eprintln!("round {done} of {rounds}");
        round(&running, &bare, sizes, &mut report)?;
    }
    report.about.push(format!("{done} rounds; load {} at the end", machine::load()));
    Ok(report)
}

fn about(rounds: usize, sizes: Sizes) -> Vec<String> {
    vec![
        machine::describe(),
        format!(
            "up to {rounds} rounds; large file {} MiB, idle sessions {} (a process each) and {}, listing of {} entries",
            sizes.large.0 >> 20,
            sizes.idle.0,
            sizes.idle.1,
            sizes.entries
        ),
        "AES-128-GCM and ECDSA P-256 everywhere; every server writes its log to a file, keeps the user in his folder, \
         flushes nothing to disk by itself"
            .to_owned(),
    ]
}

/// Without these there is nothing to compare.
fn must(rival: Rival) -> bool {
    matches!(rival, Rival::Vsftpd | Rival::Portway)
}

/// Files are in memory: the disk is not what is measured.
pub(crate) fn shared() -> Result<Tree> {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() { Tree::new_in(shm) } else { Tree::new() }
}

fn start(rival: Rival, shared: &Tree, entries: usize) -> Result<Server> {
    let tree = crate::server::shared()?;
    std::fs::hard_link(shared.at("large"), tree.at("large"))?;
    tree.write("small", portway_e2e::bytes(2, 1024))?;
    tree.folder("many")?;
    for i in 0..entries {
        File::create(tree.at(format!("many/file{i:06}")))?;
    }
    Server::start(rival, tree).with_context(|| rival.name())
}

/// What is done with one server before it is the next one's turn.
#[derive(Clone, Copy)]
struct Step {
    what: &'static str,
    measure: fn(&Server, &Processes, Sizes, &mut Report) -> Result<()>,
}

/// One figure of each row, of each server in turn.
fn round(running: &[Server], bare: &bare::Bare, sizes: Sizes, report: &mut Report) -> Result<()> {
    let gib = (sizes.large.0 * sizes.large.1) as f64 / f64::from(1 << 30);
    report.add(RETR, BARE, bare.cost(sizes.large.1)? / gib);
    let written = bare::write(sizes.large.0)? / (sizes.large.0 as f64 / f64::from(1 << 30));
    for row in [STOR, FTPS_STOR] {
        report.add(row, BARE_WRITE, written);
    }
    let steps = [
        Step { what: "octets", measure: octets },
        Step { what: "octets under TLS 1.3", measure: encrypted },
        Step { what: "octets under TLS 1.2", measure: old },
        Step { what: "small files", measure: small },
        Step { what: "small files under TLS 1.3", measure: small_private },
        Step { what: "small files under TLS 1.2", measure: small_old },
        Step { what: "listing", measure: listing },
    ];
    for step in steps {
        for server in running {
            let name = server.rival.name();
            if report.notes.iter().any(|note| note.starts_with(&skipped(step, name))) {
                continue;
            }
            match (step.measure)(server, &Processes::new(server.pids()), sizes, report) {
                Ok(()) => {}
                Err(why) if must(server.rival) => return Err(why.context(name)),
                Err(why) => report.notes.push(format!("{} {why:#}", skipped(step, name))),
            }
        }
    }
    Ok(())
}

/// How the note begins that says that a rival cannot do something.
fn skipped(step: Step, name: &str) -> String {
    format!("{name}, {}: not measured:", step.what)
}

fn octets(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    large(server, processes, sizes, report, None, (RETR, Some(STOR)))
}

fn encrypted(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    large(server, processes, sizes, report, Some(false), (FTPS_RETR, Some(FTPS_STOR)))
}

fn old(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    large(server, processes, sizes, report, Some(true), (OLD_RETR, None))
}

/// The large file down, and up; `old` is TLS 1.2.
fn large(
    server: &Server,
    processes: &Processes,
    sizes: Sizes,
    report: &mut Report,
    old: Option<bool>,
    (down, up): (&str, Option<&str>),
) -> Result<()> {
    let (name, times) = (server.rival.name(), sizes.large.1);
    let gib = (sizes.large.0 * times) as f64 / f64::from(1 << 30);
    let keys = old.map(|old| server.keys(old, true)).transpose()?;
    let mut control = server.session(keys.as_ref())?;
    // Once unmeasured: pages, caches, lazily loaded code.
    load::small_files(&mut control, "small", 3, SMALL_FILES)?;
    let before = processes.cpu()?;
    for _ in 0..times {
        load::download(&mut control, "large")?;
    }
    report.add(down, name, (processes.cpu()? - before) / gib);
    let Some(up) = up else { return Ok(()) };
    let source = File::open(server.tree().at("large"))?;
    let mut spent = 0.0;
    for _ in 0..times {
        let before = processes.cpu()?;
        load::upload(&mut control, &source, "STOR up")?;
        spent += processes.cpu()? - before;
        std::fs::remove_file(server.tree().at("up"))?;
    }
    report.add(up, name, spent / gib);
    Ok(())
}

fn small(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    files(server, processes, report, (SMALL, None, sizes.small.0)).map(drop)
}

fn small_private(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    let name = server.rival.name();
    let (fetched, resumed) =
        files(server, processes, report, (SMALL_TLS, Some(server.keys(false, true)?), sizes.small.1))?;
    let note = format!("{name} resumed {resumed} of {fetched} TLS 1.3 data connections");
    let first = report.rows.iter().find(|row| row.what == SMALL_TLS).and_then(|row| row.cell(name));
    if first.is_some_and(|cell| cell.figures.len() == 1) {
        report.notes.push(note);
    }
    files(server, processes, report, (SMALL_FULL, Some(server.keys(false, false)?), sizes.small.1 / 2))
        .map(drop)
}

fn small_old(server: &Server, processes: &Processes, sizes: Sizes, report: &mut Report) -> Result<()> {
    files(server, processes, report, (SMALL_OLD, Some(server.keys(true, true)?), sizes.small.1 / 2)).map(drop)
}

/// Fetches a small file many times in one session; how often, and how many data connections resumed.
fn files(
    server: &Server,
    processes: &Processes,
    report: &mut Report,
    (row, keys, count): (&str, Option<Tls>, usize),
) -> Result<(usize, usize)> {
    let mut control = server.session(keys.as_ref())?;
    load::small_files(&mut control, "small", 3, SMALL_FILES)?;
    let before = processes.cpu()?;
    let (fetched, resumed) = load::small_files(&mut control, "small", count, SMALL_FILES)?;
    report.add(row, server.rival.name(), (processes.cpu()? - before) * 1000.0 / fetched as f64);
    Ok((fetched, resumed))
}

fn listing(server: &Server, processes: &Processes, _: Sizes, report: &mut Report) -> Result<()> {
    let mut control = server.session(None)?;
    load::small_files(&mut control, "small", 3, SMALL_FILES)?;
    processes.forget_peak()?;
    let (before, _) = processes.peak()?;
    let waited = load::first_octet(&mut control, "LIST many")?;
    let (_, most) = processes.peak()?;
    report.add(FIRST, server.rival.name(), waited.as_secs_f64() * 1000.0);
    report.add(LISTING, server.rival.name(), (most - before).max(0.0));
    Ok(())
}
