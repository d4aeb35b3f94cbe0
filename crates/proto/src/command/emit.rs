//! From a command to its line: what a client sends, and what a gate or proxy sends on after parsing.

use super::{Algorithm, Command, Epsv, ListArg, Mechanism, Mode, Protection, Representation};
use crate::Verb;

/// Why a command cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmitError {
    /// An argument holds CR, LF or NUL: it would end the line and begin another command.
    #[error("a name with CR, LF or NUL in it cannot be sent over FTP")]
    LineBreak,
    /// PORT with an IPv6 address.
    #[error("PORT has no form for IPv6, use EPRT")]
    NotIpv4,
}

impl Command<'_> {
    /// Appends the line, CRLF included; 0xFF is doubled as Telnet demands (RFC 959 §5.3.1, RFC 854).
    ///
    /// # Errors
    /// [`EmitError`]; `out` is as it was.
    pub fn emit(&self, out: &mut Vec<u8>) -> Result<(), EmitError> {
        let mut line = Vec::with_capacity(64);
        self.write(&mut line)?;
        if line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)) {
            return Err(EmitError::LineBreak);
        }
        for octet in line {
            out.extend(std::iter::repeat_n(octet, 1 + usize::from(octet == 0xFF)));
        }
        out.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn write(&self, out: &mut Vec<u8>) -> Result<(), EmitError> {
        match verb(self) {
            Some(verb) => out.extend_from_slice(verb.name().as_bytes()),
            None => {
                if let Self::Other { verb, .. } = self {
                    out.extend_from_slice(verb);
                }
            }
        }
        let mut arg = |octets: &[u8]| {
            out.push(b' ');
            out.extend_from_slice(octets);
        };
        match *self {
            Self::Acct(a)
            | Self::Appe(a)
            | Self::Clnt(a)
            | Self::Comb(a)
            | Self::Csid(a)
            | Self::Cwd(a)
            | Self::Dele(a)
            | Self::Digest { arg: a, .. }
            | Self::Hash(a)
            | Self::Host(a)
            | Self::Mdtm(a)
            | Self::Mkd(a)
            | Self::Pass(a)
            | Self::Retr(a)
            | Self::Rmd(a)
            | Self::Rmda(a)
            | Self::Rnfr(a)
            | Self::Rnto(a)
            | Self::Size(a)
            | Self::Stor(a)
            | Self::User(a) => arg(a),
            Self::Avbl(a)
            | Self::Help(a)
            | Self::Lang(a)
            | Self::Mlsd(a)
            | Self::Mlst(a)
            | Self::Stou(a)
            | Self::Unserved { arg: a, .. }
            | Self::Other { arg: a, .. } => {
                if let Some(a) = a {
                    arg(a);
                }
            }
            Self::List(list) | Self::Nlst(list) | Self::Stat(Some(list)) => {
                let ListArg { flags, path } = list;
                flags.into_iter().chain(path).for_each(arg);
            }
            Self::Opts { command: first, options: second } => {
                arg(first);
                second.into_iter().for_each(arg);
            }
            Self::Mff { facts: first, path } | Self::Mfmt { time: first, path } => {
                arg(first);
                arg(path);
            }
            Self::Allo(n) | Self::Rest(n) => arg(n.to_string().as_bytes()),
            Self::Pbsz(n) => arg(n.to_string().as_bytes()),
            Self::Auth(Mechanism::Tls) => arg(b"TLS"),
            Self::Auth(Mechanism::TlsWithData) => arg(b"SSL"),
            Self::Auth(Mechanism::Other(name)) => arg(name),
            Self::Eprt(announced) => arg(announced.extended().to_string().as_bytes()),
            Self::Port(announced) => {
                arg(announced.host_port().ok_or(EmitError::NotIpv4)?.to_string().as_bytes());
            }
            Self::Epsv(Epsv::Family(family)) => arg(family.number().to_string().as_bytes()),
            Self::Epsv(Epsv::All) => arg(b"ALL"),
            Self::Mode(mode) => arg(match mode {
                Mode::Stream => b"S",
                Mode::Block => b"B",
                Mode::Deflate => b"Z",
            }),
            Self::Prot(Protection::Clear) => arg(b"C"),
            Self::Prot(Protection::Private) => arg(b"P"),
            Self::Stru(_) => arg(b"F"),
            Self::Type(Representation::Ascii) => arg(b"A"),
            Self::Type(Representation::Image) => arg(b"I"),
            Self::Site(site) => {
                out.push(b' ');
                site.emit(out);
            }
            Self::Abor
            | Self::Ccc
            | Self::Cdup
            | Self::Epsv(Epsv::Same)
            | Self::Feat
            | Self::Noop
            | Self::Pasv
            | Self::Pwd
            | Self::Quit
            | Self::Rein
            | Self::Stat(None)
            | Self::Syst => {}
        }
        Ok(())
    }
}

/// The row of the table that a command belongs to.
pub(super) fn verb(command: &Command<'_>) -> Option<Verb> {
    Some(match command {
        Command::Abor => Verb::Abor,
        Command::Acct(_) => Verb::Acct,
        Command::Allo(_) => Verb::Allo,
        Command::Appe(_) => Verb::Appe,
        Command::Auth(_) => Verb::Auth,
        Command::Avbl(_) => Verb::Avbl,
        Command::Ccc => Verb::Ccc,
        Command::Cdup => Verb::Cdup,
        Command::Clnt(_) => Verb::Clnt,
        Command::Comb(_) => Verb::Comb,
        Command::Csid(_) => Verb::Csid,
        Command::Cwd(_) => Verb::Cwd,
        Command::Dele(_) => Verb::Dele,
        Command::Digest { algorithm, .. } => match algorithm {
            Algorithm::Crc32 => Verb::Xcrc,
            Algorithm::Md5 => Verb::Xmd5,
            Algorithm::Sha1 => Verb::Xsha1,
            Algorithm::Sha256 => Verb::Xsha256,
            Algorithm::Sha512 => Verb::Xsha512,
        },
        Command::Eprt(_) => Verb::Eprt,
        Command::Epsv(_) => Verb::Epsv,
        Command::Feat => Verb::Feat,
        Command::Hash(_) => Verb::Hash,
        Command::Help(_) => Verb::Help,
        Command::Host(_) => Verb::Host,
        Command::Lang(_) => Verb::Lang,
        Command::List(_) => Verb::List,
        Command::Mdtm(_) => Verb::Mdtm,
        Command::Mff { .. } => Verb::Mff,
        Command::Mfmt { .. } => Verb::Mfmt,
        Command::Mkd(_) => Verb::Mkd,
        Command::Mlsd(_) => Verb::Mlsd,
        Command::Mlst(_) => Verb::Mlst,
        Command::Mode(_) => Verb::Mode,
        Command::Nlst(_) => Verb::Nlst,
        Command::Noop => Verb::Noop,
        Command::Opts { .. } => Verb::Opts,
        Command::Pass(_) => Verb::Pass,
        Command::Pasv => Verb::Pasv,
        Command::Pbsz(_) => Verb::Pbsz,
        Command::Port(_) => Verb::Port,
        Command::Prot(_) => Verb::Prot,
        Command::Pwd => Verb::Pwd,
        Command::Quit => Verb::Quit,
        Command::Rein => Verb::Rein,
        Command::Rest(_) => Verb::Rest,
        Command::Retr(_) => Verb::Retr,
        Command::Rmd(_) => Verb::Rmd,
        Command::Rmda(_) => Verb::Rmda,
        Command::Rnfr(_) => Verb::Rnfr,
        Command::Rnto(_) => Verb::Rnto,
        Command::Site(_) => Verb::Site,
        Command::Size(_) => Verb::Size,
        Command::Stat(_) => Verb::Stat,
        Command::Stor(_) => Verb::Stor,
        Command::Stou(_) => Verb::Stou,
        Command::Stru(_) => Verb::Stru,
        Command::Syst => Verb::Syst,
        Command::Type(_) => Verb::Type,
        Command::User(_) => Verb::User,
        Command::Unserved { verb, .. } => *verb,
        Command::Other { .. } => return None,
    })
}
