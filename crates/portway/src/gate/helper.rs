//! The helper that a gate starts: the one process with CAP_NET_ADMIN once strangers are heard.

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use portway_gate::GateConfig;
use portway_nft::{Held, Reach, Remote};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

/// The verb by which this very program plays the helper's part where `portway-holed` is not beside it.
pub(crate) const VERB: &str = "holed";
/// How long a helper may take to end once nobody needs it.
const PATIENCE: Duration = Duration::from_secs(2);

/// A running helper; it ends when its sockets are closed, and is waited for then.
#[derive(Debug)]
pub(super) struct Helper {
    process: Child,
    /// Whether it is a program of its own.
    pub(super) apart: bool,
}

impl Helper {
    /// Starts it with the rights that we have now; `queue` is the number of the packet queue that it is to hold.
    pub(super) fn start(config: &GateConfig, queue: Option<u16>) -> Result<(Self, Remote, Option<Held>)> {
        let own = std::env::current_exe().context("cannot find this program")?;
        if let Some(beside) = beside(&own)
            && let Ok((process, socket, held)) = spawn(Command::new(beside), config, queue)
        {
            match Remote::over(socket) {
                Ok(kernel) => return Ok((Self { process, apart: true }, kernel, held)),
                // It is there and cannot: neither could we.
                Err(error) if error.kind() == io::ErrorKind::Other => bail!("portway-holed: {error}"),
                // Of another version, which does not know how to serve a gate.
                Err(_) => Self { process, apart: true }.end(),
            }
        }
        let mut command = Command::new(own);
        command.arg(VERB);
        let (process, socket, held) = spawn(command, config, queue).context("the helper does not start")?;
        match Remote::over(socket) {
            Ok(kernel) => Ok((Self { process, apart: false }, kernel, held)),
            Err(error) => bail!("the packet filter's helper: {error}"),
        }
    }

    /// Waits until it is gone, which is soon after its sockets are closed.
    pub(super) fn end(mut self) {
        let end = Instant::now() + PATIENCE;
        while matches!(self.process.try_wait(), Ok(None)) {
            if Instant::now() > end {
                let _ = self.process.kill();
                let _ = self.process.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// `portway-holed` in the folder of this program, where packages put it.
fn beside(own: &std::path::Path) -> Option<PathBuf> {
    let path = own.with_file_name("portway-holed");
    path.is_file().then_some(path)
}

fn spawn(
    mut command: Command,
    config: &GateConfig,
    queue: Option<u16>,
) -> io::Result<(Child, OwnedFd, Option<Held>)> {
    let pair = || socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None);
    let (ours, theirs) = pair()?;
    command.stdin(Stdio::from(theirs)).stdout(Stdio::null()).env_clear();
    command.args(["--gate", env!("CARGO_PKG_VERSION")]);
    command.arg("--routes").arg(format!("{}:{}", config.mark, config.routing_table));
    let reach = match config.holes.reach {
        Reach::Host => "host",
        Reach::Forward => "forward",
        Reach::Both => "both",
    };
    command.args(["--reach", reach, "--mark", &format!("{:#x}", config.layout.mark)]);
    command.args(["--longest", &config.holes.longest.as_secs().clamp(1, 60).to_string()]);
    command.args(["--per-pair", &config.holes.per_pair.to_string()]);
    command.args(["--total", &config.holes.total.to_string()]);
    for port in &config.holes.denied_ports {
        command.args(["--deny-port", &port.to_string()]);
    }
    let held = match queue {
        Some(number) => {
            let (ours, theirs) = pair()?;
            command.stdout(Stdio::from(theirs)).args(["--queue", &number.to_string()]);
            Some(Held::over(ours))
        }
        None => None,
    };
    Ok((command.spawn()?, ours, held))
}
