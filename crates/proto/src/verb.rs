//! Every verb, once: parser, FEAT, HELP, login gate, proxy filter and compliance table all read this table.

/// The form of a verb's argument; also what HELP shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arg {
    /// No argument; blanks after the verb are tolerated.
    None,
    /// An argument that may be left out.
    Optional(&'static str),
    /// An argument that must be there.
    Required(&'static str),
}

/// How far a session must have come before a verb is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Any time after the greeting.
    Connected,
    /// After a login.
    LoggedIn,
}

/// What happens to a command that arrives while a transfer runs (RFC 959 §4.1.3, RFC 3659 §2.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum During {
    /// Answered at once: it cannot change the transfer.
    Now,
    /// Kept, and answered after the transfer's last reply.
    Later,
    /// Ends the transfer: ABOR.
    Abort,
}

/// How far portway's server goes with a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// As the RFC says.
    Full,
    /// Understood and answered, with the limits named here.
    Partial(&'static str),
    /// Refused with 502, for the reason named here.
    Refused(&'static str),
}

/// The facts about one verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerbInfo {
    /// The verb.
    pub verb: Verb,
    /// As sent: upper case.
    pub name: &'static str,
    /// Its argument.
    pub arg: Arg,
    /// When it is served.
    pub needs: Phase,
    /// Its line in FEAT, if it has one (RFC 2389 §3.2). Lines that depend on settings are made there.
    pub feat: Option<&'static str>,
    /// What a running transfer does to it.
    pub during: During,
    /// How far the server goes.
    pub support: Support,
    /// Where it is specified.
    pub spec: &'static str,
}

macro_rules! verbs {
    ($($variant:ident $name:literal $arg:expr, $needs:ident, $feat:expr, $during:ident, $support:expr, $spec:literal;)*) => {
        /// A verb that this program knows. Others survive as octets in `Command::Other`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Verb {
            $(#[doc = $spec] $variant,)*
        }

        /// One row per verb, in alphabetical order.
        pub const VERBS: &[VerbInfo] = &[
            $(VerbInfo {
                verb: Verb::$variant, name: $name, arg: $arg, needs: Phase::$needs, feat: $feat,
                during: During::$during, support: $support, spec: $spec,
            },)*
        ];
    };
}

use Arg::{None as Nothing, Optional as May, Required as Must};
use Support::{Full, Partial, Refused};

#[rustfmt::skip]
verbs! {
    Abor "ABOR" Nothing, LoggedIn, None, Abort, Full, "RFC 959 §4.1.3";
    Acct "ACCT" Must("account"), Connected, None, Later, Partial("answered 202: accounts are not used"), "RFC 959 §4.1.1";
    Adat "ADAT" Must("data"), Connected, None, Later, Refused("TLS needs no security data"), "RFC 2228 §3";
    Allo "ALLO" Must("octets"), LoggedIn, None, Later, Partial("answered 202: space is found when it is written"), "RFC 959 §4.1.3";
    Appe "APPE" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Auth "AUTH" Must("mechanism"), Connected, None, Later, Full, "RFC 2228 §3, RFC 4217 §4";
    Avbl "AVBL" May("path"), LoggedIn, Some("AVBL"), Later, Full, "draft-peterson-streamlined-ftp-command-extensions §4";
    Ccc "CCC" Nothing, LoggedIn, None, Later, Partial("off unless the administrator allows it"), "RFC 2228 §3, RFC 4217 §6";
    Cdup "CDUP" Nothing, LoggedIn, None, Later, Full, "RFC 959 §4.1.1";
    Clnt "CLNT" Must("name"), Connected, Some("CLNT"), Later, Full, "field";
    Comb "COMB" Must("target source..."), LoggedIn, Some("COMB"), Later, Full, "draft-peterson-streamlined-ftp-command-extensions §5";
    Conf "CONF" Must("message"), Connected, None, Later, Refused("TLS protects the channel as a whole"), "RFC 2228 §3";
    Csid "CSID" Must("facts"), Connected, Some("CSID"), Later, Full, "draft-peterson-streamlined-ftp-command-extensions §6";
    Cwd "CWD" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.1";
    Dele "DELE" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Enc "ENC" Must("message"), Connected, None, Later, Refused("TLS protects the channel as a whole"), "RFC 2228 §3";
    Eprt "EPRT" Must("|family|address|port|"), LoggedIn, Some("EPRT"), Later, Full, "RFC 2428 §2";
    Epsv "EPSV" May("family | ALL"), LoggedIn, Some("EPSV"), Later, Full, "RFC 2428 §3";
    Feat "FEAT" Nothing, Connected, None, Later, Full, "RFC 2389 §3";
    Hash "HASH" Must("path"), LoggedIn, None, Later, Full, "draft-bryan-ftpext-hash §3";
    Help "HELP" May("verb"), Connected, None, Now, Full, "RFC 959 §4.1.3";
    Host "HOST" Must("name"), Connected, Some("HOST"), Later, Partial("every name reaches the same server"), "RFC 7151 §3";
    Lang "LANG" May("tag"), Connected, Some("LANG EN*"), Later, Partial("English only"), "RFC 2640 §4";
    List "LIST" May("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Lprt "LPRT" Must("numbers"), LoggedIn, None, Later, Refused("obsolete, use EPRT"), "RFC 1639 §3";
    Lpsv "LPSV" Nothing, LoggedIn, None, Later, Refused("obsolete, use EPSV"), "RFC 1639 §4";
    Mdtm "MDTM" Must("path"), LoggedIn, Some("MDTM"), Later, Full, "RFC 3659 §3";
    Mfct "MFCT" Must("time path"), LoggedIn, None, Later, Refused("the file system keeps no creation time that can be set"), "draft-somers-ftp-mfxx §3";
    Mff "MFF" Must("fact=value; path"), LoggedIn, Some("MFF modify;UNIX.mode;"), Later, Full, "draft-somers-ftp-mfxx §5";
    Mfmt "MFMT" Must("time path"), LoggedIn, Some("MFMT"), Later, Full, "draft-somers-ftp-mfxx §2";
    Mic "MIC" Must("message"), Connected, None, Later, Refused("TLS protects the channel as a whole"), "RFC 2228 §3";
    Mkd "MKD" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Mlsd "MLSD" May("path"), LoggedIn, None, Later, Full, "RFC 3659 §7";
    Mlst "MLST" May("path"), LoggedIn, None, Later, Full, "RFC 3659 §7";
    Mode "MODE" Must("S | B | Z"), LoggedIn, Some("MODE Z"), Later, Partial("stream, block and deflate; compressed is refused with 504"), "RFC 959 §4.1.2, draft-preston-ftpext-deflate";
    Nlst "NLST" May("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Noop "NOOP" Nothing, Connected, None, Now, Full, "RFC 959 §4.1.3";
    Opts "OPTS" Must("command options"), Connected, None, Later, Full, "RFC 2389 §4";
    Pass "PASS" May("password"), Connected, None, Later, Full, "RFC 959 §4.1.1";
    Pasv "PASV" Nothing, LoggedIn, Some("PASV"), Later, Full, "RFC 959 §4.1.2, RFC 1123 §4.1.2.6";
    Pbsz "PBSZ" Must("size"), Connected, Some("PBSZ"), Later, Full, "RFC 2228 §3, RFC 4217 §8";
    Port "PORT" Must("h1,h2,h3,h4,p1,p2"), LoggedIn, None, Later, Full, "RFC 959 §4.1.2";
    Prot "PROT" Must("C | P"), Connected, Some("PROT"), Later, Full, "RFC 2228 §3, RFC 4217 §9";
    Pwd "PWD" Nothing, LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Quit "QUIT" Nothing, Connected, None, Later, Full, "RFC 959 §4.1.1";
    Rein "REIN" Nothing, Connected, None, Later, Partial("the control channel stays under TLS, which RFC 4217 §11 would end"), "RFC 959 §4.1.1";
    Rest "REST" Must("offset"), LoggedIn, Some("REST STREAM"), Later, Full, "RFC 959 §4.1.3, RFC 3659 §5";
    Retr "RETR" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Rmd "RMD" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Rmda "RMDA" Must("path"), LoggedIn, Some("RMDA"), Later, Full, "draft-peterson-streamlined-ftp-command-extensions §7";
    Rnfr "RNFR" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Rnto "RNTO" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Site "SITE" Must("command"), LoggedIn, Some("SITE DOCTOR"), Later, Partial("CHMOD, UTIME, SYMLINK, UMASK, IDLE, DOCTOR, HELP"), "RFC 959 §4.1.3";
    Size "SIZE" Must("path"), LoggedIn, Some("SIZE"), Later, Full, "RFC 3659 §4";
    Smnt "SMNT" Must("path"), LoggedIn, None, Later, Refused("there is one file system"), "RFC 959 §4.1.1";
    Stat "STAT" May("path"), LoggedIn, None, Now, Full, "RFC 959 §4.1.3";
    Stor "STOR" Must("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3";
    Stou "STOU" May("path"), LoggedIn, None, Later, Full, "RFC 959 §4.1.3, RFC 1123 §4.1.2.9";
    Stru "STRU" Must("F"), LoggedIn, None, Later, Partial("file structure only; record and page are refused with 504"), "RFC 959 §4.1.2";
    Syst "SYST" Nothing, Connected, None, Later, Full, "RFC 959 §4.1.3";
    Type "TYPE" Must("A | I | L 8"), LoggedIn, None, Later, Partial("ASCII and image; carriage control and EBCDIC are refused with 504"), "RFC 959 §4.1.2";
    User "USER" Must("name"), Connected, None, Later, Full, "RFC 959 §4.1.1";
    Xcrc "XCRC" Must("path [first last]"), LoggedIn, Some("XCRC"), Later, Full, "field";
    Xmd5 "XMD5" Must("path [first last]"), LoggedIn, Some("XMD5"), Later, Full, "field";
    Xsha1 "XSHA1" Must("path [first last]"), LoggedIn, Some("XSHA1"), Later, Full, "field";
    Xsha256 "XSHA256" Must("path [first last]"), LoggedIn, Some("XSHA256"), Later, Full, "field";
    Xsha512 "XSHA512" Must("path [first last]"), LoggedIn, Some("XSHA512"), Later, Full, "field";
}

/// Other spellings that clients in the field still send (RFC 775, RFC 1123 §4.1.3.1).
const SYNONYMS: &[(&str, Verb)] = &[
    ("XCUP", Verb::Cdup),
    ("XCWD", Verb::Cwd),
    ("XMKD", Verb::Mkd),
    ("XPWD", Verb::Pwd),
    ("XRMD", Verb::Rmd),
    ("XSHA", Verb::Xsha1),
];

impl Verb {
    /// Reads a verb in any letter case (RFC 959 §5.3).
    #[must_use]
    pub fn read(name: &[u8]) -> Option<Self> {
        let mut upper = [0_u8; 8];
        let upper = upper.get_mut(..name.len())?;
        upper.copy_from_slice(name);
        upper.make_ascii_uppercase();
        match VERBS.binary_search_by(|row| row.name.as_bytes().cmp(upper)) {
            Ok(at) => VERBS.get(at).map(|row| row.verb),
            Err(_) => SYNONYMS.iter().find(|row| row.0.as_bytes() == upper).map(|row| row.1),
        }
    }

    /// Its row in [`VERBS`].
    #[must_use]
    pub fn info(self) -> &'static VerbInfo {
        // The macro makes table and enum from the same list, in the same order.
        &VERBS[self as usize]
    }

    /// Its name, in upper case.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.info().name
    }
}

impl VerbInfo {
    /// What a person types: `RETR <sp> path`.
    #[must_use]
    pub fn syntax(&self) -> String {
        match self.arg {
            Arg::None => self.name.to_owned(),
            Arg::Optional(what) => format!("{} [{what}]", self.name),
            Arg::Required(what) => format!("{} {what}", self.name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_each_verb_finds_its_own_row() {
        assert!(VERBS.windows(2).all(|pair| pair[0].name < pair[1].name));
        for row in VERBS {
            assert_eq!(row.verb.info(), row);
            assert_eq!(Verb::read(row.name.to_ascii_lowercase().as_bytes()), Some(row.verb));
            assert!(row.name.len() <= 8);
        }
    }

    #[test]
    fn unknown_names_and_very_long_ones_are_no_verbs() {
        for name in ["", "PORTX", "XXXX", "RETRRETRRETR", "R\u{e9}TR"] {
            assert_eq!(Verb::read(name.as_bytes()), None, "{name}");
        }
        assert_eq!(Verb::read(b"xcup"), Some(Verb::Cdup));
    }
}
