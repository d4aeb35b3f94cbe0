//! Files beyond 2 GiB, sparse on disk and compared while they stream.

use std::time::Duration;

use anyhow::{Result, ensure};
use portway_e2e::clients::{Curl, Site};
use portway_e2e::{Cell, Family, Mode, Options, Security, Subject, Tree};

const LENGTH: u64 = 3 << 30;

#[test]
fn three_gibibytes_reach_curl_in_clear() -> Result<()> {
    curl(Security::Plain)
}

#[test]
fn three_gibibytes_reach_curl_under_tls() -> Result<()> {
    curl(Security::Explicit)
}

fn curl(security: Security) -> Result<()> {
    let subject = Subject::start(&Options::default())?;
    let file = subject.tree.sparse("large.bin", LENGTH)?;
    let home = Tree::new()?;
    let cell = Cell { mode: Mode::Passive, family: Family::V4, security };
    let site = Site { subject: &subject, cell, home: home.path() };
    let curl = Curl::at(&site)?.arg(Curl::url(&site, b"large.bin")?).limit(Duration::from_secs(120));
    ensure!(curl.compare(&file)? == LENGTH);
    Ok(())
}
