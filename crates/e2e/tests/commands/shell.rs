//! The shell in a pseudo-terminal.

use anyhow::{Result, ensure};
use portway_e2e::snapshot::{recording, snapshot};
use portway_e2e::{PATIENCE, Terminal, bytes, until};

use crate::site::{Site, readme, snapshot_file};

const UP: &str = "\x1b[A";
const LEFT: &str = "\x1b[D";
const CTRL_A: &str = "\x01";
const CTRL_C: &str = "\x03";
const CTRL_D: &str = "\x04";

/// A site with a few files, and the shell on it.
fn begun() -> Result<(Site, Terminal)> {
    let site = Site::new()?;
    site.subject.tree.write("readme.txt", "read me\n")?;
    site.subject.tree.write("two words.txt", "two\n")?;
    site.subject.tree.write("docs/one.txt", "1\n")?;
    site.subject.tree.write("docs/other.txt", "other\n")?;
    site.subject.tree.write("docs/deep/er.bin", bytes(5, 5000))?;
    let mut shell = site.shell(&[])?;
    shell.wait_for("help shows the commands")?;
    shell.wait_for(":/> ")?;
    Ok((site, shell))
}

/// Types a line and returns what it brought, up to the next prompt.
fn does(shell: &mut Terminal, line: &str) -> Result<String> {
    shell.line(line)?;
    shell.wait_for("\n")?;
    let mut out = String::new();
    loop {
        out.push_str(&shell.wait_for("> ")?);
        let (before, last) = out.rsplit_once('\n').unwrap_or(("", &out));
        if last.starts_with("127.0.0.1:/") || last == "portway" {
            return Ok(before.to_owned());
        }
        out.push_str("> ");
    }
}

#[test]
fn lines_can_be_edited_and_remembered_and_the_next_shell_knows_them() -> Result<()> {
    let (site, mut shell) = begun()?;
    // The cursor goes back and what was forgotten is put in.
    shell.press(&format!("cat eadme.txt{}r\r", LEFT.repeat(9)))?;
    shell.wait_for("read me")?;
    shell.wait_for("> ")?;
    shell.press(&format!("ocs{CTRL_A}cd d\r"))?;
    shell.wait_for(":/docs> ")?;
    shell.press(&format!("{UP}{UP}\r"))?;
    shell.wait_for("no such file")?;
    shell.wait_for("> ")?;
    // Nobody's password is kept.
    let (user, _) = site.subject.account();
    does(&mut shell, &format!("user {user} wrong-secret"))?;
    shell.press(CTRL_D)?;
    ensure!(shell.ends()? == Some(0), "the shell ends well");
    let history = site.home.read(".local/state/portway/history")?;
    let history = String::from_utf8(history)?;
    ensure!(history.contains("cat readme.txt") && !history.contains("wrong-secret"), "{history}");
    let mut again = site.shell(&[])?;
    again.wait_for(":/> ")?;
    again.press(&format!("{UP}{UP}{UP}\r"))?;
    again.wait_for("read me")?;
    Ok(())
}

#[test]
fn verbs_and_names_at_the_server_and_here_are_completed() -> Result<()> {
    let (site, mut shell) = begun()?;
    site.home.write("local file.txt", "x")?;
    shell.press("cat rea\t\r")?;
    shell.wait_for("read me")?;
    shell.wait_for("> ")?;
    // A name with a blank comes quoted, and a directory is looked into.
    shell.press("cat two\t\r")?;
    shell.wait_for("two\n")?;
    shell.wait_for("> ")?;
    shell.press("cat do\ton\t\r")?;
    shell.wait_for("1\n")?;
    shell.wait_for("> ")?;
    // Two names share a beginning: they are shown.
    shell.press("cat docs/o\t\t")?;
    shell.wait_for("one.txt")?;
    shell.wait_for("other.txt")?;
    shell.press("t\t\r")?;
    shell.wait_for("other\n")?;
    shell.wait_for("> ")?;
    shell.press("put loc\t\r")?;
    shell.wait_for("stored")?;
    shell.wait_for("> ")?;
    ensure!(site.subject.tree.has("local file.txt"), "the completed name was stored");
    shell.press("mirr\t--dry-run docs\r")?;
    shell.wait_for("3 transferred")?;
    Ok(())
}

#[test]
fn the_verbs_that_people_know_do_what_they_know() -> Result<()> {
    let (site, mut shell) = begun()?;
    let (there, here) = (&site.subject.tree, &site.home);
    let big = bytes(8, 700_000);
    there.write("big.bin", &big)?;
    for (line, shows) in [
        ("pwd", "/"),
        ("cd docs", ""),
        ("pwd", "/docs"),
        ("nlist", "deep\none.txt\nother.txt"),
        ("ls *.txt", "one.txt"),
        ("cdup", ""),
        ("lpwd", here.path().to_str().unwrap_or_default()),
        ("!mkdir sub", ""),
        ("lcd sub", "sub"),
        ("get readme.txt", "got  /readme.txt  8 octets"),
        ("get readme.txt again.txt", "got"),
        ("mget docs/*.txt two\\ words.txt", "got  /docs/other.txt"),
        ("lls", "again.txt"),
        ("lcd ..", ""),
        ("mkdir made made/below", ""),
        ("cd made", ""),
        ("put sub/again.txt", "stored  /made/again.txt"),
        ("put sub/again.txt new.txt", "stored"),
        ("mput sub/o*.txt", "stored  /made/other.txt"),
        ("append sub/again.txt new.txt", "stored"),
        ("size new.txt", "16"),
        ("modtime new.txt", "20"),
        ("chmod 600 new.txt", ""),
        ("rename new.txt newer.txt", ""),
        ("rm again.txt o*.txt", ""),
        ("nlist", "below\nnewer.txt"),
        ("cd ..", ""),
        ("rm -r made", ""),
        ("rmdir docs", "550"),
        ("ascii", ""),
        ("type", "ascii"),
        ("binary", ""),
        ("type", "binary"),
        ("passive off", "mode active"),
        ("get big.bin", "got"),
        ("status", "data connections by PORT"),
        ("passive", "mode passive"),
        ("mode auto", "mode auto"),
        ("status", "under TLS"),
        ("quote NOOP", "200 "),
        ("site HELP", "SITE"),
        ("mirror docs copy", "3 transferred"),
        ("mirror -R copy back", "3 transferred"),
        ("explain readme.txt", "verdict: both channels work."),
        ("help get", "fetch a file"),
        ("help", "mirror"),
        ("frobnicate", "no such command"),
        ("get", "that is not how it goes: get, recv"),
        ("get nothing-there", "550"),
        ("cat \"open quote", "a quote is not closed"),
        ("lcd nowhere", "No such file"),
        ("!exit 3", "exit status: 3"),
        ("# nothing", ""),
        ("pwd", "/"),
    ] {
        let out = does(&mut shell, line)?;
        ensure!(out.contains(shows), "{line:?} shows {out:?}, not {shows:?}\n{}", shell.screen());
    }
    ensure!(here.read("sub/again.txt")? == b"read me\n" && here.read("sub/two words.txt")? == b"two\n");
    ensure!(here.read("big.bin")? == big, "the file is whole");
    ensure!(
        here.read("copy/deep/er.bin")? == bytes(5, 5000) && there.read("back/deep/er.bin")? == bytes(5, 5000)
    );
    ensure!(!there.has("made"), "rm -r removed all of it");
    // Half of a file is here, with other octets: reget adds the rest.
    here.write("part.bin", vec![b'p'; 100_000])?;
    there.write("part.bin", &big)?;
    does(&mut shell, "reget part.bin")?;
    let joined = here.read("part.bin")?;
    ensure!(joined.len() == big.len() && joined.starts_with(b"ppp"), "reget goes on");
    shell.line("bye")?;
    ensure!(shell.ends()? == Some(0));
    Ok(())
}

#[test]
fn what_runs_in_the_background_is_listed_waited_for_and_ended() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("slow.bin", bytes(9, 400_000))?;
    site.subject.tree.write("small.txt", "small\n")?;
    let mut shell = site.shell(&["--limit-rate", "200K"])?;
    shell.wait_for(":/> ")?;
    ensure!(does(&mut shell, "get slow.bin &")?.contains("[1] get slow.bin"));
    ensure!(does(&mut shell, "get slow.bin other.bin &")?.contains("[2]"));
    let listed = does(&mut shell, "jobs")?;
    ensure!(listed.contains("[1] get slow.bin:") && listed.contains("[2]"), "{listed}");
    // The session itself is free meanwhile.
    ensure!(does(&mut shell, "cat small.txt")?.contains("small"));
    ensure!(does(&mut shell, "kill 2")?.contains("[2] ended"));
    let waited = does(&mut shell, "wait 1")?;
    ensure!(waited.contains("[1] done: get slow.bin  (400000 octets)"), "{waited}");
    ensure!(site.home.read("slow.bin")? == bytes(9, 400_000) && !site.home.has("other.bin"));
    ensure!(does(&mut shell, "wait 7")?.contains("no such job"));
    does(&mut shell, "get nothing &")?;
    ensure!(does(&mut shell, "wait")?.contains("550"), "failures are told");
    does(&mut shell, "put slow.bin up.bin &")?;
    shell.line("quit")?;
    shell.wait_for("waiting for what runs in the background")?;
    ensure!(shell.ends()? == Some(0));
    ensure!(site.subject.tree.read("up.bin")? == bytes(9, 400_000), "the shell waited for it");
    Ok(())
}

#[test]
fn ctrl_c_ends_what_runs_and_names_what_is_left_and_the_shell_goes_on() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("slow.bin", bytes(10, 3_000_000))?;
    let mut shell = site.shell(&["--limit-rate", "300K"])?;
    shell.wait_for(":/> ")?;
    shell.line("get slow.bin")?;
    let partial = site.home.at(".portway-part.slow.bin");
    until("something has arrived", PATIENCE, || {
        Ok(std::fs::metadata(&partial).ok().filter(|facts| facts.len() > 100_000))
    })?;
    shell.press(CTRL_C)?;
    shell.wait_for("interrupted")?;
    shell.wait_for(".portway-part.slow.bin")?;
    shell.wait_for(":/> ")?;
    ensure!(!site.home.has("slow.bin"), "half a file has no name");
    ensure!(does(&mut shell, "pwd")?.contains('/'), "the shell goes on");
    shell.press(&format!("half a line{CTRL_C}"))?;
    shell.wait_for("> ")?;
    ensure!(does(&mut shell, "reget slow.bin")?.contains("got"), "and goes on with the file");
    ensure!(site.home.read("slow.bin")? == bytes(10, 3_000_000));
    Ok(())
}

#[test]
fn a_lost_connection_is_made_anew_where_we_were() -> Result<()> {
    let site = Site::with(&portway_e2e::Options::flags(["--idle-timeout", "1s"]))?;
    site.subject.tree.write("docs/one.txt", "1\n")?;
    let mut shell = site.shell(&[])?;
    shell.wait_for(":/> ")?;
    does(&mut shell, "cd docs")?;
    for line in ["nlist", "get one.txt", "cat one.txt"] {
        // The server says in its log that it has closed the session.
        let closed = |lines: &[String]| {
            lines.iter().filter(|line| line.contains("\"session_end\"") || line.contains("idle")).count()
        };
        let before = closed(&site.subject.log.so_far());
        until("the server has ended the session", PATIENCE, || {
            Ok((closed(&site.subject.log.so_far()) > before).then_some(()))
        })?;
        let out = does(&mut shell, line)?;
        ensure!(out.contains("one.txt") || out.contains('1'), "{line}: {out}");
    }
    ensure!(does(&mut shell, "pwd")?.contains("/docs"), "where we were");
    Ok(())
}

#[test]
fn without_a_url_it_begins_with_open_and_a_failure_leaves_it_alive() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("readme.txt", "read me\n")?;
    let port = site.subject.port()?;
    let mut shell = Terminal::start(site.portway(&["shell"])?)?;
    shell.wait_for("portway> ")?;
    ensure!(does(&mut shell, "ls")?.contains("not connected"));
    ensure!(does(&mut shell, "open 127.0.0.1 1")?.contains("no connection"));
    ensure!(does(&mut shell, &format!("open {} {}", port.ip(), port.port()))?.contains("help shows"));
    ensure!(does(&mut shell, "cat readme.txt")?.contains("read me"));
    // The wrong password: we are still who we were.
    ensure!(does(&mut shell, "user alice wrong")?.contains("password"));
    ensure!(does(&mut shell, "cat readme.txt")?.contains("read me"));
    does(&mut shell, "close")?;
    ensure!(does(&mut shell, "pwd")?.contains("not connected"));
    shell.line("exit")?;
    ensure!(shell.ends()? == Some(0));
    Ok(())
}

#[test]
fn scripts_are_read_from_standard_input_and_their_failures_are_in_the_exit_code() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("a.txt", "a\n")?;
    let url = site.url("")?;
    let good = site.portway(&["shell", &url])?.input("get a.txt\ncat a.txt\n").run()?;
    ensure!(good.code == Some(0) && good.stdout.ends_with(b"a\n"), "{good}");
    ensure!(site.home.read("a.txt")? == b"a\n");
    let bad = site.portway(&["shell", &url])?.input("get nothing\ncat a.txt\n").run()?;
    ensure!(bad.code == Some(3) && bad.stdout.ends_with(b"a\n"), "{bad}");
    let lines = site.portway(&["shell", &url, "-e", "cd /", "-e", "cat a.txt"])?.run()?;
    ensure!(lines.code == Some(0) && lines.stdout == b"a\n", "{lines}");
    Ok(())
}

#[test]
fn a_session_looks_as_the_readme_shows_it() -> Result<()> {
    let (site, mut shell) = begun()?;
    for line in [
        "ls",
        "cd docs",
        "mget *.txt",
        "get three.txt",
        "!cat one.txt other.txt > both.txt",
        "put both.txt &",
        "wait",
        "mirror deep deep",
        "status",
    ] {
        does(&mut shell, line)?;
    }
    shell.line("quit")?;
    shell.ends()?;
    let screen = shell.wait_until("the end", |screen| screen.contains("> quit"))?;
    let port = site.subject.port()?.port().to_string();
    let mut text = String::new();
    for line in screen.lines() {
        let line = line.replace(&port, "2121").replace(&*site.home.path().to_string_lossy(), "/home/ann");
        text.push_str(&without_date(&line));
        text.push('\n');
    }
    snapshot(&snapshot_file("shell.txt"), &text);
    recording(&readme(), "shell", &text);
    Ok(())
}

/// A listing with one day for all.
fn without_date(line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let even = words.iter().map(|word| {
        let shape: String = word.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        match shape.as_str() {
            "9999-99-99" => "2026-01-31",
            "99:99" => "12:00",
            "99:99:99" => "12:00:00",
            _ => word,
        }
    });
    even.collect::<Vec<_>>().join(" ")
}
