//! The proxy beside no proxy and beside two others: speed, CPU and memory, with one upstream and one load.

mod figures;
mod report;
mod rivals;
mod wire;

use std::net::Ipv4Addr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use portway_e2e::{Kind, Options, Subject, Tree};

use crate::machine;
use report::{Better, Goal, Report, Row};
use rivals::{Road, Via};
use wire::Wire;

/// How much is moved for one figure.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Octets of the large file, in clear and under TLS.
    large: (usize, usize),
    /// Octets of the large file over a line of limited rate.
    wire: usize,
    /// Small files in one session, in clear and under TLS.
    small: (usize, usize),
    /// Commands in one session.
    commands: usize,
    /// Logins, one after the other.
    logins: usize,
    /// Sessions at once, and octets that each fetches.
    crowd: (usize, usize),
    /// Idle sessions of a proxy with a process for each, and of ours.
    idle: (usize, usize),
}

impl Sizes {
    pub(crate) const FULL: Self = Self {
        large: (1 << 30, 256 << 20),
        wire: 256 << 20,
        small: (1500, 300),
        commands: 8000,
        logins: 60,
        crowd: (100, 12 << 20),
        idle: (80, 400),
    };
    pub(crate) const QUICK: Self = Self {
        large: (384 << 20, 64 << 20),
        wire: 96 << 20,
        small: (400, 80),
        commands: 2000,
        logins: 20,
        crowd: (100, 4 << 20),
        idle: (32, 200),
    };
}

const PLAIN_RETR: usize = 0;
const PLAIN_STOR: usize = 2;
const TLS_RETR: usize = 4;
const TLS_STOR: usize = 6;
const PINNED_STOR: usize = 8;
const PLAIN_SMALL: usize = 10;
const TLS_SMALL: usize = 12;
const COMMAND: usize = 14;
const LOGIN: usize = 16;
const CROWD: usize = 18;
const IDLE: usize = 20;
const WIRE: [(usize, usize); 2] = [(21, 23), (25, 27)];

/// What the lines of limited rate carry, in Gbit/s.
const GBIT: [u32; 2] = [1, 10];

const fn row(what: &'static str, unit: &'static str, better: Better, goal: Goal) -> Row {
    Row { what, unit, better, goal }
}

/// Every figure of time is followed by what the proxy spent on it.
const ROWS: [Row; 29] = [
    row("plain RETR", "MiB/s", Better::More, Goal::OfDirect(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("plain STOR", "MiB/s", Better::More, Goal::OfDirect(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("FTPS RETR, both legs", "MiB/s", Better::More, Goal::Ahead),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("FTPS STOR, both legs", "MiB/s", Better::More, Goal::Ahead),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("FTPS STOR, pinned", "MiB/s", Better::More, Goal::Ahead),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("1 KiB files, plain", "files/s", Better::More, Goal::Ahead),
    row("", "CPU ms each", Better::Less, Goal::Ahead),
    row("1 KiB files, FTPS", "files/s", Better::More, Goal::Ahead),
    row("", "CPU ms each", Better::Less, Goal::Ahead),
    row("NOOP", "us", Better::Less, Goal::Ahead),
    row("", "CPU us", Better::Less, Goal::Ahead),
    row("login", "ms", Better::Less, Goal::Ahead),
    row("", "CPU ms", Better::Less, Goal::Ahead),
    row("100 sessions, RETR", "MiB/s", Better::More, Goal::Ahead),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("idle session, plain", "KiB", Better::Less, Goal::Ahead),
    row("RETR over 1 Gbit/s", "MiB/s", Better::More, Goal::OfLine(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("STOR over 1 Gbit/s", "MiB/s", Better::More, Goal::OfLine(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("RETR over 10 Gbit/s", "MiB/s", Better::More, Goal::OfLine(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
    row("STOR over 10 Gbit/s", "MiB/s", Better::More, Goal::OfLine(0.9)),
    row("", "CPU s/GiB", Better::Less, Goal::Ahead),
];

/// Measures everything, or the rows with `only` in their name, in turn, and returns the table.
///
/// # Errors
/// When a server or proxy cannot be started, or fails a transfer.
pub(crate) fn run(rounds: usize, sizes: Sizes, only: Option<&str>) -> Result<String> {
    let mut report = Report::new(&ROWS, &Via::ALL.map(Via::name), Via::OURS);
    for round in 0..rounds {
        eprintln!("round {} of {rounds}", round + 1);
        for place in Place::ALL {
            let figures = figures(place, only);
            if figures.is_empty() {
                continue;
            }
            let world = match World::new(place, sizes) {
                // Not every machine has such lines; all that is not on one is measured all the same.
                Err(error) if matches!(place, Place::Wire(_)) => {
                    report.failed(format!("{place:?}: {error:#}"));
                    continue;
                }
                world => world?,
            };
            // Nobody always comes first, or always after the same neighbour.
            let mut roads: Vec<&Road> = world.roads.iter().collect();
            let turn = round % roads.len();
            roads.rotate_left(turn);
            world.measure(&figures, &roads, (sizes, only), &mut report)?;
        }
    }
    Ok(format!(
        "{rounds} rounds, least / middle / most of each; upstream: vsftpd, on the same machine, as the client is\n\
         large file {} MiB, under TLS {} MiB, over a line {} MiB; {} sessions at once, {} MiB each; {} idle sessions of a rival, {} of ours\n\
         PASV (ftp-proxy knows no EPSV); TLS 1.3 with AES-128-GCM towards the client; CPU and memory are those of the proxy's processes alone\n\
         {}; congestion control {}; load {} at the end\n\n{report}\n{}\n",
        sizes.large.0 >> 20,
        sizes.large.1 >> 20,
        sizes.wire >> 20,
        sizes.crowd.0,
        sizes.crowd.1 >> 20,
        sizes.idle.0,
        sizes.idle.1,
        machine::describe(),
        machine::congestion_control(),
        machine::load(),
        NOTES.join("\n"),
    ))
}

/// What the table does not say by itself.
const NOTES: &[&str] = &[
    "Ratios are middles of the ratios within each round: of portway's slower kind to direct, and to the better rival.",
    "direct     the client at vsftpd, no proxy between",
    "mod_proxy  ProFTPD with mod_proxy, reverse, transfer log, no delay engine; FTPS: mod_tls, ProxyTLSEngine on, and",
    "           ProxyTLSProtocol TLSv1.2, since under 1.3 it leaves tickets unread and vsftpd loses uploads",
    "ftp-proxy  SUSE ftp-proxy, one destination, passive, log level INF; it knows no TLS",
    "reverse    portway proxy --reverse; a JSON log line for each session and transfer",
    "forward    portway proxy --forward, login as user@host:port; the same log",
    "Client and servers share the CPUs with the proxy, so that direct has the more of them.",
    "STOR       into a node of /dev/null where the machine lets a folder have one: to give a new file its memory takes longer, and",
    "           differs more from one time to the next, than to pass it through any proxy",
    "pinned     all of vsftpd on one processor; it decrypts in one process and stores in another, and where the scheduler puts the",
    "           two weighs more than any proxy",
    "1 and 10 Gbit/s: the clients in a network namespace of their own, behind a veth pair with a token bucket (tc tbf) each way;",
    "           on a full line nobody is ahead, and 0.97 of the better rival is level",
];

/// Takes two figures of one road: what it is about, and what the proxy spent on it.
type Figure = fn(&World, &Road, Sizes) -> Result<(f64, f64)>;

/// Where the clients are, and how they speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// Beside the server, in clear.
    Plain,
    /// The same, under TLS.
    Private,
    /// Behind this one of the lines, in clear.
    Wire(usize),
}

impl Place {
    const ALL: [Self; 4] = [Self::Plain, Self::Private, Self::Wire(0), Self::Wire(1)];
}

/// The rows of one world, those with `only` in their name.
fn figures(place: Place, only: Option<&str>) -> Vec<(usize, Figure)> {
    let plain: &[(usize, Figure)] = &[
        (PLAIN_RETR, World::retr),
        (PLAIN_STOR, World::stor),
        (PLAIN_SMALL, World::small),
        (COMMAND, World::commands),
        (LOGIN, World::logins),
        (CROWD, World::crowd),
        (IDLE, World::idle),
    ];
    let tls: &[(usize, Figure)] = &[
        (TLS_RETR, World::retr),
        (TLS_STOR, World::stor),
        (PINNED_STOR, World::stor_pinned),
        (TLS_SMALL, World::small),
    ];
    let wanted = |row: usize| Via::ALL.into_iter().any(|via| is_wanted(row, via, only));
    let all = match place {
        Place::Plain => plain.to_vec(),
        Place::Private => tls.to_vec(),
        Place::Wire(line) => WIRE
            .get(line)
            .map_or(vec![], |&(retr, stor)| vec![(retr, World::retr as Figure), (stor, World::stor)]),
    };
    all.into_iter().filter(|&(row, _)| wanted(row)).collect()
}

/// Whether `only` is part of the name of a figure, as it is shown while it is taken.
fn is_wanted(row: usize, via: Via, only: Option<&str>) -> bool {
    only.is_none_or(|only| label(row, via).contains(only))
}

fn label(row: usize, via: Via) -> String {
    format!("{} by {}", report::name(&ROWS, row), via.name())
}

/// One upstream server with every road that leads to it.
struct World {
    subject: Subject,
    private: bool,
    roads: Vec<Road>,
    /// There is a [`SINK`].
    sink: bool,
    /// Given up last.
    _wire: Option<Wire>,
}

impl World {
    fn new(place: Place, sizes: Sizes) -> Result<Self> {
        let private = place == Place::Private;
        let line = if let Place::Wire(line) = place { GBIT.get(line) } else { None };
        let wire = line.map(|&gbit| Wire::new(gbit)).transpose()?;
        if let Some(wire) = &wire {
            wire.enter_far()?;
        }
        let ip = if wire.is_some() { wire::FAR } else { Ipv4Addr::LOCALHOST };
        // In memory: the disk is not what is measured.
        let shm = Path::new("/dev/shm");
        let tree = if shm.is_dir() { Tree::new_in(shm)? } else { Tree::new()? };
        let large = match place {
            Place::Plain => sizes.large.0,
            Place::Private => sizes.large.1,
            Place::Wire(_) => sizes.wire,
        };
        tree.write("large", portway_e2e::bytes(1, large))?;
        tree.write("part", portway_e2e::bytes(3, sizes.crowd.1))?;
        tree.write("small", portway_e2e::bytes(2, 1024))?;
        let sink = make_sink(&tree.at(SINK)).is_ok();
        let options = Options {
            listen: vec![ip.into()],
            tls: private,
            users: vec![("alice".to_owned(), "wonderland".to_owned())],
            ..Options::default()
        };
        let subject = Subject::start_kind(Kind::Vsftpd, tree, &options)?;
        let mut roads = Vec::new();
        for via in Via::ALL {
            if let Some(road) = Road::open(via, &subject, private).with_context(|| via.name().to_owned())? {
                roads.push(road);
            }
        }
        if let Some(wire) = &wire {
            wire.enter_near()?;
        }
        Ok(Self { subject, private, roads, sink, _wire: wire })
    }

    /// Every row of this world, each with all roads one after the other.
    fn measure(
        &self,
        figures: &[(usize, Figure)],
        roads: &[&Road],
        (sizes, only): (Sizes, Option<&str>),
        report: &mut Report,
    ) -> Result<()> {
        for &(row, figure) in figures {
            for road in roads {
                if row == IDLE && road.via == Via::Direct || !is_wanted(row, road.via, only) {
                    continue;
                }
                let what = label(row, road.via);
                let (first, second) = match figure(self, road, sizes) {
                    Ok(figures) => figures,
                    // A rival that cannot do it is no reason to say nothing about the others.
                    Err(error) if road.via.is_rival() => {
                        report.failed(format!("{what}: {error:#}"));
                        (f64::NAN, f64::NAN)
                    }
                    Err(error) => return Err(error.context(what)),
                };
                eprintln!("  {what:40} {first:10.3} {second:10.3}");
                let column = road.via as usize;
                if row == IDLE {
                    report.add(row, column, second);
                } else {
                    report.add(row, column, first);
                    report.add(row + 1, column, second);
                }
            }
        }
        Ok(())
    }
}

/// Where uploads go: the memory of new files is not what is measured.
const SINK: &str = "sink";

/// A node of `/dev/null` that everybody may write to.
fn make_sink(at: &Path) -> Result<()> {
    use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
    mknodat(CWD, at, FileType::CharacterDevice, Mode::RUSR | Mode::WUSR, makedev(1, 3))?;
    std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o666))?;
    // A file system without devices (`nodev`) has the node and does not open it.
    let opened = std::fs::OpenOptions::new().write(true).open(at);
    if opened.is_err() {
        std::fs::remove_file(at)?;
    }
    Ok(opened.map(drop)?)
}

/// How long processes that end may take until their time is known.
const SETTLED: Duration = Duration::from_secs(2);
