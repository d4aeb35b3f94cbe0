//! Commands: read from a line, written to a line.

use crate::{AnnounceError, Announced, Arg, Code, Family, Reply, Verb};

mod emit;
mod parse;
mod site;

pub use emit::EmitError;
pub use parse::split_verb;
pub use site::Site;

/// One control-channel command, borrowed from its line.
///
/// Arguments stay octets: names need not be UTF-8 (RFC 2640 §3) and a proxy forwards what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "each variant is the verb of its RFC; the table in verb.rs says which")]
pub enum Command<'a> {
    Abor,
    Acct(&'a [u8]),
    Allo(u64),
    Appe(&'a [u8]),
    Auth(Mechanism<'a>),
    Avbl(Option<&'a [u8]>),
    Ccc,
    Cdup,
    Clnt(&'a [u8]),
    Comb(&'a [u8]),
    Csid(&'a [u8]),
    Cwd(&'a [u8]),
    Dele(&'a [u8]),
    /// XCRC, XMD5, XSHA1, XSHA256, XSHA512.
    Digest {
        algorithm: Algorithm,
        arg: &'a [u8],
    },
    Eprt(Announced),
    Epsv(Epsv),
    Feat,
    Hash(&'a [u8]),
    Help(Option<&'a [u8]>),
    Host(&'a [u8]),
    Lang(Option<&'a [u8]>),
    List(ListArg<'a>),
    Mdtm(&'a [u8]),
    Mff {
        facts: &'a [u8],
        path: &'a [u8],
    },
    Mfmt {
        time: &'a [u8],
        path: &'a [u8],
    },
    Mkd(&'a [u8]),
    Mlsd(Option<&'a [u8]>),
    Mlst(Option<&'a [u8]>),
    Mode(Mode),
    Nlst(ListArg<'a>),
    Noop,
    Opts {
        command: &'a [u8],
        options: Option<&'a [u8]>,
    },
    /// Never logged.
    Pass(&'a [u8]),
    Pasv,
    Pbsz(u32),
    Port(Announced),
    Prot(Protection),
    Pwd,
    Quit,
    Rein,
    Rest(u64),
    Retr(&'a [u8]),
    Rmd(&'a [u8]),
    Rmda(&'a [u8]),
    Rnfr(&'a [u8]),
    Rnto(&'a [u8]),
    Site(Site<'a>),
    Size(&'a [u8]),
    Stat(Option<ListArg<'a>>),
    Stor(&'a [u8]),
    Stou(Option<&'a [u8]>),
    Stru(Structure),
    Syst,
    Type(Representation),
    User(&'a [u8]),
    /// A verb of the table that no server of ours serves (ADAT, LPRT, SMNT…), byte for byte.
    Unserved {
        verb: Verb,
        arg: Option<&'a [u8]>,
    },
    /// Any other verb, byte for byte.
    Other {
        verb: &'a [u8],
        arg: Option<&'a [u8]>,
    },
}

/// The mechanism of AUTH (RFC 4217 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mechanism<'a> {
    /// `TLS` or `TLS-C`: the data channel stays clear until PROT P.
    Tls,
    /// `SSL` or `TLS-P`: the old spelling; the data channel is protected at once.
    TlsWithData,
    /// Something else; answer 504.
    Other(&'a [u8]),
}

/// The argument of EPSV (RFC 2428 §3, §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Epsv {
    /// None: the family of the control connection.
    Same,
    /// A family by number.
    Family(Family),
    /// `ALL`: no other data command will follow.
    All,
}

/// TYPE (RFC 959 §3.1.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Representation {
    /// `A`, `A N`: lines end in CRLF on the wire. The protocol's default.
    #[default]
    Ascii,
    /// `I`, `L 8`: octets as they are.
    Image,
}

/// MODE (RFC 959 §3.4, draft-preston-ftpext-deflate).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// `S`: the end of the connection is the end of the file.
    #[default]
    Stream,
    /// `B`: blocks; many files may share a data connection.
    Block,
    /// `Z`: a deflate stream.
    Deflate,
}

/// STRU (RFC 959 §3.1.2); the others are refused by the parser with 504.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Structure {
    /// `F`.
    #[default]
    File,
}

/// PROT (RFC 2228 §3, RFC 4217 §9).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protection {
    /// `C`: data goes in the clear.
    #[default]
    Clear,
    /// `P`: data goes over TLS.
    Private,
}

/// A digest that a client may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Algorithm {
    Crc32,
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Algorithm {
    /// Each, with its name in HASH (draft-bryan-ftpext-hash §6) and its X-verb.
    pub const ALL: [(Self, &'static str, Verb); 5] = [
        (Self::Sha256, "SHA-256", Verb::Xsha256),
        (Self::Sha512, "SHA-512", Verb::Xsha512),
        (Self::Sha1, "SHA-1", Verb::Xsha1),
        (Self::Md5, "MD5", Verb::Xmd5),
        (Self::Crc32, "CRC32", Verb::Xcrc),
    ];

    /// The name in HASH replies and OPTS HASH.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    /// Reads the name in OPTS HASH, in any letter case.
    #[must_use]
    pub fn read(name: &[u8]) -> Option<Self> {
        Self::ALL.iter().find(|row| row.1.as_bytes().eq_ignore_ascii_case(name)).map(|row| row.0)
    }
}

/// The argument of LIST, NLST and STAT: flags as of `ls`, which clients send although no RFC knows them, and
/// a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ListArg<'a> {
    /// The flags with their dashes, as sent; most are ignored.
    pub flags: Option<&'a [u8]>,
    /// The path; `None` is the current directory.
    pub path: Option<&'a [u8]>,
}

impl ListArg<'_> {
    /// Whether a one-letter flag was given.
    #[must_use]
    pub fn has(&self, flag: u8) -> bool {
        self.flags.is_some_and(|flags| flags.contains(&flag))
    }
}

/// Why a line is no command; always the sender's fault. The session lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseError {
    /// An empty line, or one that begins with a blank.
    #[error("a command was expected")]
    Empty,
    /// Octets outside A to Z in the verb.
    #[error("a verb has letters and digits only")]
    BadVerb,
    /// The verb needs an argument.
    #[error("{} needs an argument: {}", .0.name(), .0.info().syntax())]
    MissingArgument(Verb),
    /// The verb takes none.
    #[error("{} takes no argument", .0.name())]
    UnexpectedArgument(Verb),
    /// The argument has the wrong form.
    #[error("{}: {why}", verb.name())]
    BadArgument {
        /// Which verb.
        verb: Verb,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The form is right and the value is not one of ours.
    #[error("{}: {why}", verb.name())]
    NotImplemented {
        /// Which verb.
        verb: Verb,
        /// What is served.
        why: &'static str,
    },
    /// PORT or EPRT cannot be read.
    #[error("{}: {why}", verb.name())]
    Announce {
        /// Which verb.
        verb: Verb,
        /// Why.
        why: AnnounceError,
    },
}

impl ParseError {
    /// The verb, if it was one of the table.
    #[must_use]
    pub const fn verb(self) -> Option<Verb> {
        match self {
            Self::Empty | Self::BadVerb => None,
            Self::MissingArgument(verb) | Self::UnexpectedArgument(verb) => Some(verb),
            Self::BadArgument { verb, .. }
            | Self::NotImplemented { verb, .. }
            | Self::Announce { verb, .. } => Some(verb),
        }
    }

    /// The reply: 500, 501, 504 or 522 (RFC 959 §4.2.1, RFC 2428 §2).
    #[must_use]
    pub fn reply(self) -> Reply {
        let code = match self {
            Self::Empty | Self::BadVerb => Code::UNRECOGNIZED,
            Self::NotImplemented { .. } => Code::PARAMETER_NOT_IMPLEMENTED,
            Self::Announce { why: AnnounceError::Family, .. } => Code::PROTOCOL_NOT_SUPPORTED,
            _ => Code::BAD_PARAMETER,
        };
        Reply::new(code, format_args!("{self}."))
    }
}

impl Command<'_> {
    /// The verb, unless it is none of the table's.
    #[must_use]
    pub fn verb(&self) -> Option<Verb> {
        emit::verb(self)
    }

    /// Whether its row says that it may be answered while a transfer runs; unknown verbs wait.
    #[must_use]
    pub fn during_transfer(&self) -> crate::During {
        self.verb().map_or(crate::During::Later, |verb| match self {
            // STAT of a path lists a directory in the reply; it waits so that replies stay in order.
            Self::Stat(Some(_)) => crate::During::Later,
            _ => verb.info().during,
        })
    }
}

const fn takes_argument(arg: Arg) -> bool {
    !matches!(arg, Arg::None)
}

#[cfg(test)]
mod tests;
