//! Files are shown to c-icap (RFC 3507): an echo service, and one that blocks whatever has a word in it.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use portway_e2e::{PATIENCE, Program, Tree, bytes, until};

use crate::world::{ANN, at, forward, logged, server, through};

/// A running c-icap; killed when dropped.
struct Scanner {
    child: Child,
    at: SocketAddr,
    home: Tree,
}

impl Drop for Scanner {
    fn drop(&mut self) {
        if let Some(group) = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

impl Scanner {
    fn start() -> Self {
        let at = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        Self::start_at(at)
    }

    fn start_at(at: SocketAddr) -> Self {
        let home = Tree::new().unwrap();
        let modules = format!("/usr/lib/{}-linux-gnu/c_icap", std::env::consts::ARCH);
        let config = format!(
            "PidFile {home}/pid\nCommandsSocket {home}/control\nPort {at}\nServerLog {home}/server.log\n\
             AccessLog {home}/access.log\nTmpDir {home}\nModulesDir {modules}\nServicesDir {modules}\n\
             StartServers 1\nMaxServers 2\nThreadsPerChild 10\nTemplateDir /usr/share/c_icap/templates/\n\
             TemplateDefaultLanguage en\nService echo srv_echo.so\nService words srv_content_filtering.so\n\
             srv_content_filtering.Match Bad body /EICAR/ score=10\n\
             acl everybody src 0.0.0.0/0.0.0.0\n\
             srv_content_filtering.Profile words block score{{Bad>5}}\n\
             srv_content_filtering.ProfileOption words AnyContentType\n\
             srv_content_filtering.ProfileOption words MaxBodyData 8M\n\
             srv_content_filtering.ProfileAccess words everybody\n",
            home = home.path().display(),
        );
        home.write("conf", config.as_bytes()).unwrap();
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--", "c-icap", "-N", "-f"]).arg(home.at("conf"));
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().unwrap();
        let scanner = Self { child, at, home };
        until("c-icap answers", PATIENCE, || Ok(TcpStream::connect(at).ok())).unwrap();
        scanner
    }

    fn service(&self, name: &str) -> [String; 2] {
        ["--inspect-icap".to_owned(), format!("icap://{}/{name}", self.at)]
    }

    /// What its log says of the requests so far.
    fn requests(&self) -> String {
        String::from_utf8_lossy(&self.home.read("access.log").unwrap_or_default()).into_owned()
    }
}

#[test]
fn what_an_icap_server_sends_back_unchanged_passes_both_ways() {
    let (server, file) = server();
    let scanner = Scanner::start();
    let proxy = forward(&scanner.service("echo").each_ref().map(String::as_str));
    let mut control = through(&proxy, server.port().unwrap());
    for len in [0, 1, 1024, 1025, 70_000, 5_000_000] {
        let file = bytes(3, len);
        control.store("STOR up", &file).unwrap();
        assert!(server.tree.read("up").unwrap() == file, "{len} octets up");
        assert!(control.fetch("RETR up").unwrap() == file, "{len} octets down");
    }
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    // One flows through it while the other does.
    let said = scanner.requests();
    assert!(said.contains("RESPMOD") && said.contains("REQMOD"), "{said}");
}

#[test]
fn what_c_icap_blocks_is_broken_off() {
    let (server, file) = server();
    // The service reads text: to its eyes octets end at the first zero.
    let bad = ["some more words\n".repeat(30_000).as_str(), "EICAR"].concat();
    server.tree.write("bad", &bad).unwrap();
    let scanner = Scanner::start();
    let proxy = forward(&scanner.service("words").each_ref().map(String::as_str));
    let mut control = through(&proxy, server.port().unwrap());
    let mut data = control.begin("RETR bad").unwrap();
    let mut got = Vec::new();
    assert!(data.read_to_end(&mut got).is_err());
    assert!(got.len() < bad.len());
    drop(data);
    let said = control.expect_reply(550).unwrap().to_string();
    assert!(said.contains("the ICAP server answers 403 Forbidden (Bad score"), "{said}");
    logged(&proxy, &["transfer", "\"content\""]);
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    // And real clients notice.
    let home = Tree::new().unwrap();
    let who = at(server.port().unwrap()).replace(':', "%3A").replace('@', "%40");
    let url = format!("ftp://{who}:{}@{}/bad", ANN.1.replace(' ', "%20"), proxy.port().unwrap());
    let curl = Program::new("curl", "curl").unwrap().folder(home.path());
    assert!(!curl.args(["-sS", "-m", "30", "-o", "got", &url]).run().unwrap().success);
}

#[test]
fn nothing_passes_while_the_icap_server_is_away_and_all_does_when_it_is_back() {
    let (server, file) = server();
    let scanner = Scanner::start();
    let address = scanner.at;
    let proxy = forward(&scanner.service("words").each_ref().map(String::as_str));
    let mut control = through(&proxy, server.port().unwrap());
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    drop(scanner);
    // Its children have the port a moment longer.
    let closed = || Ok(TcpStream::connect(address).is_err().then_some(()));
    until("c-icap is gone", PATIENCE, closed).unwrap();
    for line in ["RETR f", "STOR new"] {
        control.epsv().unwrap();
        let said = control.expect(line, 550).unwrap().to_string();
        assert!(
            said.contains("cannot look into this file now") && said.contains("cannot be reached"),
            "{said}"
        );
    }
    assert!(!server.tree.at("new").exists());
    let _back = Scanner::start_at(address);
    assert_eq!(control.fetch("RETR f").unwrap(), file);
    // A service it does not have.
    let proxy = forward(&["--inspect-icap", &format!("icap://{address}/nothing")]);
    let mut control = through(&proxy, server.port().unwrap());
    control.epsv().unwrap();
    let said = control.expect("RETR f", 550).unwrap().to_string();
    assert!(said.contains("404"), "{said}");
}

/// Blocks what has EICAR in it by a page of its own; everything else gets 204.
fn blocking() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let (mut all, mut part) = (Vec::new(), [0; 65536]);
                let ended = |all: &[u8]| {
                    all.starts_with(b"OPTIONS ") && all.ends_with(b"\r\n\r\n")
                        || all.ends_with(b"\r\n0\r\n\r\n")
                };
                while !ended(&all) {
                    match stream.read(&mut part).unwrap_or(0) {
                        0 => return,
                        octets => all.extend_from_slice(&part[..octets]),
                    }
                }
                let answer: &[u8] = if all.starts_with(b"OPTIONS ") {
                    b"ICAP/1.0 200 OK\r\nMethods: REQMOD, RESPMOD\r\nEncapsulated: null-body=0\r\n\r\n"
                } else if all.windows(5).any(|word| word == b"EICAR") {
                    // Octet by octet what c-icap's virus_scan sends with ClamAV.
                    b"ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=Test.EICAR;\r\n\
                      X-Violations-Found: 1\r\n\t-\r\n\tTest.EICAR\r\n\t0\r\n\t0\r\n\
                      Encapsulated: res-hdr=0, res-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n3\r\nno!\r\n0\r\n\r\n"
                } else {
                    b"ICAP/1.0 204 No Content\r\n\r\n"
                };
                let _ = stream.write_all(answer);
            });
        }
    });
    at
}

#[test]
fn what_an_icap_server_blocks_passes_neither_way_and_the_old_file_stays() {
    let (server, file) = server();
    let bad = [&file[..], b"EICAR"].concat();
    server.tree.write("bad", &bad).unwrap();
    let proxy = forward(&["--inspect-icap", &format!("icap://{}/scan", blocking())]);
    let mut control = through(&proxy, server.port().unwrap());
    assert!(control.begin("RETR bad").unwrap().read_all().is_err());
    let said = control.expect_reply(550).unwrap().to_string();
    assert!(said.contains("found Test.EICAR"), "{said}");
    let refused = control.store("STOR f", &bad).unwrap_err().to_string();
    assert!(refused.contains("found Test.EICAR"), "{refused}");
    assert_eq!(server.tree.read("f").unwrap(), file);
    control.store("STOR f", b"better").unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), b"better");
}
