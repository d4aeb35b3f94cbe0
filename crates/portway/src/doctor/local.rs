//! This machine's own packet filter, read by the programs that come with it.

use std::net::IpAddr;
use std::process::{Command, Stdio};

use portway_doctor::firewall::{Findings, Ruleset};
use serde_json::Value;

/// Reads all rules there are.
///
/// # Errors
/// Says what cannot be read, and why: no program for it, or no right to.
pub(super) fn read() -> Result<Ruleset, String> {
    let nft = print("nft", &["-j", "list", "ruleset"]);
    let iptables = print("iptables-save", &[]);
    let rules = Ruleset {
        nft_text: nft
            .as_ref()
            .map(|_| print("nft", &["-a", "list", "ruleset"]).unwrap_or_default())
            .unwrap_or_default(),
        ip6tables: iptables
            .as_ref()
            .map(|_| print("ip6tables-save", &[]).unwrap_or_default())
            .unwrap_or_default(),
        nft_json: nft.clone().unwrap_or_default(),
        iptables: iptables.clone().unwrap_or_default(),
    };
    match (nft, iptables) {
        (Err(nft), Err(iptables)) => Err(format!("{nft}; {iptables}")),
        // Rights are the same for both: a refusal is no empty ruleset.
        (Err(why), Ok(_)) if why.contains("ermitted") => Err(why),
        _ => Ok(rules),
    }
}

/// What these rules do with what FTP needs.
pub(super) fn findings(local: IpAddr, server: IpAddr, rules: Option<&Ruleset>) -> Option<Findings> {
    let rules = rules?;
    let interface = if server.is_loopback() { "lo".to_owned() } else { interface(server) };
    Some(rules.findings(local, server, &interface))
}

/// The interface that leads there; `?`, which is no interface, if nobody says.
fn interface(to: IpAddr) -> String {
    let told = print("ip", &["-j", "route", "get", &to.to_string()]).unwrap_or_default();
    let route: Value = serde_json::from_str(&told).unwrap_or_default();
    route[0]["dev"].as_str().unwrap_or("?").to_owned()
}

/// What a program prints.
pub(super) fn print(program: &str, args: &[&str]) -> Result<String, String> {
    let found = ["", "/usr/sbin/", "/sbin/"].into_iter().find_map(|folder| {
        let mut command = Command::new(format!("{folder}{program}"));
        command.args(args).stdin(Stdio::null()).stderr(Stdio::piped());
        command.output().ok()
    });
    let Some(output) = found else { return Err(format!("there is no {program}")) };
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{program}: {}", why.lines().next().unwrap_or("it failed").trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
