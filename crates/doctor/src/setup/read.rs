//! Configuration files, as far as they concern the data channel.

use std::path::PathBuf;

use super::SetUp;
use crate::Software;

/// Reads whichever of the three it is.
pub(super) fn read(text: &str) -> Option<SetUp> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    // vsftpd allows no blanks around its `=`; the others have none.
    let assigns = |line: &&str| line.split_once('=').is_some_and(|(key, _)| is_key(key));
    if !lines.is_empty() && lines.iter().all(assigns) {
        return Some(vsftpd(&lines));
    }
    let words = |line: &str| line.split_whitespace().next().unwrap_or_default().to_ascii_lowercase();
    let has = |some: &[&str]| lines.iter().any(|line| some.contains(&words(line).as_str()));
    if has(&[
        "servertype",
        "servername",
        "passiveports",
        "masqueradeaddress",
        "<global>",
        "defaultroot",
        "tlsengine",
    ]) {
        return Some(proftpd(&lines));
    }
    if has(&["passiveportrange", "chrooteveryone", "forcepassiveip", "maxclientsnumber", "bind", "certfile"])
    {
        return Some(pure_ftpd(&lines));
    }
    None
}

fn is_key(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit())
}

fn bare(software: Software) -> SetUp {
    SetUp {
        software,
        port: 21,
        listen: Vec::new(),
        range: None,
        announce: None,
        passive: true,
        tls: false,
        certificate: None,
        sessions: None,
        opens_firewall: false,
    }
}

fn vsftpd(lines: &[&str]) -> SetUp {
    let mut out = bare(Software::Vsftpd);
    let (mut low, mut high) = (0_u16, 0_u16);
    for line in lines {
        let Some((key, value)) = line.split_once('=') else { continue };
        let yes = value.eq_ignore_ascii_case("YES");
        match key {
            "listen_port" => out.port = value.parse().unwrap_or(21),
            "listen_address" | "listen_address6" => out.listen.extend(value.parse::<std::net::IpAddr>()),
            "pasv_enable" => out.passive = yes,
            "pasv_min_port" => low = value.parse().unwrap_or(0),
            "pasv_max_port" => high = value.parse().unwrap_or(0),
            "pasv_address" => out.announce = Some(value.to_owned()),
            "ssl_enable" => out.tls = yes,
            "rsa_cert_file" => out.certificate = Some(PathBuf::from(value)),
            "max_clients" => out.sessions = value.parse().ok().filter(|&n| n > 0),
            _ => {}
        }
    }
    // 0 is no bound (vsftpd.conf(5)).
    if low != 0 || high != 0 {
        out.range = Some(low.max(1024)..=if high == 0 { u16::MAX } else { high });
    }
    out
}

fn proftpd(lines: &[&str]) -> SetUp {
    let mut out = bare(Software::Proftpd);
    for line in lines {
        let mut words = line.split_whitespace().map(|word| word.trim_matches('"'));
        let key = words.next().unwrap_or_default().to_ascii_lowercase();
        let first = words.next().unwrap_or_default();
        match key.as_str() {
            "port" => out.port = first.parse().unwrap_or(21),
            "defaultaddress" => out.listen.extend(first.parse::<std::net::IpAddr>()),
            "passiveports" => {
                if let (Ok(low), Ok(high)) = (first.parse(), words.next().unwrap_or_default().parse()) {
                    out.range = Some(low..=high);
                }
            }
            "masqueradeaddress" => out.announce = Some(first.to_owned()),
            "tlsengine" => out.tls = first.eq_ignore_ascii_case("on"),
            "tlsrsacertificatefile" | "tlseccertificatefile" => out.certificate = Some(PathBuf::from(first)),
            "maxinstances" | "maxclients" => {
                let most = first.parse().ok();
                out.sessions = match (out.sessions, most) {
                    (Some(a), Some(b)) => Some(u32::min(a, b)),
                    (a, b) => a.or(b),
                };
            }
            _ => {}
        }
    }
    out
}

fn pure_ftpd(lines: &[&str]) -> SetUp {
    let mut out = bare(Software::PureFtpd);
    for line in lines {
        let mut words = line.split_whitespace().map(|word| word.trim_matches('"'));
        let key = words.next().unwrap_or_default().to_ascii_lowercase();
        let first = words.next().unwrap_or_default();
        match key.as_str() {
            "bind" => {
                let (address, port) = first.split_once(',').unwrap_or((first, ""));
                out.listen.extend(address.parse::<std::net::IpAddr>());
                out.port = port.parse().unwrap_or(21);
            }
            "passiveportrange" => {
                // `30000 50000` in the file, `30000:50000` on the command line.
                let (low, high) = first.split_once(':').unwrap_or((first, words.next().unwrap_or_default()));
                if let (Ok(low), Ok(high)) = (low.parse(), high.parse()) {
                    out.range = Some(low..=high);
                }
            }
            "forcepassiveip" => out.announce = Some(first.to_owned()),
            "tls" => out.tls = first != "0",
            "certfile" | "certfileandkey" => out.certificate = Some(PathBuf::from(first)),
            "maxclientsnumber" => out.sessions = first.parse().ok(),
            _ => {}
        }
    }
    out
}
