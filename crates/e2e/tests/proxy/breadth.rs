//! Every client through every kind of proxy to every server.

use std::net::SocketAddr;

use portway_e2e::{Kind, Program, Proxy, Tree, binary, bytes};

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
        "import ftplib\nf = ftplib.FTP()\nf.connect('127.0.0.1', {})\nf.login({:?}, {:?})\n\
         f.retrbinary('RETR f', open('got', 'wb').write)\nf.storbinary('STOR up', open('up', 'rb'))\n\
         assert 'up' in f.nlst()\nf.quit()\n",
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
    for (program, rest) in [("ncftpget", ["127.0.0.1", ".", "f"]), ("ncftpput", ["127.0.0.1", ".", "up"])] {
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
    let server = rivals::start(Rival::ProFtpd);
    everybody(&server.tree, server.at);
}

#[test]
fn every_client_gets_through_to_pure_ftpd() {
    let server = rivals::start(Rival::PureFtpd);
    everybody(&server.tree, server.at);
}
