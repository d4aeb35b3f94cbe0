//! Who is turned away, with which words.
#![allow(clippy::unwrap_used, reason = "tests may, their helpers too")]

mod common;

use std::io::{Read, Write};
use std::sync::Arc;
use std::time::Duration;

use common::{Anybody, client, identity, pair, port, server};
use portway_net::{
    ClientTls, ClientTlsOptions, Control, Identity, ServerTls, ServerTlsOptions, TlsError, TlsMin, Trust,
};
use rustls::ProtocolVersion;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

/// A client of rustls with these protocols and versions; what became of its handshake.
async fn foreign_client(
    server: &ServerTls,
    data: bool,
    alpn: &'static [&'static str],
    versions: &'static [&'static rustls::SupportedProtocolVersion],
) -> (Result<Option<Vec<u8>>, TlsError>, Result<ProtocolVersion, String>) {
    let (accepted, connected) = pair().await;
    let peer = tokio::task::spawn_blocking(move || {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anybody))
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let mut tls =
            rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut io = connected.into_std().unwrap();
        io.set_nonblocking(false).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut io).map_err(|error| error.to_string())?;
        }
        Ok(tls.protocol_version().unwrap())
    });
    let tls = server.control();
    let ours = if data {
        tls.accept_data(accepted).await.map(|tls| tls.info().alpn.clone())
    } else {
        tls.accept(accepted).await.map(|tls| tls.info().alpn.clone())
    };
    (ours, peer.await.unwrap())
}

static BOTH: [&rustls::SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];
static OLD: [&rustls::SupportedProtocolVersion; 1] = [&rustls::version::TLS12];

#[tokio::test]
async fn clients_for_other_protocols_get_no_application_protocol() {
    let server = server();
    let table: [(bool, &[&str], Option<&str>); 9] = [
        (false, &["ftp"], Some("ftp")),
        (false, &["x-filezilla-ftp", "ftp"], Some("ftp")),
        (false, &["x-filezilla-ftp"], Some("x-filezilla-ftp")),
        (false, &["http/1.1", "ftp"], Some("ftp")),
        (false, &["h2", "http/1.1"], None),
        (false, &["ftp-data"], None),
        (true, &["ftp-data"], Some("ftp-data")),
        (true, &["ftp"], Some("ftp")),
        (true, &["http/1.1"], None),
    ];
    for (data, offered, chosen) in table {
        let (ours, theirs) = foreign_client(&server, data, offered, &BOTH).await;
        match chosen {
            Some(name) => assert_eq!(ours.unwrap().as_deref(), Some(name.as_bytes()), "{offered:?}"),
            None => {
                let error = ours.unwrap_err();
                assert!(matches!(error, TlsError::Alpn { .. }), "{error:?}");
                assert!(error.to_string().contains(offered[0]), "{error}");
                let alert = theirs.unwrap_err();
                assert!(alert.contains("NoApplicationProtocol"), "{offered:?}: {alert}");
            }
        }
    }
    for data in [true, false] {
        assert_eq!(foreign_client(&server, data, &[], &BOTH).await.0.unwrap(), None, "no ALPN is fine");
    }
}

#[tokio::test]
async fn a_client_that_is_too_old_is_told_which_version_is_needed() {
    let options = ServerTlsOptions { min: TlsMin::V13, ..Default::default() };
    let strict = ServerTls::new(identity(), options).unwrap();
    let (ours, theirs) = foreign_client(&strict, false, &[], &OLD).await;
    let text = ours.unwrap_err().to_string();
    assert_eq!(
        text,
        "no common version: the client offers TLS 1.2, this server needs TLS 1.3; update the client"
    );
    assert!(theirs.unwrap_err().contains("ProtocolVersion"));
}

#[tokio::test]
async fn tls_1_0_is_refused_by_name() {
    // A hello of 2005: TLS 1.0, one cipher, no extension.
    let body = [&[3, 1][..], &[5; 32], &[0], &[0, 2, 0, 0x2f], &[1, 0]].concat();
    let hello = [&[22, 3, 1, 0, body.len() as u8 + 4, 1, 0, 0, body.len() as u8][..], &body].concat();
    let text = refused(&hello).await;
    assert!(
        text.starts_with("no common version: the client offers TLS 1.0, this server needs TLS 1.2"),
        "{text}"
    );
}

/// What the server says to a client that sends these octets and then only waits.
async fn refused(octets: &[u8]) -> String {
    let (accepted, mut connected) = pair().await;
    connected.write_all(octets).await.unwrap();
    let (tls, waiting) = (server().control(), Duration::from_secs(10));
    timeout(waiting, tls.accept(accepted)).await.expect("an answer at once").unwrap_err().to_string()
}

#[tokio::test]
async fn plain_ftp_on_a_tls_port_is_recognised() {
    let text = refused(b"USER anonymous\r\n").await;
    assert!(
        text.contains("the client sent plain text where TLS was expected (\"USER anonymous\")"),
        "{text}"
    );
    let text = refused(b"PASS secret\r\n").await;
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn a_client_that_meets_a_plain_server_says_so() {
    let (accepted, connected) = pair().await;
    let tls = client("1.3").control("localhost").unwrap();
    let mut server = accepted;
    server.write_all(b"220 ready\r\n").await.unwrap();
    let text = tls.connect_control(connected).await.unwrap_err().to_string();
    assert!(text.contains("the server sent plain text where TLS was expected (\"220 ready\")"), "{text}");
}

#[tokio::test]
async fn a_client_that_leaves_half_way_is_named() {
    let (accepted, connected) = pair().await;
    drop(connected);
    let error = server().control().accept(accepted).await.unwrap_err();
    assert_eq!(error.to_string(), "the client closed the connection before the TLS handshake was finished");
}

/// Handshakes against this trust; the client's error.
async fn distrusting(server: &ServerTls, trust: Trust, host: &str) -> Result<(), String> {
    let client = ClientTls::new(&ClientTlsOptions { trust, ..Default::default() }).unwrap();
    let tls = client.control(host).unwrap();
    let (accepted, connected) = pair().await;
    let server_tls = server.control();
    let (_, theirs) = tokio::join!(server_tls.accept(accepted), tls.connect_control(connected));
    theirs.map(drop).map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_client_trusts_whom_it_was_told_to_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let (identity, cert, key) =
        Identity::self_signed(&["ftp.example.net".into(), "192.0.2.1".into()]).unwrap();
    let (cert_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&cert_file, cert).unwrap();
    std::fs::write(&key_file, &*key).unwrap();
    let loaded = Identity::load(&cert_file, &key_file).unwrap();
    assert_eq!(loaded.fingerprint_sha256(), identity.fingerprint_sha256());
    assert!(loaded.not_after().unwrap() > std::time::SystemTime::now());
    let server = ServerTls::new(loaded, ServerTlsOptions::default()).unwrap();
    let (only, pin) = (Trust::Only(cert_file.clone()), Trust::Pinned(identity.fingerprint_sha256()));
    for (trust, host, refusal) in [
        (Trust::Insecure, "anything.example", None),
        (only.clone(), "ftp.example.net", None),
        (only.clone(), "192.0.2.1", None),
        (only, "other.example.net", Some("it is for another host name")),
        (pin, "other.example.net", None),
        (Trust::Pinned("00".repeat(32)), "ftp.example.net", Some("it is not the one that was pinned")),
    ] {
        let name = format!("{trust:?} {host}");
        match (distrusting(&server, trust, host).await, refusal) {
            (Ok(()), None) => {}
            (Err(text), Some(refusal)) => assert!(text.contains(refusal), "{name}: {text}"),
            (got, _) => panic!("{name}: {got:?}"),
        }
    }
    let stranger = Identity::self_signed(&["ftp.example.net".into()]).unwrap().0;
    let impostor = ServerTls::new(stranger, ServerTlsOptions::default()).unwrap();
    let text = distrusting(&impostor, Trust::Only(cert_file), "ftp.example.net").await.unwrap_err();
    assert!(text.contains("nobody we trust has signed it"), "{text}");
}

#[test]
fn a_wrong_file_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (_, cert, key) = Identity::self_signed(&["a.example".into()]).unwrap();
    let (_, _, other_key) = Identity::self_signed(&["b.example".into()]).unwrap();
    let (cert, key) = (file("cert.pem", &cert), file("key.pem", &key));
    let (other_key, garbage) = (file("other.pem", &other_key), file("garbage.pem", "-----BEGIN NOTHING"));
    let missing = folder.path().join("missing.pem");
    for (cert, key, named) in [
        (&missing, &key, "missing.pem: No such file"),
        (&garbage, &key, "garbage.pem: holds no certificate in PEM"),
        (&cert, &garbage, "garbage.pem: holds no private key in PEM"),
        (&cert, &other_key, "other.pem is not the key of"),
    ] {
        let text = Identity::load(cert, key).unwrap_err().to_string();
        assert!(text.contains(named), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_certificates_tells_who_came() {
    let folder = tempfile::tempdir().unwrap();
    let (_, ca, _) = Identity::self_signed(&["ca.example".into()]).unwrap();
    let client_ca = Some(folder.path().join("ca.pem"));
    std::fs::write(client_ca.as_ref().unwrap(), ca).unwrap();
    for (require_client_cert, accepted) in [(false, true), (true, false)] {
        let options =
            ServerTlsOptions { client_ca: client_ca.clone(), require_client_cert, ..Default::default() };
        let server = ServerTls::new(identity(), options).unwrap();
        let (ours, _) = foreign_client(&server, false, &[], &BOTH).await;
        match ours {
            Ok(_) => assert!(accepted),
            Err(error) => {
                assert!(!accepted);
                let text = error.to_string();
                assert_eq!(text, "the client's certificate was refused: none was shown, but one is required");
            }
        }
    }
}

/// Whatever comes, and wherever it stops: an error in good time, no panic.
#[tokio::test]
async fn garbage_and_half_handshakes_end_in_an_error() {
    let server = server();
    let hello = {
        let (listener, addr) = port();
        let tls = client("1.3").control("localhost").unwrap();
        let client = async {
            let _ = tls.connect_control(tokio::net::TcpStream::connect(addr).await.unwrap()).await;
        };
        let grab = tokio::task::spawn_blocking(move || {
            let listener = listener.into_std().unwrap();
            listener.set_nonblocking(false).unwrap();
            let mut hello = vec![0; 16 * 1024];
            let n = listener.accept().unwrap().0.read(&mut hello).unwrap();
            hello.truncate(n);
            hello
        });
        tokio::join!(client, grab).1.unwrap()
    };
    let mut seed = 1_u32;
    let mut random = move || {
        seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        seed >> 8
    };
    for round in 0..300 {
        let mut octets = hello.clone();
        match round % 3 {
            0 => octets.truncate(random() as usize % hello.len()),
            1 => {
                for _ in 0..3 {
                    let at = random() as usize % octets.len();
                    octets[at] = random() as u8;
                }
            }
            _ => octets.extend((0..random() % 2_000).map(|_| random() as u8)),
        }
        let (accepted, connected) = pair().await;
        let mut raw = connected.into_std().unwrap();
        raw.write_all(&octets).unwrap();
        raw.shutdown(std::net::Shutdown::Write).unwrap();
        let tls = server.control();
        let outcome = if round % 2 == 0 {
            timeout(Duration::from_secs(10), tls.accept(accepted)).await.map(|r| r.is_err())
        } else {
            timeout(Duration::from_secs(10), tls.accept_data(accepted)).await.map(|r| r.is_err())
        };
        assert!(outcome.expect("in good time"), "round {round}");
    }
}

#[tokio::test]
async fn tls_within_tls_is_refused() {
    let session = common::Session::open(&server(), &client("1.3")).await;
    assert!(Control::start_tls(session.server, &session.server_tls).await.is_err());
}
