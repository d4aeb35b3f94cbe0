//! What `serve` prints when it is ready: for a person, and for scripts the lines that begin with `listening`.

use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use super::args::PinholesArg;
use super::config::Settings;
use crate::out;
use crate::service::TlsMode;
use crate::service::tls::{Found, Kept};

/// Prints the summary on standard output; a closed one is no reason not to serve.
pub(crate) fn print(
    settings: &Settings,
    root: &Path,
    listeners: &[(SocketAddr, bool)],
    users: &[(String, Option<String>)],
    identity: Option<&Found>,
) {
    out::print(text(settings, root, listeners, users, identity));
}

fn text(
    settings: &Settings,
    root: &Path,
    listeners: &[(SocketAddr, bool)],
    users: &[(String, Option<String>)],
    identity: Option<&Found>,
) -> String {
    let mut out = String::new();
    let mut line = |text: std::fmt::Arguments<'_>| {
        // Writing to a string cannot fail.
        let _ = writeln!(out, "{text}");
    };
    line(format_args!("portway {} serves {}", env!("CARGO_PKG_VERSION"), root.display()));
    for (addr, implicit) in listeners {
        line(format_args!("listening {}://{addr}", if *implicit { "ftps" } else { "ftp" }));
    }
    for (user, (name, generated)) in settings.users.iter().zip(users) {
        let access = if settings.read_only { "read-only".to_owned() } else { user.access() };
        match generated {
            Some(password) => line(format_args!("user      {name}, password {password} ({access})")),
            None => line(format_args!("user      {name} ({access})")),
        }
    }
    if settings.anonymous {
        line(format_args!("user      anonymous (read-only)"));
    }
    let range = settings.service.ports.range();
    line(format_args!(
        "modes     passive on ports {}-{} and active; IPv4 and IPv6 alike",
        range.start(),
        range.end()
    ));
    if settings.pinholes != PinholesArg::None {
        let by = if let PinholesArg::Agent(gate) = settings.pinholes {
            format!("by the gate at {gate}")
        } else {
            "by nftables".to_owned()
        };
        line(format_args!("firewall  one hole per announced port, for one client, once, {by}"));
    }
    if let Some(found) = identity {
        let need = if settings.service.tls == TlsMode::Required { "required" } else { "offered" };
        let kept = match &found.self_signed {
            None => "your certificate".to_owned(),
            Some(Kept::File(path)) => format!("self-signed, {}", path.display()),
            Some(Kept::Nowhere) => "self-signed, for this run only".to_owned(),
        };
        line(format_args!("TLS       {need}; {kept}"));
        line(format_args!("          SHA-256 {}", found.identity.fingerprint_sha256()));
    } else {
        line(format_args!("TLS       off"));
    }
    if let Some((addr, implicit)) = listeners.first() {
        let host = reachable(*addr);
        let scheme = if *implicit { "ftps" } else { "ftp" };
        let user = users.first().map_or("anonymous", |(name, _)| name.as_str());
        let self_signed = identity.is_some_and(|found| found.self_signed.is_some());
        let lftp_trust = if self_signed { "set ssl:verify-certificate no; " } else { "" };
        let curl_tls = match (identity.is_some(), *implicit, self_signed) {
            (false, ..) => "",
            (true, true, true) => "-k ",
            (true, true, false) => "",
            (true, false, true) => "--ssl-reqd -k ",
            (true, false, false) => "--ssl-reqd ",
        };
        // A name alone makes both ask for the password, which an anonymous user has not got.
        let (comma, colon) = if users.is_empty() { (",", ":") } else { ("", "") };
        line(format_args!("try       lftp -u {user}{comma} -e '{lftp_trust}ls' {scheme}://{host}"));
        line(format_args!("          curl {curl_tls}-u {user}{colon} {scheme}://{host}/"));
    }
    line(format_args!("stop      Ctrl-C; running transfers may end"));
    out
}

/// The address to type: a wildcard is reached as the machine itself.
fn reachable(addr: SocketAddr) -> SocketAddr {
    let ip = match addr.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::from([127, 0, 0, 1]),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(std::net::Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, addr.port())
}
