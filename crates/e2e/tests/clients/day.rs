//! What one client does in one place of the matrix: all its skills on a fresh subject.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use portway_e2e::clients::{Act, Client, Site, Skill};
use portway_e2e::{Cell, Family, Kind, Mode, Options, Security, Subject, Tree, bytes, sha256, sums};

/// More than one buffer of anybody, and no round number.
const LENGTH: usize = (1 << 20) + 17;

/// A thousand in every cell would take a quarter of an hour, most of it in the clients: lftp and wget
/// spend 40 ms and more on each file under TLS, whatever the server.
fn mirrored(cell: Cell) -> usize {
    match cell {
        Cell { family: Family::V4, security: Security::Plain, .. } => 1000,
        Cell { mode: Mode::Passive, family: Family::V4, security: Security::Explicit } => 300,
        _ => 50,
    }
}

/// Starts a subject and lets the client do everything it can, each deed checked by checksum.
pub(crate) fn spend(client: &dyn Client, cell: Cell) -> Result<()> {
    let implicit = (cell.security == Security::Implicit).then(|| cell.family.loopback());
    let mut options = Options { listen: vec![cell.family.loopback()], implicit, ..Options::default() };
    if client.name() == "portway" && cell.security != Security::Plain && Kind::chosen()? == Kind::Portway {
        // Our own client proves itself on every data connection.
        options.flags = vec!["--data-proof".to_owned(), "required".to_owned()];
    }
    let subject = Subject::start(&options)?;
    let home = Tree::new()?;
    let day = Day {
        client,
        site: Site { subject: &subject, cell, home: home.path() },
        remote: &subject.tree,
        local: &home,
    };
    for skill in client.skills() {
        let begun = std::time::Instant::now();
        day.show(*skill).with_context(|| format!("{} {skill:?}", client.name()))?;
        println!("{skill:?}: {:.2} s", begun.elapsed().as_secs_f64());
    }
    went_as_told(&subject, cell)
}

/// Clients change modes behind one's back; the server's log tells which one it was.
fn went_as_told(subject: &Subject, cell: Cell) -> Result<()> {
    if subject.kind() != Kind::Portway {
        return Ok(());
    }
    let wanted: &[&str] = match cell.mode {
        Mode::Active => &["PORT", "EPRT"],
        Mode::Passive => &["PASV", "EPSV"],
    };
    let mut transfers = 0;
    for event in
        subject.log.objects().iter().filter(|event| event.get("event").is_some_and(|kind| kind == "transfer"))
    {
        let mode = event.get("mode").and_then(|mode| mode.as_str()).unwrap_or_default();
        ensure!(wanted.contains(&mode), "a transfer by {mode}: {event}");
        let tls = event.get("tls").and_then(|tls| tls.as_bool()).unwrap_or_default();
        ensure!(tls == (cell.security != Security::Plain), "protected or not: {event}");
        transfers += 1;
    }
    ensure!(transfers > 50, "only {transfers} transfers are in the log");
    Ok(())
}

struct Day<'a> {
    client: &'a dyn Client,
    site: Site<'a>,
    remote: &'a Tree,
    local: &'a Tree,
}

impl Day<'_> {
    fn show(&self, skill: Skill) -> Result<()> {
        match skill {
            Skill::List => self.lists(),
            Skill::Get => self.gets(),
            Skill::Put => self.puts(),
            Skill::Append => self.appends(),
            Skill::ResumeGet => self.resumes_a_download(),
            Skill::ResumePut => self.resumes_an_upload(),
            Skill::Rename => self.renames(),
            Skill::Delete => self.deletes(),
            Skill::Folders => self.makes_and_removes_folders(),
            Skill::Mirror => self.mirrors(),
        }
    }

    fn does(&self, act: &Act<'_>) -> Result<Vec<u8>> {
        self.client.act(&self.site, act)
    }

    fn lists(&self) -> Result<()> {
        let names = ["one.txt", "two words.bin", "größe.dat"];
        for name in names {
            self.remote.write(format!("listed/{name}"), name)?;
        }
        self.remote.folder("listed/inner")?;
        let shown = String::from_utf8(self.does(&Act::List { folder: "listed" })?)?;
        let shown: BTreeSet<&str> =
            shown.lines().map(bare).filter(|name| !matches!(*name, "." | ".." | "")).collect();
        let wanted: BTreeSet<&str> = names.into_iter().chain(["inner"]).collect();
        ensure!(shown == wanted, "listed {shown:?}, not {wanted:?}");
        Ok(())
    }

    fn gets(&self) -> Result<()> {
        for (name, contents) in [("down.bin", bytes(1, LENGTH)), ("empty.bin", Vec::new())] {
            self.remote.write(name, &contents)?;
            let local = self.local.at(format!("got-{name}"));
            self.does(&Act::Get { remote: name.as_bytes(), local: &local })?;
            same(&self.local.read(format!("got-{name}"))?, &contents, name)?;
        }
        Ok(())
    }

    fn puts(&self) -> Result<()> {
        for (name, contents) in [("up.bin", bytes(2, LENGTH)), ("up-empty.bin", Vec::new())] {
            let local = self.local.write(format!("source-{name}"), &contents)?;
            self.does(&Act::Put { local: &local, remote: name.as_bytes() })?;
            same(&self.remote.read(name)?, &contents, name)?;
        }
        // Again, over the file that is there now, and shorter: nothing of the old one is left.
        let local = self.local.write("shorter", bytes(3, 1000))?;
        self.does(&Act::Put { local: &local, remote: b"up.bin" })?;
        same(&self.remote.read("up.bin")?, &bytes(3, 1000), "up.bin over itself")
    }

    fn appends(&self) -> Result<()> {
        let (head, tail) = (bytes(4, 40_000), bytes(5, 70_000));
        let whole = [head.as_slice(), &tail].concat();
        self.remote.write("log.bin", &head)?;
        // lftp has no command for it, but appends what is missing at the end.
        let sent = if self.client.name() == "lftp" { &whole } else { &tail };
        let local = self.local.write("tail", sent)?;
        self.does(&Act::Append { local: &local, remote: b"log.bin" })?;
        same(&self.remote.read("log.bin")?, &whole, "log.bin")
    }

    /// The part that is here holds other octets than the server's file: they stay, so a client
    /// that began anew would show.
    fn resumes_a_download(&self) -> Result<()> {
        let whole = bytes(6, LENGTH);
        self.remote.write("resume-down.bin", &whole)?;
        let local = self.local.write("part-down", vec![b'p'; 300_001])?;
        self.does(&Act::ResumeGet { remote: b"resume-down.bin", local: &local })?;
        same(&self.local.read("part-down")?, &joined(&whole), "the resumed download")
    }

    fn resumes_an_upload(&self) -> Result<()> {
        let whole = bytes(7, LENGTH);
        let local = self.local.write("whole-up", &whole)?;
        self.remote.write("resume-up.bin", vec![b'p'; 300_001])?;
        self.does(&Act::ResumePut { local: &local, remote: b"resume-up.bin" })?;
        same(&self.remote.read("resume-up.bin")?, &joined(&whole), "the resumed upload")
    }

    fn renames(&self) -> Result<()> {
        self.remote.write("before.txt", "renamed")?;
        self.does(&Act::Rename { from: "before.txt", to: "after.txt" })?;
        ensure!(!self.remote.has("before.txt"), "the old name is still there");
        same(&self.remote.read("after.txt")?, b"renamed", "after.txt")
    }

    fn deletes(&self) -> Result<()> {
        self.remote.write("doomed.txt", "x")?;
        self.does(&Act::Delete { remote: "doomed.txt" })?;
        ensure!(!self.remote.has("doomed.txt"), "the file is still there");
        Ok(())
    }

    fn makes_and_removes_folders(&self) -> Result<()> {
        self.does(&Act::MakeFolder { remote: "made" })?;
        ensure!(self.remote.at("made").is_dir(), "no folder was made");
        self.does(&Act::RemoveFolder { remote: "made" })?;
        ensure!(!self.remote.has("made"), "the folder is still there");
        Ok(())
    }

    fn mirrors(&self) -> Result<()> {
        let count = mirrored(self.site.cell);
        self.remote.thousand("many", count)?;
        let local = self.local.folder("copy")?;
        self.does(&Act::Mirror { remote: "many", local: &local })?;
        let (here, there) = (sums(&local)?, sums(&self.remote.at("many"))?);
        let differs = there.iter().filter(|(path, sum)| here.get(*path) != Some(*sum)).count();
        ensure!(
            here.len() == count && differs == 0,
            "{} files arrived, {differs} differ or are missing",
            here.len()
        );
        Ok(())
    }
}

/// A name without the folder before it (some servers answer NLST with it) and the mark after it.
fn bare(line: &str) -> &str {
    let line = line.trim_end_matches(['\r', '/']);
    Path::new(line).file_name().and_then(|name| name.to_str()).unwrap_or(line)
}

fn joined(whole: &[u8]) -> Vec<u8> {
    [&vec![b'p'; 300_001], whole.get(300_001..).unwrap_or_default()].concat()
}

fn same(got: &[u8], wanted: &[u8], what: &str) -> Result<()> {
    ensure!(
        sha256(got) == sha256(wanted),
        "{what}: {} octets arrived, {} were sent, and they are not the same",
        got.len(),
        wanted.len()
    );
    Ok(())
}
