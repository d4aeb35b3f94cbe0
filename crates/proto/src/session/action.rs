//! What goes into a server session and what comes out of it.

#[cfg(doc)]
use crate::ServerSession;
use crate::{Algorithm, Command, ListArg, Mode, Protection, Reply, Representation, Verb, Vetted};

/// What the administrator decided, as far as the dialogue depends on it.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Whether AUTH TLS is offered. Default true.
    pub tls: bool,
    /// Whether login and data need TLS. Default false.
    pub tls_required: bool,
    /// Whether CCC is allowed (RFC 4217 §6). Default false: names and commands would go in the clear.
    pub ccc: bool,
    /// Digests for HASH, the first being the default; empty turns HASH off.
    pub hashes: Vec<Algorithm>,
    /// Whether FEAT names MODE Z. Default false: it is served to whoever asks, but lftp turns it on wherever it
    /// sees it, and on a fast network compression is many times slower than none.
    pub advertise_deflate: bool,
    /// Refused commands before a login after which the session ends with 421. Default 30.
    pub unknown_before_login: u32,
    /// Failed logins after which the session ends with 421. Default 5.
    pub failed_logins: u32,
    /// Whether PORT and EPRT with a private address other than the client's mean that port on the address that we
    /// know him by. So speak clients behind address translation under TLS, where nobody can correct them on the
    /// way; of use only with a gate that translates the data connection, too. Default false: 501.
    pub translated_clients: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tls: true,
            tls_required: false,
            ccc: false,
            hashes: Algorithm::ALL.map(|row| row.0).to_vec(),
            advertise_deflate: false,
            unknown_before_login: 30,
            failed_logins: 5,
            translated_clients: false,
        }
    }
}

/// How a data connection will come about, as the last announcement left it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Channel {
    /// Nobody announced anything.
    #[default]
    None,
    /// We announced a port (PASV, EPSV).
    Passive,
    /// The client announced a port (PORT, EPRT).
    Active,
    /// In block mode: the data connection of the transfer before (RFC 959 §3.3).
    Kept,
}

/// What a transfer command wants done, with everything the session knows about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transfer<'a> {
    /// Which command, and its path.
    pub kind: TransferKind<'a>,
    /// Where the data connection comes from.
    pub channel: Channel,
    /// Octets to skip, from REST. 0 without it.
    pub restart: u64,
    /// TYPE.
    pub representation: Representation,
    /// MODE.
    pub mode: Mode,
    /// With MODE Z, how hard to compress: 0 to 9, from OPTS MODE Z LEVEL. Default 6.
    pub deflate_level: u32,
    /// PROT.
    pub protection: Protection,
}

/// The commands that use the data channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the verb of its RFC")]
pub enum TransferKind<'a> {
    Retr(&'a [u8]),
    Stor(&'a [u8]),
    Appe(&'a [u8]),
    Stou(Option<&'a [u8]>),
    List(ListArg<'a>),
    Nlst(ListArg<'a>),
    Mlsd(Option<&'a [u8]>),
}

impl<'a> TransferKind<'a> {
    /// The name as the client gave it; empty if it gave none.
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        match *self {
            Self::Retr(name) | Self::Stor(name) | Self::Appe(name) => name,
            Self::Stou(name) | Self::Mlsd(name) => name.unwrap_or_default(),
            Self::List(arg) | Self::Nlst(arg) => arg.path.unwrap_or_default(),
        }
    }
}

impl TransferKind<'_> {
    /// Whether the client sends.
    #[must_use]
    pub const fn is_upload(&self) -> bool {
        matches!(self, Self::Stor(_) | Self::Appe(_) | Self::Stou(_))
    }

    /// Whether it is about a directory and not about a file.
    #[must_use]
    pub const fn is_listing(&self) -> bool {
        matches!(self, Self::List(_) | Self::Nlst(_) | Self::Mlsd(_))
    }

    /// The verb, for logs.
    #[must_use]
    pub const fn verb(&self) -> Verb {
        match self {
            Self::Retr(_) => Verb::Retr,
            Self::Stor(_) => Verb::Stor,
            Self::Appe(_) => Verb::Appe,
            Self::Stou(_) => Verb::Stou,
            Self::List(_) => Verb::List,
            Self::Nlst(_) => Verb::Nlst,
            Self::Mlsd(_) => Verb::Mlsd,
        }
    }
}

/// What the shell has to do next. Exactly one answers each command.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action<'a> {
    /// Send it.
    Reply(Reply),
    /// Send it and close the connection.
    Close(Reply),
    /// Send it in the clear, drop whatever was read behind the command (RFC 4217 §4; the STARTTLS
    /// injection), shake hands, and say [`ServerSession::tls_started`].
    StartTls(Reply),
    /// Send it over TLS, end TLS and go on in the clear (CCC).
    StopTls(Reply),
    /// Check the password and say [`ServerSession::verified`].
    Verify {
        /// The name given to USER.
        user: Vec<u8>,
        /// The argument of PASS.
        secret: &'a [u8],
    },
    /// Open a passive port and say [`ServerSession::offered`]; the verb tells which reply it makes.
    Offer(Verb),
    /// Let nothing but this be dialled next, open a pinhole for it and say [`ServerSession::targeted`]; the verb is for the log.
    Target(Verb, Vetted),
    /// Move data; the session has forgotten channel and restart offset.
    Transfer(Transfer<'a>),
    /// Do it on the storage and send the reply that fits.
    Perform(Command<'a>),
    /// Rename; `from` is what RNFR named.
    Rename {
        /// The argument of RNFR.
        from: Vec<u8>,
        /// The argument of RNTO.
        to: &'a [u8],
    },
    /// RNFR: if it exists, say [`ServerSession::rename_from`] and send what that returns.
    RenameFrom(&'a [u8]),
    /// SITE IDLE: set the idle timeout, as far as policy allows, and answer.
    Idle(Option<u64>),
    /// SITE DOCTOR: answer what is known of this client's channels, not too often.
    Doctor,
    /// STAT without a path: send [`ServerSession::status`] with what else is known.
    Status,
    /// REIN: forget the user and what belongs to him, then send it.
    Reinitialize(Reply),
}

/// What became of a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Right; the text of 230.
    Accepted(String),
    /// Wrong, or no such user, or not allowed: the client is not told which.
    Rejected,
    /// The user may log in over TLS only.
    NeedsTls,
    /// Too many failures: close.
    TooMany,
}
