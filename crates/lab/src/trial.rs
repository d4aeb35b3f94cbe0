//! Trying one cell, inside its namespaces.

use std::fs::File;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portway_net::Identity;
use portway_peers::{Brand, vsftpd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cell::{Cell, Family, Outcome, Piece, Server, Verdict};
use crate::error::LabError;
use crate::gates;
use crate::network::{self, GATE_AT_CLIENT, Network, SERVER, filter};
use crate::program;
use crate::rules::{self, CONTROL};
use crate::scenario::Scenario;
use crate::space::Host;

/// What is transferred: enough to need more than one window of TCP.
const OCTETS: usize = 1 << 20;
/// A server that does not listen by then never will.
const START: Duration = Duration::from_secs(10);

/// Wires up the machines, starts the server and lets the client try for `limit`. Files go to `folder`.
pub(crate) fn perform(cell: &Cell, limit: Duration, folder: &Path) -> Result<Outcome, LabError> {
    let content: Vec<u8> =
        (0_u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(OCTETS).collect();
    let served = folder.join("served");
    let files = |_: ()| -> std::io::Result<()> {
        std::fs::create_dir(&served)?;
        std::fs::create_dir(folder.join("empty"))?;
        std::fs::write(served.join("file"), &content)?;
        // vsftpd refuses to serve a folder that its user could write to.
        std::fs::set_permissions(&served, std::fs::Permissions::from_mode(0o555))
    };
    files(()).map_err(LabError::system("no files for the lab"))?;
    let network = Network::new(cell.scenario)?;
    for (index, gate) in network.gates.iter().enumerate() {
        filter(gate, rules::between(cell.scenario, index, cell.cure))?;
    }
    filter(&network.client, rules::client_host(cell.scenario, cell.cure))?;
    filter(&network.server, rules::server_host(cell.scenario, cell.cure))?;
    if cell.piece() == Piece::Agent {
        gates::enroll(folder)?;
    }
    if cell.server == Server::Vsftpd && cell.tls {
        certificate(folder)?;
    }
    if cell.piece() == Piece::Bridge {
        gates::trust(folder)?;
    }
    if matches!(cell.piece(), Piece::Gate | Piece::Agent | Piece::Bridge) {
        for (index, gate) in network.gates.iter().enumerate() {
            gates::start(cell, gate, folder, index)?;
        }
    }
    let family = usize::from(cell.family == Family::V6);
    let log = folder.join("server.log");
    start(&network.server, server(cell, folder, &served)?, log, family, cell.server.name())?;
    let seen_as = if cell.scenario == Scenario::Dnat { GATE_AT_CLIENT } else { SERVER };
    let arrived = folder.join("arrived");
    let host = seen_as.get(family).copied().unwrap_or_default();
    let mut client = program::client(cell, host, &arrived, folder)?;
    client.current_dir(folder).env("HOME", folder);
    let words = folder.join("client.log");
    let (ended, took) = run(&network.client, client, &words, limit)?;
    let whole = std::fs::read(&arrived).is_ok_and(|got| got == content);
    let verdict = match (ended, whole) {
        (true, true) => Verdict::Works,
        // A client with patience of its own was blocked all the same.
        (true, false) if !anything_lost(&network)? => Verdict::Refused,
        // Also a client that has the file and does not end: its user waits for ever.
        _ => Verdict::Blocked,
    };
    let said = if verdict == Verdict::Works { String::new() } else { last_line(&words) };
    Ok(Outcome { verdict, took, said })
}

fn anything_lost(network: &Network) -> Result<bool, LabError> {
    let mut lost = 0;
    for host in [&network.client, &network.server].into_iter().chain(&network.gates) {
        lost += network::lost(host)?;
    }
    Ok(lost > 0)
}

fn server(cell: &Cell, folder: &Path, served: &Path) -> Result<Command, LabError> {
    let mut command = match cell.server {
        Server::Portway => {
            let mut portway = program::ourselves();
            portway.arg("serve").arg(served).args(["--anonymous", "--read-only"]);
            for address in SERVER {
                let ip = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
                portway.arg("--listen").arg(format!("{ip}:{CONTROL}"));
            }
            portway.args(["--tls", if cell.tls { "on" } else { "off" }]);
            if cell.piece() == Piece::Agent {
                gates::tell(cell, &mut portway, folder);
            }
            if cell.piece() == Piece::Server {
                portway.arg("--pinholes").arg(program::no_helper(folder));
            }
            portway
        }
        Server::Vsftpd => {
            let mut command = program::server(Brand::Vsftpd)?;
            let file = folder.join("vsftpd.conf");
            vsftpd_files(cell.tls, folder, served, &file)?;
            command.arg(file);
            command
        }
    };
    command.current_dir(folder).env("HOME", folder);
    Ok(command)
}

fn vsftpd_files(tls: bool, folder: &Path, served: &Path, file: &Path) -> Result<(), LabError> {
    let yes = |on: bool| if on { "YES" } else { "NO" };
    let certificate = folder.join("certificate.pem");
    let mut lines = vsftpd::anonymous(served, &folder.join("empty"));
    lines.extend(vsftpd::ONE_USER.map(str::to_owned));
    lines.extend([
        "listen=NO".to_owned(),
        "listen_ipv6=YES".to_owned(),
        format!("listen_port={CONTROL}"),
        "allow_anon_ssl=YES".to_owned(),
        "require_ssl_reuse=NO".to_owned(),
        "ssl_ciphers=HIGH".to_owned(),
        format!("ssl_enable={}", yes(tls)),
    ]);
    if tls {
        lines.push(format!("rsa_cert_file={0}\nrsa_private_key_file={0}", certificate.display()));
    }
    lines.push(String::new());
    std::fs::write(file, lines.join("\n")).map_err(LabError::system("no configuration for vsftpd"))
}

/// A certificate in all names that a client may call the server by, alone and with its key.
fn certificate(folder: &Path) -> Result<(), LabError> {
    let names: Vec<String> =
        ["ftp.lab"].iter().chain(&SERVER).chain(&GATE_AT_CLIENT).map(|&name| name.to_owned()).collect();
    let made = Identity::self_signed(&names);
    let (_, chain, key) = made.map_err(|why| LabError::Inside(format!("no certificate: {why}")))?;
    let write = |name, text: &str| std::fs::write(folder.join(name), text);
    let both = format!("{}{chain}", key.as_str());
    write("certificate.pem", &both)
        .and_then(|()| write("server.pem", &chain))
        .map_err(LabError::system("no certificate"))
}

/// Waits until what was started `is` as wanted, or has ended, or has had its time.
pub(crate) fn until(
    child: &mut Child,
    name: &str,
    log: &Path,
    is: impl Fn() -> bool,
) -> Result<(), LabError> {
    let end = Instant::now() + START;
    while !is() {
        let ended = child.try_wait().map_err(LabError::system("the server"))?.is_some();
        if ended || Instant::now() > end {
            return Err(LabError::Server { server: name.to_owned(), said: last_line(log) });
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Starts a server and waits until it takes connections on its own address.
fn start(
    host: &Host,
    mut command: Command,
    log: PathBuf,
    family: usize,
    name: &'static str,
) -> Result<(), LabError> {
    let ip = SERVER.get(family).and_then(|text| text.parse().ok());
    let at = SocketAddr::new(ip.unwrap_or(std::net::Ipv4Addr::UNSPECIFIED.into()), CONTROL);
    host.run(move || {
        let mut child = spawn(&mut command, &log)?;
        until(&mut child, name, &log, || TcpStream::connect_timeout(&at, START).is_ok())
    })?
}

/// Runs a client for `limit` at most; says whether it ended by itself, and after which time.
fn run(host: &Host, mut command: Command, log: &Path, limit: Duration) -> Result<(bool, Duration), LabError> {
    let log = log.to_owned();
    host.run(move || {
        let begun = Instant::now();
        let mut child = spawn(&mut command, &log)?;
        let ended = ends_within(&child, limit).map_err(LabError::system("waiting for the client"))?;
        let took = begun.elapsed();
        if !ended {
            child.kill().map_err(LabError::system("ending the client"))?;
        }
        child.wait().map_err(LabError::system("waiting for the client"))?;
        Ok((ended, took))
    })?
}

pub(crate) fn ends_within(child: &Child, limit: Duration) -> std::io::Result<bool> {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).ok_or(std::io::ErrorKind::NotFound)?;
    let watch = pidfd_open(pid, PidfdFlags::empty())?;
    let limit = Timespec::try_from(limit).map_err(|_| std::io::ErrorKind::InvalidInput)?;
    let ready = poll(&mut [PollFd::new(&watch, PollFlags::IN)], Some(&limit))?;
    Ok(ready == 1)
}

pub(crate) fn spawn(command: &mut Command, log: &Path) -> Result<Child, LabError> {
    let log = File::create(log).map_err(LabError::system("no log"))?;
    let both = log.try_clone().map_err(LabError::system("no log"))?;
    command.stdin(Stdio::null()).stdout(both).stderr(log).spawn().map_err(LabError::system("no program"))
}

pub(crate) fn last_line(log: &Path) -> String {
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let line = text.rsplit(['\n', '\r']).map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(200).collect()
}
