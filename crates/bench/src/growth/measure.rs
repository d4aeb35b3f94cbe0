//! The figures of each curve.

use std::fs::File;
use std::sync::{Arc, Barrier};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use portway_e2e::Control;

use super::{Growth, Sizes};
use crate::load;
use crate::processes::Processes;
use crate::rivals::{Rival, Server};
use crate::server::shared;

/// CPU seconds, KiB and ms below which a figure says nothing.
const CPU: f64 = 0.005;
const MEMORY: f64 = 400.0;
const WAIT: f64 = 20.0;

fn server() -> Result<(Server, Processes)> {
    let server = Server::start(Rival::Portway, shared()?)?;
    let processes = Processes::new(server.pids());
    Ok((server, processes))
}

/// A folder that grows, listed at each size by MLSD and LIST.
pub(super) fn entries(sizes: Sizes, until: Instant, growth: &mut Growth) -> Result<()> {
    const OVER: &str = "entries of a folder";
    let (server, processes) = server()?;
    server.tree().folder("many")?;
    server.tree().write("small", portway_e2e::bytes(2, 1024))?;
    let mut there = 0;
    for &count in sizes.entries {
        if Instant::now() > until {
            break;
        }
        eprintln!("{count} entries");
        for i in there..count {
            File::create(server.tree().at(format!("many/file{i:07}")))?;
        }
        there = count;
        let x = count as f64;
        for (command, cpu, first, memory) in [
            ("MLSD many", "MLSD, CPU", "MLSD, 150 and first octet", "MLSD, memory it takes at most"),
            ("LIST many", "LIST, CPU", "LIST, 150 and first octet", "LIST, memory it takes at most"),
        ] {
            let mut control = server.session(None)?;
            load::small_files(&mut control, "small", 3, std::time::Duration::MAX)?;
            processes.forget_peak()?;
            let (before, _) = processes.peak()?;
            let spent = processes.cpu()?;
            let waited = load::first_octet(&mut control, command)?;
            growth.add((cpu, OVER, "s", CPU), x, processes.cpu()? - spent);
            growth.add((first, OVER, "ms", WAIT), x, waited.as_secs_f64() * 1000.0);
            growth.add((memory, OVER, "KiB", MEMORY), x, (processes.peak()?.1 - before).max(0.0));
        }
    }
    Ok(())
}

/// One sparse file after the other, down.
pub(super) fn files(sizes: Sizes, until: Instant, growth: &mut Growth) -> Result<()> {
    let (server, processes) = server()?;
    let keys = server.keys(false, true)?;
    for &length in sizes.files {
        if Instant::now() > until {
            break;
        }
        eprintln!("a file of {length} octets");
        server.tree().sparse("file", length)?;
        for (what, keys) in [("RETR, CPU", None), ("RETR under TLS, CPU", Some(&keys))] {
            let mut control = server.session(keys)?;
            let spent = processes.cpu()?;
            let got = load::download(&mut control, "file")?;
            // The harness marks sparse files at their ends, and so may lengthen the smallest ones.
            ensure!(got >= length, "{got} octets of {length}");
            growth.add((what, "octets of a file", "s", CPU), length as f64, processes.cpu()? - spent);
        }
    }
    Ok(())
}

/// The same octets in all, by more and more transfers at the same time.
pub(super) fn parallel(sizes: Sizes, until: Instant, growth: &mut Growth) -> Result<()> {
    const OVER: &str = "transfers side by side that share the same octets";
    let (counts, octets) = sizes.parallel;
    let (server, processes) = server()?;
    for &count in counts {
        if Instant::now() > until {
            break;
        }
        eprintln!("{count} transfers");
        server.tree().sparse("file", octets / count as u64)?;
        let sessions: Result<Vec<Control>> = (0..count).map(|_| server.session(None)).collect();
        let start = Arc::new(Barrier::new(count + 1));
        let threads: Vec<_> = sessions?
            .into_iter()
            .map(|mut control| {
                let start = Arc::clone(&start);
                let work = move || {
                    start.wait();
                    load::download(&mut control, "file")
                };
                std::thread::Builder::new().stack_size(256 << 10).spawn(work)
            })
            .collect::<Result<_, _>>()?;
        let spent = processes.cpu()?;
        start.wait();
        let begun = Instant::now();
        let mut sum = 0;
        for thread in threads {
            sum += thread.join().ok().context("a transfer panicked")??;
        }
        let (wall, cpu) = (begun.elapsed().as_secs_f64(), processes.cpu()? - spent);
        let gib = sum as f64 / f64::from(1 << 30);
        growth.add(("CPU per GiB, all together", OVER, "s/GiB", CPU), count as f64, cpu / gib);
        growth.add(("time per GiB, all together", OVER, "s/GiB", CPU), count as f64, wall / gib);
    }
    Ok(())
}

/// Sessions that log in one after the other and stay.
pub(super) fn sessions(sizes: Sizes, until: Instant, growth: &mut Growth) -> Result<()> {
    for (private, counts) in [(false, sizes.sessions), (true, sizes.private)] {
        let (server, processes) = server()?;
        let keys = if private { Some(server.keys(false, true)?) } else { None };
        let (memory, logins) = match private {
            false => ("memory of idle sessions, plain", "CPU for all logins, plain"),
            true => ("memory of idle sessions, TLS", "CPU for all logins, TLS"),
        };
        // The first login hashes the password; the others find it remembered.
        drop(server.session(keys.as_ref())?);
        let (empty, spent) = (processes.memory()?, processes.cpu()?);
        let mut open = Vec::new();
        for &count in counts {
            if Instant::now() > until {
                break;
            }
            eprintln!("{count} sessions{}", if private { ", TLS" } else { "" });
            while open.len() < count {
                open.push(server.session(keys.as_ref())?);
            }
            let x = count as f64;
            growth.add((memory, "sessions", "KiB", MEMORY), x, (processes.memory()? - empty).max(0.0));
            growth.add((logins, "sessions", "s", CPU), x, processes.cpu()? - spent);
        }
    }
    Ok(())
}
