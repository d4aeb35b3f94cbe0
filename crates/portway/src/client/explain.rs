//! `explain`: both channels as one picture.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result};
use clap::Args;
use portway_client::{Body, Connection, Error, Job, Observer, Record, Seen, Target, Trace};
use portway_data::Progress;

use super::args::ConnectArgs;
use super::tell::Teller;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A directory to list, or a file to fetch (it is thrown away)
    url: String,
    #[command(flatten)]
    connect: ConnectArgs,
}

#[derive(Default)]
struct Tape(Mutex<Vec<Record>>);

impl Observer for Tape {
    fn seen(&self, record: Record) {
        if let Ok(mut records) = self.0.lock() {
            records.push(record);
        }
    }
}

pub(crate) async fn run(args: ExplainArgs) -> Result<ExitCode> {
    let teller = Teller::new(args.connect.json, args.connect.quiet, args.connect.trace);
    let target = Target::parse(&args.url).with_context(|| args.url.clone())?;
    let tape = Arc::new(Tape::default());
    let settings = args.connect.settings(&target, Trace::new(tape.clone()))?;
    let result = transfer(&target, settings).await;
    let records = tape.0.lock().map(|mut records| std::mem::take(&mut *records)).unwrap_or_default();
    if args.connect.json {
        for record in &records {
            teller.object(&serde_json::to_value(record)?);
        }
    } else {
        let mut out = io::stdout();
        for line in draw(&records, &result) {
            let _ = writeln!(out, "{line}");
        }
    }
    if let Err(error) = &result {
        teller.failed(&target.path, error);
    }
    Ok(teller.exit())
}

async fn transfer(target: &Target, settings: Arc<portway_client::Settings>) -> Result<(), Error> {
    let mut connection = Connection::open(target, settings).await?;
    if target.directory {
        connection.list((!target.path.is_empty()).then_some(target.path.as_slice())).await?;
    } else {
        let mut away = |_: &[u8]| Ok(());
        let job = Job::Retr { path: &target.path, offset: 0 };
        connection.transfer(job, Body::To(&mut away), target.representation, &Progress::new()).await?;
    }
    connection.quit().await;
    Ok(())
}

/// Columns of the picture.
const WIDTH: usize = 80;

/// The picture, line by line.
fn draw(records: &[Record], result: &Result<(), Error>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut data = 0_u32;
    for record in records {
        match &record.seen {
            Seen::Connected { local, peer, round_trip_us } => {
                lines.push(ends("YOU (client)", "SERVER"));
                lines.push(ends(&local.ip().to_string(), &peer.ip().to_string()));
                lines.push(String::new());
                lines.push(arrow(
                    "control",
                    &format!(":{}", local.port()),
                    &format!(":{}", peer.port()),
                    true,
                    '=',
                ));
                lines.push(format!(
                    "          you connected; a packet there and back takes {:.1} ms",
                    *round_trip_us as f64 / 1000.0
                ));
            }
            Seen::Sent { line } => lines.push(format!("  > {line}")),
            Seen::Received { code, lines: said } => {
                let first = said.first().map(|line| line.trim()).unwrap_or_default();
                let more =
                    if said.len() > 1 { format!(" [+{} lines]", said.len() - 1) } else { String::new() };
                lines.push(right(&format!("{code} {first}{more} <")));
            }
            Seen::Tls { channel, version, cipher: _, resumed } => {
                let how = match (*channel, *resumed) {
                    ("data", true) => ", and it resumed the control channel's session: same client, proven",
                    ("data", false) => ", a new session: some servers refuse that",
                    _ => "",
                };
                lines.extend(wrap(&format!("TLS {version} on the {channel} channel{how}.")));
            }
            Seen::Announced { by, addr, instead } => {
                let who = if matches!(*by, "PASV" | "EPSV") {
                    "The SERVER announces a port, and YOU will connect to it (passive mode)"
                } else {
                    "YOU announce a port, and the SERVER will connect to it (active mode)"
                };
                lines.push(format!("    ** {by}: {addr} **"));
                lines.extend(wrap(&format!("{who}.")));
                if let Some(used) = instead {
                    lines.extend(wrap(&format!(
                        "{} cannot be the server's address as seen from here; {used} is used instead.",
                        addr.ip()
                    )));
                }
            }
            Seen::DataOpen { mode, local, peer, took_us } => {
                data += 1;
                let passive = *mode == "passive";
                lines.push(arrow(
                    &format!("data #{data}"),
                    &format!(":{}", local.port()),
                    &format!(":{}", peer.port()),
                    passive,
                    '-',
                ));
                let who = if passive { "you connected to the server" } else { "the server connected to you" };
                lines.push(format!("          {mode}: {who}, in {:.1} ms", *took_us as f64 / 1000.0));
            }
            Seen::DataFailed { by, to, why, took_us } => {
                data += 1;
                let port = to.map(|to| format!(":{}", to.port())).unwrap_or_default();
                let passive = matches!(*by, "PASV" | "EPSV");
                lines.push(blocked(&format!("data #{data}"), &port, passive));
                lines.extend(wrap(&format!("{by} failed after {:.1} s: {why}", *took_us as f64 / 1e6)));
            }
            Seen::DataDone { octets, down, end } => {
                let way = if *down { "came from the server" } else { "went to the server" };
                lines.push(format!("          {octets} octets {way}; end: {end}"));
            }
            Seen::Note { text } => lines.extend(wrap(text)),
            Seen::Closed => lines.push("  control connection closed".to_owned()),
            _ => {}
        }
    }
    lines.push(String::new());
    lines.extend(match result {
        Ok(()) => wrap("verdict: both channels work."),
        Err(error) => wrap(&format!("verdict: {error}")),
    });
    lines.into_iter().map(|line| line.chars().take(WIDTH).collect::<String>().trim_end().to_owned()).collect()
}

fn ends(left: &str, right: &str) -> String {
    let room = WIDTH.saturating_sub(left.chars().count() + right.chars().count());
    format!("{left}{}{right}", " ".repeat(room))
}

fn right(text: &str) -> String {
    let text: String = text.chars().take(WIDTH - 8).collect();
    format!("{text:>WIDTH$}")
}

fn arrow(name: &str, left: &str, right: &str, to_the_right: bool, stroke: char) -> String {
    let head = format!("{name:<9} {left:<7}");
    let room = WIDTH.saturating_sub(head.len() + right.len() + 3);
    let line: String = std::iter::repeat_n(stroke, room).collect();
    if to_the_right { format!("{head} {line}> {right}") } else { format!("{head} <{line} {right}") }
}

fn blocked(name: &str, port: &str, passive: bool) -> String {
    let room = "-".repeat(22);
    if passive {
        ends(&format!("{name:<9} you     {room}>X"), port)
    } else {
        ends(&format!("{name:<9} {port:<7}"), &format!("X<{room} server"))
    }
}

fn wrap(text: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = "         ".to_owned();
    for word in text.split(' ') {
        if line.chars().count() + word.chars().count() + 1 > WIDTH && line.trim() != "" {
            lines.push(std::mem::replace(&mut line, "         ".to_owned()));
        }
        line.push(' ');
        line.push_str(word);
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_picture_fits_eighty_columns_and_names_who_announced_and_who_connected() {
        let (you, server) = ("192.0.2.7:51544".parse().unwrap(), "198.51.100.1:21".parse().unwrap());
        let port = "198.51.100.1:43102".parse().unwrap();
        let seen = [
            Seen::Connected { local: you, peer: server, round_trip_us: 21_000 },
            Seen::Sent { line: "EPSV".to_owned() },
            Seen::Received {
                code: 229,
                lines: vec!["Entering Extended Passive Mode (|||43102|)".to_owned()],
            },
            Seen::Announced { by: "EPSV", addr: port, instead: None },
            Seen::DataFailed {
                by: "EPSV",
                to: Some(port),
                why: "no answer within 1.1 s".to_owned(),
                took_us: 1_100_000,
            },
            Seen::Announced { by: "PORT", addr: you, instead: None },
            Seen::DataOpen { mode: "active", local: you, peer: server, took_us: 30_000 },
            Seen::DataDone { octets: 1024, down: true, end: "clean".to_owned() },
        ];
        let records: Vec<Record> =
            seen.into_iter().map(|seen| Record { at: Duration::ZERO, connection: 1, seen }).collect();
        let picture = draw(&records, &Ok(()));
        assert!(picture.iter().all(|line| line.chars().count() <= WIDTH), "{picture:#?}");
        let text = picture.join("\n");
        for part in [
            "** EPSV: 198.51.100.1:43102 **",
            "SERVER announces a port, and YOU will connect",
            ">X",
            "YOU announce a port, and the SERVER will connect",
            "<-----",
            "the server connected to you",
            "verdict: both channels work",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
    }
}
