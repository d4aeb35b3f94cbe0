//! What a person sees while it takes time: plain lines in a pipe, a bar on a terminal.

use anyhow::{Result, ensure};
use portway_e2e::snapshot::{recording, snapshot};
use portway_e2e::{Terminal, bytes};

use crate::site::{Site, readme, snapshot_file};

fn planted() -> Result<Site> {
    let site = Site::new()?;
    for (i, name) in
        ["photos/alps.jpg", "photos/harbour.jpg", "photos/2025/lake.jpg", "notes.txt"].into_iter().enumerate()
    {
        site.subject.tree.write(format!("archive/{name}"), bytes(i as u64, 250_000 * (i + 1)))?;
    }
    Ok(site)
}

/// Lines without the seconds, in an order of their own: several sessions bring files as they come.
fn even(text: &str) -> String {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    let last = lines.pop().unwrap_or_default();
    lines.sort();
    let total = last.rsplit_once(", ").map_or(last.clone(), |(rest, _)| format!("{rest}, 0.1 s"));
    lines.push(total);
    lines.join("\n")
}

#[test]
fn in_a_pipe_there_is_one_line_per_file_and_a_total() -> Result<()> {
    let site = planted()?;
    let url = site.url("archive/")?;
    let first = site.portway(&["mirror", &url, "archive"])?.succeed()?;
    ensure!(first.stdout.is_empty(), "standard output is for data: {first}");
    let said = String::from_utf8(first.stderr)?;
    let text = format!("$ portway mirror ftp://ftp.example.org/archive/ archive\n{}", even(&said));
    snapshot(&snapshot_file("mirror.txt"), &text);
    std::fs::remove_file(site.home.at("archive/notes.txt"))?;
    site.home.write("archive/old.txt", "x")?;
    let second = site.portway(&["mirror", "--delete", &url, "archive"])?.succeed()?;
    let again = format!(
        "$ portway mirror --delete ftp://ftp.example.org/archive/ archive\n{}",
        even(&String::from_utf8(second.stderr)?)
    );
    recording(&readme(), "mirror", &format!("{text}\n{again}"));
    let quiet = site.portway(&["mirror", "--quiet", &url, "archive"])?.succeed()?;
    ensure!(quiet.text().is_empty(), "{quiet}");
    let get = site.portway(&["get", &site.url("archive/notes.txt")?])?.succeed()?;
    snapshot(&snapshot_file("get.txt"), &String::from_utf8(get.stderr)?);
    Ok(())
}

#[test]
fn on_a_terminal_a_bar_shows_name_octets_rate_and_time_left_and_goes_away() -> Result<()> {
    let site = planted()?;
    let file = site.url("archive/notes.txt")?;
    let mut terminal = Terminal::start(site.portway(&["get", &file, "--limit-rate", "500K"])?)?;
    let drawn = |screen: &str| screen.contains("KiB/s") && screen.contains('█');
    let screen = terminal.wait_until("a bar with a rate", drawn)?;
    let bar = screen.lines().find(|line| line.contains("KiB/s")).unwrap_or_default();
    let shape: String = bar.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    ensure!(shape.starts_with("archive/notes.txt "), "the name: {bar}");
    ensure!(bar.contains(" KiB ") || bar.contains(" MiB "), "octets so far: {bar}");
    ensure!(shape.trim_end().ends_with("9s"), "the time left: {bar}");
    ensure!(bar.chars().count() <= 100, "it fits: {bar}");
    ensure!(terminal.ends()? == Some(0));
    let end = terminal.screen();
    ensure!(!end.contains("KiB/s"), "the bar goes away: {end}");
    ensure!(end.contains("got  archive/notes.txt  1000000 octets"), "{end}");

    let tree = site.url("archive/")?;
    let mut terminal =
        Terminal::start(site.portway(&["mirror", &tree, "archive", "--limit-rate", "600K"])?)?;
    let total = terminal.wait_until("a total that grows", |screen| {
        screen.lines().any(|line| line.contains("1 file") || line.contains("2 files"))
            && screen.contains("transferred  photos/alps.jpg")
    })?;
    ensure!(total.lines().any(|line| line.contains("/s")), "with a rate: {total}");
    ensure!(terminal.ends()? == Some(0));
    let end = terminal.screen();
    ensure!(
        end.lines().filter(|line| line.starts_with("transferred")).count() == 4,
        "a line per file: {end}"
    );
    ensure!(end.contains("4 transferred (2500000 octets)") && !end.contains("/s"), "{end}");
    Ok(())
}
