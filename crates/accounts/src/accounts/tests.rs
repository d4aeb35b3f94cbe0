use super::*;
use std::sync::Barrier;

/// Argon2 at its cheapest; how much one run costs is not what these tests are about.
const CHEAP: Effort = Effort { memory_kib: 8, passes: 1 };

fn ann_and_anonymous() -> Accounts {
    Accounts::with_effort(CHEAP)
        .unwrap()
        .user("ann", &Secret::from("correct horse"), Rights::FULL)
        .unwrap()
        .anonymous(Rights::READ_ONLY)
}

#[test]
fn only_the_right_name_with_the_right_password_gets_in() {
    let accounts = ann_and_anonymous();
    for (what, user, password, gets_in) in [
        ("right", "ann", "correct horse", true),
        ("wrong password", "ann", "correct hors", false),
        ("longer password", "ann", "correct horse ", false),
        ("no password", "ann", "", false),
        ("other case of the name", "Ann", "correct horse", false),
        ("missing user", "bob", "correct horse", false),
        ("no name", "", "correct horse", false),
        ("name with NUL", "ann\0", "correct horse", false),
    ] {
        let login = accounts.verify(user.as_bytes(), &Secret::from(password));
        assert_eq!(login.is_ok(), gets_in, "{what}: {login:?}");
        if !gets_in {
            assert_eq!(login, Err(LoginRefused::WrongCredentials), "{what}");
        }
    }
}

#[test]
fn anonymous_users_come_in_under_either_name_with_any_password_and_read_only() {
    let accounts = ann_and_anonymous();
    for (user, name) in
        [("anonymous", "anonymous"), ("ftp", "ftp"), ("Anonymous", "anonymous"), ("FTP", "ftp")]
    {
        let guest = accounts.verify(user.as_bytes(), &Secret::from("guest@example.org")).unwrap();
        assert_eq!((guest.name.as_str(), guest.anonymous, guest.rights), (name, true, Rights::READ_ONLY));
    }
    assert_eq!(accounts.hashes_run(), 0, "no password is checked for them");
}

#[test]
fn without_anonymous_access_its_names_are_missing_users() {
    let accounts = Accounts::with_effort(CHEAP).unwrap();
    assert!(accounts.verify(b"anonymous", &Secret::from("x")).is_err());
    assert!(accounts.verify(b"ftp", &Secret::from("x")).is_err());
}

#[test]
fn an_account_named_ftp_needs_its_password_even_where_anonymous_users_are_welcome() {
    let accounts = ann_and_anonymous().user("ftp", &Secret::from("own"), Rights::FULL).unwrap();
    assert!(accounts.verify(b"ftp", &Secret::from("guest@")).is_err());
    assert!(!accounts.verify(b"ftp", &Secret::from("own")).unwrap().anonymous);
}

#[test]
fn existing_and_missing_users_cost_the_same_number_of_argon2_runs() {
    for (what, user) in [("existing", "ann"), ("missing", "bob"), ("empty", ""), ("not UTF-8", "\u{fffd}")] {
        let accounts = ann_and_anonymous();
        for guess in 1..=3 {
            assert!(accounts.verify(user.as_bytes(), &Secret::from("wrong")).is_err(), "{what}");
            assert_eq!(accounts.hashes_run(), guess, "{what}");
        }
    }
    let nobody = Accounts::with_effort(CHEAP).unwrap();
    assert!(nobody.verify(b"bob", &Secret::from("wrong")).is_err());
    assert_eq!(nobody.hashes_run(), 1, "also where there is no account at all");
}

#[test]
fn a_missing_user_costs_the_parameters_of_some_existing_one() {
    let imported = hash::make(&Secret::from("x"), Effort { memory_kib: 64, passes: 3 }).unwrap().to_string();
    let accounts = Accounts::with_effort(CHEAP).unwrap().user_hashed("old", &imported, Rights::FULL).unwrap();
    let of = |decoys: &[PasswordHash]| {
        decoys.iter().map(|hash| Params::try_from(hash).unwrap().m_cost()).collect::<Vec<_>>()
    };
    assert_eq!(of(&accounts.decoys), [64]);
    let accounts = accounts.user("ann", &Secret::from("y"), Rights::FULL).unwrap();
    assert_eq!(of(&accounts.decoys), [64, 8]);
    let accounts = accounts.without("old").unwrap();
    assert_eq!(of(&accounts.decoys), [8]);
}

#[test]
fn a_password_found_right_once_is_not_hashed_again_and_a_wrong_one_always_is() {
    let accounts = ann_and_anonymous();
    let (right, wrong) = (Secret::from("correct horse"), Secret::from("wrong"));
    assert!(accounts.recall(b"ann", &right).is_none(), "nothing is remembered before the first login");
    for _ in 0..5 {
        assert!(accounts.verify(b"ann", &right).is_ok());
    }
    assert_eq!(accounts.hashes_run(), 1);
    assert!(accounts.recall(b"ann", &right).is_some());
    for runs in 2..=4 {
        assert!(accounts.verify(b"ann", &wrong).is_err());
        assert_eq!(accounts.hashes_run(), runs);
    }
    assert!(accounts.recall(b"bob", &right).is_none(), "another name with the same password is nobody");
    assert!(accounts.verify(b"ann", &right).is_ok(), "wrong guesses do not make it forget");
    assert_eq!(accounts.hashes_run(), 4);
}

#[test]
fn a_changed_or_removed_account_is_forgotten_at_once() {
    let right = Secret::from("correct horse");
    let accounts = ann_and_anonymous();
    assert!(accounts.verify(b"ann", &right).is_ok());
    let changed = accounts.user("ann", &Secret::from("new"), Rights::FULL).unwrap();
    assert!(changed.verify(b"ann", &right).is_err());
    assert!(changed.verify(b"ann", &Secret::from("new")).is_ok());
    let removed = changed.without("ann").unwrap();
    assert!(removed.verify(b"ann", &Secret::from("new")).is_err());
}

#[test]
fn many_first_logins_at_once_end_well_and_hash_no_more_than_run_at_once() {
    let accounts = ann_and_anonymous();
    let crowd = 24;
    let start = Barrier::new(crowd);
    std::thread::scope(|scope| {
        for _ in 0..crowd {
            scope.spawn(|| {
                start.wait();
                assert!(accounts.verify(b"ann", &Secret::from("correct horse")).is_ok());
            });
        }
    });
    let most = accounts.cost().at_once.get() as u64;
    assert!((1..=most).contains(&accounts.hashes_run()), "{} runs", accounts.hashes_run());
}

#[test]
fn an_imported_hash_works_like_a_password_in_clear() {
    let phc = hash::make(&Secret::from("s3cret"), CHEAP).unwrap().to_string();
    let accounts = Accounts::with_effort(CHEAP).unwrap().user_hashed("old", &phc, Rights::READ_ONLY).unwrap();
    assert_eq!(accounts.verify(b"old", &Secret::from("s3cret")).unwrap().rights, Rights::READ_ONLY);
    assert!(accounts.verify(b"old", &Secret::from(phc.as_str())).is_err(), "the hash is not the password");
}

#[test]
fn bad_accounts_are_refused_with_their_reason() {
    let fresh = || Accounts::with_effort(CHEAP).unwrap();
    let secret = Secret::from("x");
    let long = "n".repeat(256);
    for name in ["", "a/b", "a\r\nb", "a\0", " ann", "ann ", long.as_str()] {
        let refused = fresh().user(name, &secret, Rights::FULL);
        assert!(matches!(refused, Err(AccountError::Name(_))), "{name:?}: {refused:?}");
    }
    let empty = fresh().user("ann", &Secret::from(""), Rights::FULL);
    assert!(matches!(empty, Err(AccountError::EmptyPassword(_))));
    for (phc, costly) in [
        ("", false),
        ("plain", false),
        ("$6$salt$hash", false),
        ("$argon2id$v=19$m=8,t=1,p=1", false),
        ("$argon2i$v=19$m=16,t=2,p=1$c29tZXNhbHQ$CWhzZWNyZXRoYXNoMTIzNA", false),
        ("$argon2id$v=19$m=4194304,t=1,p=1$c29tZXNhbHQ$CWhzZWNyZXRoYXNoMTIzNA", true),
        ("$argon2id$v=19$m=16,t=100000,p=1$c29tZXNhbHQ$CWhzZWNyZXRoYXNoMTIzNA", true),
    ] {
        let refused = fresh().user_hashed("ann", phc, Rights::FULL);
        match refused {
            Err(AccountError::NotArgon2id(_)) => assert!(!costly, "{phc}"),
            Err(AccountError::TooCostly(_)) => assert!(costly, "{phc}"),
            other => panic!("{phc}: {other:?}"),
        }
    }
    for home in [&b"pub"[..], b"", b"/a/../../etc", b"/a\0b"] {
        let refused = ann_and_anonymous().home("ann", home);
        assert!(matches!(refused, Err(AccountError::Home(_))), "{home:?}");
    }
    assert!(matches!(fresh().home("bob", b"/"), Err(AccountError::NoSuchAccount(_))));
    assert!(matches!(fresh().require_tls("bob"), Err(AccountError::NoSuchAccount(_))));
}

#[test]
fn settings_of_an_account_reach_its_principal() {
    let accounts = ann_and_anonymous().home("ann", b"/people/ann").unwrap().require_tls("ann").unwrap();
    let ann = accounts.verify(b"ann", &Secret::from("correct horse")).unwrap();
    assert_eq!((ann.home.as_slice(), ann.tls_required, ann.anonymous), (&b"/people/ann"[..], true, false));
    assert_eq!(accounts.principals().map(|p| p.name.as_str()).collect::<Vec<_>>(), ["ann"]);
}

#[test]
fn nothing_that_is_printed_holds_a_password_or_a_hash() {
    let shown = format!("{:?}", ann_and_anonymous());
    assert!(!shown.contains("correct") && !shown.contains("argon2"), "{shown}");
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]
    #[test]
    fn no_name_and_password_but_the_right_ones_get_in(user: Vec<u8>, password: Vec<u8>) {
        let accounts = Accounts::with_effort(CHEAP).unwrap().user("ann", &Secret::from("x y z"), Rights::FULL).unwrap();
        proptest::prop_assert!(accounts.verify(&user, &Secret::new(password.clone())).is_err());
        proptest::prop_assert!(accounts.verify(b"ann", &Secret::new(password)).is_err());
    }
}
