//! The two clients that are a prompt and nothing more: tnftp (BSD, Debian package `tnftp`, also
//! installed as `ftp`) and GNU inetutils' ftp (Debian package `inetutils-ftp`).

use anyhow::{Result, ensure};

use super::{Act, Client, Site, Skill, line, octets};

/// A program that reads the classic commands of `ftp` from standard input.
#[derive(Debug)]
pub struct Prompt {
    program: &'static str,
    package: &'static str,
    skills: &'static [Skill],
}

/// What the programs of old can.
pub(super) const CLASSIC: &[Skill] = &[
    Skill::List,
    Skill::Get,
    Skill::Put,
    Skill::Append,
    Skill::ResumeGet,
    Skill::Rename,
    Skill::Delete,
    Skill::Folders,
    Skill::Mirror,
];

impl Prompt {
    /// BSD's client.
    pub const TNFTP: Self = Self { program: "tnftp", package: "tnftp", skills: CLASSIC };
    /// GNU's client.
    pub const INETUTILS: Self = Self { program: "inetutils-ftp", package: "inetutils-ftp", skills: CLASSIC };
    /// What Debian installs as `ftp`.
    pub const DEBIAN: Self = Self { program: "ftp", package: "ftp", skills: CLASSIC };
}

impl Client for Prompt {
    fn name(&self) -> &'static str {
        self.program
    }

    /// Resuming an upload is beyond both: `restart` is forgotten before `put` by the one, and sent
    /// before `TYPE` by the other.
    fn skills(&self) -> &'static [Skill] {
        self.skills
    }

    fn spells(&self, name: &[u8]) -> bool {
        // A line is a command.
        !name.iter().any(u8::is_ascii_control)
    }

    fn act(&self, site: &Site<'_>, act: &Act<'_>) -> Result<Vec<u8>> {
        let server = site.server()?;
        let (user, password) = site.subject.account();
        let mut script =
            line(&[b"open", server.ip().to_string().as_bytes(), server.port().to_string().as_bytes()]);
        script.extend(line(&[b"user", &escaped(user.as_bytes()), &escaped(password.as_bytes())]));
        script.extend_from_slice(b"binary\n");
        script.extend(match act {
            Act::List { folder } => line(&[b"nlist", &escaped(folder.as_bytes()), b"names.txt"]),
            Act::Get { remote, local } => line(&[b"get", &escaped(remote), &escaped(octets(local))]),
            Act::ResumeGet { remote, local } => line(&[b"reget", &escaped(remote), &escaped(octets(local))]),
            Act::Put { local, remote } => line(&[b"put", &escaped(octets(local)), &escaped(remote)]),
            Act::Append { local, remote } => line(&[b"append", &escaped(octets(local)), &escaped(remote)]),
            Act::ResumePut { .. } => anyhow::bail!("{} cannot resume uploads", self.program),
            Act::Rename { from, to } => {
                line(&[b"rename", &escaped(from.as_bytes()), &escaped(to.as_bytes())])
            }
            Act::Delete { remote } => line(&[b"delete", &escaped(remote.as_bytes())]),
            Act::MakeFolder { remote } => line(&[b"mkdir", &escaped(remote.as_bytes())]),
            Act::RemoveFolder { remote } => line(&[b"rmdir", &escaped(remote.as_bytes())]),
            Act::Mirror { remote, local } => mirror(remote, local)?,
        });
        script.extend_from_slice(b"quit\n");
        let mode = if site.passive() { "-p" } else { "-A" };
        let done = site
            .program(self.program, self.package)?
            .args(["-n", "-v", "-i", mode])
            .input(script)
            .succeed()?;
        let text = done.text();
        // Their exit codes say nothing about their commands; the replies do.
        let bad = |line: &&str| {
            let refused =
                line.starts_with(['4', '5']) && line.get(1..4).is_some_and(|rest| rest.ends_with([' ', '-']));
            // What is new since 1985 may be refused, the old form follows.
            refused
                && !line.contains(" bytes ")
                && !["500", "501", "502"].iter().any(|code| line.starts_with(code))
                || line.contains("onnection refused")
                || line.contains("No such file")
        };
        ensure!(!text.lines().any(|line| bad(&line)), "{}:\n{text}", self.program);
        if matches!(act, Act::List { .. }) {
            return Ok(std::fs::read(site.home.join("names.txt"))?);
        }
        Ok(done.stdout)
    }
}

fn mirror(remote: &str, local: &std::path::Path) -> Result<Vec<u8>> {
    let mut script = Vec::new();
    for i in 0..10 {
        let here = local.join(format!("d{i}"));
        std::fs::create_dir_all(&here)?;
        script.extend(line(&[b"lcd", &escaped(octets(&here))]));
        script.extend(line(&[b"cd", format!("/{remote}/d{i}").as_bytes()]));
        script.extend_from_slice(b"mget *\n");
    }
    Ok(script)
}

/// A word: `\` before whatever the prompt might read as its own.
fn escaped(word: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(word.len());
    for &octet in word {
        if octet.is_ascii() && !octet.is_ascii_alphanumeric() && !b"/._".contains(&octet) {
            out.push(b'\\');
        }
        out.push(octet);
    }
    out
}
