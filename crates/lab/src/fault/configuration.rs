//! The configurations of the four servers, each in its own language. All serve the same folder in the same way.

use std::net::IpAddr;

use portway_peers::{Brand as Peer, proftpd};

use super::server::Site;
use super::setting::{Announce, Brand, Login, Protection};
use crate::error::LabError;

/// The lines of the server's configuration.
pub(super) fn lines(site: &Site<'_>) -> Result<Vec<String>, LabError> {
    let announce = match site.setting.announce {
        Announce::Own => None,
        Announce::Public => Some(site.public),
        Announce::Stale => Some(site.stale),
    };
    Ok(match site.setting.server {
        Brand::Portway => portway(site, announce),
        Brand::Vsftpd => vsftpd(site, announce),
        Brand::Proftpd => proftpd(site, announce)?,
        Brand::PureFtpd => pure_ftpd(site, announce)?,
    })
}

fn portway(site: &Site<'_>, announce: Option<IpAddr>) -> Vec<String> {
    let at = |port: u16| {
        let each =
            site.own.iter().map(|ip| format!("{:?}", std::net::SocketAddr::new(*ip, port).to_string()));
        format!("[{}]", each.collect::<Vec<_>>().join(", "))
    };
    let tls = match site.setting.protection {
        Protection::Off => "off",
        Protection::Offered | Protection::Resumed => "on",
        Protection::Required => "required",
    };
    let mut lines = vec![
        format!("directory = {:?}", site.served),
        format!("listen = {}", at(21)),
        "read_only = true".to_owned(),
        format!("passive_ports = \"{}-{}\"", site.range.0, site.range.1),
        format!("tls = {tls:?}"),
    ];
    if site.setting.protection != Protection::Off {
        lines.push(format!("cert = {:?}", site.papers.certificate));
        lines.push(format!("key = {:?}", site.papers.key));
    }
    if site.setting.implicit {
        lines.push(format!("implicit = {}", at(990)));
    }
    if site.setting.protection == Protection::Resumed {
        lines.push("data_proof = \"required\"".to_owned());
    }
    match site.setting.login {
        Login::Anonymous => lines.push("anonymous = true".to_owned()),
        Login::User | Login::Wrong => {
            lines.push(format!("users = [{{ name = {:?}, password = {:?} }}]", site.user.0, site.user.1));
        }
    }
    lines.extend(announce.map(|ip| format!("passive_address = \"{ip}\"")));
    lines
}

fn vsftpd(site: &Site<'_>, announce: Option<IpAddr>) -> Vec<String> {
    let yes = |on: bool| if on { "YES" } else { "NO" };
    let six = site.own.iter().any(IpAddr::is_ipv6);
    let protection = site.setting.protection;
    let mut lines = portway_peers::vsftpd::anonymous(site.served, &site.folder.join("empty"));
    lines.extend(portway_peers::vsftpd::ONE_USER.map(str::to_owned));
    lines.extend([
        "allow_anon_ssl=YES".to_owned(),
        "ssl_ciphers=HIGH".to_owned(),
        format!("listen={}", yes(!six)),
        format!("listen_ipv6={}", yes(six)),
        format!("pasv_min_port={}", site.range.0),
        format!("pasv_max_port={}", site.range.1),
        format!("ssl_enable={}", yes(protection != Protection::Off)),
        format!("require_ssl_reuse={}", yes(protection == Protection::Resumed)),
        format!("force_anon_logins_ssl={}", yes(protection == Protection::Required)),
        format!("force_anon_data_ssl={}", yes(protection == Protection::Required)),
        format!("rsa_cert_file={}", site.papers.certificate.display()),
        format!("rsa_private_key_file={}", site.papers.key.display()),
    ]);
    lines.extend(announce.map(|ip| format!("pasv_address={ip}")));
    lines
}

fn proftpd(site: &Site<'_>, announce: Option<IpAddr>) -> Result<Vec<String>, LabError> {
    // It asks whether it has become another; see `pretend`.
    let users = proftpd::users(site.folder, site.user, 0, site.served)?;
    let on = |on: bool| if on { "on" } else { "off" }.to_owned();
    let addresses: Vec<String> = site.own.iter().map(IpAddr::to_string).collect();
    let mut lines = proftpd::standing(site.folder);
    lines.extend([
        ("User", "root".to_owned()),
        ("Group", "root".to_owned()),
        ("RootLogin", on(true)),
        ("AuthOrder", "mod_auth_file.c mod_auth_unix.c".to_owned()),
        ("AuthUserFile", users.display().to_string()),
        ("DefaultAddress", addresses.join(" ")),
        ("Port", "21".to_owned()),
        ("UseIPv6", on(site.own.iter().any(IpAddr::is_ipv6))),
        ("DefaultRoot", site.served.display().to_string()),
        ("TransferLog", "none".to_owned()),
        ("PassivePorts", format!("{} {}", site.range.0, site.range.1)),
    ]);
    let protection = site.setting.protection;
    if protection != Protection::Off {
        lines.extend(proftpd::tls(&Peer::Proftpd.find()?, site.folder));
        lines.extend([
            ("TLSRSACertificateFile", site.papers.certificate.display().to_string()),
            ("TLSRSACertificateKeyFile", site.papers.key.display().to_string()),
            ("TLSRequired", on(protection == Protection::Required)),
        ]);
        if protection != Protection::Resumed {
            lines.push(("TLSOptions", "NoSessionReuseRequired".to_owned()));
        }
    }
    lines.extend(announce.map(|ip| ("MasqueradeAddress", ip.to_string())));
    let mut lines: Vec<String> = lines.into_iter().map(|(key, value)| format!("{key} {value}")).collect();
    if site.setting.login == Login::Anonymous {
        lines.extend([
            format!("<Anonymous {}>", site.served.display()),
            "  User ftp".to_owned(),
            "  Group root".to_owned(),
            "  UserAlias anonymous ftp".to_owned(),
            "</Anonymous>".to_owned(),
        ]);
    }
    Ok(lines)
}

fn pure_ftpd(site: &Site<'_>, announce: Option<IpAddr>) -> Result<Vec<String>, LabError> {
    let tls = match site.setting.protection {
        Protection::Off => 0,
        Protection::Offered | Protection::Resumed => 1,
        Protection::Required => 2,
    };
    let six = site.own.iter().any(IpAddr::is_ipv6);
    let anonymous = site.setting.login == Login::Anonymous;
    let yes = |on: bool| if on { "yes" } else { "no" };
    let mut lines: Vec<String> = [
        "Daemonize no",
        "DontResolve yes",
        "MaxClientsNumber 60",
        "MaxClientsPerIP 60",
        "ChrootEveryone yes",
        "MinUID 100",
        "AnonymousCantUpload yes",
        "SyslogFacility none",
    ]
    .map(str::to_owned)
    .into();
    lines.extend([
        format!("AnonymousOnly {}", yes(anonymous)),
        format!("NoAnonymous {}", yes(!anonymous)),
        format!("IPV4Only {}", yes(!six)),
        format!("PIDFile {}", site.folder.join("pid").display()),
        format!("PassivePortRange {} {}", site.range.0, site.range.1),
        format!("TLS {tls}"),
    ]);
    if tls > 0 {
        lines.push(format!("CertFile {}", site.papers.both.display()));
    }
    lines.extend(announce.map(|ip| format!("ForcePassiveIP {ip}")));
    Ok(lines)
}
