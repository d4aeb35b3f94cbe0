//! Options of clients.

use std::net::IpAddr;

use super::rules::{Hook, admit_mark};
use super::{Cure, Facts, Kind, Place, Program};
use crate::{Command, Culprit, Evidence, Mode, Tls};

pub(super) fn portway(text: &str) -> Cure {
    option(Program::Portway, text)
}

fn option(program: Program, text: impl Into<String>) -> Cure {
    Cure::new(Place::Client, program, Kind::Option, text)
}

/// Opens this machine's own firewall for the one connection that was announced.
pub(super) fn pinholes(seen: &Evidence) -> Cure {
    let text = format!(
        "{}\nportway ls --mode active --pinholes nft '{}'",
        admit_mark(&[Hook::Input]),
        seen.url.replace('\'', "%27")
    );
    Cure::new(Place::Client, Program::Portway, Kind::Command, text)
}

pub(super) fn passive() -> Vec<Cure> {
    vec![
        option(Program::Lftp, "set ftp:passive-mode on"),
        option(Program::Curl, "--ftp-pasv"),
        option(Program::Filezilla, "Site Manager > Transfer settings > Passive"),
    ]
}

pub(super) fn active() -> Vec<Cure> {
    vec![
        portway("--mode active"),
        option(Program::Lftp, "set ftp:passive-mode off"),
        option(Program::Curl, "--ftp-port -"),
        option(Program::Filezilla, "Site Manager > Transfer settings > Active"),
    ]
}

/// Announce the address that the NAT shows to the world.
pub(super) fn public_address(public: Option<IpAddr>) -> Vec<Cure> {
    let public = public.map_or_else(|| "<CLIENT PUBLIC ADDRESS>".to_owned(), |ip| ip.to_string());
    vec![
        // The router may open a port and say which (PCP, NAT-PMP, UPnP).
        portway("--mode active --active-address auto"),
        portway(&format!("--mode active --active-address {public} --active-ports <LOW>-<HIGH>")),
        option(Program::Filezilla, format!("Edit > Settings > FTP > Active mode: external address {public}")),
    ]
}

/// Connect to the server's own address whatever 227 says.
pub(super) fn peer_address(facts: &Facts<'_>) -> Vec<Cure> {
    let reachable = facts
        .seen
        .attempts
        .iter()
        .any(|a| matches!(a.outcome, crate::Outcome::OtherAddress(p) if p.here == crate::Reach::Open));
    let mut cures = Vec::new();
    if reachable || facts.works_by(Command::Epsv) {
        cures.push(portway("--mode passive"));
        cures.push(option(Program::Lftp, "set ftp:fix-pasv-address yes\nset ftp:prefer-epsv yes"));
        cures.push(option(Program::Curl, "--ftp-skip-pasv-ip"));
        cures.push(option(
            Program::Filezilla,
            "Edit > Settings > FTP > Passive mode: use the server's external IP address instead",
        ));
    } else if facts.works(Mode::Active) {
        cures.extend(active());
    }
    cures
}

/// Do not use 227, or hide it.
pub(super) fn not_pasv(facts: &Facts<'_>) -> Vec<Cure> {
    let mut cures = Vec::new();
    if facts.works_by(Command::Epsv) {
        cures.push(portway("--mode passive"));
        cures.push(option(Program::Lftp, "set ftp:prefer-epsv yes"));
        cures.push(option(Program::Curl, "--ftp-skip-pasv-ip"));
    }
    if facts.seen.tls == Tls::Works {
        cures.push(option(Program::Curl, "--ssl-reqd"));
        cures.push(option(Program::Lftp, "set ftp:ssl-force yes"));
    }
    cures
}

pub(super) fn not_epsv() -> Vec<Cure> {
    vec![
        portway("--mode passive"),
        option(Program::Lftp, "set ftp:prefer-epsv no"),
        option(Program::Curl, "--disable-epsv"),
    ]
}

pub(super) fn no_tls() -> Vec<Cure> {
    vec![
        portway("--tls off"),
        option(Program::Lftp, "set ftp:ssl-protect-data no"),
        option(Program::Curl, "--ftp-ssl-control"),
    ]
}

pub(super) fn tls() -> Vec<Cure> {
    vec![
        portway("--tls required"),
        option(Program::Lftp, "set ftp:ssl-force yes"),
        option(Program::Curl, "--ssl-reqd"),
        option(Program::Filezilla, "Site Manager > Encryption: require explicit FTP over TLS"),
    ]
}

pub(super) fn login(seen: &Evidence) -> Vec<Cure> {
    let scheme = if seen.implicit_tls { "ftps" } else { "ftp" };
    let host = if seen.host.contains(':') { format!("[{}]", seen.host) } else { seen.host.clone() };
    let url = format!("{scheme}://<USER>:<PASSWORD>@{host}:{}/", seen.port);
    [Program::Portway, Program::Curl, Program::Lftp].map(|program| option(program, url.clone())).into()
}

pub(super) fn only_v4(facts: &Facts<'_>) -> Vec<Cure> {
    let mut cures = vec![Cure::new(
        Place::Client,
        Program::Kernel,
        Kind::Command,
        "echo 'precedence ::ffff:0:0/96 100' >> /etc/gai.conf",
    )];
    if let Some(v4) = facts.seen.roads.iter().map(|road| road.to.ip()).find(IpAddr::is_ipv4) {
        cures.push(Cure::new(
            Place::Dns,
            Program::Kernel,
            Kind::Command,
            format!(
                "sed -i '/:.*[[:space:]]{host}\\([[:space:]]\\|$\\)/d' /etc/hosts && grep -q '^{v4}[[:space:]].*{host}' /etc/hosts || echo '{v4} {host}' >> /etc/hosts",
                host = facts.seen.host
            ),
        ));
        let scheme = if facts.seen.implicit_tls { "ftps" } else { "ftp" };
        cures.push(portway(&format!("{scheme}://{v4}:{}/", facts.seen.port)));
    }
    cures.push(option(Program::Curl, "-4"));
    cures.push(option(Program::Lftp, "set dns:order \"inet\""));
    cures
}

pub(super) fn certificate(culprit: Culprit, seen: &Evidence) -> Vec<Cure> {
    let mut cures = Vec::new();
    if culprit == Culprit::CertificateWrongName
        && let Some(crate::CertificateFault::WrongName(names)) = &seen.certificate
        && let Some(name) = names.iter().find(|name| !name.contains('*'))
    {
        let scheme = if seen.implicit_tls { "ftps" } else { "ftp" };
        cures.push(portway(&format!("{scheme}://{name}:{}/", seen.port)));
    }
    if culprit == Culprit::CertificateUntrusted {
        cures.push(portway("--ca <CHAIN>"));
    }
    cures.push(portway("--insecure"));
    cures.push(option(Program::Curl, "--insecure"));
    cures.push(option(Program::Lftp, "set ssl:verify-certificate no"));
    cures
}
