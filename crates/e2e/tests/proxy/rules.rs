//! Rules about commands: what a client is told, and what reaches the server.

use std::io::Write;

use portway_e2e::{Proxy, Tree};

use crate::rivals::{self, Rival};
use crate::world::{ANN, Scripted, at, logged, server, through};

#[test]
fn rules_deny_by_verb_argument_and_user_and_say_which_rule_it_was() {
    let (server, file) = server();
    std::fs::create_dir_all(server.tree.at("closed")).unwrap();
    server.tree.write("closed/x", "secret").unwrap();
    server.tree.write("new/y", "moved").unwrap();
    let home = Tree::new().unwrap();
    let config = home
        .write(
            "proxy.toml",
            "[[commands]]\nname = \"programs\"\nverbs = [\"STOR\", \"APPE\", \"RNTO\"]\narguments = [\"*.exe\"]\n\
             [[commands]]\nname = \"guests-read\"\nverbs = [\"@write\"]\nusers = [\"guest*\"]\n\
             [[commands]]\nname = \"closed\"\nverbs = [\"*\"]\narguments = [\"/closed\", \"/closed/*\"]\n\
             [[commands]]\naction = \"rewrite\"\nfrom = \"/old\"\nto = \"/new\"\n",
        )
        .unwrap()
        .display()
        .to_string();
    let proxy = crate::world::forward(&["--config", &config, "--deny", "DELE", "--deny", "SITE CHMOD"]);
    let mut control = through(&proxy, server.port().unwrap());
    let refusal = control.expect("DELE f", 502).unwrap().to_string();
    assert!(refusal.contains("--deny"), "{refusal}");
    control.expect("SITE CHMOD 600 f", 502).unwrap();
    control.epsv().unwrap();
    let refusal = control.expect("STOR Setup.EXE", 550).unwrap().to_string();
    assert!(refusal.contains("programs"), "{refusal}");
    control.expect("RETR closed/x", 550).unwrap();
    control.expect("CWD new", 250).unwrap();
    control.expect("RETR ../closed/x", 550).unwrap();
    control.expect("CWD ../closed", 550).unwrap();
    assert_eq!(control.fetch("RETR /old/y").unwrap(), b"moved");
    assert_eq!(control.fetch("RETR ../f").unwrap(), file);
    control.store("STOR fine.txt", b"x").unwrap();
    assert!(server.tree.read("new/fine.txt").is_ok() && server.tree.read("f").is_ok());
    // The client is where it wanted to go, by its own names.
    control.expect("CWD /old", 250).unwrap();
    let told = control.expect("PWD", 257).unwrap().to_string();
    assert!(told.contains("\"/old\"") && !told.contains("new"), "{told}");
    assert_eq!(control.fetch("RETR y").unwrap(), b"moved");
    let help = control.expect("HELP", 214).unwrap().to_string();
    assert!(!help.contains("DELE") && help.contains("STOR"), "{help}");
    logged(&proxy, &["refused", "DELE", "rule"]);
}

#[test]
fn a_route_has_rules_of_its_own_and_feat_is_silent_about_what_it_denies() {
    let (server, _) = server();
    let home = Tree::new().unwrap();
    let config = home
        .write(
            "proxy.toml",
            format!(
                "[servers.one]\nurls = [\"ftp://{}\"]\n[[routes]]\nto = \"one\"\n\
                 [[routes.commands]]\nverbs = [\"MFMT\", \"EPRT\", \"MLSD\", \"MLST\"]\n",
                server.port().unwrap()
            ),
        )
        .unwrap();
    let proxy = Proxy::start(&["--config", &config.display().to_string()]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    let feat = control.expect("FEAT", 211).unwrap().to_string();
    assert!(!feat.contains("MFMT") && !feat.contains("EPRT") && !feat.contains("MLST"), "{feat}");
    assert!(feat.contains("EPSV") && feat.contains("SIZE"), "{feat}");
    control.expect("MFMT 20260101000000 f", 502).unwrap();
    control.expect("EPRT |1|127.0.0.1|40000|", 502).unwrap();
}

#[test]
fn no_spelling_on_the_wire_brings_a_denied_command_to_the_server() {
    let server = Scripted::start(&[("DELE", "250 Gone"), ("MKD", "257 \"a\""), ("SITE", "200 Done")]);
    let proxy = crate::world::forward(&["--deny", "DELE", "--deny", "MKD", "--deny", "SITE CHMOD"]);
    let mut control = proxy.connect().unwrap();
    control.login((&at(server.at), ANN.1)).unwrap();
    let lines: &[&[u8]] = &[
        b"dele a\r\n",
        b"DeLe  a\r\n",
        b"DELE\ta\r\n",
        b" DELE a\r\n",
        b"NOOP\nDELE a\r\n",
        b"NOOP\rDELE a\r\n",
        b"NOOP\0\nDELE a\r\n",
        b"\xff\xf4\xff\xf2DELE a\r\n",
        b"DE\xff\xf1LE a\r\n",
        b"DE\xff\xfb\x01LE a\r\n",
        b"DE\0LE a\r\n",
        b"NOOP \xff\xffDELE a\r\n",
        b"XMKD a\r\n",
        b"xmkd a\r\n",
        b"SITE  CHMOD 600 a\r\n",
        b"site\t chmod 600 a\r\n",
        b"SITE \tchmod 600 a\r\n",
        b"HELP x\r\n",
    ];
    let mut socket = std::net::TcpStream::connect(proxy.port().unwrap()).unwrap();
    write!(socket, "USER {}\r\nPASS {}\r\n", at(server.at), ANN.1).unwrap();
    for line in lines {
        socket.write_all(line).unwrap();
    }
    socket.write_all(b"QUIT\r\n").unwrap();
    socket.set_read_timeout(Some(portway_e2e::PATIENCE)).unwrap();
    std::io::copy(&mut socket, &mut std::io::sink()).unwrap();
    control.expect("NOOP", 200).unwrap();
    for line in server.heard() {
        let line = line.to_uppercase();
        let words: Vec<&str> = line.split_whitespace().collect();
        assert!(!matches!(words[0], "DELE" | "MKD" | "XMKD" | "SITE"), "{line:?} of {:?}", server.heard());
        assert!(!line.contains("\nDELE") && !line.contains("\rDELE"), "{line:?}");
    }
}

#[test]
fn a_denied_name_is_denied_in_the_spelling_of_each_server() {
    let home = Tree::new().unwrap();
    let rule = "[[commands]]\nverbs = [\"*\"]\narguments = [\"my_secret\"]\n";
    let config = home.write("proxy.toml", rule).unwrap().display().to_string();
    let pure = rivals::start(Rival::PureFtpd);
    let (portway, _) = server();
    for (tree, at, line) in [
        (&pure.tree, pure.at, &b"RETR my\x01secret"[..]),
        (&portway.tree, portway.port().unwrap(), b"XMD5 \"my_secret\""),
    ] {
        let file = tree.write("my_secret", "secret").unwrap();
        std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
        let url = format!("ftp://{at}");
        let open = Proxy::start(&["--reverse", &url]).unwrap();
        let closed = Proxy::start(&["--reverse", &url, "--config", &config]).unwrap();
        let mut codes = [&open, &closed].map(|proxy| {
            let mut control = proxy.connect().unwrap();
            control.login(ANN).unwrap();
            let data = line.starts_with(b"RETR").then(|| control.epsv().map(|to| control.join(to).unwrap()));
            let code = control.say(line).unwrap().code;
            drop(data);
            code
        });
        codes.sort_unstable();
        assert!(codes[0] < 300 && codes[1] == 550, "{at}: {codes:?}");
    }
}

#[test]
fn a_read_only_proxy_lets_nobody_set_a_time_by_mdtm() {
    let (server, _) = server();
    let proxy = crate::world::reverse(&server, &["--read-only"]);
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    let time = || std::fs::metadata(server.tree.at("f")).unwrap().modified().unwrap();
    let before = time();
    // vsftpd sets it by the day alone, portway with a fraction, too.
    for line in ["MDTM 20010101 f", "MDTM 20010101000000 f", "MDTM 20010101000000.5 f"] {
        control.expect(line, 550).unwrap();
    }
    assert_eq!(time(), before);
    control.expect("MDTM f", 213).unwrap();
}
