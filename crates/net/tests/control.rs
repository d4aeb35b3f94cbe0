//! The control connection: lines, TLS and back.
#![allow(clippy::unwrap_used, reason = "tests may, their helpers too")]

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{Session, VERSIONS, client, pair, server};
use portway_net::Control;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

async fn read_line(control: &mut Control) -> String {
    let mut line = vec![];
    while !line.ends_with(b"\r\n") {
        assert_ne!(control.read_buf(&mut line).await.unwrap(), 0, "the end came first");
    }
    String::from_utf8(line).unwrap()
}

#[tokio::test]
async fn clearing_tls_keeps_every_octet_behind_it() {
    for version in VERSIONS {
        for client_first in [true, false] {
            let Session { server, client, .. } = Session::open(&server(), &client(version)).await;
            let clear_and_talk = async |control: Control| {
                let mut plain = control.clear_tls().await.unwrap();
                assert!(plain.tls().is_none());
                plain.write_all(b"NOOP\r\n").await.unwrap();
                read_line(&mut plain).await
            };
            // Whoever is second finds close_notify and the line behind it in one piece.
            let (first, second) = if client_first { (client, server) } else { (server, client) };
            let first = tokio::spawn(async move { clear_and_talk(first).await });
            let second = clear_and_talk(second).await;
            assert_eq!(second, "NOOP\r\n", "TLS {version}, client first {client_first}");
            assert_eq!(first.await.unwrap(), "NOOP\r\n", "TLS {version}, client first {client_first}");
        }
    }
}

#[tokio::test]
async fn what_comes_behind_close_notify_in_one_segment_is_not_lost() {
    use std::io::{Read, Write};
    for version in VERSIONS {
        let (accepted, connected) = pair().await;
        let mut raw = connected.into_std().unwrap();
        raw.set_nonblocking(false).unwrap();
        let peer = tokio::task::spawn_blocking(move || {
            let mut tls = raw_client(version);
            while tls.is_handshaking() {
                tls.complete_io(&mut raw).unwrap();
            }
            tls.send_close_notify();
            let mut segment = vec![];
            tls.write_tls(&mut segment).unwrap();
            segment.extend_from_slice(b"NOOP\r\nQUIT\r\n");
            raw.write_all(&segment).unwrap();
            raw.shutdown(std::net::Shutdown::Write).unwrap();
            raw.read_to_end(&mut vec![]).unwrap();
        });
        let tls = server().control();
        let control = Control::from(accepted).start_tls(&tls).await.unwrap();
        let mut plain = control.clear_tls().await.unwrap();
        let mut rest = String::new();
        timeout(Duration::from_secs(10), plain.read_to_string(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, "NOOP\r\nQUIT\r\n", "TLS {version}");
        drop(plain);
        peer.await.unwrap();
    }
}

#[tokio::test]
async fn a_peer_that_goes_on_in_clear_without_close_notify_is_heard() {
    use std::io::{Read, Write};
    for version in VERSIONS {
        let (accepted, connected) = pair().await;
        let mut raw = connected.into_std().unwrap();
        raw.set_nonblocking(false).unwrap();
        let peer = tokio::task::spawn_blocking(move || {
            let mut tls = raw_client(version);
            while tls.is_handshaking() {
                tls.complete_io(&mut raw).unwrap();
            }
            tls.writer().write_all(b"CCC\r\n").unwrap();
            // The reply comes first, with whatever else the server has to say.
            let mut reply = [0; 8];
            while !matches!(tls.reader().read(&mut reply), Ok(1..)) {
                tls.complete_io(&mut raw).unwrap();
            }
            raw.write_all(b"NOOP\r\nQUIT\r\n").unwrap();
            raw.shutdown(std::net::Shutdown::Write).unwrap();
            raw.read_to_end(&mut vec![]).unwrap();
        });
        let mut control = Control::from(accepted).start_tls(&server().control()).await.unwrap();
        assert_eq!(read_line(&mut control).await, "CCC\r\n", "TLS {version}");
        control.write_all(b"200 ok\r\n").await.unwrap();
        control.flush().await.unwrap();
        let mut plain = control.clear_tls().await.unwrap();
        let mut rest = String::new();
        timeout(Duration::from_secs(10), plain.read_to_string(&mut rest)).await.unwrap().unwrap();
        assert_eq!(rest, "NOOP\r\nQUIT\r\n", "TLS {version}");
        drop(plain);
        peer.await.unwrap();
    }
}

fn raw_client(version: &str) -> rustls::ClientConnection {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let version = if version == "1.2" { &rustls::version::TLS12 } else { &rustls::version::TLS13 };
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(common::Anybody))
        .with_no_client_auth();
    rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap()
}

#[tokio::test]
async fn a_command_under_tls_after_its_end_was_agreed_on_is_refused() {
    let mut session = Session::open(&server(), &client("1.3")).await;
    session.client.write_all(b"NOOP\r\n").await.unwrap();
    let error = session.server.clear_tls().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
}

#[tokio::test]
async fn waiting_needs_no_buffer_and_then_the_line_is_there() {
    for version in ["plain", "1.2", "1.3"] {
        let (mut server, mut client) = if version == "plain" {
            let (accepted, connected) = pair().await;
            (Control::from(accepted), Control::from(connected))
        } else {
            let session = Session::open(&server(), &client(version)).await;
            (session.server, session.client)
        };
        let mut buf = [0; 64];
        let early = timeout(Duration::from_millis(20), server.readable()).await;
        assert!(early.is_err() || version == "plain", "{version}: nothing came, but {early:?}");
        let nothing = server.try_read(&mut buf).unwrap_err();
        assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock, "{version}");
        client.write_all(b"USER a\r\nPASS b\r\n").await.unwrap();
        client.flush().await.unwrap();
        let mut got = vec![];
        while got.len() < 16 {
            server.readable().await.unwrap();
            let mut few = [0; 5];
            match server.try_read(&mut few) {
                Ok(n) => got.extend_from_slice(&few[..n]),
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
            }
        }
        assert_eq!(got, b"USER a\r\nPASS b\r\n", "{version}");
        drop(client);
        server.readable().await.unwrap();
        assert_eq!(server.try_read(&mut buf).unwrap(), 0, "{version}: FIN alone is an end too");
    }
}

#[tokio::test]
async fn a_command_smuggled_in_before_tls_is_never_read() {
    let (accepted, mut connected) = pair().await;
    // The server has read "AUTH TLS\r\n" and finds this in the socket.
    connected.write_all(b"NOOP\r\n").await.unwrap();
    let error = Control::from(accepted).start_tls(&server().control()).await.unwrap_err();
    assert!(error.to_string().contains("NOOP"), "{error}");
}

#[tokio::test]
async fn a_long_reply_waits_for_a_slow_reader_and_arrives_whole() {
    let Session { mut server, mut client, .. } = Session::open(&server(), &client("1.3")).await;
    let reply = common::pattern(20 << 20);
    let expected = reply.clone();
    let writer = tokio::spawn(async move {
        server.write_all(&reply).await.unwrap();
        server.shutdown().await.unwrap();
    });
    let mut got = vec![];
    client.read_to_end(&mut got).await.unwrap();
    assert!(got == expected);
    writer.await.unwrap();
}
