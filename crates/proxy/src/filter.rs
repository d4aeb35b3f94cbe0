//! Which commands pass to the server.

use std::sync::Arc;

use portway_proto::{Code, Command, Reply, Site, Verb};

use crate::{CommandRule, rules};

/// Judges commands before they are passed on. The default passes every verb that portway knows and no other.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Nothing on the server can be changed. Default false.
    pub read_only: bool,
    /// Verbs outside the table of verbs pass, too. Default false: what a server does with them nobody knows.
    pub unknown: bool,
    /// Files are looked into, so that each has to pass whole: none may grow by pieces. Default false.
    pub whole_files: bool,
    /// Rules about single commands, judged first. Default none.
    pub rules: Arc<[CommandRule]>,
}

impl Filter {
    /// Whether a command may pass.
    ///
    /// # Errors
    /// The reply for the client.
    pub fn judge(&self, command: &Command<'_>) -> Result<(), Reply> {
        let unknown = match command {
            Command::Other { .. } => Some(Code::UNRECOGNIZED),
            Command::Unserved { .. } => Some(Code::NOT_IMPLEMENTED),
            _ => None,
        };
        if let (Some(code), false) = (unknown, self.unknown) {
            return Err(Reply::new(code, "The proxy does not pass this command on."));
        }
        if self.read_only && changes(command) {
            return Err(Reply::new(Code::FILE_UNAVAILABLE, "Nothing can be changed by way of this proxy."));
        }
        if self.whole_files && names_aside(command) {
            let text =
                "This is an upload that the proxy has not looked into yet, or no name to give to a file.";
            return Err(Reply::new(Code::FILE_UNAVAILABLE, text));
        }
        if self.whole_files && command.verb().is_some_and(|verb| PIECES.contains(&verb)) {
            let text = "The proxy looks into whole files, so none passes in pieces: send it from its beginning by STOR.";
            return Err(Reply::new(Code::FILE_UNAVAILABLE, text));
        }
        Ok(())
    }
}

/// Verbs that make files of pieces, and STOU, whose file has no name before it is stored.
pub(crate) const PIECES: &[Verb] = &[Verb::Appe, Verb::Comb, Verb::Stou];

/// How the names of uploads begin that have not passed yet; sixteen digits follow.
pub(crate) const ASIDE: &str = ".portway-";

/// Whether a command names such an upload, which another session might take away before it is judged. What an earlier run
/// has left may be deleted.
fn names_aside(command: &Command<'_>) -> bool {
    if matches!(command, Command::Dele(_)) {
        return false;
    }
    let argument = rules::argument(command);
    let digits = |from: usize| argument.get(from..from + 16);
    argument.windows(ASIDE.len()).enumerate().any(|(at, part)| {
        part.eq_ignore_ascii_case(ASIDE.as_bytes())
            && digits(at + ASIDE.len()).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}

/// Whether a command changes something on the server, or may do so.
pub(crate) fn changes(command: &Command<'_>) -> bool {
    match command {
        Command::Stor(_)
        | Command::Appe(_)
        | Command::Stou(_)
        | Command::Dele(_)
        | Command::Mkd(_)
        | Command::Rmd(_)
        | Command::Rmda(_)
        | Command::Rnfr(_)
        | Command::Rnto(_)
        | Command::Mff { .. }
        | Command::Mfmt { .. }
        | Command::Comb(_)
        | Command::Unserved { .. }
        | Command::Other { .. } => true,
        Command::Site(site) => !matches!(site, Site::Help(_) | Site::Idle(_)),
        Command::Mdtm(arg) => sets_time(arg),
        _ => false,
    }
}

/// Whether MDTM has a time before its path, which some servers give the file: `YYYYMMDDhhmmss`, with a fraction or a zone
/// behind it, or the day alone (vsftpd).
fn sets_time(arg: &[u8]) -> bool {
    let mut words = arg.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let day = words.next().and_then(|time| time.get(..8));
    day.is_some_and(|day| day.iter().all(u8::is_ascii_digit)) && words.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn read_only_lets_through_what_only_reads() {
        let filter = Filter { read_only: true, unknown: true, ..Filter::default() };
        for (line, passes) in [
            ("RETR a", true),
            ("LIST", true),
            ("CWD a", true),
            ("SITE HELP", true),
            ("MDTM a", true),
            ("MDTM 20260101000000", true),
            ("MDTM 20260101000000 a", false),
            ("MDTM 20260101 a", false),
            ("MDTM 20260101000000.123 a", false),
            ("MDTM 20260101000000+60  a", false),
            ("MDTM 2026-a b", true),
            ("STOR a", false),
            ("APPE a", false),
            ("STOU", false),
            ("DELE a", false),
            ("RNFR a", false),
            ("RNTO a", false),
            ("MKD a", false),
            ("RMD a", false),
            ("MFMT 20260101000000 a", false),
            ("MFF modify=20260101000000; a", false),
            ("SITE CHMOD 644 a", false),
            ("SITE EXEC rm", false),
            ("XYZZY", false),
        ] {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert_eq!(filter.judge(&command).is_ok(), passes, "{line}");
        }
    }

    #[test]
    fn where_files_are_looked_into_none_grows_by_pieces() {
        let filter = Filter { whole_files: true, ..Filter::default() };
        for (line, passes) in [
            ("STOR a", true),
            ("RETR a", true),
            ("APPE a", false),
            ("STOU", false),
            ("RNFR d/.portway-0123456789abcdef", false),
            ("SITE CPFR .PORTWAY-0123456789ABCDEF", false),
            ("RNFR .portway-notes", true),
            ("DELE .portway-0123456789abcdef", true),
        ] {
            let command = Command::parse(line.as_bytes()).unwrap();
            assert_eq!(filter.judge(&command).is_ok(), passes, "{line}");
        }
    }

    #[test]
    fn unknown_verbs_stay_here_unless_the_administrator_says_otherwise() {
        let command = Command::parse(b"XYZZY now").unwrap();
        assert!(Filter::default().judge(&command).is_err());
        assert!(Filter { unknown: true, ..Filter::default() }.judge(&command).is_ok());
    }
}
