//! Reverse proxies: which server, and what the client sees of it.

use portway_e2e::{Control, Kind, Options, Proxy, Subject, Tree};

use crate::world::{ANN, Scripted, logged, of, reverse, server};

#[test]
fn sessions_are_spread_over_servers_and_a_dead_one_is_not_noticed() {
    let ((one, _), (two, _)) = (server(), server());
    one.tree.write("name", "one").unwrap();
    two.tree.write("name", "two").unwrap();
    let urls = [one.port().unwrap(), two.port().unwrap()].map(|at| format!("ftp://{at}"));
    let proxy = Proxy::start(&["--reverse", &urls[0], "--reverse", &urls[1]]).unwrap();
    let name = || {
        let mut control = proxy.connect().unwrap();
        control.login(ANN).unwrap();
        control.fetch("RETR name").unwrap()
    };
    let names = [name(), name(), name(), name()];
    assert!(names.iter().filter(|name| *name == b"one").count() == 2, "in turn: {names:?}");
    drop(one);
    assert!((0..4).all(|_| name() == b"two"));
    logged(&proxy, &["upstream_failed", "unreachable"]);
}

#[test]
fn routes_of_the_configuration_choose_by_user_and_host() {
    let ((one, _), (two, _)) = (server(), server());
    one.tree.write("name", "one").unwrap();
    two.tree.write("name", "two").unwrap();
    let home = Tree::new().unwrap();
    let file = home
        .write(
            "proxy.toml",
            format!(
                "[servers.one]\nurls = [\"ftp://{}\"]\n[servers.two]\nurls = [\"ftp://{}\"]\n\
                 [[routes]]\nhosts = [\"two.example\"]\nto = \"two\"\n\
                 [[routes]]\nusers = [\"ali*\"]\nto = \"one\"\nread_only = true\n",
                one.port().unwrap(),
                two.port().unwrap()
            ),
        )
        .unwrap();
    let proxy = Proxy::start(&["--config", &file.display().to_string()]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR name").unwrap(), b"one");
    let mut by_host = proxy.connect().unwrap();
    by_host.expect("HOST two.example", 220).unwrap();
    by_host.login(ANN).unwrap();
    assert_eq!(by_host.fetch("RETR name").unwrap(), b"two");
    by_host.store("STOR up", b"x").unwrap();
    // The first route reads only.
    control.epsv().unwrap();
    for line in ["STOR up", "DELE name", "MKD d", "RNFR name", "SITE CHMOD 600 name", "APPE name"] {
        control.expect(line, 550).unwrap();
    }
    assert_eq!(one.tree.read("name").unwrap(), b"one");
    let mut nobody = proxy.connect().unwrap();
    nobody.expect("USER bob", 421).unwrap();
}

#[test]
fn a_server_that_is_down_is_told_at_the_login_without_naming_it() {
    let dead = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let url = format!("ftp://{dead}");
    let proxy = Proxy::start(&["--reverse", &url]).unwrap();
    let mut control = proxy.connect().unwrap();
    let reply = control.expect("USER alice", 421).unwrap();
    assert!(!reply.to_string().contains("127.0.0.1"), "{reply}");
}

#[test]
fn what_the_server_says_of_itself_reaches_the_client() {
    let (server, _) = of(Kind::Portway);
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    let before = control.say("FEAT").unwrap().to_string();
    assert!(before.contains("AUTH TLS") && before.contains("EPSV"), "{before}");
    control.login(ANN).unwrap();
    let feat = control.expect("FEAT", 211).unwrap().to_string();
    for line in ["AUTH TLS", "PBSZ", "PROT", "EPSV", "EPRT", "MLST", "SIZE", "REST STREAM", "UTF8"] {
        assert!(feat.contains(line), "{line} in {feat}");
    }
    control.expect("SYST", 215).unwrap();
    control.expect("PWD", 257).unwrap();
    control.expect("SIZE f", 213).unwrap();
    let help = control.expect("HELP", 214).unwrap().to_string();
    assert!(help.contains("MLSD") && help.contains("RETR"), "{help}");
    let status = control.expect("STAT f", 213).unwrap().to_string();
    assert!(status.contains("500000"), "{status}");
    // The next client learns it before it has logged in.
    let mut next = proxy.connect().unwrap();
    assert!(next.expect("FEAT", 211).unwrap().to_string().contains("MLST"));
}

#[test]
fn a_server_with_less_is_shown_with_less() {
    let poor = Scripted::start(&[
        ("FEAT", "211-Features:\r\n SIZE\r\n AUTH TLS\r\n EPSV\r\n XFOO\r\n211 End"),
        ("HELP", "214-Commands:\r\n USER PASS QUIT RETR XFOO\r\n214 End"),
    ]);
    let url = format!("ftp://{}", poor.at);
    let proxy = Proxy::listening(&["127.0.0.1".parse().unwrap()], None, &["--reverse", &url, "--tls", "off"])
        .unwrap();
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    let feat = control.expect("FEAT", 211).unwrap().to_string();
    assert!(feat.contains("SIZE") && feat.contains("EPSV"), "{feat}");
    assert!(!feat.contains("AUTH") && !feat.contains("XFOO") && !feat.contains("MLST"), "{feat}");
    let help = control.expect("HELP", 214).unwrap().to_string();
    assert!(help.contains("RETR") && !help.contains("MLSD") && !help.contains("XFOO"), "{help}");
    control.expect("AUTH TLS", 502).unwrap();
    let unknown = control.say("XFOO").unwrap().code;
    assert!((500..=502).contains(&unknown), "{unknown}");
    assert!(poor.heard().iter().all(|line| !line.starts_with("XFOO") && !line.starts_with("AUTH")));
}

#[test]
fn a_balancer_in_front_says_whose_connection_it_is_and_the_server_behind_is_told() {
    let tree = Tree::new().unwrap();
    let options = Options::flags(["--proxy-protocol", "127.0.0.1/32"]);
    let server = Subject::start_kind(Kind::Portway, tree, &options).unwrap();
    for version in ["v1", "v2"] {
        let flags = ["--proxy-protocol", "127.0.0.1/32", "--upstream-proxy-header", version];
        let proxy = reverse(&server, &flags);
        let mut control = Control::raw(proxy.port().unwrap(), None).unwrap();
        control.send("PROXY TCP4 192.0.2.77 198.51.100.1 40000 21\r\n").unwrap();
        control.expect_reply(220).unwrap();
        logged(&proxy, &["session_opened", "192.0.2.77"]);
        control.login(ANN).unwrap();
        assert_eq!(control.pasv().unwrap().ip(), "198.51.100.1".parse::<std::net::IpAddr>().unwrap());
        // Anybody else's header is a wrong command.
        let stranger = "127.0.0.8".parse().unwrap();
        let mut other = Control::connect_from(stranger, proxy.port().unwrap()).unwrap();
        assert!(other.say("PROXY TCP4 192.0.2.78 198.51.100.1 40000 21").unwrap().code >= 500);
    }
    portway_e2e::until("the server was told", portway_e2e::PATIENCE, || {
        let logins = server.log.so_far().into_iter().filter(|line| line.contains("\"login\""));
        Ok((logins.filter(|line| line.contains("192.0.2.77")).count() == 2).then_some(()))
    })
    .unwrap();
}
