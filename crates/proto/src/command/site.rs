//! SITE: what is not in the RFCs and clients use all the same.

use super::parse::split_verb;
use super::{ParseError, parse::number};
use crate::Verb;

/// A SITE command (RFC 959 §4.1.3 leaves them to the site).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Site<'a> {
    /// `CHMOD 644 path`; the mode in octal, 0 to 7777.
    Chmod {
        /// The permission bits.
        mode: u32,
        /// Of what.
        path: &'a [u8],
    },
    /// `UTIME YYYYMMDDhhmm[ss] path` or `UTIME path atime mtime ctime UTC`; read by the server.
    Utime(&'a [u8]),
    /// `SYMLINK target link`.
    Symlink {
        /// Where it leads.
        target: &'a [u8],
        /// Its name.
        link: &'a [u8],
    },
    /// `UMASK [022]`.
    Umask(Option<u32>),
    /// `IDLE [seconds]`.
    Idle(Option<u64>),
    /// `DOCTOR`: what this server saw of the client's channels.
    Doctor,
    /// `HELP [command]`.
    Help(Option<&'a [u8]>),
    /// Anything else, byte for byte.
    Other(&'a [u8]),
}

impl<'a> Site<'a> {
    /// Parses what follows `SITE `.
    ///
    /// # Errors
    /// [`ParseError::BadArgument`] for a known command with a wrong argument.
    pub fn parse(arg: &'a [u8]) -> Result<Self, ParseError> {
        let (name, rest) = split_verb(arg);
        let bad = |why| ParseError::BadArgument { verb: Verb::Site, why };
        let rest = rest.filter(|rest| !rest.is_empty());
        let is = |known: &[u8]| name.eq_ignore_ascii_case(known);
        Ok(if is(b"CHMOD") {
            let (mode, path) = two(rest).ok_or(bad("expected CHMOD mode path"))?;
            Self::Chmod { mode: octal(mode).ok_or(bad("expected an octal mode such as 644"))?, path }
        } else if is(b"UTIME") {
            Self::Utime(rest.ok_or(bad("expected UTIME YYYYMMDDhhmmss path"))?)
        } else if is(b"SYMLINK") {
            let (target, link) = two(rest).ok_or(bad("expected SYMLINK target link"))?;
            Self::Symlink { target, link }
        } else if is(b"UMASK") {
            let mask = rest.map(|mask| octal(mask).filter(|&m| m <= 0o777));
            Self::Umask(mask.map(|mask| mask.ok_or(bad("expected an octal mask such as 022"))).transpose()?)
        } else if is(b"IDLE") {
            let seconds = rest.map(|n| number(n).ok_or(bad("expected a number of seconds")));
            Self::Idle(seconds.transpose()?)
        } else if is(b"DOCTOR") {
            Self::Doctor
        } else if is(b"HELP") {
            Self::Help(rest)
        } else {
            Self::Other(arg)
        })
    }

    /// Writes what follows `SITE `.
    pub(super) fn emit(&self, out: &mut Vec<u8>) {
        let mut words = |name: &str, rest: &[&[u8]]| {
            out.extend_from_slice(name.as_bytes());
            for word in rest {
                out.push(b' ');
                out.extend_from_slice(word);
            }
        };
        match *self {
            Self::Chmod { mode, path } => words("CHMOD", &[format!("{mode:o}").as_bytes(), path]),
            Self::Utime(arg) => words("UTIME", &[arg]),
            Self::Symlink { target, link } => words("SYMLINK", &[target, link]),
            Self::Umask(None) => words("UMASK", &[]),
            Self::Umask(Some(mask)) => words("UMASK", &[format!("{mask:03o}").as_bytes()]),
            Self::Idle(None) => words("IDLE", &[]),
            Self::Idle(Some(seconds)) => words("IDLE", &[seconds.to_string().as_bytes()]),
            Self::Doctor => words("DOCTOR", &[]),
            Self::Help(None) => words("HELP", &[]),
            Self::Help(Some(topic)) => words("HELP", &[topic]),
            Self::Other(arg) => out.extend_from_slice(arg),
        }
    }
}

fn two(rest: Option<&[u8]>) -> Option<(&[u8], &[u8])> {
    match split_verb(rest?) {
        (first, Some(second)) if !first.is_empty() && !second.is_empty() => Some((first, second)),
        _ => None,
    }
}

/// One to five octal digits up to 7777.
fn octal(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || digits.len() > 5 || !digits.iter().all(|b| matches!(b, b'0'..=b'7')) {
        return None;
    }
    let text = std::str::from_utf8(digits).ok()?;
    u32::from_str_radix(text, 8).ok().filter(|&mode| mode <= 0o7777)
}
