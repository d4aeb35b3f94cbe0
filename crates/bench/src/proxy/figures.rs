//! What is measured on one road: each figure, and what the proxy spent on it.

use std::fs::File;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use portway_e2e::{Control, Tls, TlsOptions};
use rustix::process::Pid;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::rivals::Road;
use super::{SINK, Sizes, World};
use crate::load;

impl World {
    fn session(&self, road: &Road) -> Result<Control> {
        let mut control = Control::connect(road.at)?;
        if self.private {
            let options = TlsOptions { aes128: true, ..TlsOptions::default() };
            control.secure(&Tls::new(&road.certificate, options)?)?;
        }
        control.login((&road.user, self.subject.account().1))?;
        control.use_pasv();
        Ok(control)
    }

    /// Seconds that `work` took, and CPU seconds of the proxy.
    fn clock(road: &Road, work: impl FnOnce() -> Result<()>) -> Result<(f64, f64)> {
        let (cpu, begun) = (road.cpu()?, Instant::now());
        work()?;
        let wall = begun.elapsed().as_secs_f64();
        Ok((wall, road.settled_cpu()? - cpu))
    }

    pub(super) fn retr(&self, road: &Road, _: Sizes) -> Result<(f64, f64)> {
        let mut control = self.session(road)?;
        // Once unmeasured: lazily loaded code, buffers that grow.
        load::download(&mut control, "part")?;
        let mut octets = 0;
        let (wall, cpu) = Self::clock(road, || {
            repeat(|| {
                octets += load::download(&mut control, "large")?;
                Ok(())
            })
        })?;
        Ok(rate(octets, wall, cpu))
    }

    pub(super) fn stor(&self, road: &Road, _: Sizes) -> Result<(f64, f64)> {
        let mut control = self.session(road)?;
        let source = File::open(self.subject.tree.at("large"))?;
        // vsftpd cuts a file off before it stores one, which no device lets it do.
        let command = if self.sink { format!("APPE {SINK}") } else { "STOR up".to_owned() };
        load::upload(&mut control, &File::open(self.subject.tree.at("part"))?, &command)?;
        let mut octets = 0;
        let (wall, cpu) = Self::clock(road, || {
            repeat(|| {
                octets += load::upload(&mut control, &source, &command)?;
                Ok(())
            })
        })?;
        if !self.sink {
            std::fs::remove_file(self.subject.tree.at("up"))?;
        }
        Ok(rate(octets, wall, cpu))
    }

    /// The same with the server, and so every session that begins now, on one processor.
    pub(super) fn stor_pinned(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let pid = *self.subject.pids().first().context("the server is gone")?;
        let server = Pid::from_raw(i32::try_from(pid)?);
        let all = sched_getaffinity(server)?;
        let mut one = CpuSet::new();
        // The last: most interrupts go to the first.
        one.set((0..CpuSet::MAX_CPU).rev().find(|&cpu| all.is_set(cpu)).context("there is no processor")?);
        sched_setaffinity(server, &one)?;
        let figures = self.stor(road, sizes);
        sched_setaffinity(server, &all)?;
        figures
    }

    pub(super) fn small(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let count = if self.private { sizes.small.1 } else { sizes.small.0 };
        let mut control = self.session(road)?;
        load::small_files(&mut control, "small", 3, SLOW)?;
        let mut came = 0;
        let (wall, cpu) = Self::clock(road, || {
            came = load::small_files(&mut control, "small", count, SLOW)?.0;
            Ok(())
        })?;
        Ok((came as f64 / wall, cpu * 1e3 / came as f64))
    }

    pub(super) fn commands(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let mut control = self.session(road)?;
        control.expect("NOOP", 200)?;
        let (wall, cpu) = Self::clock(road, || {
            for _ in 0..sizes.commands {
                control.expect("NOOP", 200)?;
            }
            Ok(())
        })?;
        let each = 1e6 / sizes.commands as f64;
        Ok((wall * each, cpu * each))
    }

    /// From the connection to the reply to TYPE, with QUIT at the end.
    pub(super) fn logins(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let (wall, cpu) = Self::clock(road, || {
            for _ in 0..sizes.logins {
                self.session(road)?.expect("QUIT", 221)?;
            }
            Ok(())
        })?;
        let each = 1e3 / sizes.logins as f64;
        Ok((wall * each, cpu * each))
    }

    /// Many sessions that fetch at the same time.
    pub(super) fn crowd(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let (count, octets) = sizes.crowd;
        let sessions = (0..count).map(|_| self.session(road)).collect::<Result<Vec<_>>>()?;
        let (start, mut over) = (Barrier::new(count + 1), Vec::new());
        let (wall, cpu) = std::thread::scope(|scope| {
            let fetch = |mut control: Control| {
                start.wait();
                load::download(&mut control, "part").map(|_| control)
            };
            let all: Vec<_> =
                sessions.into_iter().map(|control| scope.spawn(move || fetch(control))).collect();
            Self::clock(road, || {
                start.wait();
                for one in all {
                    // The sessions end only after the clock has stopped.
                    over.push(one.join().map_err(|_| anyhow::anyhow!("a client panicked"))??);
                }
                Ok(())
            })
        })?;
        drop(over);
        Ok(rate((count * octets) as u64, wall, cpu))
    }

    /// KiB of user-space memory that one more session takes. The first quarter is not counted: it fills what an
    /// allocator kept.
    pub(super) fn idle(&self, road: &Road, sizes: Sizes) -> Result<(f64, f64)> {
        let count = if road.via.is_rival() { sizes.idle.0 } else { sizes.idle.1 };
        let (first, mut before) = (count / 4, 0.0);
        let mut sessions = Vec::new();
        for i in 0..count {
            if i == first {
                before = road.memory()?;
            }
            sessions.push(self.session(road)?);
        }
        Ok((0.0, (road.memory()? - before) / (count - first) as f64))
    }
}

/// Does `work` again and again until [`LONG_ENOUGH`] has passed.
fn repeat(mut work: impl FnMut() -> Result<()>) -> Result<()> {
    let begun = Instant::now();
    loop {
        work()?;
        if begun.elapsed() >= LONG_ENOUGH {
            return Ok(());
        }
    }
}

/// What is shorter says more about the scheduler's mood than about a transfer.
const LONG_ENOUGH: Duration = Duration::from_millis(500);

/// MiB a second, and CPU seconds for a GiB.
fn rate(octets: u64, wall: f64, cpu: f64) -> (f64, f64) {
    let mib = octets as f64 / f64::from(1 << 20);
    (mib / wall, cpu * 1024.0 / mib)
}

/// Whoever takes longer for many small files has shown it.
const SLOW: Duration = Duration::from_secs(5);
