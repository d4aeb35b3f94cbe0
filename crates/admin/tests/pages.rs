//! The pages as a scraper, a person and a stranger's web page see them.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use portway_admin::{Admin, AdminError, Facts};
use portway_ops::{Direction, Log, LogFormat, Refused, Registry, SessionOpened, Sink, TransferInfo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn start() -> (SocketAddr, Registry, Log, Facts) {
    let (registry, log) =
        (Registry::default(), Log::new(LogFormat::Text, Sink::writer(std::io::sink())).expect("a log"));
    let facts = Facts::new(registry.clone(), log.clone()).with_verdict(|| Some("all is well".to_owned()));
    let admin = Admin::bind(LOOPBACK).await.expect("an address");
    let address = admin.address();
    tokio::spawn(admin.serve(facts.clone()));
    (address, registry, log, facts)
}

async fn ask(address: SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer
}

async fn page(address: SocketAddr, path: &str) -> String {
    ask(address, &format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")).await
}

#[tokio::test]
async fn metrics_count_what_the_log_was_told() {
    let (address, registry, log, _) = start().await;
    let peer: SocketAddr = "192.0.2.7:50000".parse().expect("an address");
    let _session = registry.enter(peer);
    log.record(SessionOpened {
        session: 1,
        peer: peer.ip(),
        port: 50000,
        local: LOOPBACK,
        implicit_tls: false,
    });
    log.record(Refused { session: None, peer: peer.ip(), what: "session", why: "too_many_sessions" });
    let text = page(address, "/metrics").await;
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
    for line in [
        "portway_sessions 1\n",
        "portway_sessions_total 1\n",
        "portway_refusals_total{why=\"too_many_sessions\"} 1\n",
        "# TYPE portway_transfers_total counter\n",
    ] {
        assert!(text.contains(line), "{line:?} is missing in {text}");
    }
}

#[tokio::test]
async fn the_status_shows_who_transfers_what() {
    let (address, registry, ..) = start().await;
    let session = registry.enter("192.0.2.7:50000".parse().expect("an address"));
    session.set_user(Some("ann".into()));
    let info = TransferInfo { verb: "STOR", path: "/in/\"a\"".into(), direction: Direction::In };
    let running = session.transfer(info);
    running.add(700);
    let text = page(address, "/status").await;
    let body = text.split("\r\n\r\n").nth(1).expect("a body");
    let status: serde_json::Value = serde_json::from_str(body).expect("JSON");
    let seen = &status["sessions"][0];
    assert_eq!((&seen["user"], &seen["state"]), (&"ann".into(), &"transferring".into()));
    assert_eq!((&seen["transfer"]["path"], &seen["transfer"]["bytes"]), (&"/in/\"a\"".into(), &700.into()));
    assert_eq!(status["verdict"], "all is well");
}

#[tokio::test]
async fn health_turns_bad_when_the_server_drains() {
    let (address, _, _, facts) = start().await;
    assert!(page(address, "/health").await.starts_with("HTTP/1.1 200"));
    facts.drain_begins();
    assert!(page(address, "/health").await.starts_with("HTTP/1.1 503"));
}

#[tokio::test]
async fn a_web_page_of_another_name_reads_nothing_and_nothing_can_be_changed() {
    let (address, ..) = start().await;
    let rebound =
        ask(address, "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await;
    assert!(rebound.starts_with("HTTP/1.1 421") && !rebound.contains("sessions"), "{rebound}");
    let posted = ask(
        address,
        "POST /status HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
    )
    .await;
    assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    assert!(ask(address, "\0\0garbage\r\n\r\n").await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn only_loopback_is_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9000"] {
        let refused = Admin::bind(address.parse().expect("an address")).await;
        assert!(matches!(refused, Err(AdminError::NotLoopback(_))), "{address}");
    }
}
