//! Files are looked into as they pass.

use std::io::{Read as _, Write as _};

use std::net::{SocketAddr, TcpListener};

use portway_e2e::{Kind, PATIENCE, Proxy, Tree, bytes, until};

use crate::rivals::{self, Rival};
use crate::world::{ANN, Scripted, at, forward, logged, of, reverse, server, through};

/// Refuses whatever has this word in it.
const SCAN: &str = "if grep -q EICAR; then echo \"found EICAR in $PORTWAY_PATH\"; exit 1; fi";

#[test]
fn an_upload_that_the_inspection_refuses_gets_550_and_does_not_stay() {
    let (server, file) = server();
    let proxy = forward(&["--inspect-command", SCAN]);
    let mut control = through(&proxy, server.port().unwrap());
    let bad = [&bytes(3, 300_000)[..], b"EICAR", &bytes(4, 100_000)].concat();
    let mut data = control.begin("STOR bad").unwrap();
    // It may be cut off before the end.
    let _ = data.write_all(&bad);
    let _ = data.finish();
    let said = control.expect_reply(550).unwrap().to_string();
    assert!(said.contains("found EICAR in bad"), "{said}");
    assert!(!server.tree.at("bad").exists());
    logged(&proxy, &["transfer", "\"content\""]);
    // The session goes on, and what is clean passes both ways.
    control.store("STOR good", &file).unwrap();
    assert_eq!(server.tree.read("good").unwrap(), file);
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    // Nobody hides by compression.
    control.expect("MODE Z", 504).unwrap();
}

#[test]
fn a_download_that_the_inspection_refuses_breaks_off_with_550() {
    let (server, file) = server();
    server.tree.write("bad", [&file[..], b"EICAR"].concat()).unwrap();
    let proxy = forward(&["--inspect-command", SCAN]);
    let mut control = through(&proxy, server.port().unwrap());
    let mut data = control.begin("RETR bad").unwrap();
    // What ends in order is whole; this does not end in order.
    assert!(data.read_all().is_err());
    drop(data);
    let said = control.expect_reply(550).unwrap().to_string();
    assert!(said.contains("found EICAR in bad"), "{said}");
    assert_eq!(control.fetch("RETR f").unwrap(), file);
}

#[test]
fn a_command_that_cannot_say_yes_says_no() {
    let (server, file) = server();
    let proxy = forward(&["--inspect-command", "exec /nowhere/scanner"]);
    let mut control = through(&proxy, server.port().unwrap());
    let mut data = control.begin("RETR f").unwrap();
    assert!(data.read_all().is_err());
    drop(data);
    let said = control.expect_reply(550).unwrap().to_string();
    assert!(said.contains("The proxy's inspection"), "{said}");
    // curl does not wait for a reply when the data breaks off; it fails all the same.
    let home = Tree::new().unwrap();
    let who = at(server.port().unwrap()).replace(':', "%3A").replace('@', "%40");
    let url = format!("ftp://{who}:{}@{}/f", ANN.1.replace(' ', "%20"), proxy.port().unwrap());
    let curl = portway_e2e::Program::new("curl", "curl").unwrap().folder(home.path());
    let done = curl.args(["-sS", "-m", "30", "-o", "got", &url]).run().unwrap();
    assert!(!done.success);
    assert!(home.read("got").map_or(0, |got| got.len()) < file.len(), "the whole file came through");
}

#[test]
fn nobody_has_a_whole_file_before_the_verdict() {
    let (server, _) = server();
    // It reads all of it, and only then says no.
    let proxy = forward(&["--inspect-command", "cat >/dev/null; echo late; exit 1"]);
    let mut control = through(&proxy, server.port().unwrap());
    for len in [0, 1, 1000, 64 * 1024, 300_000] {
        server.tree.write("small", bytes(9, len)).unwrap();
        let mut data = control.begin("RETR small").unwrap();
        let mut got = Vec::new();
        let ended = data.read_to_end(&mut got);
        assert!(ended.is_err(), "{len} octets, and the end was in order");
        assert!(got.len() <= len.saturating_sub(64 * 1024), "{} of {len} octets came through", got.len());
        drop(data);
        let said = control.expect_reply(550).unwrap().to_string();
        assert!(said.contains("late"), "{said}");
        control.store("STOR up", &bytes(9, len)).unwrap_err();
        assert!(!server.tree.at("up").exists(), "{len} octets stayed");
    }
}

/// What is refused leaves the old file and nothing else; what passes takes its place.
fn an_upload_replaces_nothing_before_it_has_passed(tree: &Tree, server: SocketAddr) {
    let (old, new) = (bytes(1, 200_000), bytes(2, 150_000));
    tree.write("sub/file", &old).unwrap();
    for folder in ["", "sub"] {
        let folder = tree.at(folder);
        std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    }
    std::fs::set_permissions(tree.at("sub/file"), std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .unwrap();
    let proxy = forward(&["--inspect-command", SCAN]);
    let mut control = through(&proxy, server);
    let names = || -> Vec<_> {
        std::fs::read_dir(tree.at("sub")).unwrap().map(|entry| entry.unwrap().file_name()).collect()
    };
    let bad = [&new[..], b"EICAR"].concat();
    let refused = control.store("STOR sub/file", &bad).unwrap_err().to_string();
    assert!(refused.contains("550") && refused.contains("EICAR in sub/file"), "{refused}");
    assert_eq!((tree.read("sub/file").unwrap(), names()), (old, vec!["file".into()]));
    let said = control.store("STOR sub/file", &new).unwrap().to_string();
    assert!(!said.contains(".portway"), "{said}");
    assert_eq!((tree.read("sub/file").unwrap(), names()), (new, vec!["file".into()]));
    // Who goes away in the middle leaves nothing, either.
    let mut data = control.begin("STOR sub/other").unwrap();
    data.write_all(&bytes(3, 300_000)).unwrap();
    control.hang_up();
    drop(data);
    logged(&proxy, &["session_closed"]);
    until("the half is gone", PATIENCE, || Ok((names() == ["file"]).then_some(()))).unwrap();
}

#[test]
fn a_refused_upload_leaves_the_old_file_at_portway() {
    let (server, _) = server();
    an_upload_replaces_nothing_before_it_has_passed(&server.tree, server.port().unwrap());
}

#[test]
fn a_refused_upload_leaves_the_old_file_at_vsftpd() {
    let (server, _) = of(Kind::Vsftpd);
    an_upload_replaces_nothing_before_it_has_passed(&server.tree, server.port().unwrap());
}

#[test]
fn a_refused_upload_leaves_the_old_file_at_proftpd() {
    let server = rivals::start(Rival::Proftpd);
    an_upload_replaces_nothing_before_it_has_passed(&server.tree, server.at);
}

#[test]
fn a_refused_upload_leaves_the_old_file_at_pure_ftpd() {
    let server = rivals::start(Rival::PureFtpd);
    an_upload_replaces_nothing_before_it_has_passed(&server.tree, server.at);
}

#[test]
fn where_the_server_renames_nothing_an_upload_gets_553_and_changes_nothing() {
    let (server, file) = server();
    let before = reverse(&server, &["--deny", "RNTO"]);
    let proxy = forward(&["--inspect-command", SCAN]);
    let mut control = through(&proxy, before.port().unwrap());
    let refused = control.store("STOR f", b"new").unwrap_err().to_string();
    assert!(refused.contains("553") && refused.contains("Nothing was changed"), "{refused}");
    assert_eq!(server.tree.read("f").unwrap(), file);
    assert_eq!(std::fs::read_dir(server.tree.path()).unwrap().count(), 1);
    assert_eq!(control.fetch("RETR f").unwrap(), file);
}

#[test]
fn no_file_is_fetched_or_stored_in_pieces_that_look_clean() {
    let (server, file) = server();
    server.tree.write("bad", [b"EICAR", &file[..]].concat()).unwrap();
    let proxy: Proxy = forward(&["--inspect-command", SCAN]);
    let mut control = through(&proxy, server.port().unwrap());
    // The part behind the offset is clean, and the file is not.
    control.expect("REST 5", 350).unwrap();
    let mut data = control.begin("RETR bad").unwrap();
    assert!(data.read_all().is_err());
    drop(data);
    control.expect_reply(550).unwrap();
    for offset in [1, 100_000, 499_999] {
        control.expect(format!("REST {offset}"), 350).unwrap();
        assert!(control.fetch("RETR f").unwrap() == file[offset..], "from {offset} on");
    }
    assert!(control.fetch("RETR f").unwrap() == file);
    control.expect("REST 3", 350).unwrap();
    for line in ["STOR f", "APPE f", "STOU"] {
        control.epsv().unwrap();
        control.expect(line, 550).unwrap();
    }
    assert_eq!(server.tree.read("f").unwrap(), file);
    let help = control.expect("HELP", 214).unwrap().to_string();
    assert!(help.contains("STOR") && !help.contains("APPE"), "{help}");
}

#[test]
fn a_verdict_may_take_longer_than_a_data_connection_may_be_silent() {
    let (server, file) = server();
    let slow = "cat >/dev/null; sleep 3";
    let proxy = forward(&["--data-timeout", "1s", "--idle-timeout", "2s", "--inspect-command", slow]);
    let mut control = through(&proxy, server.port().unwrap());
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    control.store("STOR f", b"another").unwrap();
    assert_eq!(server.tree.read("f").unwrap(), b"another");
}

#[test]
fn abor_does_not_wait_for_the_verdict() {
    let (server, file) = server();
    let home = Tree::new().unwrap();
    let reads = format!("cat >/dev/null; touch {}; exec sleep 60", home.at("read").display());
    let proxy = forward(&["--inspect-command", &reads]);
    let mut control = through(&proxy, server.port().unwrap());
    for line in ["RETR f", "STOR f"] {
        let mut data = control.begin(line).unwrap();
        if line.starts_with("STOR") {
            data.write_all(b"another").unwrap();
            data.finish().unwrap();
        }
        until("the whole file has been seen", PATIENCE, || Ok(home.has("read").then_some(()))).unwrap();
        let begun = std::time::Instant::now();
        control.expect("ABOR", 426).unwrap();
        control.expect_reply(226).unwrap();
        assert!(begun.elapsed() < PATIENCE);
        std::fs::remove_file(home.at("read")).unwrap();
    }
    assert_eq!(server.tree.read("f").unwrap(), file);
    let files = || std::fs::read_dir(server.tree.path()).unwrap().count();
    until("nothing else is left", PATIENCE, || Ok((files() == 1).then_some(()))).unwrap();
}

#[test]
fn an_upload_that_a_lost_server_kept_is_deleted_when_its_user_comes_back() {
    // The server takes the file and leaves before it has its name.
    let door = TcpListener::bind("127.0.0.1:0").unwrap();
    let way = format!("229 Here (|||{}|)", door.local_addr().unwrap().port());
    let rows = vec![
        ("PWD", "257 \"/home\" is it"),
        ("CWD", "250 Done"),
        ("EPSV", &*way.leak()),
        ("STOR", "150 Go on\r\n226 Done"),
        ("RNFR", "BYE"),
        ("DELE", "250 Deleted"),
    ];
    let server = Scripted::start(rows.leak());
    let proxy = forward(&["--inspect-command", "cat >/dev/null"]);
    let mut control = through(&proxy, server.at);
    let mut data = control.begin("STOR new").unwrap();
    data.write_all(b"some").unwrap();
    data.finish().unwrap();
    let mut all = Vec::new();
    door.accept().unwrap().0.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"some");
    let said = control.expect_reply(426).unwrap().to_string();
    assert!(said.contains("not known"), "{said}");
    let heard = |verb: &str| -> Vec<String> {
        server.heard().into_iter().filter_map(|line| line.strip_prefix(verb).map(str::to_owned)).collect()
    };
    let stored = heard("STOR ").concat();
    assert!(stored.starts_with(".portway-") && heard("DELE ").is_empty(), "{:?}", server.heard());
    // Somebody else is not asked for it, and its owner once.
    proxy.connect().unwrap().login((&format!("bob@{}", server.at), "x")).unwrap();
    assert!(heard("DELE ").is_empty());
    for _ in 0..2 {
        through(&proxy, server.at).expect("NOOP", 200).unwrap();
        assert_eq!(heard("DELE "), [format!("/home/{stored}")]);
    }
}

#[test]
fn nobody_takes_an_upload_away_before_the_verdict() {
    let server = rivals::start(Rival::PureFtpd);
    std::fs::set_permissions(server.tree.path(), std::os::unix::fs::PermissionsExt::from_mode(0o777))
        .unwrap();
    // It comes to its verdict when it has seen all of it.
    let proxy = forward(&["--inspect-command", "test $(grep -ac EICAR) = 0"]);
    let mut control = through(&proxy, server.at);
    let mut data = control.begin("STOR bad").unwrap();
    data.write_all(&[b"EICAR", &bytes(3, 300_000)[..]].concat()).unwrap();
    let names = || {
        let entries = std::fs::read_dir(server.tree.path()).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect::<Vec<_>>()
    };
    let aside = until("it is on its way", PATIENCE, || {
        Ok(names().into_iter().find(|name| name.starts_with(".portway-")))
    })
    .unwrap();
    let mut other = through(&proxy, server.at);
    for line in [format!("RNFR {aside}"), format!("RNFR ./{aside}"), format!("RETR {aside}")] {
        other.expect(line, 550).unwrap();
    }
    data.finish().unwrap();
    control.expect_reply(550).unwrap();
    assert_eq!(names(), [""; 0]);
}
