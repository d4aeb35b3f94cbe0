//! Files are looked into as they pass.

use std::io::{Read as _, Write as _};

use portway_e2e::bytes;

use crate::world::{ANN, at, forward, logged, server, through};

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
    let home = portway_e2e::Tree::new().unwrap();
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
