//! How much of a proxy one user, one address and everybody together may have.

use std::time::{Duration, Instant};

use portway_e2e::{Control, PATIENCE, Proxy, Tree, bytes, until};

use crate::world::{ANN, Scripted, at, forward, logged, reverse, server, through};

/// A proxy in front of a server that lets everybody in, with these flags.
fn before(server: &Scripted, flags: &[&str]) -> Proxy {
    let url = format!("ftp://{}", server.at);
    Proxy::start(&[&["--reverse", &url][..], flags].concat()).unwrap()
}

/// Logs in; the code of the last reply.
fn enter(proxy: &Proxy, user: &str) -> (Control, u16) {
    let mut control = proxy.connect().unwrap();
    control.expect(format!("USER {user}"), 331).unwrap();
    let code = control.say("PASS x").unwrap().code;
    (control, code)
}

#[test]
fn a_user_has_so_many_sessions_and_no_more_until_one_ends() {
    let server = Scripted::start(&[]);
    let proxy = before(&server, &["--max-sessions-per-user", "2"]);
    let (mut first, one) = enter(&proxy, "ann");
    let (_second, two) = enter(&proxy, "ann");
    assert_eq!((one, two), (230, 230));
    // In any letter case, and the session is over.
    for name in ["ann", "ANN"] {
        let mut control = proxy.connect().unwrap();
        control.expect(format!("USER {name}"), 331).unwrap();
        let said = control.expect("PASS x", 421).unwrap().to_string();
        assert!(said.contains("limit is 2"), "{said}");
        control.ended().unwrap();
    }
    logged(&proxy, &["refused", "too_many_of_user"]);
    assert_eq!(enter(&proxy, "bob").1, 230, "somebody else is not kept out");
    first.expect("QUIT", 221).unwrap();
    until("the place is free", PATIENCE, || Ok((enter(&proxy, "ann").1 == 230).then_some(()))).unwrap();
}

#[test]
fn rows_of_the_file_give_some_users_less_and_accounts_of_the_proxy_count_too() {
    let server = Scripted::start(&[]);
    let home = Tree::new().unwrap();
    let file = "max_sessions_per_user = 3\n[[limits]]\nusers = [\"guest*\", \"pro\"]\nsessions = 1\n";
    home.write("conf", file.as_bytes()).unwrap();
    let conf = home.at("conf").display().to_string();
    let proxy = before(&server, &["--config", &conf]);
    let kept: Vec<_> = ["guest1", "guest2", "ann", "ann", "ann"].map(|name| enter(&proxy, name)).into();
    assert!(kept.iter().all(|(_, code)| *code == 230));
    assert_eq!((enter(&proxy, "guest1").1, enter(&proxy, "ann").1), (421, 421));
    // An account of the proxy is one user, wherever it goes.
    let guarded = forward(&["--config", &conf, "--user", "pro:xy"]);
    let mut control = guarded.connect().unwrap();
    control.expect("USER pro", 331).unwrap();
    control.expect("PASS xy", 230).unwrap();
    let mut second = guarded.connect().unwrap();
    second.expect("USER pro", 331).unwrap();
    second.expect("PASS xy", 421).unwrap();
    control.expect("QUIT", 221).unwrap();
    // Without one it is the name at the server's address.
    let open = forward(&["--config", &conf]);
    let (one, other) = (Scripted::start(&[]), Scripted::start(&[]));
    let names = [one.at, other.at].map(|at| format!("guest1@{at}"));
    let (_one, code) = enter(&open, &names[0]);
    // Both are at 127.0.0.1: a port makes no other server of it.
    assert_eq!((code, enter(&open, &names[1]).1), (230, 421));
}

#[test]
fn there_are_so_many_sessions_in_all_and_for_an_address() {
    let server = Scripted::start(&[]);
    for (flags, limit) in [(["--max-sessions", "2"], 2), (["--max-sessions-per-address", "1"], 1)] {
        let proxy = before(&server, &flags);
        let _kept: Vec<_> = (0..limit).map(|_| proxy.connect().unwrap()).collect();
        let mut control = Control::raw(proxy.port().unwrap(), None).unwrap();
        control.expect_reply(421).unwrap();
        if limit == 1 {
            let neighbour = "127.0.0.2".parse().unwrap();
            Control::connect_from(neighbour, proxy.port().unwrap()).expect("another address has its own");
        }
    }
}

#[test]
fn a_transfer_is_as_fast_as_it_may_be_both_ways() {
    let (server, file) = server();
    let home = Tree::new().unwrap();
    let rows = format!("[[limits]]\nusers = [\"{}@127.*\"]\nrate = \"400K\"\n", ANN.0);
    home.write("conf", rows.as_bytes()).unwrap();
    let conf = home.at("conf").display().to_string();
    let by_flag = reverse(&server, &["--limit-rate", "400K"]);
    let by_row = forward(&["--config", &conf]);
    let looked_into = forward(&["--config", &conf, "--inspect-command", "cat >/dev/null"]);
    let port = server.port().unwrap();
    for (proxy, name) in [(&by_flag, ANN.0.to_owned()), (&by_row, at(port)), (&looked_into, at(port))] {
        let mut control = proxy.connect().unwrap();
        control.login((&name, ANN.1)).unwrap();
        let begun = Instant::now();
        assert!(control.fetch("RETR f").unwrap() == file);
        control.store("STOR up", &bytes(1, 400_000)).unwrap();
        // 900 kB at 409.6 kB/s are 2.2 s.
        let took = begun.elapsed();
        assert!(took >= Duration::from_millis(1900), "{name}: {took:?}");
        assert!(took < Duration::from_secs(40), "{name}: {took:?}");
    }
    // Whom no row is about is not held up.
    let begun = Instant::now();
    let _ = through(&by_row, port).fetch("NLST").unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}
