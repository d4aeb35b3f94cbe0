use portway_proto::Verb;
use proptest::prelude::*;

use super::*;

fn rule(verbs: &[&str], arguments: &[&str], action: RuleAction) -> CommandRule {
    let own = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    CommandRule {
        name: "r".to_owned(),
        verbs: verbs.iter().map(|text| text.parse().unwrap()).collect(),
        arguments: own(arguments),
        users: Vec::new(),
        action,
    }
}

fn deny(verbs: &[&str], arguments: &[&str]) -> CommandRule {
    rule(verbs, arguments, RuleAction::Deny)
}

const ANN: Sender<'_> = Sender { user: b"ann", host: "ftp.example", directory: Some(b"/home/ann") };

fn judged(rules: &[CommandRule], line: &[u8]) -> Ruled {
    judge(rules, &Command::parse(line).unwrap(), ANN)
}

fn passes(rules: &[CommandRule], line: &str) -> bool {
    judged(rules, line.as_bytes()) == Ruled::Pass
}

#[test]
fn verbs_classes_and_commands_of_site_are_told_apart() {
    for (verb, line, passes_) in [
        ("DELE", "dele a", false),
        ("DELE", "RMD a", true),
        ("xmkd", "MKD a", false),
        ("MKD", "XMKD a", false),
        ("SITE", "SITE HELP", false),
        ("SITE CHMOD", "site chmod 644 a", false),
        ("SITE CHMOD", "SITE  CHMOD 644 a", false),
        ("SITE CHMOD", "SITE \tchmod 644 a", false),
        ("SITE CHMOD", "SITE \"CHMOD\" 644 a", false),
        ("SITE CHMOD", "SITE UMASK 022", true),
        ("@write", "STOR a", false),
        ("@write", "MDTM 20260101000000 a", false),
        ("@write", "MDTM a", true),
        ("@read", "XMD5 a", false),
        ("@list", "STAT a", false),
        ("@list", "STAT", true),
        ("@active", "PORT 192,0,2,1,4,5", false),
        ("@passive", "EPSV", false),
        ("*", "RETR a", false),
        ("*", "XYZZY", false),
        ("*", "TYPE I", true),
        ("*", "PWD", true),
        ("XYZZY", "xyzzy 1", false),
        ("XYZZY", "XYZZ 1", true),
    ] {
        assert_eq!(passes(&[deny(&[verb], &[])], line), passes_, "{verb}: {line}");
    }
    for text in ["", "@all", "USER", "quit", "DELE x", "SITE A B", "DE-LE"] {
        assert!(text.parse::<VerbPattern>().is_err(), "{text}");
    }
}

#[test]
fn what_is_kept_back_from_anonymous_users_is_by_both_of_their_names() {
    for (listed, user, denied) in [
        ("anonymous", "ftp", true),
        ("anonymous", "FTP", true),
        ("ftp", "Anonymous", true),
        ("ftp@*", "anonymous", true),
        ("anonymous", "ftpadmin", false),
    ] {
        let named = |action| [CommandRule { users: vec![listed.to_owned()], ..rule(&["DELE"], &[], action) }];
        let sender = Sender { user: user.as_bytes(), ..ANN };
        let judged = judge(&named(RuleAction::Deny), &Command::Dele(b"a"), sender);
        assert_eq!(judged != Ruled::Pass, denied, "{listed}: {user}");
        // In doubt nothing is allowed: the row below decides.
        let both = [&named(RuleAction::Allow)[..], &[deny(&["DELE"], &[])]].concat();
        assert_ne!(judge(&both, &Command::Dele(b"a"), sender), Ruled::Pass, "{listed}: {user}");
    }
}

#[test]
fn arguments_are_seen_as_the_server_will_see_them() {
    let programs = [deny(&["STOR", "RNTO", "COMB"], &["*.exe"])];
    for line in
        ["STOR a.exe", "STOR A.EXE", "STOR x/a.exe ", "STOR x/../a.exe/.", "RNTO ..\\a.exe", "COMB a.exe b"]
    {
        assert!(!passes(&programs, line), "{line}");
    }
    assert!(passes(&programs, "STOR a.exe.txt") && passes(&programs, "RETR a.exe"));
    let closed = [deny(&["*"], &["/secret", "/secret/*"])];
    for line in [
        "RETR /secret/a",
        "RETR //secret/./a",
        "RETR ../../secret/a",
        "RETR /x/../secret/a",
        "CWD /SECRET",
        "LIST -la /secret",
        "LIST /secret -la",
        "LIST /s*",
        "NLST /s?cret",
        "STAT /secre[t]",
        "SITE CHMOD 644 /secret/a",
        "SITE SYMLINK /secret/a b",
        "MFMT 20260101000000 /secret/a",
        "XCRC /secret/a 0 10",
        "RETR ~root/a",
    ] {
        assert!(!passes(&closed, line), "{line}");
    }
    for line in ["RETR secret", "RETR /secrets", "LIST", "LIST -la", "CWD /", "CDUP", "TYPE I"] {
        assert!(passes(&closed, line), "{line}");
    }
    // Portway takes the quotes away, Pure-FTPd reads `_` in place of what no terminal shows.
    let named = [deny(&["*"], &["my_secret"])];
    let lines: [&[u8]; 5] = [
        b"XMD5 \"my_secret\" 0 9",
        b"COMB \"my_secret\" a",
        b"RETR my\x01secret",
        b"RETR my\tsecret",
        b"DELE my\x7fsecret",
    ];
    for line in lines {
        assert_ne!(judged(&named, line), Ruled::Pass, "{line:?}");
    }
    let lost = Sender { directory: None, ..ANN };
    assert_ne!(judge(&closed, &Command::Retr(b"a"), lost), Ruled::Pass, "nobody knows where that is");
}

#[test]
fn the_first_row_that_decides_wins_and_what_allows_is_read_narrowly() {
    let rules = [rule(&["STOR"], &["/in/*"], RuleAction::Allow), deny(&["@write"], &[])];
    assert!(passes(&rules, "STOR /in/a") && passes(&rules, "STOR ../../in/a"));
    for line in ["STOR a", "STOR /IN/a", "STOR /in/../a", "STOR /in/a ", "STOR /in\\..\\a", "DELE /in/a"] {
        assert!(!passes(&rules, line), "{line}");
    }
    let named = |users: &[&str]| {
        let users = users.iter().map(|text| (*text).to_owned()).collect();
        [CommandRule { users, ..deny(&["DELE"], &[]) }]
    };
    assert!(!passes(&named(&["a*"]), "DELE a") && !passes(&named(&["*@ftp.example"]), "DELE a"));
    assert!(passes(&named(&["bob", "*@other"]), "DELE a"));
}

#[test]
fn folders_are_moved_and_the_rows_below_see_the_new_name() {
    let action = RuleAction::Rewrite { from: "/old".to_owned(), to: "/new/place/".to_owned() };
    let rules = [rule(&["*"], &[], action), deny(&["DELE"], &["/new/*"])];
    let moved = |line: &str| match judged(&rules, line.as_bytes()) {
        Ruled::Instead(line) => String::from_utf8(line).unwrap(),
        other => format!("{other:?}"),
    };
    assert_eq!(moved("RETR /old/a b"), "RETR /new/place/a b");
    assert_eq!(moved("LIST -a ../../old"), "LIST -a /new/place");
    assert_eq!(moved("RETR /older/a"), "Pass");
    assert!(moved("DELE /old/a").starts_with("Denied"));
    assert_eq!(judged(&rules, b"RETR /old/\xff"), Ruled::Instead(b"RETR /new/place/\xff".to_vec()));
}

#[test]
fn a_path_that_begins_in_a_moved_directory_is_moved_once_and_cannot_leave_it() {
    let action = RuleAction::Rewrite { from: "/".to_owned(), to: "/jail".to_owned() };
    let closed = deny(&["*"], &["/closed/*"]);
    let rules =
        [closed, rule(&["*"], &[], action), deny(&["CDUP"], &["/jail/x"]), deny(&["*"], &["/jail/sec*"])];
    let seen = |directory: &'static [u8], line: &str| {
        let sender = Sender { directory: Some(directory), ..ANN };
        match judge(&rules, &Command::parse(line.as_bytes()).unwrap(), sender) {
            Ruled::Instead(line) => String::from_utf8(line).unwrap(),
            Ruled::Pass => "as it was".to_owned(),
            Ruled::Denied(_) => "denied".to_owned(),
        }
    };
    for (directory, line, wanted) in [
        (&b"/"[..], "RETR a", "RETR /jail/a"),
        (b"/", "CWD sub", "CWD /jail/sub"),
        (b"/jail/sub", "RETR a", "as it was"),
        (b"/jail/sub", "RETR /sub/a", "RETR /jail/sub/a"),
        (b"/jail/sub", "RETR ../a", "as it was"),
        (b"/jail/sub", "LIST", "as it was"),
        (b"/jail/sub", "CDUP", "as it was"),
        (b"/jail", "CDUP", "CWD /jail"),
        (b"/jail", "CWD ..", "CWD /jail"),
        (b"/jail/sub", "RETR ../../../etc/passwd", "RETR /jail/etc/passwd"),
        (b"/jail/sub", "RETR ../closed/a", "denied"),
        (b"/jail/x/y", "CDUP", "denied"),
        (b"/jail/sub", "RETR ../secret", "denied"),
    ] {
        assert_eq!(seen(directory, line), wanted, "{line} in {}", String::from_utf8_lossy(directory));
    }
    // What is allowed by one of the two names alone is not allowed.
    let action = RuleAction::Rewrite { from: "/".to_owned(), to: "/jail".to_owned() };
    let rules = [rule(&["*"], &["/in/*"], RuleAction::Allow), rule(&["CWD"], &[], action), deny(&["*"], &[])];
    let sender = Sender { directory: Some(b"/jail/in"), ..ANN };
    assert!(matches!(judge(&rules, &Command::Retr(b"a"), sender), Ruled::Denied(_)));
}

#[test]
fn what_the_server_calls_a_folder_is_moved_back() {
    let action = RuleAction::Rewrite { from: "/old".to_owned(), to: "/new/place/".to_owned() };
    let rules = [rule(&["*"], &[], action.clone())];
    let back = |path: &[u8]| moved_back(&rules, path, ANN);
    assert_eq!(back(b"/new/place"), Some(b"/old".to_vec()));
    assert_eq!(back(b"/new/place/a \"b"), Some(b"/old/a \"b".to_vec()));
    assert_eq!((back(b"/new/places"), back(b"/"), back(b"")), (None, None, None));
    // Rows that do not move directories move none back.
    assert_eq!(moved_back(&[rule(&["RETR"], &[], action.clone())], b"/new/place", ANN), None);
    assert_eq!(moved_back(&[rule(&["*"], &["/old/a*"], action)], b"/new/place/b", ANN), None);
}

#[test]
fn a_refusal_names_the_rule_and_what_is_kept_back_is_hidden() {
    let rules = [deny(&["DELE", "SITE CHMOD"], &[]), deny(&["STOR"], &["*.exe"]), deny(&["@active"], &[])];
    let reply = |line: &[u8]| match judged(&rules, line) {
        Ruled::Denied(reply) => (reply.code().number(), reply.to_string()),
        other => panic!("{other:?}"),
    };
    assert_eq!(reply(b"DELE a").0, 502);
    assert_eq!(reply(b"STOR a.exe").0, 550);
    assert!(reply(b"STOR a.exe").1.contains("rule r"));
    for (verb, site, hidden) in [
        (Verb::Dele, None, true),
        (Verb::Stor, None, false),
        (Verb::Site, None, false),
        (Verb::Site, Some(&b"chmod"[..]), true),
        (Verb::Eprt, None, true),
        (Verb::Epsv, None, false),
    ] {
        assert_eq!(hides(&rules, verb, site, ANN), hidden, "{verb:?}");
    }
}

/// Spellings of a denied command, as octets on the wire.
fn spelling() -> impl Strategy<Value = Vec<u8>> {
    let verb = prop::sample::select(vec!["DELE", "MKD", "XMKD", "SITE CHMOD", "SITE EXEC", "SMNT", "XYZZY"]);
    let noise: Vec<&[u8]> = vec![
        b"",
        b" ",
        b"\t",
        b"\0",
        b"\xff\xf1",
        b"\xff\xf4\xff\xf2",
        b"\xff\xfb\x01",
        b"\xff\xff",
        b"\r",
        b"\n",
        b"\r\0",
    ];
    let noise = prop::collection::vec(prop::sample::select(noise), 8);
    let end = prop::sample::select(vec![&b"\r\n"[..], b"\n", b"\r\r\n", b"\0\r\n", b" \r\n"]);
    (verb, any::<u64>(), noise, prop::collection::vec(0..40_usize, 8), end).prop_map(
        |(verb, cases, noise, places, end)| {
            let mut line: Vec<u8> = format!("{verb} 644 a").into_bytes();
            for (at, octet) in line.iter_mut().enumerate() {
                if cases >> (at % 64) & 1 == 1 {
                    *octet = octet.to_ascii_lowercase();
                }
            }
            for (place, noise) in places.into_iter().zip(noise) {
                let at = place % (line.len() + 1);
                line.splice(at..at, noise.iter().copied());
            }
            line.extend_from_slice(end);
            line
        },
    )
}

proptest! {
    /// What leaves for the server after all reading and writing anew is none of the denied commands, whatever a
    /// lenient server makes of it.
    #[test]
    fn no_spelling_of_a_denied_command_passes(wire in spelling()) {
        let rules = [deny(&["DELE", "MKD", "SITE CHMOD", "SITE EXEC", "SMNT", "XYZZY"], &[])];
        let mut reader = portway_proto::LineReader::new();
        reader.feed(&wire);
        while let Some(line) = reader.next_line() {
            let Ok(line) = line else { continue };
            let Ok(command) = Command::parse(&line) else { continue };
            let mut sent = Vec::new();
            if judge(&rules, &command, ANN) != Ruled::Pass || command.emit(&mut sent).is_err() {
                continue;
            }
            prop_assert_eq!(sent.iter().filter(|&&b| b == b'\n').count(), 1);
            prop_assert!(!sent.contains(&0));
            let lenient = String::from_utf8_lossy(&sent).to_uppercase();
            let words: Vec<&str> = lenient.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
            let first = words.first().copied().unwrap_or_default();
            prop_assert!(!["DELE", "MKD", "XMKD", "SMNT", "XYZZY"].contains(&first), "{:?}", lenient);
            let second = words.get(1).copied().unwrap_or_default();
            prop_assert!(first != "SITE" || !["CHMOD", "EXEC"].contains(&second), "{:?}", lenient);
        }
    }

    #[test]
    fn judging_never_panics_and_what_is_rewritten_is_one_line(line in prop::collection::vec(any::<u8>(), 0..80)) {
        let action = RuleAction::Rewrite { from: "/".to_owned(), to: "/jail".to_owned() };
        let rules = [deny(&["*"], &["/a*", "b"]), rule(&["*"], &[], action)];
        if let Ok(command) = Command::parse(&line)
            && let Ruled::Instead(line) = judge(&rules, &command, ANN)
        {
            prop_assert!(!line.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
            prop_assert!(Command::parse(&line).is_ok());
        }
    }
}
