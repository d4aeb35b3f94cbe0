//! The least that sending a file can cost: a loop around `sendfile`, in a process of its own.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::load;
use crate::processes::Processes;

/// Octets asked for in one call, as in portway's pump.
const PIECE: usize = 1 << 20;

/// The process; killed when dropped.
pub(super) struct Bare {
    child: Child,
    at: SocketAddr,
    length: u64,
}

impl Bare {
    pub(super) fn start(file: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg(file).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().context("a pipe")?).read_line(&mut line)?;
        let at = line.trim().parse().context("the loop did not start")?;
        Ok(Self { child, at, length: file.metadata()?.len() })
    }

    /// CPU seconds for sending the file so often.
    pub(super) fn cost(&self, times: usize) -> Result<f64> {
        let processes = Processes::new(vec![self.child.id()]);
        let before = processes.cpu()?;
        for _ in 0..times {
            let sent = load::discard(&TcpStream::connect(self.at)?)?;
            ensure!(sent == self.length, "the loop sent {sent} octets");
        }
        Ok(processes.cpu()? - before)
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CPU seconds for writing so many octets into a fresh file: what storing costs, wherever they come from.
///
/// # Errors
/// When there is no room.
pub(super) fn write(octets: usize) -> Result<f64> {
    let tree = super::shared()?;
    let mut file = File::create(tree.at("written"))?;
    let piece = portway_e2e::bytes(3, 240 << 10);
    let before = Processes::new(vec![std::process::id()]).cpu()?;
    let mut left = octets;
    while left > 0 {
        let now = left.min(piece.len());
        file.write_all(piece.get(..now).unwrap_or_default())?;
        left -= now;
    }
    Ok(Processes::new(vec![std::process::id()]).cpu()? - before)
}

/// Sends the file to whoever connects, until standard input ends; the first line of standard output is where.
///
/// # Errors
/// When it cannot listen or read.
pub(crate) fn serve(file: &Path) -> Result<()> {
    let file = File::open(file)?;
    let length = file.metadata()?.len();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    println!("{}", listener.local_addr()?);
    std::io::stdout().flush()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut at = 0;
            while at < length
                && matches!(rustix::fs::sendfile(&stream, &file, Some(&mut at), PIECE), Ok(n) if n > 0)
            {
            }
        }
    });
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
