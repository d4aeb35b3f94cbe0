//! The same, with OpenSSL on the other side: Python's ssl module as client and server.
#![allow(clippy::unwrap_used, reason = "tests may, their helpers too")]

mod common;

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::{VERSIONS, client, pattern, port, read_all, server};
use portway_net::{Control, Hello, read_hello};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// What all clients below begin with: a control connection, and a way to open data connections that show its
/// ticket, as often as they like.
const CLIENT: &str = r"
import socket, ssl, sys
port, version = int(sys.argv[1]), sys.argv[2]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
context.set_alpn_protocols(['ftp'])
context.minimum_version = context.maximum_version = {'1.2': ssl.TLSVersion.TLSv1_2, '1.3': ssl.TLSVersion.TLSv1_3}[version]
def dial(session=None):
    sock = socket.create_connection(('127.0.0.1', port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 400000)
    return context.wrap_socket(sock, session=session)
control = dial()
assert control.recv(3) == b'220'
ticket = control.session
";

fn python(script: &str, args: &[&str]) -> tokio::task::JoinHandle<Output> {
    let mut command = Command::new("python3");
    command.arg("-c").arg(script).args(args).stdin(Stdio::null());
    tokio::task::spawn_blocking(move || command.output().expect("python3 is needed for this test"))
}

/// Our side against the script; a script that fails says why, and neither waits for ever.
async fn against(script: tokio::task::JoinHandle<Output>, ours: impl Future<Output = ()>) {
    let script = async {
        let output = script.await.unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    timeout(Duration::from_secs(60), async { tokio::join!(script, ours) }).await.expect("in good time");
}

#[tokio::test]
async fn openssl_resumes_three_times_with_one_ticket_and_reads_its_downloads() {
    for version in VERSIONS {
        let (listener, addr) = port();
        let script = format!(
            "{CLIENT}
for round in range(3):
    data = dial(ticket)
    assert data.session_reused, round
    got = b''
    while part := data.recv(65536): got += part
    data.unwrap()
    assert len(got) == 300000, len(got)
other = dial()
assert not other.session_reused
other.unwrap()
"
        );
        let script = python(&script, &[&addr.port().to_string(), version]);
        let ours = async {
            let tls = server().control();
            let mut control =
                Control::from(listener.accept().await.unwrap().0).start_tls(&tls).await.unwrap();
            assert!(control.tls().unwrap().cipher.contains("AES_128_GCM"), "{:?}", control.tls());
            control.write_all(b"220").await.unwrap();
            for round in 0..4 {
                let io = listener.accept().await.unwrap().0;
                let mut hello = vec![0; 16 * 1024];
                let claim = loop {
                    let n = io.peek(&mut hello).await.unwrap();
                    match read_hello(&hello[..n]) {
                        Hello::NeedMore => {}
                        hello => break hello,
                    }
                };
                let mut data = tls.accept_data(io).await.unwrap();
                if round < 3 {
                    assert_eq!(claim, Hello::Session(tls.tag()), "TLS {version}, round {round}");
                    assert!(data.info().resumed, "TLS {version}, round {round}");
                    data.write_all(&pattern(300_000)).await.unwrap();
                } else {
                    assert_eq!(claim, Hello::NoSession);
                    assert!(!data.info().resumed);
                }
                data.finish_sending().await.unwrap();
            }
        };
        against(script, ours).await;
    }
}

#[tokio::test]
async fn openssl_uploads_and_closes_without_reading_and_nothing_is_lost() {
    for version in VERSIONS {
        let (listener, addr) = port();
        // Nearly all of the file is still in the client's socket when it closes.
        SockRef::from(&listener).set_recv_buffer_size(4096).unwrap();
        let script = format!(
            "{CLIENT}
for round in range(200):
    data = dial(ticket)
    data.sendall(bytes([round]) * 150000)
    data.setblocking(False)
    try: data.unwrap()
    except ssl.SSLError: pass
    data.close()
    control.sendall(b'.')
assert control.recv(3) == b'226'
"
        );
        let script = python(&script, &[&addr.port().to_string(), version]);
        let ours = async {
            let tls = server().control();
            let mut control =
                Control::from(listener.accept().await.unwrap().0).start_tls(&tls).await.unwrap();
            control.write_all(b"220").await.unwrap();
            for round in 0..200 {
                let mut data = tls.accept_data(listener.accept().await.unwrap().0).await.unwrap();
                assert!(data.info().resumed, "TLS {version}, round {round}");
                control.read_exact(&mut [0]).await.unwrap(); // it has closed
                let file = read_all(&mut data).await;
                let whole = file.as_ref().is_ok_and(|file| *file == vec![round; 150_000]);
                assert!(whole, "TLS {version}, round {round}: {:?}", file.map(|file| file.len()));
                data.finish_receiving().await.unwrap();
            }
            control.write_all(b"226").await.unwrap();
        };
        against(script, ours).await;
    }
}

#[tokio::test]
async fn our_client_resumes_with_openssl_for_as_long_as_it_drains() {
    let folder = tempfile::tempdir().unwrap();
    let (_, cert, key) = portway_net::Identity::self_signed(&["localhost".into()]).unwrap();
    let pem = folder.path().join("server.pem");
    std::fs::write(&pem, [key.as_str(), &cert].concat()).unwrap();
    for version in VERSIONS {
        // Two tickets for each connection, as vsftpd has it; all in one context.
        let script = r"
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
listener = socket.create_server(('127.0.0.1', 0))
print(listener.getsockname()[1], flush=True)
control = context.wrap_socket(listener.accept()[0], server_side=True)
control.sendall(b'220')
for round in range(20):
    data = context.wrap_socket(listener.accept()[0], server_side=True)
    got = b''
    while part := data.recv(65536): got += part
    assert got == b'file', got
    assert data.session_reused, round
    data.unwrap()
    data.close()
";
        let mut server = Command::new("python3")
            .args(["-c", script])
            .arg(&pem)
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3 is needed for this test");
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(server.stdout.take().unwrap()), &mut line)
            .unwrap();
        let addr = std::net::SocketAddr::from(([127, 0, 0, 1], line.trim().parse().unwrap()));
        let dial = async || tokio::net::TcpStream::connect(addr).await.unwrap();
        let tls = client(version).control("localhost").unwrap();
        let mut control = Control::from(dial().await).connect_tls(&tls).await.unwrap();
        control.read_exact(&mut [0; 3]).await.unwrap();
        for round in 0..20 {
            let mut data = tls.connect_data(dial().await).await.unwrap();
            assert!(data.info().resumed, "TLS {version}, round {round}");
            data.write_all(b"file").await.unwrap();
            data.finish_sending().await.unwrap();
        }
        let status = tokio::task::spawn_blocking(move || server.wait()).await.unwrap().unwrap();
        assert!(status.success(), "TLS {version}");
    }
}
