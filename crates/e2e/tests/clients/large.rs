//! Files beyond 2 GiB, sparse on disk and compared while they stream.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Duration;

use anyhow::{Result, ensure};
use portway_e2e::clients::{Curl, Lftp, Site};
use portway_e2e::{Cell, Family, Mode, Options, Program, Security, Subject, Tree};

const LENGTH: u64 = 3 << 30;

#[test]
fn three_gibibytes_reach_curl_in_clear() -> Result<()> {
    curl(Security::Plain)
}

#[test]
fn three_gibibytes_reach_curl_under_tls() -> Result<()> {
    curl(Security::Explicit)
}

#[test]
fn three_gibibytes_reach_lftp() -> Result<()> {
    served(Security::Plain, |site| Lftp::at(site, b"cat large.bin\n", false))
}

// Offsets beyond what 32 bits hold, signed or not.
#[test]
fn downloads_resume_beyond_two_and_four_gibibytes() -> Result<()> {
    let subject = Subject::start(&Options::default())?;
    let length = 5 << 30;
    let file = File::open(subject.tree.sparse("large.bin", length)?)?;
    let mut control = subject.session()?;
    ensure!(control.expect("SIZE large.bin", 213)?.value() == length.to_string());
    for offset in [(2 << 30) - 1, 2 << 30, (4 << 30) - 1, 4 << 30, length - 64] {
        control.expect(format!("REST {offset}"), 350)?;
        let mut data = control.begin("RETR large.bin")?;
        let (mut got, mut wanted) = ([0; 64], [0; 64]);
        data.read_exact(&mut got)?;
        file.read_exact_at(&mut wanted, offset)?;
        ensure!(got == wanted, "other octets at {offset}");
        if offset < length - 64 {
            control.send("ABOR\r\n")?;
            control.expect_reply(426)?;
            control.expect_reply(226)?;
        } else {
            data.read_all()?;
            control.end()?;
        }
    }
    Ok(())
}

fn curl(security: Security) -> Result<()> {
    served(security, |site| Ok(Curl::at(site)?.arg(Curl::url(site, b"large.bin")?)))
}

/// Runs a client that writes `large.bin` to its standard output.
fn served(security: Security, client: impl FnOnce(&Site<'_>) -> Result<Program>) -> Result<()> {
    let subject = Subject::start(&Options::default())?;
    let file = subject.tree.sparse("large.bin", LENGTH)?;
    let home = Tree::new()?;
    let cell = Cell { mode: Mode::Passive, family: Family::V4, security };
    let site = Site { subject: &subject, cell, home: home.path() };
    ensure!(client(&site)?.limit(Duration::from_secs(120)).compare(&file)? == LENGTH);
    Ok(())
}
