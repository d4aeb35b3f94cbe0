//! `explain`, and what a failure shows, as a person sees it: compared whole, with times and chosen ports made equal.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::lab::{SERVER, in_namespaces};
use crate::snapshot::{recording, snapshot, with_ports_in_order, without_numbers_before};
use crate::stage::{Server, Stage, wall};

const DROPPED: &str = "iifname cli tcp dport != 21 drop";
const NOT_IN: &str = "iifname srv ct state new drop";
/// Ports on which nobody else is in these namespaces, so that they need no normalising.
const SERVES: Server = Server::Portway(&["--user", "ann:secret", "--passive-ports", "43100-43100"]);
const ACTIVE: [&str; 2] = ["--active-ports", "40100-40100"];

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/client/snapshots").join(name)
}

fn readme() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md")
}

/// What `portway` writes to both outputs on the client's machine, and its exit code.
fn shown(stage: &Stage, words: &[&str]) -> (String, Option<i32>) {
    let home = stage.folder.join("home");
    let mut command = Command::new(env!("CARGO_BIN_EXE_portway"));
    command.args(words).args(ACTIVE).args(["--no-memory", "--insecure"]);
    command.current_dir(&home).env("HOME", &home).stdin(Stdio::null());
    let output = stage.lab.client.run(move || command.output().unwrap());
    let text = [output.stdout, output.stderr].map(|out| String::from_utf8(out).unwrap()).concat();
    let even = with_ports_in_order(&text, &[43100, 40100]);
    // What the server lists grows with it.
    let even = without_numbers_before(&even, " lines", "##");
    let even = without_numbers_before(&even, " ms", "#.#");
    (even, output.status.code())
}

fn fits(text: &str) {
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{} columns: {line}", line.chars().count());
    }
}

#[test]
fn explain_draws_one_way_and_both_ways_and_where_it_stopped() {
    in_namespaces(|| {
        let stage = Stage::new(SERVES);
        let url = format!("ftp://ann:secret@{}/file.bin", SERVER[0]);
        let folder = format!("ftp://ann:secret@[{}]/", SERVER[1]);
        let rejected = "iifname cli tcp dport != 21 reject with tcp reset";
        for (name, rules, code, words) in [
            ("passive-tls.txt", "", 0, vec!["explain", &url]),
            ("active.txt", "", 0, vec!["explain", "--tls", "off", "--mode", "active", &folder]),
            ("both.txt", "", 0, vec!["explain", "--tls", "off", "--mode", "both", &url]),
            ("both-tls-v6.txt", "", 0, vec!["explain", "--compare", &folder]),
            ("both-dropped.txt", DROPPED, 7, vec!["explain", "--tls", "off", "--mode", "both", &url]),
            ("auto-dropped.txt", DROPPED, 0, vec!["explain", "--tls", "off", &url]),
            ("auto-rejected.txt", rejected, 0, vec!["explain", "--tls", "off", &url]),
        ] {
            wall(rules);
            let (text, ended) = shown(&stage, &words);
            fits(&text);
            assert_eq!(ended, Some(code), "{name}: {text}");
            snapshot(&file(name), &text);
            if name == "both-dropped.txt" {
                recording(&readme(), "explain", &text.replace("#.# ms", "0.2 ms"));
            }
        }
    });
}

#[test]
fn failures_say_what_happened_on_which_channel_and_what_to_do() {
    in_namespaces(|| {
        let stage = Stage::new(SERVES);
        let url = |account: &str, path: &str| format!("ftp://{account}{}/{path}", SERVER[0]);
        let (good, missing) = (url("ann:secret@", "file.bin"), url("ann:secret@", "no-such-file"));
        let (wrong, traced) = (url("ann:guess@", "file.bin"), good.clone());
        let closed = format!("ftp://{}:22/x", SERVER[0]);
        for (name, code, words) in [
            ("error-blocked.txt", 7, vec!["get", "--tls", "off", &good]),
            ("error-traced.txt", 7, vec!["get", "--tls", "off", "--mode", "passive", "--trace", &traced]),
            ("error-missing.txt", 3, vec!["get", "--tls", "off", &missing]),
            ("error-login.txt", 5, vec!["get", "--tls", "off", &wrong]),
            ("error-closed.txt", 4, vec!["get", "--tls", "off", &closed]),
        ] {
            wall(&format!("{DROPPED}\n{NOT_IN}"));
            if name == "error-closed.txt" {
                wall("");
            }
            let (text, ended) = shown(&stage, &words);
            let text = text.lines().map(without_time).collect::<Vec<_>>().join("\n");
            assert_eq!(ended, Some(code), "{name}: {text}");
            assert!(!text.contains("secret") && !text.contains("guess"), "a password shows: {text}");
            snapshot(&file(name), &text);
        }
    });
}

/// Without the seconds at the beginning of a line of a trace.
fn without_time(line: &str) -> String {
    let (time, rest) = line.split_at_checked(8).unwrap_or((line, ""));
    if time.trim().parse::<f64>().is_ok() { format!("   #.###{rest}") } else { line.to_owned() }
}

#[test]
fn explain_says_the_same_in_json() {
    in_namespaces(|| {
        let stage = Stage::new(SERVES);
        wall(DROPPED);
        let url = format!("ftp://ann:secret@{}/file.bin", SERVER[0]);
        let ended =
            stage.portway(&[&["explain", "--no-memory", "--mode", "both", &url][..], &ACTIVE].concat());
        let verdicts: Vec<&Value> = ended.events.iter().filter(|event| event["event"] == "verdict").collect();
        let [passive, active] = verdicts.as_slice() else { panic!("{ended:#?}") };
        assert_eq!((&passive["tried"], &passive["works"]), (&"passive".into(), &false.into()), "{passive:#}");
        assert_eq!(passive["stopped"]["channel"], "data");
        assert_eq!(passive["stopped"]["blame"], "their-network");
        let attempts = passive["stopped"]["attempts"].as_array().unwrap();
        assert!(attempts.iter().all(|attempt| attempt["to"] == "10.71.2.2:43100"), "{passive:#}");
        for (key, value) in [
            ("tried", "active"),
            ("mode", "active"),
            ("announced", "10.71.1.2:40100"),
            ("announced_by", "client"),
            ("connected_by", "server"),
            ("to", "10.71.1.2:40100"),
        ] {
            assert_eq!(active[key], value, "{key}: {active:#}");
        }
        assert_eq!(active["data_tls"]["resumed"], true, "{active:#}");
        assert_eq!(active["stopped"], Value::Null);
        let text = ended.events.iter().map(Value::to_string).collect::<String>();
        assert!(!text.contains("secret"), "a password shows");
    });
}
