//! The server's side of a control connection.

mod first;
mod login;
mod options;

use std::net::IpAddr;
use std::sync::Arc;

use super::action::{Action, Channel, Policy, TransferKind};
use super::channel::{wants_epsv, wrong_family};
use super::features;
use crate::row::MlsxFacts;
use crate::{
    Algorithm, AnnounceError, Announced, Class, Code, Command, Family, Mode, ParseError, Phase, Protection,
    Reply, Representation, Site, Support, Verb,
};

use first::{no_client_of_ours, other_protocol};
use login::{Login, PLEASE_LOG_IN};

/// One control connection, seen by the server: no socket, no clock, no storage.
///
/// Feed it commands with [`Self::command`]; do what the [`Action`] says; report back with the method the
/// action names. The working directory belongs to the shell, since only storage can tell what it is.
#[derive(Clone, Debug)]
pub struct ServerSession {
    pub(super) policy: Arc<Policy>,
    pub(super) peer: IpAddr,
    login: Login,
    /// Control channel under TLS.
    pub(super) secure: bool,
    pub(super) pbsz: bool,
    pub(super) protection: Protection,
    pub(super) representation: Representation,
    pub(super) mode: Mode,
    pub(super) deflate_level: u32,
    pub(super) channel: Channel,
    pub(super) epsv_all: bool,
    pub(super) restart: u64,
    rename_from: Option<Vec<u8>>,
    facts: MlsxFacts,
    hash: Option<Algorithm>,
    refused: u32,
    failed: u32,
    begun: bool,
}

impl ServerSession {
    /// A session with a client at `peer`; `implicit` means that TLS was there before the greeting.
    #[must_use]
    pub fn new(policy: impl Into<Arc<Policy>>, peer: IpAddr, implicit: bool) -> Self {
        let policy = policy.into();
        let hash = policy.hashes.first().copied();
        Self {
            policy,
            peer: peer.to_canonical(),
            login: Login::NeedUser,
            secure: implicit,
            // Implicit TLS protects data from the start, as its clients expect.
            pbsz: implicit,
            protection: if implicit { Protection::Private } else { Protection::Clear },
            representation: Representation::Ascii,
            mode: Mode::Stream,
            deflate_level: DEFLATE_LEVEL,
            channel: Channel::None,
            epsv_all: false,
            restart: 0,
            rename_from: None,
            facts: MlsxFacts::default(),
            hash,
            refused: 0,
            failed: 0,
            begun: false,
        }
    }

    /// Whether the control channel is under TLS.
    #[must_use]
    pub const fn is_secure(&self) -> bool {
        self.secure
    }

    /// PROT as it stands.
    #[must_use]
    pub const fn protection(&self) -> Protection {
        self.protection
    }

    /// The channel as the last announcement left it; the shell drops an offer that this no longer names.
    #[must_use]
    pub const fn channel(&self) -> Channel {
        self.channel
    }

    /// The facts that MLST and MLSD give (RFC 3659 §7.9).
    #[must_use]
    pub const fn facts(&self) -> MlsxFacts {
        self.facts
    }

    /// The digest for HASH.
    #[must_use]
    pub const fn hash(&self) -> Option<Algorithm> {
        self.hash
    }

    /// TYPE as it stands; SIZE depends on it (RFC 3659 §4).
    #[must_use]
    pub const fn representation(&self) -> Representation {
        self.representation
    }

    /// A line that could not be read as a line: too long, or with NUL or a bare CR in it.
    pub fn bad_line(&mut self, why: impl std::fmt::Display) -> Action<'static> {
        if !std::mem::replace(&mut self.begun, true) {
            // The request line of a browser can be made too long on purpose; what follows it would be run.
            return no_client_of_ours();
        }
        self.refuse(Reply::new(Code::UNRECOGNIZED, why))
    }

    /// Judges one line without its CRLF.
    pub fn line<'a>(&mut self, line: &'a [u8]) -> Action<'a> {
        let first = !std::mem::replace(&mut self.begun, true);
        if first && other_protocol(line) {
            return no_client_of_ours();
        }
        match Command::parse(line) {
            Ok(command) => self.command(command),
            Err(ParseError::Announce { why: AnnounceError::Family, .. }) if self.user().is_some() => {
                self.refuse(wrong_family(Family::of(self.peer)))
            }
            Err(ParseError::NotImplemented { verb: Verb::Prot, why }) => {
                // RFC 4217 §9: levels S and E are 536.
                self.refuse(Reply::new(Code::PROTECTION_NOT_SUPPORTED, format_args!("PROT: {why}.")))
            }
            Err(error) => match error.verb().map(Verb::info) {
                Some(info) if info.needs == Phase::LoggedIn && self.user().is_none() => {
                    self.refuse(Reply::new(Code::NOT_LOGGED_IN, PLEASE_LOG_IN))
                }
                _ => self.refuse(error.reply()),
            },
        }
    }

    /// Judges one command.
    pub fn command<'a>(&mut self, command: Command<'a>) -> Action<'a> {
        let renaming = self.rename_from.take();
        let Some(info) = command.verb().map(Verb::info) else {
            return self
                .refuse(Reply::new(Code::UNRECOGNIZED, "Command not recognized; HELP lists what is."));
        };
        if let Support::Refused(why) = info.support {
            return self.refuse(Reply::new(
                Code::NOT_IMPLEMENTED,
                format_args!("{} is not served: {why}.", info.name),
            ));
        }
        if info.needs == Phase::LoggedIn && self.user().is_none() {
            return self.refuse(Reply::new(Code::NOT_LOGGED_IN, PLEASE_LOG_IN));
        }
        match command {
            Command::User(name) => self.user_given(name),
            Command::Pass(secret) => self.password(secret),
            Command::Acct(_) => reply(Code::SUPERFLUOUS, "No account is needed."),
            Command::Rein => self.reinitialize(),
            Command::Quit => Action::Close(Reply::new(Code::CLOSING, "Goodbye.")),
            Command::Noop => reply(Code::OK, "Still here."),
            Command::Syst => reply(Code::SYSTEM_TYPE, "UNIX Type: L8"),
            Command::Feat => Action::Reply(features::feat(self)),
            Command::Help(topic) => Action::Reply(features::help(topic)),
            Command::Opts { command, options } => Action::Reply(self.options(command, options)),
            Command::Host(_) if self.login != Login::NeedUser => {
                // RFC 7151 §3.1: HOST comes before USER.
                reply(Code::BAD_SEQUENCE, "HOST comes before USER.")
            }
            Command::Host(name) if !options::is_host(name) => reply(
                Code::BAD_PARAMETER,
                "HOST: expected a name, an IPv4 address, or an IPv6 address in brackets.",
            ),
            Command::Host(_) => reply(Code::READY, "Host accepted."),
            Command::Lang(tag) => options::lang(tag),
            Command::Clnt(_) => reply(Code::OK, "Noted."),
            Command::Csid(_) => reply(Code::OK, "Name=portway; Version=0; "),
            Command::Auth(mechanism) => self.auth(mechanism),
            Command::Pbsz(_) if !self.secure => reply(Code::BAD_SEQUENCE, "AUTH TLS comes before PBSZ."),
            Command::Pbsz(_) => {
                self.pbsz = true;
                // RFC 4217 §8: over TLS the only size is 0.
                reply(Code::OK, "PBSZ=0")
            }
            Command::Prot(level) => self.protect(level),
            Command::Ccc => self.clear_command_channel(),
            Command::Type(representation) => {
                self.representation = representation;
                reply(
                    Code::OK,
                    match representation {
                        Representation::Ascii => "Type is ASCII.",
                        Representation::Image => "Type is image (binary).",
                    },
                )
            }
            Command::Mode(mode) => {
                if mode != self.mode {
                    self.drop_kept();
                }
                self.mode = mode;
                reply(
                    Code::OK,
                    match mode {
                        Mode::Deflate => "Mode is deflate.",
                        Mode::Block => "Mode is block.",
                        Mode::Stream => "Mode is stream.",
                    },
                )
            }
            Command::Stru(_) => reply(Code::OK, "Structure is file."),
            Command::Allo(_) => reply(Code::SUPERFLUOUS, "No allocation is needed."),
            Command::Rest(offset) => {
                self.restart = offset;
                reply(Code::PENDING, format_args!("Restarting at {offset}; send the transfer command."))
            }
            Command::Pasv => self.passive(),
            Command::Epsv(kind) => self.extended_passive(kind),
            Command::Port(announced) => self.active(Verb::Port, announced),
            Command::Eprt(announced) => self.active(Verb::Eprt, announced),
            Command::Retr(path) => self.transfer(TransferKind::Retr(path)),
            Command::Stor(path) => self.transfer(TransferKind::Stor(path)),
            Command::Appe(path) => self.transfer(TransferKind::Appe(path)),
            Command::Stou(name) => self.transfer(TransferKind::Stou(name)),
            Command::List(arg) => self.transfer(TransferKind::List(arg)),
            Command::Nlst(arg) => self.transfer(TransferKind::Nlst(arg)),
            Command::Mlsd(path) => self.transfer(TransferKind::Mlsd(path)),
            Command::Rnfr(path) => Action::RenameFrom(path),
            Command::Rnto(to) => match renaming {
                Some(from) => Action::Rename { from, to },
                None => reply(Code::BAD_SEQUENCE, "RNFR comes before RNTO."),
            },
            // RFC 959 §4.1.3: with no transfer to abort, ABOR succeeds at once.
            Command::Abor => {
                self.channel = Channel::None;
                reply(Code::TRANSFER_COMPLETE, "No transfer to abort.")
            }
            Command::Stat(None) => Action::Status,
            Command::Site(Site::Idle(seconds)) => Action::Idle(seconds),
            Command::Site(Site::Doctor) => Action::Doctor,
            Command::Site(Site::Help(_)) => Action::Reply(features::site_help()),
            Command::Site(Site::Other(_)) => reply(
                Code::NOT_IMPLEMENTED,
                "SITE: not one of CHMOD, UTIME, SYMLINK, UMASK, IDLE, DOCTOR, HELP.",
            ),
            Command::Hash(_) if self.hash.is_none() => reply(Code::NOT_IMPLEMENTED, "Digests are off."),
            Command::Digest { algorithm, .. } if !self.policy.hashes.contains(&algorithm) => {
                reply(Code::NOT_IMPLEMENTED, "This digest is off.")
            }
            other => Action::Perform(other),
        }
    }

    /// TLS is up on the control channel (RFC 4217 §4): what was agreed in the clear is forgotten.
    pub fn tls_started(&mut self) {
        self.secure = true;
        self.login = Login::NeedUser;
        self.reset_transfer_parameters();
    }

    /// CCC is done: the control channel is clear, PROT stays as it is (RFC 4217 §6).
    pub fn tls_stopped(&mut self) {
        self.secure = false;
    }

    /// A passive port is open, pinhole included; makes the 227 or 229.
    pub fn offered(&mut self, verb: Verb, announced: Announced) -> Reply {
        let text = match (verb, announced.host_port()) {
            (Verb::Pasv, Some(six)) => (Code::PASSIVE, format!("Entering Passive Mode ({six}).")),
            (Verb::Pasv, None) => return wants_epsv(),
            _ => (
                Code::EXTENDED_PASSIVE,
                format!("Entering Extended Passive Mode ({}).", announced.port_only()),
            ),
        };
        self.channel = Channel::Passive;
        Reply::new(text.0, text.1)
    }

    /// The client's port may be dialled, pinhole included; makes the 200.
    pub fn targeted(&mut self) -> Reply {
        self.channel = Channel::Active;
        Reply::new(Code::OK, "I will connect to you there.")
    }

    /// The next transfer may use this channel: in block mode the data connection of one that is over
    /// ([`Channel::Kept`]), or what one that was refused has left.
    pub fn channel_unused(&mut self, channel: Channel) {
        self.channel = channel;
    }

    /// Whatever makes it doubtful what comes next on a kept data connection, or whose it is, ends it.
    pub(super) fn drop_kept(&mut self) {
        if self.channel == Channel::Kept {
            self.channel = Channel::None;
        }
    }

    /// What RNFR named is there.
    pub fn rename_from(&mut self, path: &[u8]) -> Reply {
        self.rename_from = Some(path.to_vec());
        Reply::new(Code::PENDING, "Ready for RNTO.")
    }

    /// STAT: the state of the session (RFC 959 §4.1.3), with `more` lines of the shell's.
    #[must_use]
    pub fn status(&self, more: &[String]) -> Reply {
        let mut status = Reply::new(Code::SYSTEM_STATUS, "portway FTP server status:")
            .line(format_args!("Connected from {}", self.peer));
        if let Some(user) = self.user() {
            status = status.line(format_args!("Logged in as {}", String::from_utf8_lossy(user)));
        }
        let tls = |on| if on { "TLS" } else { "clear" };
        status = status
            .line(format_args!(
                "TYPE {}, STRU F, MODE {}",
                if self.representation == Representation::Ascii { "A" } else { "I" },
                match self.mode {
                    Mode::Stream => "S",
                    Mode::Block => "B",
                    Mode::Deflate => "Z",
                }
            ))
            .line(format_args!(
                "Control channel {}, data channel {}",
                tls(self.secure),
                tls(self.protection == Protection::Private)
            ));
        for line in more {
            status = status.line(line);
        }
        status.line("End of status.")
    }

    pub(super) fn policy(&self) -> &Policy {
        &self.policy
    }

    fn reset_transfer_parameters(&mut self) {
        self.representation = Representation::Ascii;
        self.mode = Mode::Stream;
        self.deflate_level = DEFLATE_LEVEL;
        self.channel = Channel::None;
        self.restart = 0;
        self.rename_from = None;
        self.epsv_all = false;
        self.facts = MlsxFacts::default();
        self.hash = self.policy.hashes.first().copied();
    }

    /// Counts what was refused before a login, so that a babbling stranger is not served for ever.
    fn refuse(&mut self, reply: Reply) -> Action<'static> {
        // It may have been an upload whose octets are under way.
        self.drop_kept();
        // RNTO follows RNFR immediately (RFC 959 §4.1.3); a line with a fault parts them, too.
        self.rename_from = None;
        if self.user().is_none() && reply.code().class() == Class::Permanent {
            self.refused += 1;
            if self.refused >= self.policy.unknown_before_login {
                return Action::Close(Reply::new(Code::UNAVAILABLE, "Too many bad commands before a login."));
            }
        }
        Action::Reply(reply)
    }
}

/// What MODE Z begins with.
const DEFLATE_LEVEL: u32 = 6;

pub(super) fn reply(code: Code, text: impl std::fmt::Display) -> Action<'static> {
    Action::Reply(Reply::new(code, text))
}
