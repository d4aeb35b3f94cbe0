//! Every client through every kind of proxy to every server.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portway_e2e::{Kind, Options, Program, Proxy, Subject, Tree, binary, bytes};

use crate::lab::{Host, nft, run};
use crate::rivals::{self, Rival};
use crate::world::{ANN, at, forward, of};

/// Who logs in where, and what the server behind has.
struct Way<'a> {
    user: &'a str,
    proxy: SocketAddr,
    tree: &'a Tree,
    file: &'a [u8],
}

fn everybody(tree: &Tree, server: SocketAddr) {
    let file = bytes(9, 300_000);
    tree.write("f", &file).unwrap();
    let through = forward(&[]);
    let url = format!("ftp://{server}");
    let before = Proxy::start(&["--reverse", &url]).unwrap();
    for (proxy, user) in [(&through, at(server)), (&before, ANN.0.to_owned())] {
        let way = Way { user: &user, proxy: proxy.port().unwrap(), tree, file: &file };
        for client in [lftp, curl, ftplib, ncftp, own] {
            client(&way);
        }
    }
}

/// What was fetched is the file, and what was stored is it, too; nothing is left of either.
fn check(way: &Way<'_>, home: &Tree, client: &str) {
    assert!(home.read("got").unwrap() == way.file, "{client} as {} fetched something else", way.user);
    assert!(way.tree.read("up").unwrap() == way.file, "{client} as {} stored something else", way.user);
    std::fs::remove_file(way.tree.at("up")).unwrap();
}

fn home(way: &Way<'_>) -> Tree {
    let home = Tree::new().unwrap();
    home.write("up", way.file).unwrap();
    home
}

fn lftp(way: &Way<'_>) {
    let home = home(way);
    let script = format!(
        "set cmd:fail-exit yes; set net:max-retries 2; set net:timeout 20s; set ftp:ssl-allow no; \
         open -u '{},{}' ftp://{}; get f -o got; put up",
        way.user, ANN.1, way.proxy
    );
    let lftp = Program::new("lftp", "lftp").unwrap().folder(home.path());
    lftp.args(["--norc", "-c", &script]).succeed().unwrap();
    check(way, &home, "lftp");
}

fn curl(way: &Way<'_>) {
    let home = home(way);
    let account =
        format!("{}:{}", way.user.replace(':', "%3A").replace('@', "%40"), ANN.1.replace(' ', "%20"));
    let url = |name: &str| format!("ftp://{account}@{}/{name}", way.proxy);
    for line in [["-o", "got", &url("f")], ["-T", "up", &url("up")]] {
        let curl = Program::new("curl", "curl").unwrap().folder(home.path());
        curl.args(["-sS", "-m", "30"]).args(line).succeed().unwrap();
    }
    check(way, &home, "curl");
}

fn ftplib(way: &Way<'_>) {
    let home = home(way);
    let script = format!(
        "import ftplib\nf = ftplib.FTP()\nf.connect({:?}, {})\nf.login({:?}, {:?})\n\
         f.retrbinary('RETR f', open('got', 'wb').write)\nf.storbinary('STOR up', open('up', 'rb'))\n\
         assert 'up' in f.nlst()\nf.quit()\n",
        way.proxy.ip().to_string(),
        way.proxy.port(),
        way.user,
        ANN.1
    );
    Program::new("python3", "python3").unwrap().folder(home.path()).args(["-c", &script]).succeed().unwrap();
    check(way, &home, "ftplib");
}

fn ncftp(way: &Way<'_>) {
    let home = home(way);
    let port = way.proxy.port().to_string();
    let account = ["-V", "-u", way.user, "-p", ANN.1, "-P", &port];
    let host = way.proxy.ip().to_string();
    for (program, rest) in [("ncftpget", [&host, ".", "f"]), ("ncftpput", [&host, ".", "up"])] {
        let ncftp = Program::new(program, "ncftp").unwrap().folder(home.path());
        ncftp.args(account).args(rest).succeed().unwrap();
    }
    std::fs::rename(home.at("f"), home.at("got")).unwrap();
    check(way, &home, "ncftp");
}

fn own(way: &Way<'_>) {
    let home = home(way);
    let account =
        format!("{}:{}", way.user.replace(':', "%3A").replace('@', "%40"), ANN.1.replace(' ', "%20"));
    let url = |name: &str| format!("ftp://{account}@{}/{name}", way.proxy);
    let (from, to) = (url("f"), url("up"));
    for line in [&["get", "-o", "got", &from][..], &["put", "up", &to]] {
        let own = Program::new(&binary().unwrap().display().to_string(), "portway").unwrap();
        own.folder(home.path()).args(line).args(["--tls", "off"]).succeed().unwrap();
    }
    check(way, &home, "portway");
}

#[test]
fn every_client_gets_through_to_portway() {
    let (server, _) = of(Kind::Portway);
    everybody(&server.tree, server.port().unwrap());
}

#[test]
fn every_client_gets_through_to_vsftpd() {
    let (server, _) = of(Kind::Vsftpd);
    everybody(&server.tree, server.port().unwrap());
}

#[test]
fn every_client_gets_through_to_proftpd() {
    let server = rivals::start(Rival::Proftpd);
    everybody(&server.tree, server.at);
}

#[test]
fn every_client_gets_through_to_pure_ftpd() {
    let server = rivals::start(Rival::PureFtpd);
    everybody(&server.tree, server.at);
}

/// Every client in a namespace of its own calls the server, and a proxy that it knows nothing of redirects it. The
/// servers change their user, so this takes root, as vsftpd does anyway.
fn everybody_unawares<S: Send + Sync + 'static>(
    server: impl FnOnce(IpAddr) -> S + Send + 'static,
    facts: fn(&S) -> (&Tree, SocketAddr),
) {
    let (client, behind) = (Host::new(), Host::new());
    let thread = client.thread();
    let (server, proxy) = behind.run(move || {
        run("ip link set lo up");
        run(&format!("ip link add cli type veth peer name eth0 netns {thread}"));
        run("ip addr add 10.73.0.2/24 dev cli");
        run("ip link set cli up");
        let server = server("10.73.0.2".parse().unwrap());
        let proxy =
            Proxy::without_certificate(&["0.0.0.0".parse().unwrap()], &["--transparent", "--tls", "off"]);
        let proxy = proxy.unwrap();
        nft(&format!(
            "table ip proxy {{ chain prerouting {{
                type nat hook prerouting priority dstnat; policy accept;
                iifname cli tcp dport {} redirect to :{}
                }}
            }}",
            facts(&server).1.port(),
            proxy.port().unwrap().port()
        ));
        (Arc::new(server), proxy)
    });
    let known = Arc::clone(&server);
    client.run(move || {
        run("ip link set lo up");
        run("ip addr add 10.73.0.1/24 dev eth0");
        run("ip link set eth0 up");
        let (file, (tree, at)) = (bytes(9, 300_000), facts(&known));
        tree.write("f", &file).unwrap();
        for client in [lftp, curl, ftplib, ncftp, own] {
            client(&Way { user: ANN.0, proxy: at, tree, file: &file });
        }
    });
    let passed = proxy.log.so_far().iter().filter(|line| line.contains("\"relayed\"")).count();
    assert!(passed >= 10, "the proxy saw {passed} transfers");
    drop(server);
}

fn subject_on(kind: Kind, ip: IpAddr) -> Subject {
    let options = Options { listen: vec![ip], ..Options::default() };
    Subject::start_kind(kind, Tree::new().unwrap(), &options).unwrap()
}

#[test]
fn every_client_is_redirected_to_portway() {
    everybody_unawares(|ip| subject_on(Kind::Portway, ip), |server| (&server.tree, server.addresses()[0]));
}

#[test]
fn every_client_is_redirected_to_vsftpd() {
    everybody_unawares(|ip| subject_on(Kind::Vsftpd, ip), |server| (&server.tree, server.addresses()[0]));
}

#[test]
fn every_client_is_redirected_to_proftpd() {
    everybody_unawares(|ip| rivals::start_on(Rival::Proftpd, ip), |server| (&server.tree, server.at));
}

#[test]
fn every_client_is_redirected_to_pure_ftpd() {
    everybody_unawares(|ip| rivals::start_on(Rival::PureFtpd, ip), |server| (&server.tree, server.at));
}
