//! `portway status`: what a running server says of itself at `--admin`.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::Args;
use portway_admin::SessionStatus;
use serde::Deserialize;
use serde_json::Value;

/// The most that is read of an answer: 15,000 sessions and room to spare.
const MOST: u64 = 64 * 1024 * 1024;
const PATIENCE: Duration = Duration::from_secs(5);

/// The flags of `portway status`.
#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Where the server's or proxy's --admin listens
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:2180")]
    admin: SocketAddr,
    /// One JSON object, as the server gives it
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Deserialize)]
struct Told {
    version: String,
    up_seconds: f64,
    draining: bool,
    verdict: Option<String>,
    sessions: Vec<SessionStatus>,
    counters: Value,
}

/// Asks and prints.
pub(crate) fn run(args: &StatusArgs) -> Result<ExitCode> {
    let body = ask(args.admin)?;
    let mut out = std::io::stdout().lock();
    let text = if args.json {
        String::from_utf8_lossy(&body).into_owned() + "\n"
    } else {
        person(&serde_json::from_slice(&body).context("the answer is not as expected")?)
    };
    // A closed standard output (`| head`) ends it without a word.
    let _ = out.write_all(text.as_bytes());
    Ok(ExitCode::SUCCESS)
}

/// One GET in HTTP/1.0, which needs no more of HTTP than a status line and an end.
fn ask(admin: SocketAddr) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&admin, PATIENCE)
        .with_context(|| format!("nobody answers on {admin}; was it started with --admin {admin}?"))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /status HTTP/1.0\r\nHost: {admin}\r\n\r\n")?;
    let mut answer = BufReader::new(stream.take(MOST));
    let mut line = String::new();
    answer.read_line(&mut line)?;
    if line.split(' ').nth(1) != Some("200") {
        bail!("{admin} answers {:?}; that is not portway's --admin", line.trim_end());
    }
    while answer.read_line(&mut line)? > 0 && !matches!(line.lines().last(), Some("")) {}
    let mut body = Vec::new();
    answer.read_to_end(&mut body)?;
    Ok(body)
}

fn person(told: &Told) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    // Writing to a string cannot fail.
    let state = if told.draining { "ending, takes no new sessions" } else { "running" };
    let _ = writeln!(text, "portway {}, {state}, up {:.0} s", told.version, told.up_seconds);
    if let Some(verdict) = &told.verdict {
        let _ = writeln!(text, "verdict   {verdict}");
    }
    let count = |name: &str| told.counters.get(name).and_then(Value::as_u64).unwrap_or_default();
    let _ = writeln!(
        text,
        "sessions  {} now, {} so far; logins {} good, {} bad",
        told.sessions.len(),
        count("sessions_opened"),
        count("logins_ok"),
        count("logins_failed")
    );
    let _ = writeln!(
        text,
        "transfers {} complete, {} failed, {} given up; {} octets in, {} out",
        count("transfers_complete"),
        count("transfers_failed"),
        count("transfers_aborted"),
        count("bytes_in"),
        count("bytes_out")
    );
    // --admin listens on loopback only, so this kernel is the server's.
    let kernel =
        if portway_net::kernel_tls() { "offers TLS; portway does it itself" } else { "offers no TLS" };
    let _ = writeln!(text, "kernel    {kernel}");
    for (name, title) in [("data_failures", "no data"), ("refusals", "refused")] {
        for (word, number) in told.counters.get(name).and_then(Value::as_object).into_iter().flatten() {
            let _ = writeln!(text, "{title:<9} {word}: {number}");
        }
    }
    for session in &told.sessions {
        let user = session.user.as_deref().unwrap_or("-");
        let _ = write!(text, "#{:<8} {} {user} {}", session.session, session.peer, session.state);
        if let Some(transfer) = &session.transfer {
            let _ = write!(
                text,
                " {} {} {} octets in {:.1} s",
                transfer.verb, transfer.path, transfer.bytes, transfer.seconds
            );
        }
        text.push('\n');
    }
    text
}
