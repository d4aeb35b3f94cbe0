//! What goes wrong in the middle: nothing half-written has its name, and what is left is named and can be continued.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portway_e2e::{Options, PATIENCE, Program, bytes, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::site::{Site, events};

const LENGTH: usize = 3_000_000;

/// Starts it with pipes for its words.
fn started(program: Program) -> Result<Child> {
    let mut command: Command = program.into_command();
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?)
}

/// Sends a signal once `so` holds, and waits for the end.
fn interrupted(child: Child, signal: Signal, so: impl Fn() -> bool) -> Result<Output> {
    let pid = Pid::from_raw(i32::try_from(child.id())?).context("a pid")?;
    let reached = until("the transfer is under way", PATIENCE, || Ok(so().then_some(())));
    kill_process(pid, signal)?;
    let output = child.wait_with_output()?;
    reached.with_context(|| words(&output))?;
    Ok(output)
}

fn words(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn larger(file: &Path, size: u64) -> bool {
    std::fs::metadata(file).is_ok_and(|facts| facts.len() > size)
}

#[test]
fn an_interrupted_download_leaves_a_named_part_that_is_continued() -> Result<()> {
    let site = Site::new()?;
    let content = bytes(1, LENGTH);
    site.subject.tree.write("big.bin", &content)?;
    let url = site.url("big.bin")?;
    let part = site.home.at(".portway-part.big.bin");
    for (round, signal) in [Signal::INT, Signal::TERM].into_iter().enumerate() {
        let flags: &[&str] = if round == 0 { &[] } else { &["--tls", "off"] };
        let words_of = [&["get", "--continue", &url, "--limit-rate", "500K"][..], flags].concat();
        let least = std::fs::metadata(&part).map_or(0, |facts| facts.len()) + 150_000;
        let child = started(site.portway(&words_of)?)?;
        let output = interrupted(child, signal, || larger(&part, least))?;
        let said = words(&output);
        ensure!(output.status.code() == Some(130), "{:?}: {said}", output.status);
        ensure!(said.contains("octets wait in ./.portway-part.big.bin"), "{said}");
        ensure!(said.contains("--continue"), "{said}");
        ensure!(!site.home.has("big.bin"), "half a file has its name");
    }
    let done = site.portway(&["get", "--continue", &url])?.succeed()?;
    ensure!(done.text().contains("continued at"), "{done}");
    ensure!(site.home.read("big.bin")? == content, "every octet is there");
    ensure!(!part.exists(), "the part is gone");
    Ok(())
}

/// What a file in segments says of itself: how far it has no gap.
fn reached(part: &Path) -> Option<u64> {
    let file = std::fs::read(part).ok()?;
    let (rest, last) = file.split_last_chunk()?;
    rest.ends_with(b"portway: gaps before\r\n\0").then(|| u64::from_be_bytes(*last))
}

#[test]
fn a_killed_download_in_segments_is_continued_from_its_first_gap_in_segments_or_in_one() -> Result<()> {
    for segments in ["1", "4"] {
        let site = Site::new()?;
        let content = bytes(3, 8 * LENGTH);
        site.subject.tree.write("big.bin", &content)?;
        let url = site.url("big.bin")?;
        let part = site.home.at(".portway-part.big.bin");
        let child = started(site.portway(&["get", "--segments", "4", &url, "--limit-rate", "1500K"])?)?;
        let killed = interrupted(child, Signal::KILL, || reached(&part) > Some(0))?;
        ensure!(killed.status.code().is_none() && !site.home.has("big.bin"), "{}", words(&killed));
        let left = std::fs::metadata(&part)?.len();
        ensure!(left > content.len() as u64, "{left} octets could be taken for the beginning of the file");
        let done = site.portway(&["get", "--continue", "--segments", segments, &url])?.succeed()?;
        ensure!(done.text().contains("continued at"), "what has no gap is used: {done}");
        ensure!(site.home.read("big.bin")? == content, "every octet is there");
        ensure!(!part.exists(), "the part is gone");
    }
    Ok(())
}

#[test]
fn an_interrupted_download_in_segments_leaves_no_gap_and_is_continued() -> Result<()> {
    let site = Site::new()?;
    let content = bytes(2, 8 * LENGTH);
    site.subject.tree.write("big.bin", &content)?;
    let url = site.url("big.bin")?;
    let part = site.home.at(".portway-part.big.bin");
    let in_parts = ["get", "--continue", "--segments", "4", "--verify", "hash", &url];
    for round in 1..=2 {
        let start = std::fs::metadata(&part).map_or(0, |facts| facts.len());
        let child = started(site.portway(&[&in_parts[..], &["--limit-rate", "1500K"]].concat())?)?;
        let under_way = || reached(&part) > Some(start);
        let output = interrupted(child, Signal::INT, under_way)?;
        ensure!(output.status.code() == Some(130), "{round}: {}", words(&output));
        let left = std::fs::read(&part)?;
        ensure!(left.len() as u64 > start, "{round}: {} octets", left.len());
        ensure!(content.starts_with(&left), "{round}: what is left is the beginning");
        ensure!(!site.home.has("big.bin"), "half a file has its name");
    }
    let done = site.portway(&in_parts)?.succeed()?;
    ensure!(done.text().contains("continued at"), "{done}");
    ensure!(site.home.read("big.bin")? == content, "every octet is there");
    Ok(())
}

#[test]
fn an_interrupted_upload_and_an_interrupted_mirror_are_continued_too() -> Result<()> {
    let site = Site::new()?;
    let content = bytes(2, LENGTH);
    site.home.write("up.bin", &content)?;
    let url = site.url("up.bin")?;
    let part = site.subject.tree.at(".portway-part.up.bin");
    let child = started(site.portway(&["put", "up.bin", &url, "--limit-rate", "500K"])?)?;
    let output = interrupted(child, Signal::INT, || larger(&part, 150_000))?;
    let said = words(&output);
    ensure!(output.status.code() == Some(130) && said.contains("up.bin is not complete"), "{said}");
    ensure!(!said.contains("wonder"), "no password: {said}");
    ensure!(!site.subject.tree.has("up.bin"));
    let done = site.portway(&["put", "--continue", "up.bin", &url])?.succeed()?;
    ensure!(done.text().contains("continued at"), "{done}");
    ensure!(site.subject.tree.read("up.bin")? == content);

    for i in 0..3 {
        site.subject.tree.write(format!("tree/d/f{i}"), bytes(20 + i, LENGTH))?;
    }
    let tree = site.url("tree/")?;
    let child = started(site.portway(&["mirror", &tree, "copy", "--json", "--limit-rate", "500K"])?)?;
    let first = site.home.at("copy/d/.portway-part.f0");
    let output = interrupted(child, Signal::INT, || larger(&first, 150_000))?;
    ensure!(output.status.code() == Some(130), "{}", words(&output));
    let told = events(&output.stdout);
    let last = told.last().context("an event")?;
    let parts = last["partials"].as_array().context("partials")?;
    ensure!(last["event"] == "interrupted" && !parts.is_empty(), "{last}");
    for part in parts {
        let file = site.home.at(part["partial"].as_str().context("a name")?);
        ensure!(file.exists() && part["octets"].as_u64() > Some(0), "{last}");
    }
    site.portway(&["mirror", &tree, "copy"])?.succeed()?;
    for i in 0..3 {
        ensure!(site.home.read(format!("copy/d/f{i}"))? == bytes(20 + i, LENGTH));
    }
    Ok(())
}

/// `portway` in a mount namespace where `target` is a file system of its own.
fn on_a_disk(site: &Site, options: &str, words: &[&str]) -> Result<portway_e2e::Finished> {
    site.home.folder("target")?;
    let inner = site.portway(words)?.into_command();
    let mount = format!("mount -t tmpfs -o {options} tmpfs target && exec \"$0\" \"$@\"");
    let mut program = Program::new("unshare", "util-linux")?
        .folder(site.home.path())
        .args(["--mount", "--map-root-user", "sh", "-c", &mount])
        .arg(inner.get_program())
        .args(inner.get_args());
    for (key, value) in inner.get_envs() {
        if let (Some(key), Some(value)) = (key.to_str(), value) {
            program = program.env(key, value);
        }
    }
    program.run()
}

#[test]
fn a_full_disk_and_a_read_only_one_are_said_at_once_and_not_tried_again() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("big.bin", bytes(3, LENGTH))?;
    site.subject.tree.write("tree/big.bin", bytes(3, LENGTH))?;
    site.subject.tree.write("tree/small.bin", b"small")?;
    let (url, tree) = (site.url("big.bin")?, site.url("tree/")?);
    for (options, says) in [("size=256k", "no space left"), ("ro", "read-only")] {
        for words in [&["get", &url, "--output", "target/"][..], &["mirror", &tree, "target"]] {
            let begun = Instant::now();
            let done = on_a_disk(&site, options, words)?;
            let said = done.text();
            ensure!(done.code == Some(2), "{options} {words:?}: {done}");
            ensure!(
                said.to_lowercase().contains(says) && said.contains("big.bin"),
                "{options} {words:?}: {done}"
            );
            ensure!(
                begun.elapsed() < Duration::from_secs(8),
                "{options} {words:?} took {:?}",
                begun.elapsed()
            );
        }
    }
    // Standard output may be full as well.
    let inner = site.portway(&["cat", &url])?.into_command();
    let mut cat = Command::new(inner.get_program());
    cat.args(inner.get_args()).current_dir(site.home.path()).stdout(std::fs::File::create("/dev/full")?);
    for (key, value) in inner.get_envs() {
        cat.env(key, value.unwrap_or_default());
    }
    let output = cat.output()?;
    let said = words(&output);
    ensure!(output.status.code() == Some(2) && said.contains("No space left"), "{:?}: {said}", output.status);
    Ok(())
}

#[test]
fn a_server_that_takes_nothing_is_believed_at_once() -> Result<()> {
    let site = Site::with(&Options::flags(["--read-only"]))?;
    site.subject.tree.write("there.txt", "x")?;
    site.home.write("here.txt", "y")?;
    let (file, folder) = (site.url("there.txt")?, site.url("new/")?);
    for words in [
        &["put", "here.txt", &file][..],
        &["rm", &file],
        &["mkdir", &folder],
        &["mv", &file, "other.txt"],
        &["mirror", ".", &folder],
    ] {
        let done = site.portway(words)?.run()?;
        ensure!(done.code == Some(3), "{words:?}: {done}");
        ensure!(done.text().contains("55"), "the server's words are quoted: {done}");
        ensure!(done.seconds < 8.0, "{words:?} took {} s", done.seconds);
    }
    ensure!(site.subject.tree.read("there.txt")? == b"x");
    Ok(())
}
