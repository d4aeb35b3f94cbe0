//! The configurations of the four servers, each in its own language. All serve the same folder in the same way.

use std::net::IpAddr;

use portway_peers::Brand as Peer;

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
    let folder = site.folder.display();
    let users = site.folder.join("users");
    let line = format!("{}:{}:0:0::{}:/bin/sh\n", site.user.0, crypt(site.user.1)?, site.served.display());
    std::fs::write(&users, line)
        .and_then(|()| std::fs::set_permissions(&users, std::os::unix::fs::PermissionsExt::from_mode(0o600)))
        .map_err(LabError::system("no accounts for ProFTPD"))?;
    let six = site.own.iter().any(IpAddr::is_ipv6);
    let addresses: Vec<String> = site.own.iter().map(IpAddr::to_string).collect();
    let mut lines: Vec<String> = [
        "ServerType standalone",
        "Port 21",
        // It asks whether it has become another; see `pretend`.
        "User root",
        "Group root",
        "RootLogin on",
        "AuthOrder mod_auth_file.c mod_auth_unix.c",
        "RequireValidShell off",
        "TransferLog none",
        "WtmpLog off",
        "UseReverseDNS off",
        "DelayEngine off",
        "MaxInstances 60",
        "AllowRetrieveRestart on",
    ]
    .map(str::to_owned)
    .into();
    lines.extend([
        format!("UseIPv6 {}", if six { "on" } else { "off" }),
        format!("DefaultAddress {}", addresses.join(" ")),
        format!("AuthUserFile {}", users.display()),
        format!("DefaultRoot {}", site.served.display()),
        format!("PidFile {folder}/pid"),
        format!("ScoreboardFile {folder}/scoreboard"),
        format!("SystemLog {folder}/system.log"),
        format!("PassivePorts {} {}", site.range.0, site.range.1),
    ]);
    if site.setting.login == Login::Anonymous {
        lines.extend([
            format!("<Anonymous {}>", site.served.display()),
            "  User ftp".to_owned(),
            "  Group root".to_owned(),
            "  UserAlias anonymous ftp".to_owned(),
            "</Anonymous>".to_owned(),
        ]);
    }
    let protection = site.setting.protection;
    if protection != Protection::Off {
        let modules = Peer::Proftpd.find()?.modules("proftpd");
        lines.extend(modules.map(|folder| format!("ModulePath {}", folder.display())));
        lines.extend([
            "LoadModule mod_tls.c".to_owned(),
            "TLSEngine on".to_owned(),
            "TLSProtocol TLSv1.2 TLSv1.3".to_owned(),
            format!("TLSRSACertificateFile {}", site.papers.certificate.display()),
            format!("TLSRSACertificateKeyFile {}", site.papers.key.display()),
            format!("TLSRequired {}", if protection == Protection::Required { "on" } else { "off" }),
            format!("TLSLog {folder}/tls.log"),
        ]);
        if protection != Protection::Resumed {
            lines.push("TLSOptions NoSessionReuseRequired".to_owned());
        }
    }
    lines.extend(announce.map(|ip| format!("MasqueradeAddress {ip}")));
    Ok(lines)
}

/// A password as `/etc/passwd` of old had it.
fn crypt(password: &str) -> Result<String, LabError> {
    let output = crate::program::find("openssl")?
        .args(["passwd", "-1", password])
        .output()
        .map_err(LabError::system("openssl"))?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
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
