//! What a session costs that does nothing: memory of the program's own, and of the kernel's.

use std::net::{Ipv4Addr, TcpListener, TcpStream};

use anyhow::{Context, Result, ensure};
use portway_e2e::{Control, Tls};

use super::must;
use crate::machine;
use crate::processes::Processes;
use crate::report::{Budget, OURS, Report, Row};
use crate::rivals::{Rival, Server};

const PLAIN: (&str, &str) = ("idle session, plain", "idle session, plain, kernel's memory");
const PRIVATE: (&str, &str) = ("idle session, TLS", "idle session, TLS, kernel's memory");
const HELD: [&str; 2] = ["sessions held at once, plain", "sessions held at once, TLS"];

/// How often the figures of one server are taken, each time of a fresh one.
const TIMES: usize = 3;

pub(super) fn rows() -> Vec<Row> {
    vec![
        Row::new(PLAIN.0, "KiB", &[Budget::Value(3.0)]),
        Row::new(PRIVATE.0, "KiB", &[Budget::Value(12.0)]),
        Row::new(PLAIN.1, "KiB", &[]),
        Row::new(PRIVATE.1, "KiB", &[]),
        Row::new(HELD[0], "sessions", &[]),
        Row::new(HELD[1], "sessions", &[]),
    ]
}

/// Measures each; who fails at something is not asked for it again.
pub(super) fn measure(
    here: &[Rival],
    (few, many): (usize, usize),
    held: usize,
    report: &mut Report,
) -> Result<()> {
    let own = own_end(many)?;
    let mut failed = Vec::new();
    for _ in 0..TIMES {
        for &rival in here {
            eprintln!("idle sessions: {}", rival.name());
            let count = if rival.forks() { few } else { many };
            for private in [false, true] {
                if failed.contains(&(rival, private)) {
                    continue;
                }
                match sessions(rival, private, count, own, report) {
                    Ok(()) => {}
                    Err(why) if must(rival) => return Err(why),
                    Err(why) => {
                        let tls = if private { " under TLS 1.3" } else { "" };
                        report.notes.push(format!("not measured: {}, sessions{tls}: {why:#}", rival.name()));
                        failed.push((rival, private));
                    }
                }
            }
        }
    }
    for (private, row) in HELD.into_iter().enumerate() {
        eprintln!("{held} sessions: {OURS}");
        let server = Server::start(Rival::Portway, super::shared()?)?;
        let keys = if private == 1 { Some(server.keys(false, true)?) } else { None };
        let processes = Processes::new(server.pids());
        let before = processes.memory()?;
        let mut all = open(&server, keys.as_ref(), held)?;
        let memory = (processes.memory()? - before) / held as f64;
        let mut answered = 0;
        for control in &mut all {
            answered += usize::from(control.expect("NOOP", 200).is_ok());
        }
        report.add(row, OURS, answered as f64);
        report.notes.push(format!("{row}: {answered} of {held} answer, {memory:.1} KiB each"));
        ensure!(answered == held, "{row}: only {answered} of {held} answer");
    }
    Ok(())
}

fn open(server: &Server, keys: Option<&Tls>, count: usize) -> Result<Vec<Control>> {
    let session = |at| server.session(keys).with_context(|| format!("{}: session {at}", server.rival.name()));
    (0..count).map(session).collect()
}

/// Memory that one more idle session takes, in KiB, of a server that has served nobody yet. The first quarter is not
/// counted: it pays for what is there once.
fn sessions(rival: Rival, private: bool, count: usize, own: f64, report: &mut Report) -> Result<()> {
    let (row, kernel) = if private { PRIVATE } else { PLAIN };
    let server = Server::start(rival, super::shared()?)?;
    let keys = if private { Some(server.keys(false, true)?) } else { None };
    let processes = Processes::new(server.pids());
    let first = open(&server, keys.as_ref(), count / 4)?;
    let before = (processes.memory()?, machine::kernel_memory());
    let counted = count - count / 4;
    let rest = open(&server, keys.as_ref(), counted)?;
    let (memory, kept) = (processes.memory()? - before.0, machine::kernel_memory() - before.1);
    report.add(row, rival.name(), memory / counted as f64);
    report.add(kernel, rival.name(), (kept / counted as f64 - own).max(0.0));
    drop((first, rest));
    Ok(())
}

/// Kernel memory in KiB of our own end of a connection: half of what both ends of one take that nobody uses.
fn own_end(count: usize) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut kept = Vec::new();
    let before = machine::kernel_memory();
    for _ in 0..count {
        kept.push((TcpStream::connect(listener.local_addr()?)?, listener.accept()?));
    }
    Ok((machine::kernel_memory() - before) / count as f64 / 2.0)
}
