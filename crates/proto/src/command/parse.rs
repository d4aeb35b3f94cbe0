//! From a line to a command: one pass, no panic path.

use super::{
    Algorithm, Command, Epsv, ListArg, Mechanism, Mode, ParseError, Protection, Representation, Site,
    Structure, takes_argument,
};
use crate::{AnnounceError, Announced, Arg, Family, Verb};

/// Parts a line at its first blank: the verb, and the argument octet for octet.
#[must_use]
pub fn split_verb(line: &[u8]) -> (&[u8], Option<&[u8]>) {
    match line.iter().position(|&b| b == b' ') {
        Some(at) => {
            let (verb, rest) = line.split_at(at);
            (verb, rest.get(1..))
        }
        None => (line, None),
    }
}

impl<'a> Command<'a> {
    /// Parses one line, CRLF already removed.
    ///
    /// # Errors
    /// [`ParseError`]: answer its [`ParseError::reply`] and keep the session.
    pub fn parse(line: &'a [u8]) -> Result<Self, ParseError> {
        let (name, arg) = split_verb(line);
        if name.is_empty() {
            return Err(ParseError::Empty);
        }
        if !name.iter().all(u8::is_ascii_alphanumeric) {
            return Err(ParseError::BadVerb);
        }
        let Some(verb) = Verb::read(name) else {
            return Ok(Self::Other { verb: name, arg });
        };
        // An argument of blanks only is none, except where blanks are data (PASS).
        let given = arg.filter(|arg| verb == Verb::Pass || !arg.trim_ascii().is_empty());
        match verb.info().arg {
            Arg::Required(_) if given.is_none() => return Err(ParseError::MissingArgument(verb)),
            form if given.is_some() && !takes_argument(form) => {
                return Err(ParseError::UnexpectedArgument(verb));
            }
            _ => {}
        }
        Fields { verb, arg: given.unwrap_or_default() }.command(given)
    }
}

struct Fields<'a> {
    verb: Verb,
    arg: &'a [u8],
}

impl<'a> Fields<'a> {
    fn command(&self, given: Option<&'a [u8]>) -> Result<Command<'a>, ParseError> {
        let arg = self.arg;
        Ok(match self.verb {
            Verb::Abor => Command::Abor,
            Verb::Acct => Command::Acct(arg),
            Verb::Allo => Command::Allo(self.allo()?),
            Verb::Appe => Command::Appe(arg),
            Verb::Auth => Command::Auth(mechanism(arg)),
            Verb::Avbl => Command::Avbl(given),
            Verb::Ccc => Command::Ccc,
            Verb::Cdup => Command::Cdup,
            Verb::Clnt => Command::Clnt(arg),
            Verb::Comb => Command::Comb(arg),
            Verb::Csid => Command::Csid(arg),
            Verb::Cwd => Command::Cwd(arg),
            Verb::Dele => Command::Dele(arg),
            Verb::Eprt => Command::Eprt(Announced::parse_extended(arg).map_err(|why| self.announce(why))?),
            Verb::Epsv => Command::Epsv(self.epsv(given)?),
            Verb::Feat => Command::Feat,
            Verb::Hash => Command::Hash(arg),
            Verb::Help => Command::Help(given),
            Verb::Host => Command::Host(arg),
            Verb::Lang => Command::Lang(given),
            Verb::List => Command::List(list_arg(given)),
            Verb::Mdtm => Command::Mdtm(arg),
            Verb::Mff => self.two().map(|(facts, path)| Command::Mff { facts, path })?,
            Verb::Mfmt => self.two().map(|(time, path)| Command::Mfmt { time, path })?,
            Verb::Mkd => Command::Mkd(arg),
            Verb::Mlsd => Command::Mlsd(given),
            Verb::Mlst => Command::Mlst(given),
            Verb::Mode => Command::Mode(self.mode()?),
            Verb::Nlst => Command::Nlst(list_arg(given)),
            Verb::Noop => Command::Noop,
            Verb::Opts => {
                let (command, options) = split_verb(arg);
                Command::Opts { command, options }
            }
            Verb::Pass => Command::Pass(arg),
            Verb::Pasv => Command::Pasv,
            Verb::Pbsz => Command::Pbsz(
                number(arg.trim_ascii())
                    .and_then(|n| u32::try_from(n).ok())
                    .ok_or(self.bad("expected a number below 2^32"))?,
            ),
            Verb::Port => Command::Port(Announced::parse_host_port(arg).map_err(|why| self.announce(why))?),
            Verb::Prot => Command::Prot(self.prot()?),
            Verb::Pwd => Command::Pwd,
            Verb::Quit => Command::Quit,
            Verb::Rein => Command::Rein,
            // Offsets of 2^63 and more are no offsets: files end there (RFC 3659 §5.3).
            Verb::Rest => Command::Rest(
                number(arg.trim_ascii())
                    .filter(|&n| i64::try_from(n).is_ok())
                    .ok_or(self.bad("expected an offset in octets, 0 to 2^63-1"))?,
            ),
            Verb::Retr => Command::Retr(arg),
            Verb::Rmd => Command::Rmd(arg),
            Verb::Rmda => Command::Rmda(arg),
            Verb::Rnfr => Command::Rnfr(arg),
            Verb::Rnto => Command::Rnto(arg),
            Verb::Site => Command::Site(Site::parse(arg)?),
            Verb::Size => Command::Size(arg),
            Verb::Stat => Command::Stat(given.map(|arg| list_arg(Some(arg)))),
            Verb::Stor => Command::Stor(arg),
            Verb::Stou => Command::Stou(given),
            Verb::Stru => Command::Stru(self.structure()?),
            Verb::Syst => Command::Syst,
            Verb::Type => Command::Type(self.representation()?),
            Verb::User => Command::User(arg),
            Verb::Xcrc => Command::Digest { algorithm: Algorithm::Crc32, arg },
            Verb::Xmd5 => Command::Digest { algorithm: Algorithm::Md5, arg },
            Verb::Xsha1 => Command::Digest { algorithm: Algorithm::Sha1, arg },
            Verb::Xsha256 => Command::Digest { algorithm: Algorithm::Sha256, arg },
            Verb::Xsha512 => Command::Digest { algorithm: Algorithm::Sha512, arg },
            verb @ (Verb::Adat
            | Verb::Conf
            | Verb::Enc
            | Verb::Lprt
            | Verb::Lpsv
            | Verb::Mfct
            | Verb::Mic
            | Verb::Smnt) => Command::Unserved { verb, arg: given },
        })
    }

    const fn bad(&self, why: &'static str) -> ParseError {
        ParseError::BadArgument { verb: self.verb, why }
    }

    const fn unknown(&self, why: &'static str) -> ParseError {
        ParseError::NotImplemented { verb: self.verb, why }
    }

    const fn announce(&self, why: AnnounceError) -> ParseError {
        ParseError::Announce { verb: self.verb, why }
    }

    /// `first rest`: a word, one blank, and a path octet for octet.
    fn two(&self) -> Result<(&'a [u8], &'a [u8]), ParseError> {
        match split_verb(self.arg) {
            (first, Some(path)) if !first.is_empty() && !path.is_empty() => Ok((first, path)),
            _ => Err(self.bad("expected two arguments")),
        }
    }

    /// `ALLO n` and `ALLO n R m` (RFC 959 §4.1.3); the record size is read and dropped.
    fn allo(&self) -> Result<u64, ParseError> {
        let mut words = self.arg.split(|&b| b == b' ').filter(|word| !word.is_empty());
        let size = words.next().and_then(number).ok_or(self.bad("expected a number of octets"))?;
        match (words.next(), words.next().map(number), words.next()) {
            (None, None, None) => Ok(size),
            (Some(r), Some(Some(_)), None) if r.eq_ignore_ascii_case(b"R") => Ok(size),
            _ => Err(self.bad("expected octets, or octets R record-size")),
        }
    }

    fn epsv(&self, given: Option<&[u8]>) -> Result<Epsv, ParseError> {
        Ok(match given.map(<[u8]>::trim_ascii) {
            None => Epsv::Same,
            Some(b"1") => Epsv::Family(Family::V4),
            Some(b"2") => Epsv::Family(Family::V6),
            Some(all) if all.eq_ignore_ascii_case(b"ALL") => Epsv::All,
            Some(other) if number(other).is_some() => return Err(self.announce(AnnounceError::Family)),
            Some(_) => return Err(self.bad("expected 1, 2 or ALL")),
        })
    }

    fn mode(&self) -> Result<Mode, ParseError> {
        match self.letter() {
            Some(b'S') => Ok(Mode::Stream),
            Some(b'Z') => Ok(Mode::Deflate),
            Some(b'B') => Ok(Mode::Block),
            Some(b'C') => Err(self.unknown("only S (stream), B (block) and Z (deflate) are served")),
            _ => Err(self.bad("expected S, B or Z")),
        }
    }

    fn structure(&self) -> Result<Structure, ParseError> {
        match self.letter() {
            Some(b'F') => Ok(Structure::File),
            Some(b'R' | b'P') => Err(self.unknown("only F (file) is served")),
            _ => Err(self.bad("expected F")),
        }
    }

    fn prot(&self) -> Result<Protection, ParseError> {
        match self.letter() {
            Some(b'C') => Ok(Protection::Clear),
            Some(b'P') => Ok(Protection::Private),
            // RFC 4217 §9: TLS protects wholly or not at all. The session turns this into 536.
            Some(b'S' | b'E') => Err(self.unknown("only C (clear) and P (private) are served")),
            _ => Err(self.bad("expected C or P")),
        }
    }

    fn representation(&self) -> Result<Representation, ParseError> {
        let mut words = self.arg.split(|&b| b == b' ').filter(|word| !word.is_empty());
        let kind = words.next().unwrap_or_default();
        let (second, third) = (words.next(), words.next());
        if third.is_some() {
            return Err(self.bad("expected A, I or L 8"));
        }
        let kind = match kind {
            // `L8` without the blank: sent by old clients and taken by most servers.
            b"L8" | b"l8" if second.is_none() => return Ok(Representation::Image),
            [letter] => letter.to_ascii_uppercase(),
            _ => return Err(self.bad("expected A, I or L 8")),
        };
        match (kind, second) {
            (b'I', None) | (b'L', Some(b"8")) => Ok(Representation::Image),
            // RFC 1123 §4.1.2.2: where Telnet format control means nothing, T is served as N.
            (b'A', None | Some(b"N" | b"n" | b"T" | b"t")) => Ok(Representation::Ascii),
            (b'A', Some(b"C" | b"c")) | (b'E', None | Some([b'N' | b'n' | b'T' | b't' | b'C' | b'c'])) => {
                Err(self.unknown("only A N and A T (ASCII), I and L 8 are served"))
            }
            (b'L', Some(size)) if number(size).is_some() => {
                Err(self.unknown("only octets of 8 bits are served: L 8"))
            }
            _ => Err(self.bad("expected A, I or L 8")),
        }
    }

    fn letter(&self) -> Option<u8> {
        match self.arg.trim_ascii() {
            [letter] => Some(letter.to_ascii_uppercase()),
            _ => None,
        }
    }
}

fn mechanism(arg: &[u8]) -> Mechanism<'_> {
    let name = arg.trim_ascii();
    let is = |spelling: &[u8]| name.eq_ignore_ascii_case(spelling);
    if is(b"TLS") || is(b"TLS-C") {
        Mechanism::Tls
    } else if is(b"SSL") || is(b"TLS-P") {
        Mechanism::TlsWithData
    } else {
        Mechanism::Other(name)
    }
}

/// Words that begin with a dash come first and are flags; the rest is the path, octet for octet.
fn list_arg(given: Option<&[u8]>) -> ListArg<'_> {
    let Some(arg) = given else { return ListArg::default() };
    let mut rest = arg;
    let mut flags_end = 0;
    while rest.first() == Some(&b'-') {
        let word = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        flags_end = arg.len() - rest.len() + word;
        rest = rest.get(word + 1..).unwrap_or_default();
    }
    ListArg {
        flags: arg.get(..flags_end).filter(|flags| !flags.is_empty()),
        path: Some(rest).filter(|p| !p.is_empty()),
    }
}

/// Decimal digits only, below 2^64; no sign, no blank.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}
