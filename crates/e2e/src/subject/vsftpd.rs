//! Debian's vsftpd, set up to be as open as the tests need: any name and password may do everything.
//!
//! It asks PAM about passwords, and PAM's folder belongs to the machine; so it runs in a mount
//! namespace with a folder of our own there, which takes root.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Kind, Options, Subject};
use crate::wait::PATIENCE;
use crate::{Certificate, Control, Lines, Tls, TlsOptions, Tree, until};

pub(super) fn start(tree: Tree, certificate: Certificate, options: &Options) -> Result<Subject> {
    ensure!(options.flags.is_empty(), "vsftpd does not know {:?}", options.flags);
    ensure!(
        options.disk.is_none() && options.descriptors.is_none(),
        "vsftpd runs on the tree, without limits"
    );
    ensure!(Path::new("/usr/sbin/vsftpd").is_file(), "vsftpd is missing; install it: apt-get install vsftpd");
    let mut subject = Subject {
        tree,
        certificate,
        log: Lines::default(),
        summary: Lines::default(),
        kind: Kind::Vsftpd,
        account: options.users.first().cloned().context("vsftpd needs an account")?,
        plain: Vec::new(),
        implicit: Vec::new(),
        children: Vec::new(),
        proxy: None,
    };
    for (address, implicit) in
        options.listen.iter().map(|a| (*a, false)).chain(options.implicit.map(|a| (a, true)))
    {
        let at = TcpListener::bind((address, 0))?.local_addr()?;
        let child = spawn(&subject, at, implicit, options.tls)?;
        subject.children.push(child);
        let ports = if implicit { &mut subject.implicit } else { &mut subject.plain };
        ports.push(at);
        until("vsftpd listens", PATIENCE, || Ok(greets(&subject, at, implicit).ok()))?;
    }
    Ok(subject)
}

fn greets(subject: &Subject, at: SocketAddr, implicit: bool) -> Result<()> {
    if implicit {
        Control::implicit(at, &Tls::new(&subject.certificate, TlsOptions::default())?)?;
    } else {
        Control::connect(at)?;
    }
    Ok(())
}

fn spawn(subject: &Subject, at: SocketAddr, implicit: bool, tls: bool) -> Result<Child> {
    let v6 = at.is_ipv6();
    let mut config = String::new();
    let yes = |on: bool| if on { "YES" } else { "NO" };
    let (chain, key) = (subject.certificate.chain(), subject.certificate.key());
    let folder = chain.parent().context("the certificate has a folder")?;
    let log = folder.join("vsftpd.log");
    for (name, value) in [
        ("listen", yes(!v6)),
        ("listen_ipv6", yes(v6)),
        (if v6 { "listen_address6" } else { "listen_address" }, &at.ip().to_string()),
        ("listen_port", &at.port().to_string()),
        ("background", "NO"),
        ("seccomp_sandbox", "NO"),
        ("anonymous_enable", "NO"),
        ("local_enable", "YES"),
        ("guest_enable", "YES"),
        ("guest_username", "ftp"),
        ("virtual_use_local_privs", "YES"),
        ("check_shell", "NO"),
        ("pam_service_name", "vsftpd"),
        ("local_root", &subject.tree.path().display().to_string()),
        ("chroot_local_user", "YES"),
        ("allow_writeable_chroot", "YES"),
        ("write_enable", "YES"),
        ("local_umask", "000"),
        ("file_open_mode", "0666"),
        ("connect_from_port_20", "NO"),
        ("port_promiscuous", "NO"),
        ("pasv_min_port", "21000"),
        ("pasv_max_port", "29999"),
        ("hide_ids", "YES"),
        ("max_clients", "0"),
        ("max_per_ip", "0"),
        ("xferlog_enable", "YES"),
        ("vsftpd_log_file", &log.display().to_string()),
        ("ssl_enable", yes(tls)),
        ("force_local_data_ssl", "NO"),
        ("force_local_logins_ssl", "NO"),
        ("implicit_ssl", yes(implicit)),
        ("require_ssl_reuse", "NO"),
        ("ssl_ciphers", "HIGH"),
        ("rsa_cert_file", &chain.display().to_string()),
        ("rsa_private_key_file", &key.display().to_string()),
    ] {
        writeln!(config, "{name}={value}")?;
    }
    let file = folder.join(format!("vsftpd-{}-{}.conf", yes(v6), yes(implicit)));
    std::fs::write(&file, config)?;
    let pam = folder.join("pam.d");
    std::fs::create_dir_all(&pam)?;
    std::fs::write(pam.join("vsftpd"), "auth required pam_permit.so\naccount required pam_permit.so\n")?;
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--", "unshare", "--mount", "sh", "-c"]);
    command.arg("mount --bind \"$1\" /etc/pam.d && exec /usr/sbin/vsftpd \"$2\"").arg("sh").args([pam, file]);
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context("cannot start vsftpd")
}
