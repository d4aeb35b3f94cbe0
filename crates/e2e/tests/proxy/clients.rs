//! Real clients through a forward proxy, set up as their manuals say.

use portway_e2e::{Finished, Program, Proxy, Subject, Tls, TlsOptions, Tree, binary, sums};

use crate::world::{ANN, at, forward, server};

fn lftp(home: &Tree, proxy: &Proxy, server: &Subject, settings: &str, command: &str) -> Finished {
    std::fs::copy(proxy.certificate.authority(), home.path().join("ca.pem")).unwrap();
    let (proxy, server) = (proxy.port().unwrap(), server.port().unwrap());
    let ca = home.path().join("ca.pem").display().to_string();
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 20s; set ssl:ca-file {ca}; \
         set ftp:proxy {}; {settings}; open -u '{},{}' ftp://{server}; {command}",
        settings
            .contains("proxy-auth-type")
            .then(|| format!("ftp://pro:xy@{proxy}"))
            .unwrap_or(format!("ftp://{proxy}")),
        ANN.0,
        ANN.1,
    );
    Program::new("lftp", "lftp")
        .unwrap()
        .folder(home.path())
        .args(["--norc", "-c", &script])
        .succeed()
        .unwrap()
}

#[test]
fn lftp_mirrors_by_its_proxy_setting_in_both_modes() {
    let (server, _) = server();
    server.tree.thousand("tree", 200).unwrap();
    let proxy = forward(&[]);
    for passive in ["yes", "no"] {
        let home = Tree::new().unwrap();
        let settings = format!("set ftp:ssl-allow no; set ftp:passive-mode {passive}");
        lftp(&home, &proxy, &server, &settings, "mirror --parallel=4 tree tree");
        assert_eq!(sums(&home.at("tree")).unwrap(), sums(&server.tree.at("tree")).unwrap(), "{passive}");
    }
}

#[test]
fn lftp_logs_in_at_the_proxy_in_each_of_its_ways() {
    let (server, file) = server();
    let proxy = forward(&["--user", "pro:xy", "--tls", "on"]);
    for kind in ["user", "joined", "joined-acct", "open", "proxy-user@host"] {
        let home = Tree::new().unwrap();
        let settings = format!("set ftp:ssl-allow no; set ftp:proxy-auth-type {kind}");
        lftp(&home, &proxy, &server, &settings, "get f");
        assert_eq!(home.read("f").unwrap(), file, "{kind}");
    }
}

#[test]
fn curl_names_its_server_in_the_user_as_its_manual_says() {
    let (server, file) = server();
    let open = forward(&[]);
    let guarded = forward(&["--user", "pro:xy"]);
    let home = Tree::new().unwrap();
    let who = at(server.port().unwrap()).replace(':', "%3A").replace('@', "%40");
    let password = ANN.1.replace(' ', "%20");
    let curl = || Program::new("curl", "curl").unwrap().folder(home.path()).args(["-sS", "-m", "30"]);
    for mode in [&["--ftp-pasv"][..], &["-P", "-"]] {
        let url = format!("ftp://{who}:{password}@{}/f", open.port().unwrap());
        curl().args(mode).args(["-o", "got", &url]).succeed().unwrap();
        assert_eq!(home.read("got").unwrap(), file);
        home.write("up", &file[..1000]).unwrap();
        let url = format!("ftp://{who}:{password}@{}/up", open.port().unwrap());
        curl().args(mode).args(["-T", "up", &url]).succeed().unwrap();
        assert_eq!(server.tree.read("up").unwrap(), &file[..1000]);
    }
    // The last section of curl's manual: `-u "user@server proxyuser:password" --ftp-account proxypassword`.
    let url = format!("ftp://{who}%20pro:{password}@{}/f", guarded.port().unwrap());
    curl().args(["--ftp-account", "xy", "-o", "account", &url]).succeed().unwrap();
    assert_eq!(home.read("account").unwrap(), file);
}

#[test]
fn ftplib_ncftp_and_our_own_client_get_through() {
    let (server, file) = server();
    let proxy = forward(&[]);
    let (home, port) = (Tree::new().unwrap(), proxy.port().unwrap());
    let who = at(server.port().unwrap());
    let script = format!(
        "import ftplib\nf = ftplib.FTP()\nf.connect('127.0.0.1', {})\nf.login({who:?}, {:?})\n\
         f.retrbinary('RETR f', open('py', 'wb').write)\nf.storbinary('STOR py', open('py', 'rb'))\n\
         assert 'py' in f.nlst()\nf.quit()\n",
        port.port(),
        ANN.1
    );
    let python = Program::new("python3", "python3").unwrap().folder(home.path());
    python.args(["-c", &script]).succeed().unwrap();
    assert_eq!((home.read("py").unwrap(), server.tree.read("py").unwrap()), (file.clone(), file.clone()));
    let ncftp = Program::new("ncftpget", "ncftp").unwrap().folder(home.path());
    let account = ["-u", &who, "-p", ANN.1, "-P", &port.port().to_string()].map(str::to_owned);
    ncftp.arg("-V").args(account).args(["127.0.0.1", ".", "f"]).succeed().unwrap();
    assert_eq!(home.read("f").unwrap(), file);
    std::fs::remove_file(home.at("f")).unwrap();
    let own = Program::new(&binary().unwrap().display().to_string(), "portway").unwrap().folder(home.path());
    let url = format!("ftp://{}:{}@{}/f", ANN.0, ANN.1.replace(' ', "%20"), server.port().unwrap());
    own.args(["get", "--tls", "off", "--proxy", &format!("ftp://{port}"), &url]).succeed().unwrap();
    assert_eq!(home.read("f").unwrap(), file);
}

#[test]
fn lftp_goes_under_tls_to_a_proxy_that_goes_under_tls_to_the_server() {
    let (server, file) = server();
    let ca = server.certificate.authority().display().to_string();
    let proxy = forward(&["--upstream-ca", &ca]);
    let home = Tree::new().unwrap();
    let settings = "set ftp:ssl-force yes; set ftp:ssl-protect-data yes";
    lftp(&home, &proxy, &server, settings, "get f");
    assert_eq!(home.read("f").unwrap(), file);
    crate::world::logged(&proxy, &["relayed", "\"tls\":true", "\"resumed\":true"]);
    // The same by hand: OPEN after AUTH.
    let tls = Tls::new(&proxy.certificate, TlsOptions::default()).unwrap();
    let mut control = proxy.connect().unwrap();
    control.secure(&tls).unwrap();
    control.expect(format!("OPEN {}", server.port().unwrap()), 220).unwrap();
    control.login(ANN).unwrap();
    assert_eq!(control.fetch("RETR f").unwrap(), file);
}
