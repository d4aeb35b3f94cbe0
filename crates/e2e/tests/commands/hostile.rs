//! A server that means harm: no name leaves the target folder, no octet of it reaches the terminal unchanged.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

use anyhow::{Result, ensure};
use portway_e2e::{PATIENCE, Program, Terminal, Tree, until};

/// Names that lead out, or hide what they are.
const NAMES: &[&[u8]] = &[
    b"good.txt",
    b"../evil",
    b"..",
    b".",
    b"/tmp/portway-evil",
    b"//evil",
    b"sub/evil",
    b"a/../../evil",
    b"..\\evil",
    b"C:\\evil",
    b"nul\0evil",
    b"cr\revil",
    b"\x1b[2J\x1b]0;evil\x07name",
    b"~evil",
    b"|evil",
    b"-rf",
    b".portway-part.good.txt",
    b"\xff\xfe latin",
    b" ",
    b"",
];

/// A server whose directory holds these names, as files and as directories; every file holds `evil`.
fn hostile(mlsd: bool) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let at = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that hangs up ends its session.
            thread::spawn(move || serve(stream, mlsd));
        }
    });
    Ok(at)
}

fn serve(mut control: TcpStream, mlsd: bool) -> std::io::Result<()> {
    let mut lines = BufReader::new(control.try_clone()?);
    let mut say = move |text: &str| control.write_all(format!("{text}\r\n").as_bytes());
    say("220 \x1b[31mhello\x1b[0m")?;
    let mut passive: Option<TcpListener> = None;
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 {
        let text = String::from_utf8_lossy(&line).trim_end().to_owned();
        line.clear();
        let verb = text.split(' ').next().unwrap_or_default().to_ascii_uppercase();
        match verb.as_str() {
            "USER" => say("331 go on")?,
            "PASS" => say("230 in")?,
            "FEAT" if mlsd => say("211-Features\r\n MLST type*;size*;\r\n SIZE\r\n211 End")?,
            "FEAT" => say("211-Features\r\n SIZE\r\n211 End")?,
            "PWD" => say("257 \"/\" is it")?,
            "CWD" | "TYPE" | "REST" | "NOOP" | "OPTS" => say("250 fine")?,
            "SIZE" => say("213 4")?,
            "EPSV" => {
                let listener = TcpListener::bind("127.0.0.1:0")?;
                say(&format!("229 ok (|||{}|)", listener.local_addr()?.port()))?;
                passive = Some(listener);
            }
            "MLSD" | "LIST" | "RETR" => {
                let Some(listener) = passive.take() else {
                    say("425 no")?;
                    continue;
                };
                say("150 go")?;
                let mut data = listener.accept()?.0;
                match verb.as_str() {
                    "RETR" => data.write_all(b"evil")?,
                    "MLSD" => data.write_all(&rows(|kind, name| {
                        [format!("type={kind};size=4; ").as_bytes(), name].concat()
                    }))?,
                    _ => data.write_all(&rows(|kind, name| {
                        let letter = if kind == "dir" { 'd' } else { '-' };
                        [format!("{letter}rw-r--r-- 1 u g 4 Jan 01 2024 ").as_bytes(), name].concat()
                    }))?,
                }
                drop(data);
                say("226 done")?;
            }
            "QUIT" => return say("221 bye"),
            _ => say("500 what")?,
        }
    }
    Ok(())
}

fn rows(row: impl Fn(&str, &[u8]) -> Vec<u8>) -> Vec<u8> {
    let long = [b'L'; 300];
    let names = NAMES.iter().copied().chain([&long[..]]);
    let mut out = Vec::new();
    for name in names {
        out.extend(row("file", name));
        out.extend_from_slice(b"\r\n");
    }
    for name in [&b".."[..], b"../up", b"/etc", b"."] {
        out.extend(row("dir", name));
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Only the target folder has changed, and everything in it lies flat in it.
fn contained(outer: &Tree) -> Result<()> {
    for name in outer.names()? {
        let known = name == b"inner" || name.starts_with(b".cache") || name.starts_with(b".local");
        ensure!(known, "{:?} lies outside", String::from_utf8_lossy(&name));
    }
    ensure!(!std::path::Path::new("/tmp/portway-evil").exists(), "an absolute name was followed");
    for entry in std::fs::read_dir(outer.at("inner"))? {
        let entry = entry?;
        ensure!(entry.file_type()?.is_file(), "{:?}", entry.path());
    }
    Ok(())
}

#[test]
fn no_name_from_a_server_leaves_the_target_folder_or_reaches_the_terminal() -> Result<()> {
    for mlsd in [true, false] {
        let at = hostile(mlsd)?;
        let outer = Tree::new()?;
        outer.folder("inner")?;
        let inner = outer.at("inner");
        let url = format!("ftp://{at}/");
        let done = Program::portway()?
            .folder(outer.path())
            .args(["mirror", "--tls", "off", "--no-memory", "--trace", &url])
            .arg(&inner)
            .run()?;
        ensure!(done.code.is_some_and(|code| code != 0), "some names were refused, and that is told: {done}");
        contained(&outer)?;
        ensure!(outer.read("inner/good.txt")? == b"evil", "what is harmless arrives: {done}");
        let raw = |out: &[u8]| out.iter().any(|b| b.is_ascii_control() && *b != b'\n');
        ensure!(!raw(&done.stdout) && !raw(&done.stderr), "control characters came through: {done}");
        ensure!(done.text().contains("not safe"), "the names are told: {done}");
        for command in [&["ls", "--long"][..], &["ls", "--json"], &["explain"]] {
            let done = Program::portway()?
                .folder(outer.path())
                .args(command)
                .args(["--tls", "off", "--no-memory", &url])
                .run()?;
            ensure!(!raw(&done.stdout) && !raw(&done.stderr), "{command:?}: {done}");
        }
    }
    Ok(())
}

#[test]
fn a_shell_on_a_hostile_server_takes_what_is_harmless_and_stays() -> Result<()> {
    for mlsd in [true, false] {
        let at = hostile(mlsd)?;
        let outer = Tree::new()?;
        outer.folder("inner")?;
        let program = Program::portway()?.folder(outer.path());
        let url = format!("ftp://{at}/");
        let mut shell = Terminal::start(program.args(["shell", "--tls", "off", "--no-memory", &url]))?;
        shell.wait_for(":/> ")?;
        shell.line("lcd inner")?;
        shell.wait_for(":/> ")?;
        shell.press("get g\t\r")?;
        shell.wait_for("got  /good.txt")?;
        shell.wait_for(":/> ")?;
        for line in ["mget *", "get ../evil", "get ..", "mirror . .", "lpwd"] {
            shell.line(line)?;
            shell.wait_for(":/> ")?;
        }
        shell.line("quit")?;
        ensure!(shell.ends()? == Some(0));
        let shown = shell.screen();
        ensure!(shown.contains("\\x1b[31mhello"), "the greeting is made harmless: {shown}");
        until("all is written", PATIENCE, || Ok(Some(())))?;
        contained(&outer)?;
    }
    Ok(())
}

#[test]
fn a_name_with_a_line_break_is_never_sent() -> Result<()> {
    let at = hostile(true)?;
    let home = Tree::new()?;
    home.write("here", "x")?;
    for url in [
        format!("ftp://{at}/a%0d%0aDELE%20b"),
        format!("ftp://{at}/a%00b"),
        format!("ftp://u%0d%0aX:p@{at}/"),
    ] {
        for words in [&["get", &url][..], &["put", "here", &url], &["rm", &url], &["mkdir", &url]] {
            let done = Program::portway()?.folder(home.path()).args(words).args(["--tls", "off"]).run()?;
            ensure!(done.code == Some(2), "{words:?}: {done}");
            ensure!(done.text().contains("cannot be sent over FTP"), "{words:?}: {done}");
        }
    }
    // A file here may have such a name.
    home.write("tree/a\r\nDELE b", "x")?;
    let url = format!("ftp://{at}/");
    let done =
        Program::portway()?.folder(home.path()).args(["mirror", "--tls", "off", "tree", &url]).run()?;
    ensure!(done.code.is_some_and(|code| code != 0) && done.text().contains("\\x0d\\x0a"), "{done}");
    Ok(())
}
