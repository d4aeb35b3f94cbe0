//! The passive range: never left, never leaked, shared when it is small.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portway_e2e::{Control, PATIENCE, PortRange, Subject, Tls, TlsOptions, bytes, until};

use crate::subject;

fn descriptors(subject: &Subject) -> Result<usize> {
    let mut count = 0;
    for pid in subject.pids() {
        count += std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
    }
    Ok(count)
}

// Case 5.
#[test]
fn a_thousand_announcements_without_a_connection_leak_nothing() -> Result<()> {
    let range = PortRange::claim(3)?;
    let subject = subject(&["--passive-ports", &range.spelled()])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    control.epsv()?;
    let before = descriptors(&subject)?;
    for i in 0..1000 {
        let to = if i % 2 == 0 { control.epsv()? } else { control.pasv()? };
        ensure!((range.first..=range.last).contains(&to.port()), "port {} is outside the range", to.port());
    }
    let after = descriptors(&subject)?;
    ensure!(after <= before + 3, "{before} descriptors became {after}");
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// Case 4.
#[test]
fn sessions_beyond_the_range_share_it_or_get_425_at_once() -> Result<()> {
    let range = PortRange::claim(2)?;
    let subject = subject(&["--passive-ports", &range.spelled()])?;
    let mut sessions = Vec::new();
    let (mut ports, mut refused) = (BTreeSet::new(), 0);
    for _ in 0..8 {
        let mut control = subject.session()?;
        let begun = Instant::now();
        let reply = control.say("EPSV")?;
        // A shared port may come free within half a second, and the server waits for that.
        ensure!(begun.elapsed() < Duration::from_millis(1500), "{:?} for «{reply}»", begun.elapsed());
        match reply.code {
            229 => {
                let port: u16 = reply.between('(', ')').unwrap_or_default().trim_matches('|').parse()?;
                ports.insert(port);
            }
            425 => refused += 1,
            _ => anyhow::bail!("«{reply}»"),
        }
        control.expect("NOOP", 200)?;
        sessions.push(control);
    }
    println!("{} ports announced, {refused} sessions refused", ports.len());
    ensure!(
        ports.iter().all(|port| (range.first..=range.last).contains(port)),
        "{ports:?} outside {range:?}"
    );
    ensure!(!ports.is_empty());
    Ok(())
}

// Case 6.
#[test]
fn a_client_that_announces_and_leaves_frees_its_port_at_once() -> Result<()> {
    let range = PortRange::claim(1)?;
    let subject = subject(&["--passive-ports", &range.spelled()])?;
    subject.tree.write("file", "contents")?;
    for _ in 0..20 {
        let mut control = subject.session()?;
        control.epsv()?;
        control.hang_up();
    }
    let mut control = subject.session()?;
    let begun = Instant::now();
    until("the port is free again", Duration::from_secs(2), || {
        Ok((control.say("EPSV")?.code == 229).then_some(()))
    })?;
    ensure!(begun.elapsed() < Duration::from_secs(2));
    until("a transfer works", PATIENCE, || Ok(control.fetch("RETR file").ok()))?;
    Ok(())
}

/// What the sessions of a test show on their data connections.
#[derive(Clone, Copy)]
enum Tickets {
    None,
    Own,
    Shared,
}

/// Sixteen sessions, each with a file of its own, one data port, all at once and again and again.
fn swaps_none(tickets: Tickets, rounds: usize) -> Result<(usize, usize)> {
    let range = PortRange::claim(1)?;
    let subject = subject(&["--passive-ports", &range.spelled(), "--data-timeout", "2s"])?;
    let shared = Tls::new(&subject.certificate, TlsOptions::default())?;
    for i in 0..16 {
        subject.tree.write(format!("own{i}"), bytes(i, 50_000))?;
    }
    let outcome = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16_u64)
            .map(|i| {
                let (subject, shared) = (&subject, &shared);
                scope.spawn(move || -> Result<(usize, usize)> {
                    let mut control = Control::connect(subject.port()?)?;
                    match tickets {
                        Tickets::None => {}
                        Tickets::Own => {
                            control.secure(&Tls::new(&subject.certificate, TlsOptions::default())?)?;
                        }
                        Tickets::Shared => control.secure(shared)?,
                    }
                    control.login(subject.account())?;
                    let (mut served, mut refused) = (0, 0);
                    for _ in 0..rounds {
                        match one_transfer(&mut control, i)? {
                            true => served += 1,
                            false => refused += 1,
                        }
                    }
                    Ok((served, refused))
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a client panicked"))?)
            .collect::<Result<Vec<_>>>()
    })?;
    Ok(outcome.iter().fold((0, 0), |(a, b), (served, refused)| (a + served, b + refused)))
}

/// Whether the session got its file; a clean refusal is false, anything else an error.
fn one_transfer(control: &mut Control, i: u64) -> Result<bool> {
    let reply = control.say("EPSV")?;
    if reply.code == 425 {
        return Ok(false);
    }
    ensure!(reply.code == 229, "«{reply}»");
    let port: u16 = reply.between('(', ')').unwrap_or_default().trim_matches('|').parse()?;
    let joined = control.join(std::net::SocketAddr::from(([127, 0, 0, 1], port)));
    let reply = control.say(format!("RETR own{i}"))?;
    if matches!(reply.code, 425 | 450) {
        return Ok(false);
    }
    ensure!(reply.code == 150, "«{reply}»");
    let got = joined.and_then(|mut data| data.read_all());
    let last = control.reply()?;
    if last.code == 226 {
        ensure!(got? == bytes(i, 50_000), "session {i} got a file that is not its own");
        return Ok(true);
    }
    ensure!(matches!(last.code, 425 | 426), "«{last}»");
    // What arrived before the refusal is not somebody else's either.
    let got = got.unwrap_or_default();
    ensure!(bytes(i, 50_000).starts_with(&got), "session {i} got the beginning of another's file");
    Ok(false)
}

// Case 12, in clear: one address and one port cannot always tell sessions apart.
#[test]
fn clients_of_one_address_on_one_port_get_their_own_file_or_a_clean_refusal() -> Result<()> {
    let (served, refused) = swaps_none(Tickets::None, 10)?;
    println!("{served} served, {refused} refused");
    ensure!(served > 0, "nobody was ever served");
    Ok(())
}

// Case 12, under TLS: the ticket in the ClientHello names the session.
#[test]
fn under_tls_clients_of_one_address_share_one_port_and_all_are_served() -> Result<()> {
    let (served, refused) = swaps_none(Tickets::Own, 10)?;
    ensure!(refused == 0, "{served} served, {refused} refused");
    Ok(())
}

// Case 12: several sessions of one program with one ticket store, as `curl --parallel` has: a ticket may
// name a session that the connection does not belong to.
#[test]
fn sessions_that_mix_up_their_tickets_on_one_port_never_get_each_others_file() -> Result<()> {
    let (served, refused) = swaps_none(Tickets::Shared, 3)?;
    println!("{served} served, {refused} refused");
    Ok(())
}
