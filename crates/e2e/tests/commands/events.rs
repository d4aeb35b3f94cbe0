//! What scripts rely on: exit codes, and one JSON object a line.

use std::net::TcpListener;

use anyhow::{Context, Result, ensure};
use portway_e2e::{Options, Program, bytes, sha256};

use crate::site::{Site, events};

#[test]
fn every_kind_of_failure_has_its_exit_code_and_an_event_that_says_all() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("a.txt", "a")?;
    let (good, missing) = (site.url("a.txt")?, site.url("missing.txt")?);
    let port = site.subject.port()?;
    let closed = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let wrong = format!("ftp://alice:guess@{port}/a.txt");
    let nowhere = format!("ftp://{closed}/a.txt");
    let odd = format!("http://{port}/a.txt");
    for (words, code, class, channel) in [
        (vec!["get", &missing], 3, "refused", "control"),
        (vec!["get", "ftp://no-such-host.invalid/x"], 4, "unknown-host", "control"),
        (vec!["get", &nowhere], 4, "no-connection", "control"),
        (vec!["get", &wrong], 5, "login", "control"),
        (vec!["get", &missing, &good], 3, "refused", "control"),
        (vec!["get", &missing, &nowhere], 1, "refused", "control"),
        (vec!["ls", &missing], 3, "refused", "control"),
        (vec!["cat", &missing], 3, "refused", "control"),
        (vec!["rm", &missing], 3, "refused", "control"),
        (vec!["mv", &missing, "x"], 3, "refused", "control"),
        (vec!["put", "nothing-here", &good], 2, "local", ""),
    ] {
        let done = site.portway(&[&words[..], &["--json"]].concat())?.run()?;
        ensure!(done.code == Some(code), "{words:?}: {done}");
        let told = events(&done.stdout);
        let failed = told
            .iter()
            .find(|event| event["event"] == "failed")
            .with_context(|| format!("{words:?}: {done}"))?;
        ensure!(failed["class"] == class, "{words:?}: {failed}");
        ensure!(failed["message"].as_str().is_some_and(|text| !text.is_empty()), "{failed}");
        if !channel.is_empty() {
            ensure!(failed["channel"] == channel && failed["phase"].is_string(), "{failed}");
            ensure!(failed["blame"].is_string(), "{failed}");
        }
    }
    // Wrong use is told before anything is tried.
    for words in [vec!["get"], vec!["get", &odd], vec!["put", "x"], vec!["get", &good, "--mode", "sideways"]]
    {
        let done = site.portway(&words)?.run()?;
        ensure!(done.code == Some(2) && !done.stderr.is_empty(), "{words:?}: {done}");
    }
    // Trust is not given by itself.
    let (user, password) = site.subject.account();
    let plain =
        Program::portway()?.folder(site.home.path()).env("FTP_USER", user).env("FTP_PASSWORD", password);
    let done = plain.args(["get", &good, "--tls", "required", "--json"]).run()?;
    ensure!(done.code == Some(6), "{done}");
    ensure!(done.text().contains("--ca FILE"), "it says what to do: {done}");
    ensure!(!site.home.has("missing.txt") && !site.home.has("x"));
    // Nor is TLS that was demanded given up, and what failed is TLS.
    let bare = Site::with(&Options::flags(["--tls", "off"]))?;
    let done = bare.portway(&["ls", &bare.url("")?, "--tls", "required", "--json"])?.run()?;
    ensure!(done.code == Some(6), "{done}");
    let told = events(&done.stdout);
    ensure!(told.iter().any(|event| event["class"] == "tls" && event["remedy"].is_string()), "{done}");
    Ok(())
}

#[test]
fn events_tell_what_was_done_and_agree_with_the_disk() -> Result<()> {
    let site = Site::new()?;
    let big = bytes(3, 400_000);
    site.subject.tree.write("dir/big.bin", &big)?;
    site.subject.tree.write("dir/sub/ünï.txt", "text")?;
    let (file, folder) = (site.url("dir/big.bin")?, site.url("dir/")?);
    let told = |words: &[&str]| -> Result<Vec<serde_json::Value>> {
        let done = site.portway(&[words, &["--json"]].concat())?.succeed()?;
        ensure!(done.stderr.is_empty(), "nothing but events: {done}");
        let told = events(&done.stdout);
        ensure!(told.len() == done.stdout.split(|&b| b == b'\n').filter(|line| !line.is_empty()).count());
        Ok(told)
    };
    let get = told(&["get", &file])?;
    ensure!(get.len() == 1 && get[0]["event"] == "got" && get[0]["size"] == 400_000, "{get:?}");
    ensure!(sha256(&site.home.read("big.bin")?) == sha256(&big));
    let rows = told(&["ls", "--recursive", &folder])?;
    let named = |path: &str| {
        rows.iter().find(|row| row["path"] == path).with_context(|| format!("{path} in {rows:?}"))
    };
    ensure!(named("big.bin")?["size"] == 400_000 && named("big.bin")?["kind"] == "file", "{rows:?}");
    ensure!(named("sub")?["kind"] == "directory" && named("sub/ünï.txt")?["size"] == 4, "{rows:?}");
    ensure!(named("big.bin")?["modified"].is_i64(), "{rows:?}");
    let mirror = told(&["mirror", &folder, "copy"])?;
    let total = mirror.last().context("a total")?;
    ensure!(total["event"] == "total" && total["transferred"] == 2 && total["octets"] == 400_004, "{total}");
    ensure!(total["failed"] == 0 && total["seconds"].is_f64(), "{total}");
    let again = told(&["mirror", &folder, "copy"])?;
    ensure!(again.last().is_some_and(|total| total["transferred"] == 0 && total["equal"] == 2), "{again:?}");
    let up = told(&["put", "big.bin", &site.url("up.bin")?])?;
    ensure!(up[0]["event"] == "stored" && up[0]["size"] == 400_000, "{up:?}");
    let made = told(&["mkdir", &site.url("new")?])?;
    ensure!(made[0]["event"] == "made", "{made:?}");
    let moved = told(&["mv", &site.url("up.bin")?, "new/up.bin"])?;
    ensure!(moved[0]["event"] == "renamed" && site.subject.tree.read("new/up.bin")? == big, "{moved:?}");
    let gone = told(&["rm", "--recursive", &site.url("new/")?])?;
    ensure!(gone[0]["event"] == "removed" && !site.subject.tree.has("new"), "{gone:?}");
    Ok(())
}

#[test]
fn a_server_that_wants_every_data_connection_proven_gets_proof_for_every_command() -> Result<()> {
    let site = Site::with(&Options::flags(["--data-proof", "required", "--tls", "required"]))?;
    site.subject.tree.thousand("many", 60)?;
    site.home.write("up.bin", bytes(7, 100_000))?;
    for mode in ["passive", "active"] {
        let portway = |words: &[&str]| -> Result<_> {
            site.portway(&[words, &["--mode", mode, "--tls", "required"]].concat())?.succeed()
        };
        portway(&["ls", "--recursive", &site.url("many/")?])?;
        portway(&["mirror", &site.url("many/")?, &format!("copy-{mode}")])?;
        portway(&["put", "up.bin", &site.url(&format!("up-{mode}.bin"))?])?;
        portway(&["mirror", &format!("copy-{mode}"), &site.url(&format!("back-{mode}/"))?])?;
        let (here, there) =
            (site.home.at(format!("copy-{mode}")), site.subject.tree.at(format!("back-{mode}")));
        let sums = portway_e2e::sums(&here)?;
        ensure!(sums.len() == 60 && sums == portway_e2e::sums(&there)?, "{mode}: every octet, both ways");
        ensure!(sums == portway_e2e::sums(&site.subject.tree.at("many"))?, "{mode}");
    }
    Ok(())
}

#[test]
fn a_slip_in_one_url_is_told_before_anything_is_done() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("good.txt", b"x")?;
    let good = site.url("good.txt")?;
    for slip in ["http://example.org/x", &site.url("a%zz")?, &site.url("folder/")?] {
        let done = site.portway(&["get", &good, slip])?.run()?;
        ensure!(done.code == Some(2) && done.text().contains(slip), "{done}");
        ensure!(!site.home.has("good.txt"), "{slip}: {done}");
    }
    let done = site.portway(&["rm", &good, "http://example.org/x"])?.run()?;
    ensure!(done.code == Some(2) && site.subject.tree.has("good.txt"), "{done}");
    Ok(())
}
