//! Servers, proxies and sessions that the tests share.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use portway_e2e::{Control, Kind, Options, PATIENCE, Proxy, Subject, Tree, bytes, until};

/// The account of every server here.
pub(crate) const ANN: (&str, &str) = ("alice", "wonder land");

/// `portway serve` with a file `f` of half a megabyte, which is returned.
pub(crate) fn server() -> (Subject, Vec<u8>) {
    of(Kind::Portway)
}

/// A server of this kind with the file `f`.
pub(crate) fn of(kind: Kind) -> (Subject, Vec<u8>) {
    let tree = Tree::new().unwrap();
    let file = bytes(7, 500_000);
    tree.write("f", &file).unwrap();
    (Subject::start_kind(kind, tree, &Options::default()).unwrap(), file)
}

/// A forward proxy that may go to the loopbacks.
pub(crate) fn forward(flags: &[&str]) -> Proxy {
    let always = ["--forward", "--allow", "127.0.0.1", "--allow", "::1"];
    Proxy::start(&[&always[..], flags].concat()).unwrap()
}

/// A reverse proxy in front of this server.
pub(crate) fn reverse(server: &Subject, flags: &[&str]) -> Proxy {
    let url = format!("ftp://{}", server.port().unwrap());
    Proxy::start(&[&["--reverse", &url][..], flags].concat()).unwrap()
}

/// A session through a forward proxy, logged in at the server.
pub(crate) fn through(proxy: &Proxy, server: SocketAddr) -> Control {
    let mut control = proxy.connect().unwrap();
    control.login((&at(server), ANN.1)).unwrap();
    control
}

/// The name to give to a forward proxy.
pub(crate) fn at(server: SocketAddr) -> String {
    format!("{}@{server}", ANN.0)
}

/// Waits for a line of the proxy's log that has all these texts in it.
pub(crate) fn logged(proxy: &Proxy, texts: &[&str]) -> String {
    until(&format!("the log says {texts:?}"), PATIENCE, || {
        Ok(proxy.log.so_far().into_iter().find(|line| texts.iter().all(|text| line.contains(text))))
    })
    .unwrap()
}

/// A server that says what the test wants: each line is answered by the first row whose verb begins it. It never
/// opens a data connection.
pub(crate) struct Scripted {
    pub(crate) at: SocketAddr,
    heard: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Rows of verb and reply; `BYE` as a reply closes the connection. USER and PASS work by themselves.
    pub(crate) fn start(rows: &'static [(&'static str, &'static str)]) -> Self {
        Self::start_at(SocketAddr::from(([127, 0, 0, 1], 0)), rows)
    }

    /// The same at this address.
    pub(crate) fn start_at(at: SocketAddr, rows: &'static [(&'static str, &'static str)]) -> Self {
        let listener = TcpListener::bind(at).unwrap();
        let at = listener.local_addr().unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let notes = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let notes = Arc::clone(&notes);
                std::thread::spawn(move || talk(stream, rows, &notes));
            }
        });
        Self { at, heard }
    }

    /// The lines that came.
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().unwrap().clone()
    }
}

fn talk(mut stream: TcpStream, rows: &[(&str, &str)], heard: &Mutex<Vec<String>>) -> Option<()> {
    const USUAL: &[(&str, &str)] = &[
        ("USER", "331 Password"),
        ("PASS", "230 In"),
        ("QUIT", "221 Bye"),
        ("TYPE", "200 Ok"),
        ("NOOP", "200 Ok"),
    ];
    stream.write_all(b"220 Scripted\r\n").ok()?;
    for line in BufReader::new(stream.try_clone().ok()?).lines() {
        let line = line.ok()?;
        heard.lock().ok()?.push(line.clone());
        let row = rows.iter().chain(USUAL).find(|(verb, _)| line.starts_with(verb));
        match row.map_or("502 No", |row| row.1) {
            "BYE" => return Some(()),
            "" => {}
            reply => stream.write_all(format!("{reply}\r\n").as_bytes()).ok()?,
        }
    }
    Some(())
}
