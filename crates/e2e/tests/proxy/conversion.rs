//! Each leg as it likes: modes, families and encryption are converted both ways.

use std::io::Write;
use std::net::TcpListener;

use portway_e2e::{
    Control, Family, Kind, Options, PATIENCE, Program, Proxy, Security, Subject, Tls, TlsOptions, Tree,
    binary, bytes, until,
};

use crate::rivals::{self, Rival};
use crate::world::{ANN, forward, logged, of, reverse, server};

/// Up and down in passive and active mode.
fn there_and_back(control: &mut Control, tree: &Tree, what: &str) {
    let file = bytes(11, 300_000);
    control.store("STOR p", &file).unwrap_or_else(|why| panic!("{what}: passive up: {why:#}"));
    assert_eq!(tree.read("p").unwrap(), file, "{what}");
    assert_eq!(control.fetch("RETR p").unwrap(), file, "{what}: passive down");
    let listener = control.eprt().unwrap_or_else(|why| panic!("{what}: {why:#}"));
    control.send("RETR p\r\n").unwrap();
    let mut data = control.take(&listener).unwrap();
    control.expect_reply(150).unwrap();
    assert_eq!(data.read_all().unwrap(), file, "{what}: active down");
    control.end().unwrap();
    let listener = control.eprt().unwrap();
    control.send("STOR a\r\n").unwrap();
    let mut data = control.take(&listener).unwrap();
    control.expect_reply(150).unwrap();
    data.write_all(&file).unwrap();
    data.finish().unwrap();
    control.end().unwrap();
    assert_eq!(tree.read("a").unwrap(), file, "{what}: active up");
}

#[test]
fn every_mode_of_the_client_goes_with_every_mode_of_the_server() {
    let (server, _) = server();
    for (mode, verb) in [("passive", "EPSV"), ("active", "EPRT")] {
        let proxy = reverse(&server, &["--upstream-mode", mode]);
        let mut control = proxy.connect().unwrap();
        control.login(ANN).unwrap();
        there_and_back(&mut control, &server.tree, mode);
        logged(&proxy, &["relayed", verb, "RETR"]);
        logged(&proxy, &["\"transfer\"", "EPRT", "RETR"]);
    }
}

#[test]
fn families_are_bridged_both_ways() {
    let (server, _) = server();
    for (client, behind) in [(Family::V6, Family::V4), (Family::V4, Family::V6)] {
        let url = format!("ftp://{}", server.address(behind, Security::Plain).unwrap());
        let proxy = Proxy::start(&["--reverse", &url]).unwrap();
        let mut control = Control::connect(proxy.at(client.loopback(), false).unwrap()).unwrap();
        let algs = control.expect("ALGS STATUS64", 216).unwrap().to_string();
        assert!(algs.contains("EPSV"), "{algs}");
        control.login(ANN).unwrap();
        there_and_back(&mut control, &server.tree, &format!("{client:?} to {behind:?}"));
    }
}

#[test]
fn old_commands_of_the_client_are_enough() {
    let (server, file) = server();
    let proxy = reverse(&server, &[]);
    let mut control = proxy.connect().unwrap();
    control.login(ANN).unwrap();
    let to = control.pasv().unwrap();
    let mut data = control.join(to).unwrap();
    control.expect("RETR f", 150).unwrap();
    assert_eq!(data.read_all().unwrap(), file);
    control.end().unwrap();
}

#[test]
fn tls_of_each_kind_goes_with_tls_of_each_kind_and_data_resumes_on_both_legs() {
    let tree = Tree::new().unwrap();
    let options = Options { implicit: Some(Family::V4.loopback()), ..Options::default() };
    let server = Subject::start_kind(Kind::Portway, tree, &options).unwrap();
    let ca = server.certificate.authority().display().to_string();
    let plain = server.port().unwrap();
    let implicit = server.address(Family::V4, Security::Implicit).unwrap();
    for (url, flags, encrypted) in [
        (format!("ftp://{plain}"), vec!["--upstream-tls", "off"], false),
        (format!("ftp://{plain}"), vec!["--upstream-tls", "required", "--upstream-ca", &ca], true),
        (format!("ftpes://{plain}"), vec!["--upstream-ca", &ca], true),
        (format!("ftps://{implicit}"), vec!["--upstream-ca", &ca], true),
    ] {
        let proxy = Proxy::start(&[&["--reverse", url.as_str()][..], &flags].concat()).unwrap();
        each_kind_passes(&proxy, &server.tree, &format!("{url} {flags:?}"));
        let lines = |texts: &[&str], count: usize| {
            until("the log has caught up", PATIENCE, || {
                let all = proxy.log.so_far().into_iter();
                let found: Vec<String> =
                    all.filter(|line| texts.iter().all(|text| line.contains(text))).collect();
                Ok((found.len() >= count).then_some(found))
            })
            .unwrap()
        };
        let relayed = lines(&["\"event\":\"relayed\""], 12);
        assert!(relayed.iter().all(|line| line.contains(&format!("\"tls\":{encrypted}"))), "{relayed:?}");
        if encrypted {
            assert!(relayed.iter().all(|line| line.contains("\"resumed\":true")), "{relayed:?}");
        }
        let own = lines(&["\"event\":\"transfer\"", "\"tls\":true"], 8);
        assert!(own.iter().all(|line| line.contains("\"resumed\":true")), "{own:?}");
    }
}

/// A file goes there and back with each kind of TLS on the client's side.
fn each_kind_passes(proxy: &Proxy, tree: &Tree, to: &str) {
    let tls = Tls::new(&proxy.certificate, TlsOptions::default()).unwrap();
    for security in [Security::Plain, Security::Explicit, Security::Implicit] {
        let mut control = match security {
            Security::Implicit => {
                Control::implicit(proxy.at(Family::V4.loopback(), true).unwrap(), &tls).unwrap()
            }
            _ => proxy.connect().unwrap(),
        };
        if security == Security::Explicit {
            control.secure(&tls).unwrap();
        }
        control.login(ANN).unwrap();
        there_and_back(&mut control, tree, &format!("{security:?} to {to}"));
    }
}

/// Each kind of TLS on the client's side to this server, under this URL.
fn every_client_reaches(url: &str, flags: &[&str], tree: &Tree, on_data: &str) {
    let proxy = Proxy::start(&[&["--reverse", url][..], flags].concat()).unwrap();
    each_kind_passes(&proxy, tree, &format!("{url} {flags:?}"));
    logged(&proxy, &["\"event\":\"relayed\"", "EPSV", on_data]);
}

/// ProFTPD takes no data connection that does not resume, unless told otherwise.
#[test]
fn tls_of_each_kind_goes_with_tls_of_each_kind_at_proftpd() {
    for (security, scheme) in
        [(Security::Explicit, "ftp"), (Security::Explicit, "ftpes"), (Security::Implicit, "ftps")]
    {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let server = rivals::start_at(Rival::Proftpd, at, security);
        let ca = server.certificate.authority().display().to_string();
        let mode = if scheme == "ftp" { "off" } else { "required" };
        let flags = ["--upstream-tls", mode, "--upstream-ca", &ca];
        let on_data = if scheme == "ftp" { "\"tls\":false" } else { "\"tls\":true,\"resumed\":true" };
        every_client_reaches(&format!("{scheme}://{}", server.at), &flags, &server.tree, on_data);
    }
}

/// Debian's is built without implicit TLS. It gives no tickets, which TLS 1.3 resumes by, and remembers the sessions of
/// TLS 1.2.
#[test]
fn tls_of_each_kind_goes_with_both_kinds_of_pure_ftpd() {
    let server = rivals::start(Rival::PureFtpd);
    let ca = server.certificate.authority().display().to_string();
    for (scheme, mode, on_data) in [("ftp", "off", "\"tls\":false"), ("ftpes", "required", "\"tls\":true")] {
        let flags = ["--upstream-tls", mode, "--upstream-ca", &ca];
        every_client_reaches(&format!("{scheme}://{}", server.at), &flags, &server.tree, on_data);
    }
}

#[test]
fn data_connections_to_pure_ftpd_resume_where_it_remembers_sessions() {
    let server = rivals::start_with_tls12(Rival::PureFtpd);
    let ca = server.certificate.authority().display().to_string();
    let flags = ["--upstream-tls", "required", "--upstream-ca", &ca];
    let resumed = "\"tls\":true,\"resumed\":true";
    every_client_reaches(&format!("ftpes://{}", server.at), &flags, &server.tree, resumed);
}

#[test]
fn a_server_that_demands_resumption_gets_it() {
    let (server, file) = of(Kind::Vsftpd);
    let ca = server.certificate.authority().display().to_string();
    let proxy = reverse(&server, &["--upstream-tls", "required", "--upstream-ca", &ca]);
    for _ in 0..2 {
        let mut control = proxy.connect().unwrap();
        control.login(server.account()).unwrap();
        for _ in 0..6 {
            assert_eq!(control.fetch("RETR f").unwrap(), file);
        }
        control.store("STOR up", &file).unwrap();
        assert_eq!(server.tree.read("up").unwrap(), file);
    }
}

#[test]
fn nothing_falls_back_to_plain_by_itself_and_a_wrong_certificate_is_refused() {
    let (good, _) = server();
    let (other, _) = server();
    let plain = Subject::start_kind(
        Kind::Portway,
        Tree::new().unwrap(),
        &Options { tls: false, flags: vec!["--tls".into(), "off".into()], ..Options::default() },
    )
    .unwrap();
    let wrong_ca = other.certificate.authority().display().to_string();
    for flags in [["--upstream-tls", "required"], ["--upstream-tls", "auto"]] {
        let proxy = reverse(&good, &[&flags[..], &["--upstream-ca", &wrong_ca]].concat());
        let mut control = proxy.connect().unwrap();
        control.expect("USER alice", 530).unwrap();
        logged(&proxy, &["upstream_failed", "\"tls\"", "certificate"]);
    }
    // A client that may know where it goes is told whose certificate it is, and ours takes it for no fault of its own.
    let proxy = forward(&["--upstream-tls", "required", "--upstream-ca", &wrong_ca]);
    let goal = good.port().unwrap();
    let said = proxy.connect().unwrap().expect(format!("OPEN {goal}"), 530).unwrap().to_string();
    assert!(said.contains("nobody we trust has signed it") && said.contains("--upstream-ca"), "{said}");
    let through = ["get", "--proxy", &format!("ftp://{}", proxy.port().unwrap()), &format!("ftp://{goal}/f")];
    let own = Program::new(&binary().unwrap().display().to_string(), "portway").unwrap();
    let done = own.args(through).run().unwrap();
    let told = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(!done.success && told.contains("administrator") && !told.contains("--tls"), "{told}");
    let ca = good.certificate.authority().display().to_string();
    // A client under TLS does not get a server without.
    let proxy = reverse(&plain, &["--upstream-ca", &ca]);
    let tls = Tls::new(&proxy.certificate, TlsOptions::default()).unwrap();
    let mut control = proxy.connect().unwrap();
    control.secure(&tls).unwrap();
    control.expect("USER alice", 530).unwrap();
    let required = reverse(&plain, &["--upstream-tls", "required", "--upstream-ca", &ca]);
    required.connect().unwrap().expect("USER alice", 530).unwrap();
    assert!(plain.log.so_far().iter().all(|line| !line.contains("\"login\"")), "no name went there");
}
