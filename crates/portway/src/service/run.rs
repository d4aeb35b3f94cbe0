//! From settings to open ports, and from signals to the end.

use std::io;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use portway_data::OwnListeners;
use portway_interpreter::{Listener, Shutdown};
use portway_ops::{Listening, Log, Notice, Shown};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use super::Service;

/// Ports that are open, and whether TLS comes first there.
pub(crate) struct Ports {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) addresses: Vec<(SocketAddr, bool)>,
}

impl Service {
    /// Opens all ports by `listen`.
    ///
    /// # Errors
    /// Which one cannot be opened.
    pub(crate) fn open(
        &self,
        own: &OwnListeners,
        log: &Log,
        listen: impl Fn(SocketAddr) -> io::Result<TcpListener>,
    ) -> Result<Ports> {
        let mut ports = Ports { listeners: Vec::new(), addresses: Vec::new() };
        let plain = self.listen.iter().map(|addr| (addr, false));
        for (&addr, implicit_tls) in plain.chain(self.implicit.iter().map(|addr| (addr, true))) {
            let socket = listen(addr).map_err(|error| no_listener(addr, &error))?;
            let bound = socket.local_addr().context("the listener has no address")?;
            own.add(bound);
            log.record(Listening { what: if implicit_tls { "ftps" } else { "ftp" }, address: bound });
            ports.listeners.push(Listener { socket, implicit_tls });
            ports.addresses.push((bound, implicit_tls));
        }
        Ok(ports)
    }
}

fn no_listener(at: SocketAddr, error: &io::Error) -> anyhow::Error {
    let what_to_do = match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another program is there: `ss -ltnp` names it, --listen takes another port"
        }
        io::ErrorKind::PermissionDenied if at.port() < 1024 => {
            "; ports below 1024 take root (--run-as USER gives it away afterwards) or CAP_NET_BIND_SERVICE"
        }
        io::ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: `ip address` shows those it has"
        }
        _ => "",
    };
    anyhow!("cannot listen on {at}: {error}{what_to_do}")
}

/// A runtime, with as many descriptors as the system allows: a session needs one, a transfer two or three more.
pub(crate) fn runtime() -> Result<Runtime> {
    raise_descriptor_limit();
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("no runtime")
}

/// As many descriptors as the system allows.
pub(crate) fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// SIGHUP opens log files anew and reloads what `reload` does; the first SIGINT or SIGTERM drains, after `drains`, the
/// second ends at once.
pub(crate) async fn signals(
    shutdown: Shutdown,
    log: Log,
    reload: impl Fn() + Send,
    drains: impl Fn() + Send,
) -> Result<()> {
    let mut hangup = signal(SignalKind::hangup())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut ending = false;
    loop {
        tokio::select! {
            _ = hangup.recv() => {
                log.reopen();
                reload();
                continue;
            }
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        if ending {
            log.flush(Duration::from_millis(200));
            std::process::exit(130);
        }
        ending = true;
        let detail = Shown::from("no new sessions; running transfers may end");
        log.record(Notice { what: "draining", detail });
        drains();
        shutdown.begin();
    }
}

/// The last line of the log.
pub(crate) fn stopped(log: &Log, clean: bool) -> ExitCode {
    let detail = if clean { "all sessions have ended" } else { "the last transfers were cut off" };
    log.record(Notice { what: "stopped", detail: Shown::from(detail) });
    log.flush(Duration::from_secs(2));
    ExitCode::SUCCESS
}
