//! The paths in a command, in every way in which a server may read them.

use std::borrow::Cow;

use portway_proto::{Command, ListArg, Site};

use super::glob;

/// Words of an argument beyond which nobody looks for paths in it any more.
const MOST_WORDS: usize = 24;

/// The directory of a session.
#[derive(Clone, Copy, Debug)]
pub(super) struct Here<'a> {
    /// As the server calls it.
    pub(super) server: &'a [u8],
    /// As the client does, which is something else where rules have moved it.
    pub(super) client: &'a [u8],
}

/// What a command names.
pub(super) struct Paths<'a> {
    /// The path, where the form of the command says which it is.
    path: Option<Cow<'a, [u8]>>,
    /// All that a server may take for the argument or a path in it; `None`: too much to tell.
    readings: Option<Vec<Vec<u8>>>,
    here: Option<Here<'a>>,
    /// Paths may stand anywhere in the argument.
    several: bool,
    /// A listing expands wildcards.
    wild: bool,
}

impl<'a> Paths<'a> {
    /// Of a command that is sent in this directory.
    pub(super) fn of(command: &Command<'a>, here: Option<Here<'a>>) -> Self {
        let path = named(command);
        let argument = argument(command);
        let mut readings = vec![argument.clone()];
        readings.extend(path.as_deref().map(<[u8]>::to_vec));
        let several = matches!(
            command,
            Command::Site(_)
                | Command::Comb(_)
                | Command::Mdtm(_)
                | Command::Digest { .. }
                | Command::List(_)
                | Command::Nlst(_)
                | Command::Stat(_)
                | Command::Other { .. }
                | Command::Unserved { .. }
        );
        let readings = match several {
            true => runs(&argument).map(|runs| readings.into_iter().chain(runs).collect()),
            false => Some(readings),
        };
        let wild = matches!(
            command,
            Command::List(_) | Command::Nlst(_) | Command::Stat(_) | Command::Site(_) | Command::Other { .. }
        );
        Self { path, readings, here, several, wild }
    }

    /// Whether the command names a path, or may.
    pub(super) fn is_about_files(&self) -> bool {
        self.path.is_some() || self.several
    }

    /// Whether some reading fits the pattern; in doubt, yes.
    pub(super) fn may_match(&self, pattern: &str) -> bool {
        let Some(readings) = &self.readings else { return true };
        let pattern = pattern.as_bytes();
        readings.iter().any(|reading| {
            // Pure-FTPd reads `_` in place of each of these.
            if reading.iter().any(u8::is_ascii_control) {
                return true;
            }
            let trimmed = reading.trim_ascii();
            // Some servers part names by backslashes, or take quotes away.
            let turned: Vec<u8> = trimmed.iter().map(|&b| if b == b'\\' { b'/' } else { b }).collect();
            let bare: Vec<u8> = trimmed.iter().copied().filter(|&b| b != b'"').collect();
            [reading, trimmed, &turned, &bare].into_iter().any(|text| self.may_be(pattern, text))
        })
    }

    fn may_be(&self, pattern: &[u8], text: &[u8]) -> bool {
        if self.wild && text.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'{')) {
            return true;
        }
        if pattern.starts_with(b"/") {
            if !self.is_about_files() {
                return false;
            }
            let Some(ways) = self.ways(text) else { return true };
            return ways.iter().any(|whole| is_or_is_in(pattern, whole, true));
        }
        glob(pattern, text, true) || glob(pattern, &last_name(text), true)
    }

    /// Whether the path fits the pattern, to the letter; in doubt, no.
    pub(super) fn must_match(&self, pattern: &str) -> bool {
        let Some(path) = &self.path else {
            // No path: TYPE and its like are compared as they are.
            let pattern = pattern.as_bytes();
            return match self.readings.as_deref() {
                Some([only]) => !pattern.starts_with(b"/") && glob(pattern, only, false),
                _ => false,
            };
        };
        if path.trim_ascii() != &path[..] || path.iter().any(|&b| matches!(b, b'\\' | b'~')) {
            return false;
        }
        if self.wild && path.iter().any(|b| matches!(b, b'*' | b'?' | b'[' | b'{')) {
            return false;
        }
        let pattern = pattern.as_bytes();
        match pattern.starts_with(b"/") {
            true => self
                .ways(path)
                .is_some_and(|ways| ways.iter().all(|whole| is_or_is_in(pattern, whole, false))),
            false => glob(pattern, &last_name(path), false),
        }
    }

    /// The whole path by the server's names, then by the client's; `None` if that depends on the server.
    fn ways(&self, path: &[u8]) -> Option<[Vec<u8>; 2]> {
        let (server, client) = (self.here.map(|here| here.server), self.here.map(|here| here.client));
        Some([resolved(server, path)?, resolved(client, path)?])
    }

    /// What the server takes the path for; `None` if there is none or that depends on the server.
    pub(super) fn at_server(&self) -> Option<Vec<u8>> {
        resolved(self.here.map(|here| here.server), self.path.as_deref()?)
    }

    /// The line of the same command with its path, as the client means it, moved from one folder to another; `None`
    /// if it is not there.
    pub(super) fn moved(&self, command: Command<'_>, from: &str, to: &str) -> Option<Vec<u8>> {
        let whole = resolved(self.here.map(|here| here.client), self.path.as_deref()?)?;
        line(&with_path(command, &under(&whole, from, to)?)?)
    }
}

/// The same path under another folder; `None` if it is not under `from`.
pub(super) fn under(whole: &[u8], from: &str, to: &str) -> Option<Vec<u8>> {
    let from = from.trim_end_matches('/').as_bytes();
    let rest = whole.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
    let rest = if rest == b"/" { b"" } else { rest };
    let mut path = [to.trim_end_matches('/').as_bytes(), rest].concat();
    if path.is_empty() {
        path.push(b'/');
    }
    Some(path)
}

/// A pattern may end with the slash that tells a folder.
fn is_or_is_in(pattern: &[u8], whole: &[u8], fold: bool) -> bool {
    glob(pattern, whole, fold) || glob(pattern, &[whole, b"/"].concat(), fold)
}

/// The argument as a server will read it.
pub(crate) fn argument(command: &Command<'_>) -> Vec<u8> {
    let mut line = line(command).unwrap_or_default();
    match line.iter().position(|&b| b == b' ') {
        Some(at) => line.split_off(at + 1),
        None => Vec::new(),
    }
}

/// The line of a command without its end, as the parser wants it.
fn line(command: &Command<'_>) -> Option<Vec<u8>> {
    let mut octets = Vec::new();
    command.emit(&mut octets).ok()?;
    octets.truncate(octets.len().saturating_sub(2));
    // 0xFF was doubled for Telnet.
    let mut doubled = false;
    octets.retain(|&octet| {
        doubled = octet == 0xFF && !doubled;
        octet != 0xFF || doubled
    });
    Some(octets)
}

/// Every run of words.
fn runs(argument: &[u8]) -> Option<Vec<Vec<u8>>> {
    let words: Vec<&[u8]> = argument.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).collect();
    if words.len() > MOST_WORDS {
        return None;
    }
    let ends = |from: usize| (from + 1..=words.len()).map(move |to| (from, to));
    let all = (0..words.len()).flat_map(ends);
    Some(all.filter_map(|(from, to)| words.get(from..to)).map(|run| run.join(&b' ')).collect())
}

/// The path without `.`, `..` and empty names; `None` if that depends on the server.
fn resolved(directory: Option<&[u8]>, path: &[u8]) -> Option<Vec<u8>> {
    if path.starts_with(b"~") {
        return None;
    }
    let base = match path.starts_with(b"/") {
        true => &b""[..],
        false => directory?,
    };
    let mut names: Vec<&[u8]> = Vec::new();
    for name in base.split(|&b| b == b'/').chain(path.split(|&b| b == b'/')) {
        match name {
            b"" | b"." => {}
            b".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    Some([b"/", &names.join(&b'/')[..]].concat())
}

fn last_name(path: &[u8]) -> Vec<u8> {
    let whole = resolved(Some(b"/"), path).unwrap_or_else(|| path.to_vec());
    whole.rsplit(|&b| b == b'/').next().unwrap_or_default().to_vec()
}

/// The path that a command is about; the directory itself, where a path may be left out.
fn named<'a>(command: &Command<'a>) -> Option<Cow<'a, [u8]>> {
    Some(Cow::Borrowed(match *command {
        Command::Appe(path)
        | Command::Cwd(path)
        | Command::Dele(path)
        | Command::Hash(path)
        | Command::Mdtm(path)
        | Command::Mkd(path)
        | Command::Retr(path)
        | Command::Rmd(path)
        | Command::Rmda(path)
        | Command::Rnfr(path)
        | Command::Rnto(path)
        | Command::Size(path)
        | Command::Stor(path)
        | Command::Mff { path, .. }
        | Command::Mfmt { path, .. }
        | Command::Site(Site::Chmod { path, .. }) => path,
        Command::Avbl(path) | Command::Mlsd(path) | Command::Mlst(path) => path.unwrap_or(b"."),
        Command::List(ListArg { path, .. })
        | Command::Nlst(ListArg { path, .. })
        | Command::Stat(Some(ListArg { path, .. })) => path.unwrap_or(b"."),
        Command::Cdup => b"..",
        Command::Stou(path) => path?,
        _ => return None,
    }))
}

fn with_path<'a>(command: Command<'a>, path: &'a [u8]) -> Option<Command<'a>> {
    Some(match command {
        Command::Appe(_) => Command::Appe(path),
        // The folder above may be another one for the client.
        Command::Cwd(_) | Command::Cdup => Command::Cwd(path),
        Command::Dele(_) => Command::Dele(path),
        Command::Hash(_) => Command::Hash(path),
        Command::Mdtm(_) => Command::Mdtm(path),
        Command::Mkd(_) => Command::Mkd(path),
        Command::Retr(_) => Command::Retr(path),
        Command::Rmd(_) => Command::Rmd(path),
        Command::Rmda(_) => Command::Rmda(path),
        Command::Rnfr(_) => Command::Rnfr(path),
        Command::Rnto(_) => Command::Rnto(path),
        Command::Size(_) => Command::Size(path),
        Command::Stor(_) => Command::Stor(path),
        Command::Mff { facts, .. } => Command::Mff { facts, path },
        Command::Mfmt { time, .. } => Command::Mfmt { time, path },
        Command::Site(Site::Chmod { mode, .. }) => Command::Site(Site::Chmod { mode, path }),
        Command::Mlsd(_) => Command::Mlsd(Some(path)),
        Command::Mlst(_) => Command::Mlst(Some(path)),
        Command::List(list) => Command::List(ListArg { path: Some(path), ..list }),
        Command::Nlst(list) => Command::Nlst(ListArg { path: Some(path), ..list }),
        Command::Stat(Some(list)) => Command::Stat(Some(ListArg { path: Some(path), ..list })),
        Command::Stou(_) => Command::Stou(Some(path)),
        _ => return None,
    })
}
