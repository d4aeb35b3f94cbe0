//! Brokers on loopback, clients from several loopback addresses, and TLS sessions.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::time::Duration;

use portway_data::{
    Broker, BrokerConfig, DataConn, Failure, History, Options, Party, PassivePorts, Progress, Sharing,
    send_file,
};
use portway_net::{
    ClientControlTls, ClientTls, ClientTlsOptions, Control, ControlTls, DataTls, Identity, ServerTls,
    ServerTlsOptions, Trust,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::Instant;

pub const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9));

/// Ports below the kernel's own range that nobody listens on now.
pub fn quiet_range(len: u16) -> RangeInclusive<u16> {
    use std::hash::{BuildHasher, RandomState};
    loop {
        let lo = 10_000 + (RandomState::new().hash_one(0) % u64::from(22_000 - len)) as u16;
        let range = lo..=lo + len - 1;
        if range.clone().all(|port| TcpListener::bind((HOME, port)).is_ok()) {
            return range;
        }
    }
}

pub fn config(len: u16, sharing: Sharing) -> BrokerConfig {
    let ports = PassivePorts::Range(quiet_range(len));
    BrokerConfig { ports, sharing, ..BrokerConfig::default() }
}

pub fn broker(len: u16, sharing: Sharing) -> Broker {
    Broker::new(config(len, sharing)).unwrap()
}

/// A new session of the client at `client`, without TLS.
pub fn party(client: IpAddr) -> Party {
    Party {
        peer: SocketAddr::new(client, 50_000),
        local: SocketAddr::new(HOME, 21),
        reached: None,
        tls: None,
        history: History::new(),
    }
}

pub fn soon() -> Instant {
    Instant::now() + Duration::from_millis(150)
}

pub fn later() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

/// Connects from a certain loopback address.
pub async fn connect(from: IpAddr, to: SocketAddr) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(from, 0))?;
    socket.connect(to).await
}

/// Connects as somebody who is not expected and returns when he has been thrown out.
pub async fn thrown_out(from: IpAddr, to: SocketAddr) -> bool {
    match connect(from, to).await {
        Ok(stream) => read_all(stream).await.is_err(),
        // So fast that it was over before the runtime looked.
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
    }
}

/// All octets up to the end, or the error that came first.
pub async fn read_all(mut stream: TcpStream) -> std::io::Result<Vec<u8>> {
    let mut all = Vec::new();
    stream.read_to_end(&mut all).await?;
    Ok(all)
}

pub fn file_of(data: &[u8]) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(data).unwrap();
    file
}

pub fn content(mut file: &File) -> Vec<u8> {
    let mut all = Vec::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut all).unwrap();
    all
}

/// Sends `data` and ends the connection.
pub async fn deliver(mut conn: DataConn, data: &[u8]) -> Result<(), Failure> {
    send_file(&mut conn, &file_of(data), 0, None, Options::default(), &Progress::new()).await?;
    conn.finish().await
}

/// Tries until `condition` holds; panics after 20 s.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(20), "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub fn server_tls() -> ServerTls {
    let identity = Identity::self_signed(&["localhost".to_owned()]).unwrap().0;
    ServerTls::new(identity, ServerTlsOptions::default()).unwrap()
}

/// A control connection under TLS, and what both sides know of it.
pub struct Session {
    pub party: Party,
    pub tls: ControlTls,
    pub client: ClientControlTls,
    _control: (Control, Control),
}

impl Session {
    /// A session whose client has its tickets.
    pub async fn open(server: &ServerTls) -> Self {
        let mut session = Self::without_tickets(server).await;
        session._control.0.write_all(b"220\r\n").await.unwrap();
        session._control.0.flush().await.unwrap();
        let mut line = [0; 5];
        session._control.1.read_exact(&mut line).await.unwrap();
        assert!(session.client.tickets_left() > 0);
        session
    }

    /// A session whose client has no tickets yet, and so resumes nothing.
    pub async fn without_tickets(server: &ServerTls) -> Self {
        let options = ClientTlsOptions { trust: Trust::Insecure, ..ClientTlsOptions::default() };
        let client = ClientTls::new(&options).unwrap().control("localhost").unwrap();
        let tls = server.control();
        let listener = tokio::net::TcpListener::bind((HOME, 0)).await.unwrap();
        let (accepted, connected) =
            tokio::join!(listener.accept(), TcpStream::connect(listener.local_addr().unwrap()));
        let (ours, theirs) = tokio::join!(
            Control::from(accepted.unwrap().0).start_tls(&tls),
            Control::from(connected.unwrap()).connect_tls(&client)
        );
        let mut party = party(HOME);
        party.tls = Some(tls.clone());
        Self { party, tls, client, _control: (ours.unwrap(), theirs.unwrap()) }
    }

    /// The client's data connection.
    pub async fn connect(&self, to: SocketAddr) -> DataTls {
        self.client.connect_data(connect(HOME, to).await.unwrap()).await.unwrap()
    }
}

/// Reads a TLS data connection to its close_notify.
pub async fn read_tls(data: &mut DataTls) -> std::io::Result<Vec<u8>> {
    let (mut all, mut buf) = (Vec::new(), vec![0; 65536]);
    loop {
        match data.read(&mut buf).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&buf[..n]),
        }
    }
}
