//! `put --segments`: one file in several parts that the server joins.

use std::process::Stdio;

use anyhow::{Result, ensure};
use portway_e2e::{Options, PATIENCE, bytes, until};
use rustix::process::{Pid, Signal, kill_process};

use crate::site::{Site, events};

const LENGTH: usize = 9_000_001;

fn rows(site: &Site) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(site.subject.tree.path())? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

#[test]
fn a_file_in_parts_arrives_whole_in_place_of_the_old_one_and_leaves_no_part() -> Result<()> {
    let site = Site::new()?;
    let content = bytes(1, LENGTH);
    site.home.write("big.bin", &content)?;
    for (name, tls, segments) in [("a name;type=x %23.bin", "required", "4"), ("plain.bin", "off", "8")] {
        site.subject.tree.write(name, b"old")?;
        let url = site.url(&name.replace('%', "%25").replace(';', "%3B").replace(' ', "%20"))?;
        let words = [
            "put",
            "big.bin",
            &url,
            "--segments",
            segments,
            "--verify",
            "hash",
            "--tls",
            tls,
            "--json",
            "--trace",
        ];
        let done = site.portway(&words)?.succeed()?;
        let told = events(&done.stdout);
        let stored = told.iter().find(|event| event["event"] == "stored");
        ensure!(stored.is_some_and(|event| event["note"] == "digests agree"), "{done}");
        let sent = |verb: &str| {
            told.iter()
                .filter(|event| event["line"].as_str().is_some_and(|line| line.starts_with(verb)))
                .count()
        };
        ensure!(sent("STOR").to_string() == segments && sent("COMB") == 1, "{done}");
        ensure!(site.subject.tree.read(name)? == content, "every octet is there");
        std::fs::remove_file(site.subject.tree.at(name))?;
        ensure!(rows(&site)?.is_empty(), "{:?}", rows(&site)?);
    }
    Ok(())
}

#[test]
fn an_interrupted_upload_in_parts_names_them_and_is_continued() -> Result<()> {
    let site = Site::new()?;
    let content = bytes(2, LENGTH);
    site.home.write("up.bin", &content)?;
    let url = site.url("up.bin")?;
    let words = ["put", "up.bin", &url, "--segments", "3"];
    let slow = [&words[..], &["--limit-rate", "500K"]].concat();
    let mut command = site.portway(&slow)?.into_command();
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let large = |name: &String| {
        std::fs::metadata(site.subject.tree.at(name)).is_ok_and(|facts| facts.len() > 150_000)
    };
    let under_way = until("three parts are under way", PATIENCE, || {
        Ok((rows(&site)?.iter().filter(|name| large(name)).count() == 3).then_some(()))
    });
    kill_process(Pid::from_child(&child), Signal::INT)?;
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    under_way?;
    ensure!(output.status.code() == Some(130), "{said}");
    ensure!(said.contains("up.bin is not complete") && said.contains(".portway-upload."), "{said}");
    ensure!(said.contains("put --segments 3 --continue"), "{said}");
    ensure!(!site.subject.tree.has("up.bin"), "half a file has its name");

    let done = site.portway(&[&words[..], &["--continue"]].concat())?.succeed()?;
    ensure!(done.text().contains("continued at"), "{done}");
    ensure!(site.subject.tree.read("up.bin")? == content, "every octet is there");
    ensure!(rows(&site)? == ["up.bin"], "{:?}", rows(&site)?);
    Ok(())
}

#[test]
fn limits_on_sessions_and_their_idle_time_cost_nothing() -> Result<()> {
    let site = Site::with(&Options::flags(["--max-sessions-per-address", "3", "--idle-timeout", "1s"]))?;
    let content = bytes(3, LENGTH);
    site.home.write("up.bin", &content)?;
    let url = site.url("up.bin")?;
    // Long enough for the session that joins the parts to be closed meanwhile.
    let done = site.portway(&["put", "up.bin", &url, "--segments", "8", "--limit-rate", "2M"])?.succeed()?;
    ensure!(!done.text().contains("in one piece"), "{done}");
    ensure!(site.subject.tree.read("up.bin")? == content);
    ensure!(rows(&site)? == ["up.bin"], "{:?}", rows(&site)?);
    Ok(())
}

#[test]
fn a_name_that_is_taken_by_a_directory_is_a_refusal_that_leaves_no_parts() -> Result<()> {
    let site = Site::new()?;
    site.home.write("up.bin", bytes(4, LENGTH))?;
    site.subject.tree.write("taken/inside", b"kept")?;
    let done = site.portway(&["put", "up.bin", &site.url("taken")?, "--segments", "4"])?.run()?;
    ensure!(done.code == Some(3), "{done}");
    ensure!(
        rows(&site)? == ["taken"] && site.subject.tree.read("taken/inside")? == b"kept",
        "{:?}",
        rows(&site)?
    );
    Ok(())
}

#[test]
fn a_disk_with_room_for_one_copy_takes_the_file_in_one_piece() -> Result<()> {
    let options = Options { disk: Some(14_000_000), ..Options::default() };
    let site = Site::with(&options)?;
    let content = bytes(5, LENGTH);
    site.home.write("up.bin", &content)?;
    let url = site.url("up.bin")?;
    let done = site.portway(&["put", "up.bin", &url, "--segments", "4", "--verify", "hash"])?.succeed()?;
    ensure!(done.text().contains("in one piece") && done.text().contains("digests agree"), "{done}");
    let listed = site.portway(&["ls", &site.url("")?])?.succeed()?;
    ensure!(!listed.text().contains("portway-upload"), "{listed}");
    Ok(())
}
