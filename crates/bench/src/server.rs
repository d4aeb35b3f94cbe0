//! The server's rows of the budget: CPU for octets and files, memory for sessions, time to a listing.

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;

use anyhow::{Context, Result};
use portway_e2e::{Kind, Options, Subject, Tls, TlsOptions, Tree};

use crate::load;
use crate::processes::Processes;
use crate::table::{Budget, Table};

/// How much is moved for one figure.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Octets of the large file.
    large: usize,
    /// How often it is moved for one figure: the kernel counts CPU in steps of 10 ms.
    times: usize,
    /// Small files in one session, in clear and under TLS.
    small: (usize, usize),
    /// Idle sessions of a server with a process for each, and of one without.
    idle: (usize, usize),
    /// Entries of the folder that is listed.
    entries: usize,
}

impl Sizes {
    pub(crate) const FULL: Self =
        Self { large: 1 << 30, times: 2, small: (4000, 1000), idle: (200, 4000), entries: 100_000 };
    pub(crate) const QUICK: Self =
        Self { large: 64 << 20, times: 4, small: (500, 200), idle: (40, 400), entries: 20_000 };
}

const RIVALS: [(Kind, &str); 2] = [(Kind::Vsftpd, "vsftpd"), (Kind::Portway, "portway")];

/// The rows: what, unit, and portway's share of vsftpd's figure that must not be exceeded.
const ROWS: [(&str, &str, Budget); 9] = [
    ("plain RETR", "CPU s/GiB", Budget::Ratio(1.0)),
    ("plain STOR", "CPU s/GiB", Budget::Ratio(0.7)),
    ("FTPS RETR, TLS 1.3", "CPU s/GiB", Budget::Ratio(0.3)),
    ("FTPS STOR, TLS 1.3", "CPU s/GiB", Budget::Ratio(0.5)),
    ("1 KiB files, plain", "CPU ms each", Budget::Ratio(0.4)),
    ("1 KiB files, TLS", "CPU ms each", Budget::Ratio(0.3)),
    ("idle session, plain", "KiB", Budget::Value(3.0)),
    ("idle session, TLS", "KiB", Budget::Value(12.0)),
    ("LIST: 150, 1st octet", "ms", Budget::Value(50.0)),
];

/// Measures everything, in turn, and returns the table.
///
/// # Errors
/// When a server cannot be started or fails a transfer.
pub(crate) fn run(rounds: usize, sizes: Sizes) -> Result<String> {
    let mut table = Table::new(&ROWS, &RIVALS.map(|(_, name)| name));
    let mut notes = Vec::new();
    for round in 0..rounds {
        for (column, (kind, name)) in RIVALS.into_iter().enumerate() {
            eprintln!("round {} of {rounds}: {name}", round + 1);
            let (figures, resumed) = measure(kind, sizes).with_context(|| name.to_owned())?;
            for (row, figure) in figures.into_iter().enumerate() {
                table.add(row, column, figure);
            }
            if round == 0 {
                notes.push(format!("{name} resumed {resumed} of {} TLS data connections", sizes.small.1));
            }
        }
    }
    let mut text = format!(
        "{rounds} rounds, least / middle / most of each; large file {} MiB, idle sessions {} and {}, listing of {}\n\
         TLS 1.3 with AES-128-GCM; {} CPUs; {}\n\n",
        sizes.large >> 20,
        sizes.idle.0,
        sizes.idle.1,
        sizes.entries,
        std::thread::available_parallelism()?,
        kernel(),
    );
    text.push_str(&table.to_string());
    text.push('\n');
    for note in notes {
        text.push_str(&note);
        text.push('\n');
    }
    Ok(text)
}

/// One figure for each row, and how many small transfers resumed.
fn measure(kind: Kind, sizes: Sizes) -> Result<([f64; ROWS.len()], usize)> {
    // In memory: the disk is not what is measured.
    let shm = Path::new("/dev/shm");
    let tree = if shm.is_dir() { Tree::new_in(shm)? } else { Tree::new()? };
    tree.write("large", portway_e2e::bytes(1, sizes.large))?;
    tree.write("small", portway_e2e::bytes(2, 1024))?;
    let source = File::open(tree.at("large"))?;
    tree.folder("many")?;
    for i in 0..sizes.entries {
        File::create(tree.at(format!("many/file{i:06}")))?;
    }
    let options = Options { listen: vec![Ipv4Addr::LOCALHOST.into()], ..Options::default() };
    let subject = Subject::start_kind(kind, tree, &options)?;
    let processes = Processes::new(subject.pids());
    let tls = || Tls::new(&subject.certificate, TlsOptions { aes128: true, ..TlsOptions::default() });
    let (mut moved, mut small, mut memory, mut resumed) = (Vec::new(), Vec::new(), Vec::new(), 0);
    for private in [false, true] {
        let keys = if private { Some(tls()?) } else { None };
        memory.push(idle(
            &subject,
            &processes,
            keys.as_ref(),
            if kind == Kind::Vsftpd { sizes.idle.0 } else { sizes.idle.1 },
        )?);
        let mut control = load::session(&subject, keys.as_ref())?;
        // Once unmeasured: pages, caches, lazily loaded code.
        load::small_files(&mut control, "small", 3)?;
        let gib = (sizes.large * sizes.times) as f64 / f64::from(1 << 30);
        let before = processes.cpu()?;
        for _ in 0..sizes.times {
            load::download(&mut control, "large")?;
        }
        moved.push((processes.cpu()? - before) / gib);
        let mut spent = 0.0;
        for _ in 0..sizes.times {
            let before = processes.cpu()?;
            load::upload(&mut control, &source, "up")?;
            spent += processes.cpu()? - before;
            std::fs::remove_file(subject.tree.at("up"))?;
        }
        moved.push(spent / gib);
        let mut control = load::session(&subject, keys.as_ref())?;
        let count = if private { sizes.small.1 } else { sizes.small.0 };
        let before = processes.cpu()?;
        resumed = load::small_files(&mut control, "small", count)?;
        small.push((processes.cpu()? - before) * 1000.0 / count as f64);
    }
    let mut figures = [moved, small, memory].concat();
    let mut control = load::session(&subject, None)?;
    figures.push(load::first_octet(&mut control, "many")?.as_secs_f64() * 1000.0);
    let figures = figures.try_into().ok().context("a figure for each row")?;
    Ok((figures, resumed))
}

/// User-space memory that one more idle session takes, in KiB. The first quarter is not counted: it
/// fills what an allocator kept of the logins.
fn idle(subject: &Subject, processes: &Processes, tls: Option<&Tls>, count: usize) -> Result<f64> {
    let mut sessions = Vec::new();
    let (first, mut before) = (count / 4, 0.0);
    for i in 0..count {
        if i == first {
            before = processes.memory()?;
        }
        sessions.push(load::session(subject, tls)?);
    }
    Ok((processes.memory()? - before) / (count - first) as f64)
}

pub(crate) fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}
