//! `explain`: both channels as one picture, or both modes side by side.

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use anyhow::{Context, Result, ensure};
use clap::Args;
use portway_client::{Body, Cause, Connection, Error, Job, Observer, Record, Seen, Settings, Target, Trace};
use portway_data::Progress;
use portway_proto::client::{Evidence, Judgement};
use serde_json::{Value, json};

use super::args::{ConnectArgs, Mode};
use super::picture::{Half, beside, draw};
use super::tell::Teller;

/// `explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// A directory to list (it ends with /), or a file to fetch (it is thrown away)
    url: String,
    /// Compare passive and active mode side by side; the same as --mode both
    #[arg(long)]
    compare: bool,
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

/// One run and what was seen of it.
struct Run {
    mode: Mode,
    records: Vec<Record>,
    result: Result<(), Error>,
}

pub(crate) async fn run(mut args: ExplainArgs) -> Result<ExitCode> {
    ensure!(!args.connect.quiet, "explain has nothing to say with --quiet");
    let teller = Teller::new(args.connect.json, false, false);
    let target = Target::parse(&args.url).with_context(|| args.url.clone())?;
    let modes: &[Mode] = match args.connect.mode {
        Mode::Both => &[Mode::Passive, Mode::Active],
        _ if args.compare => &[Mode::Passive, Mode::Active],
        Mode::Auto => &[Mode::Auto],
        Mode::Passive => &[Mode::Passive],
        Mode::Active => &[Mode::Active],
    };
    let mut runs = Vec::new();
    for &mode in modes {
        args.connect.mode = mode;
        let tape = Arc::new(Tape::default());
        let settings = args.connect.settings(&target, Trace::new(tape.clone()))?;
        let result = transfer(&target, settings).await;
        let records = tape.0.lock().map(|mut records| std::mem::take(&mut *records)).unwrap_or_default();
        runs.push(Run { mode, records, result });
    }
    if args.connect.json {
        for run in &runs {
            tell_json(run, &teller)?;
        }
    } else {
        tell(&runs);
    }
    for run in &runs {
        match &run.result {
            Err(error) if args.connect.json => teller.failed(&target.path, error),
            // The picture has said it.
            Err(error) => teller.counts(error),
            Ok(()) => {}
        }
    }
    Ok(teller.exit())
}

/// Runs a listing or a download over a session of its own and draws it.
pub(super) async fn show(target: &Target, settings: &Settings) {
    let tape = Arc::new(Tape::default());
    let settings = Settings { trace: Trace::new(tape.clone()), ..settings.clone() };
    let result = transfer(target, Arc::new(settings)).await;
    let records = tape.0.lock().map(|mut records| std::mem::take(&mut *records)).unwrap_or_default();
    tell(&[Run { mode: Mode::Auto, records, result }]);
}

fn tell(runs: &[Run]) {
    let colour = io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let lines: Vec<String> = match runs {
        [left, right] => {
            let half = |title, run| {
                let Run { records, result, .. }: &Run = run;
                Half { title, records, result: result.as_ref().copied().map(drop) }
            };
            beside([half("PASSIVE: you connect", left), half("ACTIVE: the server connects", right)], colour)
        }
        runs => runs
            .iter()
            .flat_map(|run| draw(&run.records, run.result.as_ref().copied().map(drop)))
            .map(|line| line.shown(colour))
            .collect(),
    };
    let mut out = io::stdout();
    for line in lines {
        // A closed pipe ends the output, and there is nobody left to tell.
        let _ = writeln!(out, "{line}");
    }
}

fn tell_json(run: &Run, teller: &Teller) -> Result<()> {
    let word = run.mode.word();
    for record in &run.records {
        let mut value = serde_json::to_value(record)?;
        if let Value::Object(facts) = &mut value {
            facts.insert("tried".to_owned(), word.into());
        }
        teller.object(&value);
    }
    teller.object(&verdict(word, &run.records, &run.result));
    Ok(())
}

/// The facts that a reader of the picture takes away.
fn verdict(tried: &str, records: &[Record], result: &Result<(), Error>) -> Value {
    let last = |wanted: &dyn Fn(&Seen) -> bool| records.iter().map(|r| &r.seen).rfind(|seen| wanted(seen));
    let open = last(&|seen| matches!(seen, Seen::DataOpen { .. }));
    let (mode, from, to) = match open {
        Some(Seen::DataOpen { mode: "active", local, peer, .. }) => (Some("active"), Some(peer), Some(local)),
        Some(Seen::DataOpen { mode, local, peer, .. }) => (Some(*mode), Some(local), Some(peer)),
        _ => (None, None, None),
    };
    let sides = mode.map(|mode| if mode == "active" { ("client", "server") } else { ("server", "client") });
    let tls = |on: &str| match last(&|seen| matches!(seen, Seen::Tls { channel, .. } if *channel == on)) {
        Some(Seen::Tls { version, cipher, resumed, .. }) => {
            json!({"version": version, "cipher": cipher, "resumed": resumed})
        }
        _ => Value::Null,
    };
    let announced = last(&|seen| matches!(seen, Seen::Announced { .. }));
    let (by, address) = match announced {
        Some(Seen::Announced { by, addr, .. }) => (Some(*by), Some(addr)),
        _ => (None, None),
    };
    let stopped = result.as_ref().err().map(|error| {
        let attempts = match &error.cause {
            Cause::NoData(verdict) => serde_json::to_value(&verdict.attempts).unwrap_or_default(),
            _ => Value::Null,
        };
        json!({
            "phase": error.phase, "channel": error.phase.channel(), "blame": error.blame, "class": error.class(),
            "message": error.to_string(), "remedy": error.remedy(), "attempts": attempts,
        })
    });
    json!({
        "event": "verdict", "tried": tried, "works": result.is_ok(), "mode": mode, "command": by,
        "announced": address, "announced_by": sides.map(|sides| sides.0), "connected_by": sides.map(|sides| sides.1),
        "from": from, "to": to, "control_tls": tls("control"), "data_tls": tls("data"), "stopped": stopped,
    })
}

async fn transfer(target: &Target, settings: Arc<Settings>) -> Result<(), Error> {
    let mut connection = Connection::open(target, settings).await?;
    if target.directory {
        connection.list((!target.path.is_empty()).then_some(target.path.as_slice())).await?;
    } else {
        let mut away = |_: &[u8]| Ok(());
        let job = Job::Retr { path: &target.path, offset: 0 };
        let done =
            connection.transfer(job, Body::To(&mut away), target.representation, &Progress::new()).await?;
        let reply = done.reply.as_ref().map(|reply| reply.code);
        let evidence = Evidence { expected: None, reached: done.octets, end: done.end, reply, upload: false };
        if !matches!(evidence.judge(), Judgement::Complete | Judgement::CompleteByProof) {
            return Err(done.into_error(None));
        }
    }
    connection.quit().await;
    Ok(())
}
