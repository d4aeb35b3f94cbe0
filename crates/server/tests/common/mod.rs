//! A server in this process, on loopback, with its files in memory; and a client that says what a test wants.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use std::io::{self, Write as _};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portway_accounts::{Accounts, Effort, Rights, Secret, Throttle};
use portway_data::{Broker, BrokerConfig};
use portway_interpreter::{Door, Listener, Parts, Timeouts};
use portway_net::{ClientTls, ClientTlsOptions, Control, Identity, ServerTls, ServerTlsOptions, Trust};
use portway_ops::{Limits, Log, LogFormat, Registry, Sink};
use portway_proto::Policy;
use portway_server::{Server, ServerConfig};
use portway_vfs::{MemFs, VPath, Vfs, Write};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// Longer than anything here takes, even on a machine that is busy.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A running server.
pub struct Site {
    pub at: SocketAddr,
    pub files: MemFs,
    pub server: Server,
    pub serving: JoinHandle<bool>,
    log: Lines,
}

impl Site {
    /// A server with the account `ann`, password `x`, who may do everything, and anonymous readers.
    pub fn open() -> Self {
        Self::with(|_, _| {})
    }

    /// The same, changed first.
    pub fn with(change: impl FnOnce(&mut Parts, &mut ServerConfig)) -> Self {
        let (files, log) = (MemFs::new(), Lines::default());
        let mut config = ServerConfig {
            door: Door::new(accounts(Rights::FULL), Throttle::default()),
            storage: Arc::new(files.clone()),
        };
        let mut parts = Parts {
            policy: Arc::new(Policy::default()),
            broker: Broker::new(BrokerConfig::default()).unwrap(),
            tls: None,
            limits: Limits::new(0, 0),
            registry: Registry::default(),
            balancers: Vec::new(),
            log: Log::new(LogFormat::Json, Sink::writer(log.clone())).unwrap(),
            timeouts: Timeouts { data: PATIENCE, ..Timeouts::default() },
        };
        change(&mut parts, &mut config);
        let server = Server::new(parts, config);
        let socket = portway_net::listen(([127, 0, 0, 1], 0).into()).unwrap();
        let at = socket.local_addr().unwrap();
        let running = server.clone();
        let serving =
            tokio::spawn(async move { running.serve(vec![Listener { socket, implicit_tls: false }]).await });
        Self { at, files, server, serving, log }
    }

    pub async fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.at).await.unwrap();
        let mut client = Client { stream: Some(BufReader::new(stream.into())) };
        assert_eq!(client.code().await, 220);
        client
    }

    /// A client that is logged in as `ann` and has said TYPE I.
    pub async fn ann(&self) -> Client {
        let mut client = self.connect().await;
        for (line, code) in [("USER ann", 331), ("PASS x", 230), ("TYPE I", 200)] {
            assert_eq!(client.say(line).await, code, "{line}");
        }
        client
    }

    pub fn put(&self, name: &str, content: &[u8]) {
        let upload = self.files.create(&path(name), Write::Replace).unwrap();
        upload.file().write_all(content).unwrap();
        upload.commit().unwrap();
    }

    /// What is stored under a name; `None` if nothing is.
    pub fn content(&self, name: &str) -> Option<Vec<u8>> {
        let (mut file, _) = self.files.open(&path(name)).ok()?;
        let mut content = Vec::new();
        io::Read::read_to_end(&mut file, &mut content).unwrap();
        Some(content)
    }

    /// Waits for a line of the log that has all these words in it.
    pub async fn logged(&self, words: &[&str]) -> String {
        let found =
            || self.log.all().lines().find(|line| words.iter().all(|w| line.contains(w))).map(String::from);
        until(&format!("{words:?} in the log"), found).await
    }
}

/// `ann` with these rights, and anonymous readers; passwords cost next to nothing.
pub fn accounts(rights: Rights) -> Accounts {
    let cheap = Effort { memory_kib: 8, passes: 1 };
    let accounts = Accounts::with_effort(cheap).unwrap();
    accounts.user("ann", &Secret::from("x"), rights).unwrap().anonymous(Rights::READ_ONLY)
}

/// TLS with a certificate of its own.
pub fn tls() -> ServerTls {
    let (identity, ..) = Identity::self_signed(&["localhost".to_owned()]).unwrap();
    ServerTls::new(identity, ServerTlsOptions::default()).unwrap()
}

pub fn path(name: &str) -> VPath {
    VPath::resolve(&VPath::root(), name.as_bytes()).unwrap()
}

/// Asks again and again until there is an answer.
pub async fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask() {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("never came: {what}"))
}

/// The control connection, seen from the client.
pub struct Client {
    stream: Option<BufReader<Control>>,
}

impl Client {
    fn stream(&mut self) -> &mut BufReader<Control> {
        self.stream.as_mut().unwrap()
    }

    /// AUTH TLS, and the handshake.
    pub async fn auth(&mut self) {
        assert_eq!(self.say("AUTH TLS").await, 234);
        let options = ClientTlsOptions { trust: Trust::Insecure, ..ClientTlsOptions::default() };
        let tls = ClientTls::new(&options).unwrap().control("localhost").unwrap();
        let plain = self.stream.take().unwrap().into_inner();
        self.stream = Some(BufReader::new(plain.connect_tls(&tls).await.unwrap()));
    }

    /// Sends lines, each with its CRLF, in one segment.
    pub async fn send(&mut self, lines: &[&str]) {
        let text: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
        let stream = self.stream().get_mut();
        stream.write_all(text.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
    }

    /// The next reply, all its lines; `None` at the end of the connection.
    pub async fn reply(&mut self) -> Option<String> {
        let mut reply = String::new();
        loop {
            let mut line = Vec::new();
            let read = tokio::time::timeout(PATIENCE, self.stream().read_until(b'\n', &mut line)).await;
            match read.expect("no reply came") {
                Ok(1..) => {}
                Ok(0) | Err(_) => return None,
            }
            let line = String::from_utf8_lossy(&line).into_owned();
            let last = line.as_bytes().first().is_some_and(u8::is_ascii_digit) && line.get(3..4) == Some(" ");
            reply.push_str(&line);
            if last {
                return Some(reply);
            }
        }
    }

    /// The code of the next reply; 0 at the end of the connection.
    pub async fn code(&mut self) -> u16 {
        self.reply().await.map_or(0, |reply| reply[..3].parse().unwrap())
    }

    /// The codes of the next replies.
    pub async fn codes<const N: usize>(&mut self) -> [u16; N] {
        let mut codes = [0; N];
        for code in &mut codes {
            *code = self.code().await;
        }
        codes
    }

    pub async fn say(&mut self, line: &str) -> u16 {
        self.send(&[line]).await;
        self.code().await
    }

    pub async fn ask(&mut self, line: &str) -> String {
        self.send(&[line]).await;
        self.reply().await.expect("a reply")
    }

    /// A passive port.
    pub async fn epsv(&mut self) -> SocketAddr {
        let reply = self.ask("EPSV").await;
        let port = reply.split('|').nth(3).and_then(|port| port.parse().ok()).expect(&reply);
        SocketAddr::new(self.stream().get_ref().peer_addr().unwrap().ip(), port)
    }

    /// A data connection in passive mode.
    pub async fn data(&mut self) -> TcpStream {
        TcpStream::connect(self.epsv().await).await.unwrap()
    }

    /// Closes this side; replies can still be read.
    pub async fn end(&mut self) {
        self.stream().get_mut().shutdown().await.unwrap();
    }

    /// True once the other side has closed.
    pub async fn is_over(&mut self) -> bool {
        self.reply().await.is_none()
    }
}

/// Everything that comes until the end of a data connection.
pub async fn drain(mut data: TcpStream) -> Vec<u8> {
    let mut all = Vec::new();
    tokio::time::timeout(PATIENCE, data.read_to_end(&mut all)).await.expect("no end").unwrap();
    all
}

/// What the server has logged.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn all(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Lines {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
