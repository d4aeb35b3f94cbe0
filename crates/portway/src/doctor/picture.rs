//! The answer for people: verdict, picture, cures.

use portway_doctor::{Attempt, Confidence, Evidence, Greeting, Mode, Outcome, Usable, Verdict};

/// Columns.
const WIDTH: usize = 80;

/// Everything, line by line.
pub(super) fn draw(seen: &Evidence, verdict: &Verdict) -> Vec<String> {
    let mut lines = Vec::new();
    lines.extend(wrap(&verdict.sentence, ""));
    if verdict.culprit.is_some() {
        let sure = match verdict.confidence {
            Confidence::Certain => "This was seen directly.",
            Confidence::Likely => "Nothing else that is common fits.",
            Confidence::Possible => "Something else may explain it as well.",
        };
        lines.push(sure.to_owned());
    }
    lines.push(String::new());
    lines.extend(channels(seen));
    if !verdict.evidence.is_empty() {
        lines.push(String::new());
        lines.push("What shows it:".to_owned());
        for evidence in &verdict.evidence {
            lines.extend(wrap(evidence, "  - "));
        }
    }
    if !verdict.cures.is_empty() {
        lines.push(String::new());
        lines.push("What helps, best first:".to_owned());
        for (at, cure) in verdict.cures.iter().enumerate() {
            lines.push(format!("{:3}. {} ({}):", at + 1, cure.program.name(), cure.place.name()));
            lines.extend(cure.text.lines().map(|line| format!("       {line}")));
        }
        lines.extend(blanks(seen, verdict));
    }
    lines.push(String::new());
    lines.push(match verdict.usable {
        Usable::Usable => "verdict: usable".to_owned(),
        Usable::OneMode => "verdict: usable in one mode".to_owned(),
        Usable::Unusable => "verdict: unusable".to_owned(),
    });
    lines
}

/// What is to be filled in where we cannot know it.
fn blanks(seen: &Evidence, verdict: &Verdict) -> Vec<String> {
    if !verdict.cures.iter().any(|cure| cure.text.contains("<LOW>")) {
        return Vec::new();
    }
    let ports = || seen.offers.iter().map(|offer| offer.port);
    let seen_here = match (ports().min(), ports().max()) {
        (Some(first), Some(last)) if first < last => format!("; ports from {first} to {last} were seen"),
        (Some(only), _) => format!("; port {only} was seen"),
        _ => String::new(),
    };
    let text = format!(
        "<LOW> and <HIGH> are the first and the last port of the server's passive range, which its configuration \
         names{seen_here}."
    );
    [vec![String::new()], wrap(&text, "")].concat()
}

/// Both channels, as `explain` draws them, with the broken places marked.
fn channels(seen: &Evidence) -> Vec<String> {
    let mut lines = Vec::new();
    let server = seen.roads.first().map_or_else(|| seen.host.clone(), |road| road.to.ip().to_string());
    let local = seen.local.map_or_else(String::new, |ip| ip.to_string());
    lines.push(ends("YOU (client)", "SERVER"));
    lines.push(ends(&local, &server));
    for road in &seen.roads {
        let port = format!(":{}", road.to.port());
        let name = if road.to.is_ipv4() { "control" } else { "control6" };
        lines.push(match road.greeting {
            Greeting::Ready => line(name, '=', true, &port, ""),
            _ => line(name, '=', false, &port, ""),
        });
    }
    for attempt in &seen.attempts {
        let port = attempt.announced.map_or_else(String::new, |addr| format!(":{}", addr.port()));
        let tls = if attempt.tls { " tls" } else { "" };
        let six = if attempt.family == portway_doctor::Family::Ipv6 { "6" } else { "" };
        let name = format!("{}{six}{tls}", attempt.command.name());
        lines.push(data(&name, attempt, &port));
        if attempt.outcome != Outcome::Works {
            lines.extend(wrap(&attempt.detail, "            "));
        }
    }
    lines
}

fn data(name: &str, attempt: &Attempt, port: &str) -> String {
    let works = attempt.outcome == Outcome::Works;
    match attempt.command.mode() {
        Mode::Passive => line(name, '-', works, port, ""),
        Mode::Active => {
            let head = format!("{name:<10}");
            let room = WIDTH.saturating_sub(head.len() + port.len() + 14);
            let stroke: String = std::iter::repeat_n('-', room).collect();
            match works {
                true => format!("{head} {port} <{stroke} server"),
                false => {
                    let half: String = std::iter::repeat_n('-', room / 2).collect();
                    ends(&format!("{head} {port}"), &format!("X<{half} server"))
                }
            }
        }
    }
}

fn line(name: &str, stroke: char, works: bool, port: &str, note: &str) -> String {
    let head = format!("{name:<10} you ");
    let room = WIDTH.saturating_sub(head.len() + port.len() + note.len() + 4);
    let (whole, half) = (
        std::iter::repeat_n(stroke, room).collect::<String>(),
        std::iter::repeat_n(stroke, room / 2).collect::<String>(),
    );
    if works {
        format!("{head}{whole}> {port}{note}")
    } else {
        ends(&format!("{head}{half}>X"), &format!("{port}{note}"))
    }
}

fn ends(left: &str, right: &str) -> String {
    let room = WIDTH.saturating_sub(left.chars().count() + right.chars().count()).max(1);
    format!("{left}{}{right}", " ".repeat(room))
}

pub(super) fn wrap(text: &str, head: &str) -> Vec<String> {
    let indent = " ".repeat(head.chars().count());
    let mut lines = Vec::new();
    let mut line = head.to_owned();
    let mut empty = true;
    for word in text.split_whitespace() {
        if !empty && line.chars().count() + word.chars().count() + 1 > WIDTH {
            lines.push(std::mem::replace(&mut line, indent.clone()));
            empty = true;
        }
        if !empty {
            line.push(' ');
        }
        line.push_str(word);
        empty = false;
    }
    lines.push(line);
    lines
}
