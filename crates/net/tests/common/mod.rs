//! A server and a client with TLS, and sockets between them.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::unwrap_used, reason = "tests may")]

use std::net::SocketAddr;

use portway_net::{
    ClientControlTls, ClientTls, ClientTlsOptions, Control, ControlTls, DataTls, Identity, ServerTls,
    ServerTlsOptions, Trust, listen,
};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

pub const VERSIONS: [&str; 2] = ["1.2", "1.3"];

pub fn identity() -> Identity {
    Identity::self_signed(&["localhost".to_owned()]).unwrap().0
}

pub fn server() -> ServerTls {
    ServerTls::new(identity(), ServerTlsOptions::default()).unwrap()
}

pub fn client(version: &str) -> ClientTls {
    let tls12_only = version == "1.2";
    ClientTls::new(&ClientTlsOptions { trust: Trust::Insecure, tls12_only, ..Default::default() }).unwrap()
}

/// A loopback port that nobody else has.
pub fn port() -> (TcpListener, SocketAddr) {
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = listener.local_addr().unwrap();
    (listener, addr)
}

/// Two ends of one TCP connection: the accepting, the connecting.
pub async fn pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = port();
    let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(addr));
    (accepted.unwrap().0, connected.unwrap())
}

/// The same, where 150,000 octets fit into the sender's buffer, and nearly none into the receiver's: what a
/// reset throws away is missed.
pub async fn lopsided_pair() -> (TcpStream, TcpStream) {
    let (listener, addr) = port();
    SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
    let connected = TcpSocket::new_v4().unwrap();
    connected.set_send_buffer_size(400_000).unwrap();
    let (accepted, connected) = tokio::join!(listener.accept(), connected.connect(addr));
    (accepted.unwrap().0, connected.unwrap())
}

/// A control connection, seen from both ends.
pub struct Session {
    pub server_tls: ControlTls,
    pub client_tls: ClientControlTls,
    pub server: Control,
    pub client: Control,
}

impl Session {
    pub async fn open(server: &ServerTls, client: &ClientTls) -> Self {
        let (server_tls, client_tls) = (server.control(), client.control("localhost").unwrap());
        let (accepted, connected) = pair().await;
        let (server, client) = tokio::join!(
            Control::from(accepted).start_tls(&server_tls),
            Control::from(connected).connect_tls(&client_tls)
        );
        let mut session = Self { server_tls, client_tls, server: server.unwrap(), client: client.unwrap() };
        session.greet().await;
        session
    }

    /// One reply, with which the client takes in its tickets.
    pub async fn greet(&mut self) {
        self.server.write_all(b"220\r\n").await.unwrap();
        self.server.flush().await.unwrap();
        let mut line = [0; 5];
        self.client.read_exact(&mut line).await.unwrap();
        assert_eq!(&line, b"220\r\n");
    }

    /// A data connection: the server's end, the client's end.
    pub async fn data(&self) -> (DataTls, DataTls) {
        self.data_over(pair().await).await
    }

    pub async fn data_over(&self, (accepted, connected): (TcpStream, TcpStream)) -> (DataTls, DataTls) {
        let (server, client) =
            tokio::join!(self.server_tls.accept_data(accepted), self.client_tls.connect_data(connected));
        (server.unwrap(), client.unwrap())
    }
}

/// Octets that show where they belong.
pub fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i ^ (i >> 8) ^ (i >> 16)) as u8).collect()
}

/// Reads to the end of a transfer.
pub async fn read_all(data: &mut DataTls) -> std::io::Result<Vec<u8>> {
    let (mut file, mut chunk) = (vec![], vec![0; 256 * 1024]);
    loop {
        match data.read(&mut chunk).await? {
            0 => return Ok(file),
            n => file.extend_from_slice(&chunk[..n]),
        }
    }
}

/// For clients that are not ours: believes any certificate.
#[derive(Debug)]
pub struct Anybody;

impl rustls::client::danger::ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &[rustls::pki_types::CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: rustls::pki_types::UnixTime,
    ) -> Result<rustls::client::danger::ServerCertVerified, rustls::Error> {
        Ok(rustls::client::danger::ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &rustls::pki_types::CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<rustls::client::danger::HandshakeSignatureValid, rustls::Error> {
        Ok(rustls::client::danger::HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<rustls::SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
