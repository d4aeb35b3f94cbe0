//! Which commands a row is about: verbs of the table by name or class, commands of SITE, and names from outside the
//! table.

use std::str::FromStr;

use portway_proto::{Command, Verb, split_verb};

use crate::features::WRITING;
use crate::filter::changes;

/// `STOR`, `SITE CHMOD`, `@write`, or `*` for all that is not part of every session. Other spellings of a verb (XMKD
/// for MKD) are the verb.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerbPattern(Kind);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Kind {
    All,
    Class(Class),
    Verb(Verb),
    /// A command of SITE, in upper case.
    Site(Vec<u8>),
    /// A verb outside the table, in upper case.
    Outside(Vec<u8>),
}

/// Verbs with the same purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    /// Whatever changes something, or may.
    Write,
    /// Contents of files, digests included.
    Read,
    /// Names and facts of files.
    List,
    /// Active mode.
    Active,
    /// Passive mode.
    Passive,
}

const CLASSES: &[(&str, Class)] = &[
    ("@write", Class::Write),
    ("@read", Class::Read),
    ("@list", Class::List),
    ("@active", Class::Active),
    ("@passive", Class::Passive),
];

/// What `*` does not stand for: without them there is no session, or no way to end it in order.
const SESSION: &[Verb] = &[
    Verb::Abor,
    Verb::Acct,
    Verb::Auth,
    Verb::Ccc,
    Verb::Clnt,
    Verb::Eprt,
    Verb::Epsv,
    Verb::Feat,
    Verb::Help,
    Verb::Host,
    Verb::Lang,
    Verb::Mode,
    Verb::Noop,
    Verb::Opts,
    Verb::Pass,
    Verb::Pasv,
    Verb::Pbsz,
    Verb::Port,
    Verb::Prot,
    Verb::Pwd,
    Verb::Quit,
    Verb::Rein,
    Verb::Rest,
    Verb::Stru,
    Verb::Syst,
    Verb::Type,
    Verb::User,
];

/// Why a text names no commands.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerbPatternError {
    /// It has the form of none.
    #[error(
        "`{0}` names no command: expected a verb such as DELE, SITE and a command of it, @write, @read, @list, @active, @passive, or *"
    )]
    Form(String),
    /// The session could not begin or end.
    #[error("{0} is part of every session and cannot be ruled")]
    Essential(&'static str),
}

impl FromStr for VerbPattern {
    type Err = VerbPatternError;

    fn from_str(text: &str) -> Result<Self, VerbPatternError> {
        let wrong = || VerbPatternError::Form(text.to_owned());
        if text == "*" {
            return Ok(Self(Kind::All));
        }
        if text.starts_with('@') {
            let class = CLASSES.iter().find(|row| row.0.eq_ignore_ascii_case(text)).ok_or_else(wrong)?;
            return Ok(Self(Kind::Class(class.1)));
        }
        let (name, rest) = split_verb(text.trim_ascii().as_bytes());
        if name.is_empty() || !name.iter().all(u8::is_ascii_alphanumeric) {
            return Err(wrong());
        }
        let site = rest.map(|rest| rest.trim_ascii().to_ascii_uppercase());
        let kind = match (Verb::read(name), site) {
            (Some(verb @ (Verb::User | Verb::Pass | Verb::Quit)), _) => {
                return Err(VerbPatternError::Essential(verb.name()));
            }
            (Some(Verb::Site), Some(word)) if !word.is_empty() && !word.contains(&b' ') => Kind::Site(word),
            (Some(verb), None) => Kind::Verb(verb),
            (None, None) => Kind::Outside(name.to_ascii_uppercase()),
            _ => return Err(wrong()),
        };
        Ok(Self(kind))
    }
}

impl VerbPattern {
    /// Whether a command is meant.
    pub(super) fn matches(&self, command: &Command<'_>) -> bool {
        let verb = command.verb();
        match &self.0 {
            Kind::All => verb.is_none_or(|verb| !SESSION.contains(&verb)),
            Kind::Class(class) => class.has(command),
            Kind::Verb(wanted) => verb == Some(*wanted),
            Kind::Site(wanted) => matches!(command, Command::Site(_)) && site_word(command) == *wanted,
            Kind::Outside(wanted) => {
                matches!(command, Command::Other { verb, .. } if verb.eq_ignore_ascii_case(wanted))
            }
        }
    }

    /// Whether every command of the verb is meant (of SITE: those that begin with this word).
    pub(super) fn covers(&self, verb: Verb, site: Option<&[u8]>) -> bool {
        match &self.0 {
            Kind::All => !SESSION.contains(&verb),
            Kind::Class(class) => class.verbs().contains(&verb),
            Kind::Verb(wanted) => verb == *wanted,
            Kind::Site(wanted) => {
                verb == Verb::Site && site.is_some_and(|word| word.eq_ignore_ascii_case(wanted))
            }
            Kind::Outside(_) => false,
        }
    }

    /// Whether some command of the verb is meant.
    pub(super) fn touches(&self, verb: Verb) -> bool {
        match &self.0 {
            Kind::Site(_) => verb == Verb::Site,
            Kind::Class(Class::Write) if matches!(verb, Verb::Site | Verb::Mdtm) => true,
            _ => self.covers(verb, None),
        }
    }

    pub(super) fn is_class(&self) -> bool {
        matches!(self.0, Kind::Class(_))
    }
}

impl Class {
    fn verbs(self) -> &'static [Verb] {
        match self {
            Self::Write => WRITING,
            Self::Read => {
                &[Verb::Retr, Verb::Hash, Verb::Xcrc, Verb::Xmd5, Verb::Xsha1, Verb::Xsha256, Verb::Xsha512]
            }
            Self::List => {
                &[Verb::List, Verb::Nlst, Verb::Mlsd, Verb::Mlst, Verb::Size, Verb::Mdtm, Verb::Avbl]
            }
            Self::Active => &[Verb::Port, Verb::Eprt],
            Self::Passive => &[Verb::Pasv, Verb::Epsv],
        }
    }

    fn has(self, command: &Command<'_>) -> bool {
        match self {
            Self::Write => changes(command),
            Self::List if matches!(command, Command::Stat(Some(_))) => true,
            _ => command.verb().is_some_and(|verb| self.verbs().contains(&verb)),
        }
    }
}

/// The first word after SITE in upper case, as a server may read it: blanks of all kinds before and after it gone, and
/// its quotes.
fn site_word(command: &Command<'_>) -> Vec<u8> {
    let mut argument = super::path::argument(command);
    argument.retain(|&octet| octet != b'"');
    let words = argument.split(|b| b.is_ascii_whitespace() || b.is_ascii_control());
    words.into_iter().find(|word| !word.is_empty()).unwrap_or_default().to_ascii_uppercase()
}
