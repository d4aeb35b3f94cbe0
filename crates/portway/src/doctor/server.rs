//! `portway doctor --server`: a server's own set-up, on its own machine.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, bail};
use portway_doctor::Software;
use portway_doctor::setup::{Machine, Paper, Remark, SetUp, Weight};
use portway_net::{Certificate, ephemeral_range};
use serde_json::{Value, json};

use super::local;

/// Where Debian, Fedora and Arch keep configurations.
const USUAL: &[&str] = &[
    "/etc/portway/portway.toml",
    "/etc/portway.toml",
    "/etc/vsftpd.conf",
    "/etc/vsftpd/vsftpd.conf",
    "/etc/proftpd/proftpd.conf",
    "/etc/proftpd.conf",
    "/etc/pure-ftpd/pure-ftpd.conf",
    "/etc/pure-ftpd.conf",
    "/etc/pure-ftpd/conf",
];

/// Checks one configuration, or each that is in a usual place.
pub(super) fn run(config: Option<&Path>, json: bool) -> Result<ExitCode> {
    let files: Vec<PathBuf> = match config {
        Some(file) => vec![file.to_owned()],
        None => USUAL.iter().map(PathBuf::from).filter(|path| path.exists()).collect(),
    };
    let mut worst = Weight::Good;
    let mut out = std::io::stdout();
    let setups = match files.is_empty() {
        true => vec![(PathBuf::from("portway's defaults"), crate::serve::setup(None)?)],
        false => files.into_iter().map(|file| Ok((file.clone(), read(&file)?))).collect::<Result<_>>()?,
    };
    for (file, setup) in setups {
        let remarks = setup.check(&machine(&setup));
        let heaviest = remarks.iter().map(|remark| remark.weight).max().unwrap_or(Weight::Good);
        worst = worst.max(heaviest);
        // A closed pipe is no failure of the check.
        let _ = match json {
            true => writeln!(out, "{}", object(&file, &setup, &remarks)?),
            false => writeln!(out, "{}", page(&file, &setup, &remarks)),
        };
    }
    Ok(ExitCode::from(match worst {
        Weight::Good => 0,
        Weight::Doubt => 10,
        Weight::Wrong => 11,
    }))
}

fn read(file: &Path) -> Result<SetUp> {
    let text = match file.is_dir() {
        // Debian's Pure-FTPd: a file for each setting.
        true => {
            let mut text = String::new();
            for entry in fs::read_dir(file).with_context(|| file.display().to_string())? {
                let path = entry?.path();
                let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                text.push_str(&format!("{name} {}\n", fs::read_to_string(&path).unwrap_or_default().trim()));
            }
            text
        }
        false => fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?,
    };
    if let Some(setup) = SetUp::read(&text) {
        return Ok(setup);
    }
    if file.is_dir() {
        bail!("{} is no configuration of Pure-FTPd", file.display());
    }
    crate::serve::setup(Some(file))
        .with_context(|| format!("{} is none of portway, vsftpd, ProFTPD, Pure-FTPd", file.display()))
}

fn machine(setup: &SetUp) -> Machine {
    let range = ephemeral_range();
    Machine {
        addresses: addresses(),
        rules: local::read().ok(),
        listening: listening(),
        ephemeral: Some(range),
        certificate: setup.certificate.as_deref().map(paper),
        descriptors: rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum,
    }
}

/// Interfaces and their addresses, as `ip` tells them.
fn addresses() -> Vec<(String, IpAddr)> {
    let told = local::print("ip", &["-j", "address"]).unwrap_or_default();
    let links: Value = serde_json::from_str(&told).unwrap_or_default();
    let mut out = Vec::new();
    for link in links.as_array().into_iter().flatten() {
        let name = link["ifname"].as_str().unwrap_or_default();
        for address in link["addr_info"].as_array().into_iter().flatten() {
            let ip = address["local"].as_str().and_then(|ip| ip.parse().ok());
            out.extend(ip.map(|ip| (name.to_owned(), ip)));
        }
    }
    out
}

/// Ports in state LISTEN (proc(5), /proc/net/tcp).
fn listening() -> Vec<u16> {
    let mut ports = BTreeSet::new();
    for file in ["/proc/net/tcp", "/proc/net/tcp6"] {
        for line in fs::read_to_string(file).unwrap_or_default().lines().skip(1) {
            let mut words = line.split_whitespace().skip(1);
            let (local, state) = (words.next().unwrap_or_default(), words.nth(1).unwrap_or_default());
            let port = local.rsplit_once(':').and_then(|(_, port)| u16::from_str_radix(port, 16).ok());
            ports.extend(port.filter(|_| state == "0A"));
        }
    }
    ports.into_iter().collect()
}

fn paper(path: &Path) -> Paper {
    match Certificate::load(path) {
        Err(error) => Paper::Unreadable(error.to_string()),
        Ok(certificate) => {
            let whole = |time: Duration| i64::try_from(time.as_secs() / 86_400).unwrap_or(i64::MAX);
            let now = SystemTime::now();
            let days = match certificate.not_after.duration_since(now) {
                Ok(left) => whole(left),
                Err(over) => -whole(over.duration()) - 1,
            };
            Paper::Read { names: certificate.names, days, self_signed: certificate.self_signed }
        }
    }
}

fn object(file: &Path, setup: &SetUp, remarks: &[Remark]) -> Result<Value> {
    let worst = remarks.iter().map(|remark| remark.weight).max().unwrap_or(Weight::Good);
    Ok(json!({
        "config": file.display().to_string(), "server": setup.software,
        "verdict": match worst { Weight::Good => "usable", Weight::Doubt => "one_mode", Weight::Wrong => "unusable" },
        "remarks": serde_json::to_value(remarks)?,
    }))
}

fn page(file: &Path, setup: &SetUp, remarks: &[Remark]) -> String {
    let mut text = format!("{}, by {}\n\n", setup.software.name(), file.display());
    for remark in remarks {
        let mark = match remark.weight {
            Weight::Good => "  ok  ",
            Weight::Doubt => "  ??  ",
            Weight::Wrong => "  !!  ",
        };
        for line in super::picture::wrap(&remark.sentence, mark) {
            text.push_str(&line);
            text.push('\n');
        }
        for cure in &remark.cures {
            text.push_str(&format!("        {} ({}):\n", cure.program.name(), cure.place.name()));
            for line in cure.text.lines() {
                text.push_str(&format!("          {line}\n"));
            }
        }
    }
    let counts = |weight: Weight| remarks.iter().filter(|remark| remark.weight == weight).count();
    text.push_str(&format!(
        "\n{} as it should be, {} in doubt, {} wrong\n",
        counts(Weight::Good),
        counts(Weight::Doubt),
        counts(Weight::Wrong)
    ));
    text
}

/// portway's own settings, as far as they concern the data channel.
pub(crate) fn of_portway(
    listen: &[std::net::SocketAddr],
    range: Option<std::ops::RangeInclusive<u16>>,
    announce: Option<IpAddr>,
    (tls, certificate): (bool, Option<PathBuf>),
    (sessions, opens_firewall): (usize, bool),
) -> SetUp {
    let special = |ip: &IpAddr| !ip.is_unspecified();
    SetUp {
        software: Software::Portway,
        port: listen.first().map_or(21, std::net::SocketAddr::port),
        listen: listen.iter().map(std::net::SocketAddr::ip).filter(special).collect(),
        range,
        announce: announce.map(|ip| ip.to_string()),
        passive: true,
        tls,
        certificate,
        sessions: u32::try_from(sessions).ok(),
        opens_firewall,
    }
}
