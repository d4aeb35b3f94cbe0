//! What the user sees: lines, bars, JSON, and the exit code.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use portway_client::{Cause, Error, Observer, Record, Seen, Trace};
use portway_data::Progress;
use portway_proto::printable;
use serde_json::{Value, json};

mod total;

use total::Total;

/// Speaks to the user, in the way the flags say.
#[derive(Clone)]
pub(crate) struct Teller {
    json: bool,
    quiet: bool,
    trace: bool,
    last: Arc<Mutex<VecDeque<Record>>>,
    codes: Arc<Mutex<Vec<u8>>>,
    total: Arc<Mutex<Option<Total>>>,
}

/// Happenings kept for the picture of a failure.
const KEPT: usize = 200;

impl Teller {
    pub(crate) fn new(json: bool, quiet: bool, trace: bool) -> Self {
        super::underway::in_json(json);
        Self { json, quiet, trace, last: Arc::default(), codes: Arc::default(), total: Arc::default() }
    }

    /// The trace that shows what happens, if that is wanted.
    pub(crate) fn tracing(&self) -> Trace {
        if self.trace { Trace::new(Arc::new(self.clone())) } else { Trace::default() }
    }

    /// One that tells of failures only, and counts them with this one.
    pub(crate) fn silent(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// Whether output is for machines.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// One JSON object a line, on standard output.
    pub(crate) fn object(&self, value: &Value) {
        // A closed pipe ends the output, not the transfer.
        let _ = writeln!(io::stdout(), "{value}");
    }

    /// A line for a person, on standard error so that standard output stays data.
    pub(crate) fn line(&self, text: impl std::fmt::Display) {
        if !self.quiet && !self.json {
            self.write(&text.to_string());
        }
    }

    /// Above the total, if there is one.
    fn write(&self, text: &str) {
        let bar = self.total.lock().ok().and_then(|total| total.as_ref().map(|total| total.bar.clone()));
        match bar {
            Some(bar) => bar.suspend(|| drop(writeln!(io::stderr(), "{text}"))),
            // A closed pipe ends the words, not the transfer.
            None => drop(writeln!(io::stderr(), "{text}")),
        }
    }

    /// From now on a line at the bottom of a terminal counts what [`Self::counted`] tells.
    pub(crate) fn begin_total(&self) {
        if self.quiet || self.json || self.trace || !io::stderr().is_terminal() {
            return;
        }
        if let Ok(mut total) = self.total.lock() {
            *total = Some(Total::begin());
        }
    }

    /// One more file of so many octets.
    pub(crate) fn counted(&self, octets: u64) {
        if let Some(total) = self.total.lock().ok().as_ref().and_then(|total| total.as_ref()) {
            total.counted(octets);
        }
    }

    /// A large file is on its way for as long as `progress` lives.
    pub(crate) fn begins(&self, progress: &Arc<Progress>) {
        if let Some(total) = self.total.lock().ok().as_ref().and_then(|total| total.as_ref()) {
            total.begins(progress);
        }
    }

    /// The line goes away.
    pub(crate) fn end_total(&self) {
        if let Some(total) = self.total.lock().ok().and_then(|mut total| total.take()) {
            total.end();
        }
    }

    /// Something is done.
    pub(crate) fn done(&self, event: &str, path: &[u8], size: Option<u64>, note: &str) {
        if self.json {
            self.object(&json!({"event": event, "path": printable(path), "size": size, "note": note}));
        } else {
            let size = size.map(|size| format!("  {size} octets")).unwrap_or_default();
            // The root of a tree.
            let path: &[u8] = if path.is_empty() { b"." } else { path };
            let note = if note.is_empty() { String::new() } else { format!("  ({note})") };
            self.line(format_args!("{event}  {}{size}{note}", printable(path)));
        }
    }

    /// Something that is no failure, and not what was asked for.
    pub(crate) fn note(&self, path: &[u8], message: &str) {
        if self.json {
            self.object(&json!({"event": "note", "path": printable(path), "message": message}));
        } else {
            self.line(format_args!("portway: {}: {message}", printable(path)));
        }
    }

    /// Something failed that the user has been told of already; the exit code will say so.
    pub(crate) fn counts(&self, error: &Error) {
        if let Ok(mut codes) = self.codes.lock() {
            codes.push(code(error));
        }
    }

    /// Something failed; the exit code will say so.
    pub(crate) fn failed(&self, path: &[u8], error: &Error) {
        self.counts(error);
        if self.json {
            self.object(&json!({
                "event": "failed", "path": printable(path), "class": error.class(), "phase": error.phase,
                "channel": error.phase.channel(), "blame": error.blame, "message": error.to_string(),
                "remedy": error.remedy(),
            }));
            return;
        }
        let subject = if path.is_empty() { String::new() } else { format!("{}: ", printable(path)) };
        self.write(&format!("portway: {subject}{error}"));
        if let Some(remedy) = error.remedy() {
            self.write(&format!("portway: what to do: {remedy}"));
        }
        if self.trace {
            let records = self.last.lock().map(|mut last| std::mem::take(&mut *last)).unwrap_or_default();
            for line in super::picture::draw(&of_last_connections(records), Err(error)) {
                self.write(&line.shown(false));
            }
        } else if matches!(error.cause, Cause::NoData(_)) {
            self.write("portway: to see both channels: --trace, or portway explain URL");
        }
    }

    /// A local failure that is no [`Error`].
    pub(crate) fn failed_here(&self, what: &str) {
        if let Ok(mut codes) = self.codes.lock() {
            codes.push(2);
        }
        if self.json {
            self.object(&json!({"event": "failed", "class": "local", "message": what}));
        } else {
            self.write(&format!("portway: {what}"));
        }
    }

    /// The exit code over everything: 0 if nothing failed, the common code of all failures, else 1.
    pub(crate) fn exit(&self) -> ExitCode {
        let codes = self.codes.lock().map(|codes| codes.clone()).unwrap_or_default();
        match codes.split_first() {
            None => ExitCode::SUCCESS,
            Some((first, rest)) if rest.iter().all(|code| code == first) => ExitCode::from(*first),
            Some(_) => ExitCode::from(1),
        }
    }

    /// Shows a bar for `progress` while `work` runs, on a terminal.
    pub(crate) async fn watch<F: Future>(
        &self,
        name: &[u8],
        total: Option<u64>,
        progress: &Progress,
        work: F,
    ) -> F::Output {
        if self.quiet || self.json || self.trace || !io::stderr().is_terminal() {
            return work.await;
        }
        let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(8));
        let shape = if total.is_some() {
            "{msg:30!} {bar:20} {bytes:>10} {bytes_per_sec:>12} {eta:>5}"
        } else {
            "{msg:30!} {spinner} {bytes:>10} {bytes_per_sec:>12}"
        };
        if let Ok(style) = ProgressStyle::with_template(shape) {
            bar.set_style(style);
        }
        bar.set_message(printable(name));
        tokio::pin!(work);
        let out = loop {
            tokio::select! {
                out = &mut work => break out,
                () = tokio::time::sleep(Duration::from_millis(120)) => bar.set_position(progress.octets()),
            }
        };
        bar.finish_and_clear();
        out
    }
}

impl Observer for Teller {
    fn seen(&self, record: Record) {
        if self.json {
            if let Ok(value) = serde_json::to_value(&record) {
                self.object(&value);
            }
            return;
        }
        if let Some(line) = line_of(&record) {
            let _ = writeln!(io::stderr(), "{line}");
        }
        if let Ok(mut last) = self.last.lock() {
            if last.len() == KEPT {
                last.pop_front();
            }
            last.push_back(record);
        }
    }
}

/// Of many sessions side by side only the last one makes a picture; two are one after the other.
fn of_last_connections(records: VecDeque<Record>) -> Vec<Record> {
    let last = records.iter().map(|record| record.connection).max().unwrap_or_default();
    let few = last <= 2;
    records.into_iter().filter(|record| few || record.connection == last).collect()
}

/// A line of the trace.
fn line_of(record: &Record) -> Option<String> {
    let what = match &record.seen {
        Seen::Connected { local, peer, round_trip_us } => {
            format!("control  {local} ==> {peer}  {:.1} ms", *round_trip_us as f64 / 1000.0)
        }
        Seen::Sent { line } => format!("control  > {line}"),
        Seen::Received { code, lines } => {
            let more =
                if lines.len() > 1 { format!(" (and {} lines)", lines.len() - 1) } else { String::new() };
            format!(
                "control  < {code} {}{more}",
                lines.first().map(String::as_str).unwrap_or_default().trim()
            )
        }
        Seen::Tls { channel, version, cipher, resumed } => {
            let how = if *resumed { "resumed" } else { "new session" };
            format!("{channel:8} TLS {version}, {cipher}, {how}")
        }
        Seen::Announced { by, addr, instead: Some(used) } => {
            format!("data     {by} announces {addr}; using {used}")
        }
        Seen::Announced { by, addr, instead: None } => format!("data     {by} announces {addr}"),
        Seen::DataOpen { mode: "active", local, peer, .. } => format!("data     {local} <== {peer}  active"),
        Seen::DataOpen { mode, local, peer, .. } => format!("data     {local} ==> {peer}  {mode}"),
        Seen::DataFailed { by, to, why, .. } => {
            let to = to.map(|to| format!(" {to}")).unwrap_or_default();
            format!("data     {by}{to} --X  {why}")
        }
        Seen::DataDone { octets, down, end } => {
            format!("data     {} {octets} octets, {end}", if *down { "received" } else { "sent" })
        }
        Seen::Note { text } => format!("         {text}"),
        Seen::Closed => "control  closed".to_owned(),
        _ => return None,
    };
    Some(format!("{:8.3} #{} {what}", record.at.as_secs_f64(), record.connection))
}

/// The exit code of one failure; documented in `portway help get`, and stable.
fn code(error: &Error) -> u8 {
    match error.class() {
        "name" | "local" | "unsafe-name" | "policy" => 2,
        "refused" | "listing" => 3,
        "unknown-host" | "no-connection" | "proxy" => 4,
        "login" => 5,
        "tls" => 6,
        "no-data-connection" => 7,
        "incomplete" | "digest" | "data-connection" => 8,
        _ => 9,
    }
}
