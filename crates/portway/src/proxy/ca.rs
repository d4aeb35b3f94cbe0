//! `portway proxy ca`: the authority in whose name a proxy may stand in for servers.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use portway_net::Leaves;

use super::args::CaArgs;

const CERT: &str = "proxy-ca.pem";
const KEY: &str = "proxy-ca.key";

use crate::out;

/// Makes it, unless it is there.
pub(super) fn make(args: &CaArgs) -> Result<ExitCode> {
    let dir = &args.dir;
    if dir.join(KEY).exists() {
        bail!(
            "there is an authority in {} already; whoever trusts it would not trust another",
            dir.display()
        );
    }
    let issued = Leaves::create().context("no authority")?;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .with_context(|| format!("cannot make {}", dir.display()))?;
    write(&dir.join(KEY), issued.key.as_bytes(), 0o600)?;
    write(&dir.join(CERT), issued.cert.as_bytes(), 0o644)?;
    out::line(format_args!("authority {}", dir.join(CERT).display()));
    out::line(format_args!("key       {}, readable by you alone", dir.join(KEY).display()));
    out::line(format_args!(
        "next      have clients trust the authority, and run: portway proxy --transparent --ca-dir {}",
        dir.display()
    ));
    Ok(ExitCode::SUCCESS)
}

/// The authority of `--ca-dir`.
pub(crate) fn load(dir: &Path) -> Result<Arc<Leaves>> {
    let file = dir.join(KEY);
    let key = zeroize::Zeroizing::new(fs::read_to_string(&file).with_context(|| {
        format!("no authority at {}; `portway proxy ca {}` makes one", file.display(), dir.display())
    })?);
    Ok(Arc::new(Leaves::load(&key).with_context(|| format!("{}", file.display()))?))
}

fn write(path: &Path, text: &[u8], mode: u32) -> Result<()> {
    let file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text)).with_context(|| format!("cannot write {}", path.display()))
}
