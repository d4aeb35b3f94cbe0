use super::*;
use crate::{During, VERBS};

#[test]
fn arguments_are_read_as_the_rfcs_write_them() {
    for (line, want) in [
        ("NOOP", Command::Noop),
        ("noop ", Command::Noop),
        ("USER anonymous", Command::User(b"anonymous")),
        ("PASS  two blanks ", Command::Pass(b" two blanks ")),
        ("PASS", Command::Pass(b"")),
        ("RETR  leading and trailing ", Command::Retr(b" leading and trailing ")),
        ("XCWD a", Command::Cwd(b"a")),
        ("TYPE I", Command::Type(Representation::Image)),
        ("TYPE A T", Command::Type(Representation::Ascii)),
        ("type a n", Command::Type(Representation::Ascii)),
        ("TYPE L 8", Command::Type(Representation::Image)),
        ("MODE Z", Command::Mode(Mode::Deflate)),
        ("STRU F", Command::Stru(Structure::File)),
        ("REST 0", Command::Rest(0)),
        ("REST 9223372036854775807", Command::Rest(i64::MAX as u64)),
        ("EPSV", Command::Epsv(Epsv::Same)),
        ("EPSV all", Command::Epsv(Epsv::All)),
        ("EPSV 2", Command::Epsv(Epsv::Family(Family::V6))),
        ("AUTH tls", Command::Auth(Mechanism::Tls)),
        ("AUTH SSL", Command::Auth(Mechanism::TlsWithData)),
        ("AUTH KERBEROS_V4", Command::Auth(Mechanism::Other(b"KERBEROS_V4"))),
        ("LIST", Command::List(ListArg::default())),
        ("LIST -la", Command::List(ListArg { flags: Some(b"-la"), path: None })),
        ("LIST -a -l my dir", Command::List(ListArg { flags: Some(b"-a -l"), path: Some(b"my dir") })),
        ("NLST a-b", Command::Nlst(ListArg { flags: None, path: Some(b"a-b") })),
        ("OPTS UTF8 ON", Command::Opts { command: b"UTF8", options: Some(b"ON") }),
        ("ALLO 5 R 2", Command::Allo(5)),
        ("MFMT 20200102030405 a b", Command::Mfmt { time: b"20200102030405", path: b"a b" }),
        ("SITE chmod 0644 a b", Command::Site(Site::Chmod { mode: 0o644, path: b"a b" })),
        ("SITE IDLE 60", Command::Site(Site::Idle(Some(60)))),
        ("SITE EXEC ls", Command::Site(Site::Other(b"EXEC ls"))),
        ("XSHA f", Command::Digest { algorithm: Algorithm::Sha1, arg: b"f" }),
        ("LPSV", Command::Unserved { verb: Verb::Lpsv, arg: None }),
        ("FROB a  b", Command::Other { verb: b"FROB", arg: Some(b"a  b") }),
    ] {
        assert_eq!(Command::parse(line.as_bytes()), Ok(want), "{line:?}");
    }
}

#[test]
fn bad_lines_get_the_code_that_fits() {
    for (line, code) in [
        ("", 500),
        (" NOOP", 500),
        ("N\u{e9}OP", 500),
        ("\tNOOP", 500),
        ("RETR", 501),
        ("RETR ", 501),
        ("PASV now", 501),
        ("REST -1", 501),
        ("REST +1", 501),
        ("REST 9223372036854775808", 501),
        ("REST 18446744073709551615", 501),
        ("REST 99999999999999999999999", 501),
        ("REST 1 2", 501),
        ("TYPE E", 504),
        ("TYPE A C", 504),
        ("TYPE E T", 504),
        ("TYPE L 7", 504),
        ("TYPE X", 501),
        ("TYPE L", 501),
        ("STRU R", 504),
        ("STRU X", 501),
        ("MODE C", 504),
        ("MODE X", 501),
        ("PROT S", 504),
        ("PROT X", 501),
        ("EPSV 3", 522),
        ("EPSV x", 501),
        ("EPRT |3|192.0.2.7|1025|", 522),
        ("EPRT |1|192.0.2.7|", 501),
        ("PORT 1,2,3", 501),
        ("ALLO x", 501),
        ("PBSZ 4294967296", 501),
        ("MFMT 20200102030405", 501),
        ("SITE CHMOD 999 f", 501),
        ("SITE CHMOD 644", 501),
    ] {
        let error = Command::parse(line.as_bytes()).expect_err(line);
        assert_eq!(error.reply().code().number(), code, "{line:?}: {error}");
    }
}

#[test]
fn only_what_cannot_change_a_transfer_is_answered_while_it_runs() {
    let now = |line: &str| Command::parse(line.as_bytes()).expect(line).during_transfer();
    assert_eq!(now("NOOP"), During::Now);
    assert_eq!(now("STAT"), During::Now);
    assert_eq!(now("ABOR"), During::Abort);
    for line in
        ["QUIT", "USER a", "REIN", "CWD a", "RNFR a", "TYPE A", "PROT P", "AUTH TLS", "STAT a", "FROB"]
    {
        assert_eq!(now(line), During::Later, "{line}");
    }
}

#[test]
fn a_name_cannot_inject_a_command() {
    for name in [&b"a\r\nDELE b"[..], b"a\nb", b"a\0b", b"a\rb"] {
        let mut out = Vec::new();
        assert_eq!(Command::Retr(name).emit(&mut out), Err(EmitError::LineBreak));
        assert!(out.is_empty());
    }
}

#[test]
fn telnet_iac_in_a_name_is_doubled() {
    let mut out = Vec::new();
    Command::Retr(b"\xFF").emit(&mut out).expect("no line break");
    assert_eq!(out, b"RETR \xFF\xFF\r\n");
}

fn round_trip(line: &[u8]) {
    let Ok(command) = Command::parse(line) else { return };
    let mut out = Vec::new();
    if command.emit(&mut out).is_err() {
        return;
    }
    let sent = out.strip_suffix(b"\r\n").expect("a line end");
    let undoubled = undouble(sent);
    assert_eq!(Command::parse(&undoubled), Ok(command), "{:?}", String::from_utf8_lossy(line));
}

fn undouble(sent: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut octets = sent.iter();
    while let Some(&b) = octets.next() {
        out.push(b);
        if b == 0xFF {
            octets.next();
        }
    }
    out
}

proptest::proptest! {
    #[test]
    fn any_line_parses_or_is_refused_and_what_parses_survives_being_sent(line: Vec<u8>) {
        round_trip(&line);
    }

    #[test]
    fn any_argument_of_any_verb_survives_being_sent(row in 0..VERBS.len(), arg in ".{0,24}") {
        round_trip(format!("{} {arg}", VERBS[row].name).as_bytes());
    }

    #[test]
    fn numbers_and_addresses_survive_being_sent(row in 0..VERBS.len(), arg in "[0-9A-Z|,. :-]{0,24}") {
        round_trip(format!("{} {arg}", VERBS[row].name).as_bytes());
    }
}
