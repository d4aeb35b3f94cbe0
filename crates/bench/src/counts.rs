//! Instructions that the hot paths take, by callgrind: the same on a busy machine as on a quiet one.
//!
//! The server has one worker thread and its files in memory. It serves the same thing a few times and then
//! more often; what the difference took, over how often more, is one figure. Start, login and end
//! are in both and cancel out. The kernel's part is not seen.

mod subject;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use portway_e2e::{Certificate, Control, Tls, TlsOptions};

use crate::load;

/// What is served, and how often at least and at most.
const PATHS: [(&str, Path, usize, usize); 6] = [
    ("one command answered (NOOP)", Path { tls: false, what: What::Noop }, 100, 1100),
    ("1 KiB by RETR", Path { tls: false, what: What::Small }, 20, 220),
    ("1 KiB by RETR, TLS", Path { tls: true, what: What::Small }, 20, 120),
    ("MLSD of 1,000 entries", Path { tls: false, what: What::List }, 4, 14),
    ("1 MiB by RETR, TLS", Path { tls: true, what: What::Large }, 4, 24),
    ("1 MiB by STOR, TLS", Path { tls: true, what: What::Up }, 4, 24),
];

/// How much more than the stored figure is still the same: the runtime's wake-ups vary a little.
const TOLERANCE: f64 = 1.05;

#[derive(Clone, Copy)]
struct Path {
    tls: bool,
    what: What,
}

#[derive(Clone, Copy)]
enum What {
    Noop,
    Small,
    List,
    Large,
    Up,
}

/// Prints the figures; `--check` compares them with the stored ones, `--update` stores them.
///
/// # Errors
/// When one has grown too much, or cannot be taken.
pub(crate) fn run(options: &[String]) -> Result<()> {
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let option = match *options.as_slice() {
        ["subject", chain, key] => return subject::serve(chain.as_ref(), key.as_ref()),
        [] => None,
        [option] => Some(option),
        _ => bail!("one option at a time"),
    };
    let file = crate::home()?.join("counts.txt");
    let stored = match option {
        Some("--check") => Some(fs::read_to_string(&file).with_context(|| format!("{}", file.display()))?),
        None | Some("--update") => None,
        Some(other) => bail!("unknown option {other}; there are --check and --update"),
    };
    let (mut text, mut grown) = (String::new(), Vec::new());
    for (name, path, few, many) in PATHS {
        let each = (spent(path, many)? - spent(path, few)?) / (many - few) as f64;
        let line = format!("{name:<32}{each:>12.0}");
        let before = stored.as_deref().and_then(|stored| figure(stored, name));
        match before {
            Some(before) => println!("{line}  {:+.1} %", (each / before - 1.0) * 100.0),
            None => println!("{line}"),
        }
        if stored.is_some() && before.is_none_or(|before| each > before * TOLERANCE) {
            grown.push(name);
        }
        text.push_str(&line);
        text.push('\n');
    }
    if option == Some("--update") {
        fs::write(&file, text)?;
    }
    ensure!(
        grown.is_empty(),
        "more than 5 % above bench/counts.txt, or not in it: {}. Make it cheaper, or say in the commit why it \
         costs more and run with --update",
        grown.join("; ")
    );
    Ok(())
}

fn figure(stored: &str, name: &str) -> Option<f64> {
    stored.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

/// Instructions of a server's whole life in which it serves this so often.
fn spent(path: Path, times: usize) -> Result<f64> {
    let certificate = Certificate::new("portway bench")?;
    let out = tempfile::NamedTempFile::new()?;
    let mut server = Command::new("valgrind")
        .args(["--quiet", "--tool=callgrind"])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(std::env::current_exe()?)
        .args(["counts", "subject"])
        .args([certificate.chain(), certificate.key()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("valgrind (Debian: valgrind) cannot be started")?;
    let mut address = String::new();
    BufReader::new(server.stdout.take().context("no stdout")?).read_line(&mut address)?;
    let mut control = Control::connect(address.trim().parse().context("the server did not start")?)?;
    let keys = match path.tls {
        true => Some(Tls::new(&certificate, TlsOptions { aes128: true, ..TlsOptions::default() })?),
        false => None,
    };
    if let Some(keys) = &keys {
        control.secure(keys)?;
    }
    control.login(subject::ACCOUNT)?;
    let mut source = tempfile::tempfile()?;
    source.write_all(&portway_e2e::bytes(2, 1 << 20))?;
    for _ in 0..times {
        serve(&mut control, path.what, &source)?;
    }
    control.expect("QUIT", 221)?;
    drop(server.stdin.take());
    ensure!(server.wait()?.success(), "the server did not end well");
    let told = fs::read_to_string(out.path())?;
    let total = told.lines().find_map(|line| line.strip_prefix("totals: ")?.trim().parse().ok());
    total.context("callgrind left no total")
}

fn serve(control: &mut Control, what: What, source: &fs::File) -> Result<()> {
    match what {
        What::Noop => drop(control.expect("NOOP", 200)?),
        What::Small => drop(load::small_files(control, "small", 1, Duration::MAX)?),
        What::List => drop(control.fetch("MLSD many")?),
        What::Large => drop(load::download(control, "large")?),
        What::Up => drop(load::upload(control, source, "STOR up")?),
    }
    Ok(())
}
