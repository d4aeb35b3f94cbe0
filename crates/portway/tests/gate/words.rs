//! A client and a server that say exactly what a test tells them to, with the gate between them.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::field::{Field, Wall};
use crate::lab::{self, CLIENT, SERVER, at};

/// How long a word may take; the gate answers at once, the machine may be busy.
pub(crate) const SOON: Duration = Duration::from_secs(5);
/// How long we look before we say that nothing comes through.
const NEVER: Duration = Duration::from_millis(300);

/// One end of a control connection.
pub(crate) struct End {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

impl End {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        Self { stream, read: Vec::new() }
    }

    /// Sends octets as one segment.
    pub(crate) fn send(&mut self, octets: impl AsRef<[u8]>) {
        self.stream.write_all(octets.as_ref()).unwrap();
    }

    pub(crate) fn say(&mut self, line: &str) {
        self.send(format!("{line}\r\n"));
    }

    /// The next line without its end; `None` at the end of the connection.
    pub(crate) fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.windows(2).position(|pair| pair == b"\r\n") {
                let line: Vec<u8> = self.read.drain(..end + 2).collect();
                return Some(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            let mut buffer = [0; 4096];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(octets) => self.read.extend_from_slice(&buffer[..octets]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no line in {SOON:?}: {error}, but {:?}", self.read),
            }
        }
    }

    pub(crate) fn hears(&mut self, start: &str) -> String {
        let line = self.line().unwrap_or_else(|| panic!("{start:?} was due, the connection ended"));
        assert!(line.starts_with(start), "{start:?} was due, and it was {line:?}");
        line
    }

    pub(crate) fn octets(&mut self, count: usize) -> Vec<u8> {
        let mut buffer = vec![0; count - self.read.len().min(count)];
        self.stream.read_exact(&mut buffer).unwrap();
        [std::mem::take(&mut self.read), buffer].concat()
    }
}

/// A dialogue through the gate.
pub(crate) struct Dialogue<'a> {
    pub(crate) field: &'a Field,
    pub(crate) family: usize,
    pub(crate) client: End,
    pub(crate) server: End,
}

/// A gate in a strict firewall, with scripted ends.
pub(crate) struct Stage {
    pub(crate) field: Field,
    listeners: Vec<TcpListener>,
    inspects: bool,
}

impl Stage {
    pub(crate) fn new(flags: &[&str]) -> Self {
        let field = Field::new(Wall::Strict).gate(flags);
        let listeners = SERVER
            .iter()
            .map(|server| {
                let at = at(server, 21);
                field.lab.server.run(move || TcpListener::bind(at).unwrap())
            })
            .collect();
        Self { field, listeners, inspects: flags.contains(&"inspect") }
    }

    /// Connects through the gate; no greeting yet.
    pub(crate) fn connect(&self, family: usize) -> Dialogue<'_> {
        self.connect_from(family, CLIENT[family])
    }

    fn connect_from(&self, family: usize, client: &str) -> Dialogue<'_> {
        self.connect_by(family, SERVER[family], client, client)
    }

    /// Connects to a public address; the server sees the client's image.
    fn connect_by(&self, family: usize, public: &str, client: &str, image: &str) -> Dialogue<'_> {
        let to = at(public, 21);
        let from = at(client, 0);
        let client = self.field.lab.client.run(move || dial(from, to));
        let (server, from) = self.listeners[family].accept().unwrap();
        assert_eq!(from.ip(), at(image, 0).ip(), "the server sees the address that it should");
        let same = from.port() == client.local_addr().unwrap().port();
        assert_eq!(same, self.inspects, "only a bump in the wire keeps the port");
        let server = if self.inspects { crate::inspect::answering(server) } else { server };
        Dialogue { field: &self.field, family, client: End::new(client), server: End::new(server) }
    }

    /// The next connection that reaches the server.
    pub(crate) fn accept(&self, family: usize) -> End {
        End::new(self.listeners[family].accept().unwrap().0)
    }

    /// Connects and logs in.
    pub(crate) fn session(&self, family: usize) -> Dialogue<'_> {
        self.session_from(family, CLIENT[family])
    }

    /// The same for a client of this address.
    pub(crate) fn session_from(&self, family: usize, client: &str) -> Dialogue<'_> {
        Self::log_in(self.connect_from(family, client))
    }

    /// The same through translated addresses.
    pub(crate) fn session_by(&self, family: usize, public: &str, client: &str, image: &str) -> Dialogue<'_> {
        Self::log_in(self.connect_by(family, public, client, image))
    }

    /// Logs in by a balancer, which names another client; the server sees that one.
    pub(crate) fn session_for(&self, family: usize, balancer: &str, header: &[u8]) -> Dialogue<'_> {
        let (to, from) = (at(SERVER[family], 21), at(balancer, 0));
        let mut client = End::new(self.field.lab.client.run(move || dial(from, to)));
        client.send(header);
        let (server, from) = self.listeners[family].accept().unwrap();
        assert_eq!(from.ip(), at(CLIENT[family], 0).ip(), "the server sees the client that the header names");
        Self::log_in(Dialogue { field: &self.field, family, client, server: End::new(server) })
    }

    fn log_in(mut dialogue: Dialogue<'_>) -> Dialogue<'_> {
        dialogue.server.say("220 Hello.");
        dialogue.client.hears("220");
        dialogue.exchange("USER ann", "331 Password?");
        dialogue.exchange("PASS x", "230 Welcome.");
        dialogue
    }
}

impl Dialogue<'_> {
    /// A command that passes, and its reply that passes.
    pub(crate) fn exchange(&mut self, command: &str, reply: &str) {
        self.client.say(command);
        self.server.hears(command.split(' ').next().unwrap());
        self.server.say(reply);
        self.client.hears(&reply[..3]);
    }

    /// Where the client listens for data.
    pub(crate) fn client_port(&self, port: u16) -> SocketAddr {
        at(CLIENT[self.family], port)
    }

    pub(crate) fn server_port(&self, port: u16) -> SocketAddr {
        at(SERVER[self.family], port)
    }

    /// PORT or EPRT for this address.
    pub(crate) fn active(&self, to: SocketAddr) -> String {
        match to {
            SocketAddr::V4(to) => format!("PORT {}", six(to)),
            SocketAddr::V6(to) => format!("EPRT |2|{}|{}|", to.ip(), to.port()),
        }
    }

    pub(crate) fn passive(&self) -> &'static str {
        if self.family == 0 { "PASV" } else { "EPSV" }
    }

    /// 227 or 229 for this address.
    pub(crate) fn agreed(&self, to: SocketAddr) -> String {
        match to {
            SocketAddr::V4(to) => format!("227 Entering Passive Mode ({}).", six(to)),
            SocketAddr::V6(to) => format!("229 Entering Extended Passive Mode (|||{}|)", to.port()),
        }
    }

    /// Whether a data connection of the server reaches the client there, where somebody listens.
    pub(crate) fn server_reaches(&self, to: SocketAddr) -> bool {
        let from = at(SERVER[self.family], 0);
        self.field.lab.server.run(move || lab::connect(from, to, patience(true)).is_ok())
    }

    pub(crate) fn server_is_kept_from(&self, to: SocketAddr) -> bool {
        let from = at(SERVER[self.family], 0);
        self.field.lab.server.run(move || lab::connect(from, to, patience(false)).is_err())
    }

    pub(crate) fn client_reaches(&self, to: SocketAddr) -> bool {
        let from = at(CLIENT[self.family], 0);
        self.field.lab.client.run(move || lab::connect(from, to, patience(true)).is_ok())
    }

    pub(crate) fn client_is_kept_from(&self, to: SocketAddr) -> bool {
        let from = at(CLIENT[self.family], 0);
        self.field.lab.client.run(move || lab::connect(from, to, patience(false)).is_err())
    }

    /// Listens on the client, and greets.
    pub(crate) fn client_listens(&self, at: SocketAddr) {
        self.field.lab.client.run(move || lab::greet(at));
    }

    pub(crate) fn server_listens(&self, at: SocketAddr) {
        self.field.lab.server.run(move || lab::greet(at));
    }

    /// How many holes are open, as the gate says.
    pub(crate) fn holes(&self) -> usize {
        self.field.status().matches(r#""kind":"hole""#).count()
    }

    /// Whether the gate, and not the server, has answered the last command with 421.
    pub(crate) fn client_was_cut_off(&mut self) -> bool {
        let mut one = [0];
        self.client.stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
        let cut_off = self.client.stream.peek(&mut one).is_ok();
        self.client.stream.set_read_timeout(Some(SOON)).unwrap();
        if cut_off {
            self.client.hears("421");
        }
        cut_off
    }

    /// The control connection still works.
    pub(crate) fn is_alive(&mut self) {
        self.exchange("NOOP", "200 Fine.");
    }

    /// Says each of the client's announcements, and lets the server answer with each of its own: all are refused within a
    /// second and open nothing, and the dialogue goes on.
    pub(crate) fn refuses(&mut self, active: &[&str], passive: &[&str]) {
        for line in active {
            at_once(line, || {
                self.client.say(line);
                let reply = self.client.line().unwrap();
                assert!(reply.starts_with("501") || reply.starts_with("500"), "{line:?} got {reply:?}");
            });
            assert_eq!(self.holes(), 0, "{line:?}");
        }
        for line in passive {
            at_once(line, || {
                self.client.say(self.passive());
                self.server.hears(self.passive());
                self.server.say(line);
                self.client.hears("425");
            });
            assert_eq!(self.holes(), 0, "{line:?}");
        }
        self.is_alive();
    }
}

/// Connects from an address of choice.
pub(crate) fn dial(from: SocketAddr, to: SocketAddr) -> TcpStream {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    bind(&socket, &from).unwrap();
    connect(&socket, &to).unwrap();
    TcpStream::from(socket)
}

fn six(to: std::net::SocketAddrV4) -> String {
    let [a, b, c, d] = to.ip().octets();
    let [high, low] = to.port().to_be_bytes();
    format!("{a},{b},{c},{d},{high},{low}")
}

fn patience(comes: bool) -> Duration {
    if comes { SOON } else { NEVER }
}

/// Asserts that something takes no longer than a user calls at once.
pub(crate) fn at_once<T>(what: &str, job: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let done = job();
    assert!(start.elapsed() < Duration::from_secs(1), "{what} took {:?}", start.elapsed());
    done
}
