//! Debian's vsftpd, set up to be as open as the tests need: any name and password may do everything. Takes root.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::CommandExt;
use std::process::{Child, Stdio};

use anyhow::{Context, Result, ensure};
use portway_peers::{Brand, Papers, Site};

use super::{Kind, Options, Subject};
use crate::wait::PATIENCE;
use crate::{Certificate, Control, Lines, Tls, TlsOptions, Tree, until};

pub(super) fn start(tree: Tree, certificate: Certificate, options: &Options) -> Result<Subject> {
    ensure!(options.flags.is_empty(), "vsftpd does not know {:?}", options.flags);
    ensure!(
        options.disk.is_none() && options.descriptors.is_none(),
        "vsftpd runs on the tree, without limits"
    );
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
    let (chain, key) = (subject.certificate.chain(), subject.certificate.key());
    let site = Site {
        home: chain.parent().context("the certificate has a folder")?,
        folder: subject.tree.path(),
        at,
        account: subject.account(),
        papers: tls.then_some(Papers { chain: &chain, key: &key }),
        implicit,
        more: "",
    };
    let mut command = Brand::Vsftpd.command(&site)?;
    command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context("cannot start vsftpd")
}
