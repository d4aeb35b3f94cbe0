//! The client's rows of the budget: many small files near and far, and one large one, beside its rivals.

pub(crate) mod link;
mod programs;
mod report;

use std::ffi::OsStr;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use portway_e2e::{Kind, Options, Subject, Tree, bytes};

use link::Link;
use programs::{Program, Site};
use report::{Measure, Section};

/// How much is moved for one figure.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Folders, and files of 1 KiB in each.
    near: (usize, usize),
    /// The same over the long link, for programs that wait for each file, and for all others.
    far: [(usize, usize); 2],
    /// Octets of the large file.
    large: u64,
}

impl Sizes {
    pub(crate) const FULL: Self = Self { near: (50, 100), far: [(1, 40), (8, 50)], large: 2 << 30 };
    pub(crate) const QUICK: Self = Self { near: (10, 50), far: [(1, 10), (2, 40)], large: 256 << 20 };
}

/// Both directions of the long link together.
const ROUND_TRIP_MS: u64 = 20;

/// Rounds over the long link, at most: its figures hardly scatter.
const FAR_ROUNDS: usize = 2;

/// No program gets longer, in seconds: a rival that stalls is shown by what it lost.
const LIMIT: &str = "300";

const SERVERS: [(Kind, &str); 2] = [(Kind::Vsftpd, "vsftpd"), (Kind::Portway, "portway")];

/// One run of one program.
pub(crate) struct Run {
    /// Seconds.
    pub(crate) wall: f64,
    /// Seconds, user and system, in steps of 10 ms.
    pub(crate) cpu: f64,
    /// Files that were to be moved.
    pub(crate) files: usize,
    /// Files that are missing or differ.
    pub(crate) lost: usize,
    /// Whether the exit code said that all went well.
    pub(crate) well: bool,
}

/// Measures everything, in turn, and returns the tables. `only` leaves out the programs whose names do not
/// contain it, the first of each section excepted.
///
/// # Errors
/// When a server cannot be started, or the link not made.
pub(crate) fn run(rounds: usize, sizes: Sizes, only: Option<&str>) -> Result<String> {
    let count = |(folders, each): (usize, usize)| folders * each;
    let (near, [few, many]) = (count(sizes.near), sizes.far.map(count));
    let far = format!("{many} files of 1 KiB ({few} for those that wait for each file)");
    let servers = SERVERS.map(|(_, name)| name);
    let section = |title: String, programs: &'static [Program], measure| {
        Section::new(title, programs, &servers, measure, only)
    };
    let mut sections = [
        section(format!("{near} files of 1 KiB down"), programs::DOWN, Measure::Ratios),
        section(format!("{near} files of 1 KiB up"), programs::UP, Measure::Ratios),
        section(format!("one file of {} MiB down", sizes.large >> 20), programs::LARGE, Measure::Ratios),
        section(format!("{far} down, {ROUND_TRIP_MS} ms round trip"), programs::DOWN, Measure::RoundTrips),
        section(format!("{far} up, {ROUND_TRIP_MS} ms round trip"), programs::UP, Measure::RoundTrips),
    ];
    let [down, up, large, far_down, far_up] = &mut sections;
    for round in 1..=rounds {
        for (column, (kind, name)) in SERVERS.into_iter().enumerate() {
            eprintln!("round {round} of {rounds}: {name}");
            let bench = Bench::new(kind, Ipv4Addr::LOCALHOST.into(), sizes.near, Some(sizes.large))?;
            for section in [&mut *down, &mut *up, &mut *large] {
                let runs = section.programs().into_iter().map(|program| bench.once(program));
                section.add(column, &runs.collect::<Result<Vec<_>>>()?);
            }
            drop(bench);
            if round <= FAR_ROUNDS {
                long_way(kind, column, sizes, [&mut *far_down, &mut *far_up])?;
            }
        }
    }
    let mut text = format!(
        "{rounds} rounds, least / middle / most of each; {} CPUs; {}; {}\n\
         Ratios are to the first row of the same round. «lost» counts files that are missing or differ, over all \
         rounds;\n\
         «!» marks a program whose exit code was not true: 0 with files lost, or not 0 with none.\n\
         Over the long way {FAR_ROUNDS} rounds at most are run; logins and listings are part of every figure.\n",
        std::thread::available_parallelism()?,
        crate::machine::kernel(),
        load(),
    );
    for section in &sections {
        text.push('\n');
        text.push_str(&section.to_string());
    }
    Ok(text)
}

/// A server with files to fetch, and a place for what arrives.
struct Bench {
    subject: Subject,
    at: SocketAddr,
    /// What goes up, and where what comes down is put.
    here: Tree,
    /// How many small files.
    files: usize,
}

/// One round over the long link.
fn long_way(kind: Kind, column: usize, sizes: Sizes, sections: [&mut Section; 2]) -> Result<()> {
    let link = Link::new(ROUND_TRIP_MS)?;
    let bench = |files| {
        link.enter_far()?;
        let bench = Bench::new(kind, link::FAR.into(), files, None)?;
        link.enter_near()?;
        Ok::<_, anyhow::Error>(bench)
    };
    let [few, many] = [bench(sizes.far[0])?, bench(sizes.far[1])?];
    for section in sections {
        let one = |program: &Program| if program.serial { few.once(program) } else { many.once(program) };
        let runs = section.programs().into_iter().map(one);
        section.add(column, &runs.collect::<Result<Vec<_>>>()?);
    }
    drop((few, many));
    link.leave()
}

impl Bench {
    fn new(kind: Kind, ip: IpAddr, (folders, each): (usize, usize), large: Option<u64>) -> Result<Self> {
        // In memory: the disk is not what is measured.
        let shm = Path::new("/dev/shm");
        let fresh = || if shm.is_dir() { Tree::new_in(shm) } else { Tree::new() };
        let (there, here) = (fresh()?, fresh()?);
        for tree in [&there, &here] {
            for i in 0..folders * each {
                let name = format!("small/d{:02}/f{:04}", i / each, i % each);
                tree.folder(format!("small/d{:02}", i / each))?;
                tree.write(name, bytes(i as u64, 1024))?;
            }
        }
        if let Some(length) = large {
            there.sparse("large", length)?;
        }
        let flags = if kind == Kind::Portway { vec!["--tls".to_owned(), "off".to_owned()] } else { vec![] };
        let users = vec![(programs::USER.to_owned(), programs::PASSWORD.to_owned())];
        let options = Options { listen: vec![ip], tls: false, users, flags, ..Options::default() };
        let subject = Subject::start_kind(kind, there, &options)?;
        let at = *subject.addresses().first().context("a server listens")?;
        Ok(Self { subject, at, here, files: folders * each })
    }

    fn once(&self, program: &Program) -> Result<Run> {
        let run = self.measured(program).with_context(|| program.name.to_owned())?;
        eprintln!(
            "  {:24} {:7.2} s, CPU {:6.2} s, {} of {} lost{}",
            program.name,
            run.wall,
            run.cpu,
            run.lost,
            run.files,
            if run.well == (run.lost == 0) { "" } else { ", exit code not true" }
        );
        Ok(run)
    }

    fn measured(&self, program: &Program) -> Result<Run> {
        let home = self.here.folder("home")?;
        let (down, up) = (self.here.folder("down")?, self.subject.tree.folder("up")?);
        let source = self.here.at("small");
        let site = Site { at: self.at, down: &down, source: &source, home: &home };
        let mut command = Command::new("timeout");
        command
            .args(["-k", "5", LIMIT])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("HOME", &home).env("TERM", "dumb").current_dir(&down);
        (program.make)(&mut command, &site)?;
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let (cpu, begun) = (children_cpu()?, Instant::now());
        let status = command.status().context("timeout(1) is missing")?;
        let (wall, cpu) = (begun.elapsed().as_secs_f64(), children_cpu()? - cpu);
        let lost = match program.task {
            programs::Task::Down => differing(&self.subject.tree.at("small"), &down.join(program.lands))?,
            programs::Task::Up => differing(&source, &up.join(program.lands))?,
            programs::Task::Large => {
                usize::from(!same(&self.subject.tree.at("large"), &down.join(program.lands))?)
            }
        };
        for folder in [&home, &down, &up] {
            fs::remove_dir_all(folder)?;
        }
        let files = if program.task == programs::Task::Large { 1 } else { self.files };
        Ok(Run { wall, cpu, files, lost, well: status.success() })
    }
}

/// CPU seconds of all children that have ended.
fn children_cpu() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    let (_, rest) = stat.rsplit_once(") ").context("a stat line has a name")?;
    let ticks: u64 = rest.split(' ').skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// How many files of `wanted` are missing in `found` or differ there.
fn differing(wanted: &Path, found: &Path) -> Result<usize> {
    let mut lost = 0;
    for entry in fs::read_dir(wanted)? {
        let entry = entry?;
        let (from, to) = (entry.path(), found.join(entry.file_name()));
        if entry.file_type()?.is_dir() {
            lost += differing(&from, &to)?;
        } else {
            lost += usize::from(fs::read(&to).ok() != Some(fs::read(&from)?));
        }
    }
    Ok(lost)
}

/// Whether two large files are equal.
fn same(wanted: &Path, found: &Path) -> Result<bool> {
    let Ok(len) = fs::metadata(found).map(|found| found.len()) else { return Ok(false) };
    if len != fs::metadata(wanted)?.len() {
        return Ok(false);
    }
    let paths: [&OsStr; 2] = [wanted.as_ref(), found.as_ref()];
    // What it says goes nowhere: only whether they differ counts. CPU of it is not counted as the program's.
    Ok(Command::new("cmp").arg("--quiet").args(paths).status().context("cmp is missing")?.success())
}

fn load() -> String {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let mut words = load.split(' ');
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    format!(
        "{}; load {} at the end (the machine is shared)",
        model.trim_start_matches([' ', '\t', ':']),
        words.next().unwrap_or_default()
    )
}
