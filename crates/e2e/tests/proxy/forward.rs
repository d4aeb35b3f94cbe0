//! Where a forward proxy goes, and where it does not.

use std::net::UdpSocket;

use portway_e2e::{Control, Proxy, Tls, TlsOptions};

use crate::lab::{in_namespaces, run};
use crate::world::{ANN, Scripted, at, forward, logged, server, through};

#[test]
fn a_client_names_its_server_at_the_login() {
    let (server, file) = server();
    let proxy = forward(&[]);
    for place in [
        server.port().unwrap(),
        server.address(portway_e2e::Family::V6, portway_e2e::Security::Plain).unwrap(),
    ] {
        let mut control = through(&proxy, place);
        assert_eq!(control.fetch("RETR f").unwrap(), file, "{place}");
        control.store("STOR up", &file).unwrap();
        assert_eq!(server.tree.read("up").unwrap(), file);
        control.expect("QUIT", 221).unwrap();
    }
}

#[test]
fn open_and_site_lead_to_a_server_and_then_to_another_one() {
    let ((one, file), (two, _)) = (server(), server());
    two.tree.write("f", "the second server's").unwrap();
    let proxy = forward(&[]);
    let mut control = proxy.connect().unwrap();
    control.expect(format!("OPEN {}", one.port().unwrap()), 220).unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    control.expect(format!("OPEN {}", two.port().unwrap()), 220).unwrap();
    control.expect("RETR f", 530).unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), b"the second server's");
    let mut by_site = proxy.connect().unwrap();
    by_site.expect(format!("SITE {}", one.port().unwrap()), 220).unwrap();
    by_site.login(ANN).unwrap();
    assert_eq!(by_site.fetch("RETR f").unwrap(), file);
    // A user at another server leaves the first one.
    by_site.login((&at(two.port().unwrap()), ANN.1)).unwrap();
    assert_eq!(by_site.fetch("RETR f").unwrap(), b"the second server's");
}

#[test]
fn nobody_gets_to_loopback_private_or_metadata_addresses_by_default() {
    let (server, _) = server();
    let proxy = Proxy::start(&["--forward"]).unwrap();
    let place = server.port().unwrap();
    for host in [
        format!("127.0.0.1:{}", place.port()),
        format!("localhost:{}", place.port()),
        format!("[::1]:{}", place.port()),
        format!("[::ffff:127.0.0.1]:{}", place.port()),
        "169.254.169.254".to_owned(),
        "10.0.0.1:2121".to_owned(),
        "192.168.0.1".to_owned(),
        "0.0.0.0".to_owned(),
    ] {
        for line in [format!("USER a@{host}"), format!("OPEN {host}")] {
            let mut control = proxy.connect().unwrap();
            let reply = control.say(&line).unwrap();
            assert_eq!(reply.code, 530, "{line}: {reply}");
        }
    }
    for line in ["OPEN 127.1", "OPEN 2130706433", "OPEN 0x7f000001", "USER a@"] {
        let mut control = proxy.connect().unwrap();
        assert_eq!(control.say(line).unwrap().code, 530, "{line}");
    }
    assert!(server.log.so_far().iter().all(|line| !line.contains("session_opened")), "nobody came");
    logged(&proxy, &["upstream_failed", "not_allowed", "127.0.0.1"]);
}

#[test]
fn the_list_of_destinations_is_kept_to_and_other_ports_and_the_proxy_itself_are_no_destination() {
    let (server, _) = server();
    let proxy = Proxy::start(&["--forward", "--allow", "127.0.0.2"]).unwrap();
    let mut control = proxy.connect().unwrap();
    control.expect(format!("USER {}", at(server.port().unwrap())), 530).unwrap();
    let proxy = forward(&[]);
    let own = proxy.port().unwrap();
    for host in ["127.0.0.1:22".to_owned(), "127.0.0.1:80".to_owned(), own.to_string()] {
        let mut control = proxy.connect().unwrap();
        control.expect(format!("OPEN {host}"), 530).unwrap();
    }
}

#[test]
fn a_guarded_proxy_asks_first_in_every_dialogue_that_clients_know() {
    let (server, file) = server();
    let proxy = forward(&["--user", "pro:xy"]);
    let place = server.port().unwrap();
    let who = at(place);
    let get = |mut control: Control| {
        control.expect("TYPE I", 200).unwrap();
        assert_eq!(control.fetch("RETR f").unwrap(), file);
    };
    let mut stranger = proxy.connect().unwrap();
    stranger.expect(format!("OPEN {place}"), 530).unwrap();
    stranger.expect("USER pro", 331).unwrap();
    stranger.expect("PASS wrong", 530).unwrap();
    stranger.expect(format!("OPEN {place}"), 530).unwrap();
    assert!(server.log.so_far().iter().all(|line| !line.contains("session_opened")), "nobody came");

    let mut user = proxy.connect().unwrap();
    user.expect("USER pro", 331).unwrap();
    user.expect("PASS xy", 230).unwrap();
    user.expect(format!("USER {who}"), 331).unwrap();
    user.expect(format!("PASS {}", ANN.1), 230).unwrap();
    get(user);

    let mut open = proxy.connect().unwrap();
    open.expect("USER pro", 331).unwrap();
    open.expect("PASS xy", 230).unwrap();
    open.expect(format!("OPEN {place}"), 220).unwrap();
    open.login(ANN).unwrap();
    get(open);

    let mut joined = proxy.connect().unwrap();
    joined.expect(format!("USER {}@pro@{place}", ANN.0), 331).unwrap();
    joined.expect(format!("PASS {}@xy", ANN.1), 230).unwrap();
    get(joined);

    let mut account = proxy.connect().unwrap();
    account.expect(format!("USER {who} pro"), 331).unwrap();
    account.expect(format!("PASS {}", ANN.1), 332).unwrap();
    account.expect("ACCT xy", 230).unwrap();
    get(account);

    let mut at_host = proxy.connect().unwrap();
    at_host.expect(format!("USER pro@{place}"), 331).unwrap();
    at_host.expect("PASS xy", 220).unwrap();
    at_host.login(ANN).unwrap();
    get(at_host);
    let log = proxy.log.so_far().join("\n");
    assert!(!log.contains(ANN.1) && !log.contains("xy\""), "no passwords in the log");
}

#[test]
fn another_address_of_this_machine_leads_to_the_proxy_itself_and_is_refused() {
    // Whatever address this machine would send from; one without any has no other address.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    let Ok(own) = socket.connect("198.51.100.1:9").and_then(|()| socket.local_addr()) else { return };
    let flags = ["--forward", "--allow", &own.ip().to_string()];
    let proxy = Proxy::listening(&["0.0.0.0".parse().unwrap()], None, &flags).unwrap();
    let port = proxy.port().unwrap().port();
    let mut control = Control::connect(([127, 0, 0, 1], port).into()).unwrap();
    control.expect(format!("OPEN {}:{port}", own.ip()), 530).unwrap();
}

#[test]
fn who_tries_one_destination_after_the_other_is_sent_away() {
    let proxy = forward(&[]);
    let mut control = proxy.connect().unwrap();
    let mut answers = 0;
    while let Ok(reply) = control.say("OPEN 127.0.0.1:22") {
        answers += 1;
        assert_eq!(reply.code, 530, "{reply}");
        assert!(answers < 20, "a scanner is answered for ever");
    }
    assert!(answers > 0);
}

#[test]
fn where_tls_is_demanded_nobody_opens_a_server_in_the_clear() {
    let (server, _) = server();
    let proxy = forward(&["--tls", "required"]);
    let mut control = proxy.connect().unwrap();
    control.expect(format!("OPEN {}", server.port().unwrap()), 530).unwrap();
    control.expect(format!("SITE {}", server.port().unwrap()), 530).unwrap();
    assert!(server.log.so_far().iter().all(|line| !line.contains("session_opened")), "nobody came");
}

#[test]
fn a_login_at_the_proxy_does_not_outlive_rein_or_the_begin_of_tls() {
    let (server, _) = server();
    let proxy = forward(&["--user", "pro:xy"]);
    let open = format!("OPEN {}", server.port().unwrap());
    let tls = Tls::new(&proxy.certificate, TlsOptions::default()).unwrap();
    for by_tls in [false, true] {
        let mut control = proxy.connect().unwrap();
        control.expect("USER pro", 331).unwrap();
        control.expect("PASS xy", 230).unwrap();
        control.expect(&open, 220).unwrap();
        if by_tls {
            control.secure(&tls).unwrap();
        } else {
            control.expect("REIN", 220).unwrap();
        }
        control.expect(&open, 530).unwrap();
    }
}

#[test]
fn this_machines_own_public_addresses_are_no_destination_unless_listed() {
    in_namespaces(|| {
        run("ip link set lo up");
        run("ip addr add 203.0.113.1/24 dev lo");
        run("ip addr add 203.0.113.9/24 dev lo");
        // Behind a firewall it would be reached from here alone.
        let server = Scripted::start_at("203.0.113.9:0".parse().unwrap(), &[]);
        let listed = |flags: &[&str]| Proxy::start(&[&["--forward"], flags].concat()).unwrap();
        for (proxy, code) in [
            (listed(&[]), 530),
            (listed(&["--allow", "0.0.0.0/0"]), 530),
            (listed(&["--allow", "203.0.113.0/24"]), 220),
        ] {
            let mut control = proxy.connect().unwrap();
            let said = control.expect(format!("OPEN {}", server.at), code).unwrap().to_string();
            assert!(code == 220 || said.contains("this machine's own address"), "{said}");
        }
        assert!(server.heard().iter().all(|line| line == "QUIT"), "{:?}", server.heard());
    });
}
