//! Against servers that say what the test wants.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::tests::{SUBJECT, ask};
use super::super::{Inspect, Subject};

/// A server that answers OPTIONS with these fields, and then does what the test wants on the next connections. It
/// shows all that it heard.
async fn server<F>(offer: &'static str, act: impl Fn(TcpStream) -> F + Send + 'static) -> Inspect
where
    F: Future<Output = ()> + Send,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("icap://{}/scan", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let asked = heard_until(&mut stream, "\r\n\r\n").await;
        assert!(asked.starts_with("OPTIONS icap://127.0.0.1:"), "{asked}");
        stream.write_all(format!("ICAP/1.0 200 OK\r\n{offer}\r\n").as_bytes()).await.unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            act(stream).await;
        }
    });
    Inspect::icap(&url).unwrap()
}

async fn heard_until(stream: &mut TcpStream, end: &str) -> String {
    let mut all = Vec::new();
    while !String::from_utf8_lossy(&all).ends_with(end) {
        let mut part = [0; 4096];
        let octets = stream.read(&mut part).await.unwrap();
        assert!(octets > 0, "{}", String::from_utf8_lossy(&all));
        all.extend_from_slice(&part[..octets]);
    }
    String::from_utf8_lossy(&all).into_owned()
}

/// Answers with this text when the whole file is there.
async fn says(answer: &'static str) -> Inspect {
    server("Methods: RESPMOD, REQMOD\r\n", move |mut stream| async move {
        heard_until(&mut stream, "\r\n0\r\n\r\n").await;
        let _ = stream.write_all(answer.as_bytes()).await;
    })
    .await
}

fn download() -> Subject<'static> {
    Subject { verb: "RETR", upload: false, ..SUBJECT }
}

#[tokio::test]
async fn a_204_passes_a_file_and_the_request_says_whose_it_is() {
    let inspect = server("Methods: REQMOD\r\n", |mut stream| async move {
        let asked = heard_until(&mut stream, "\r\n0\r\n\r\n").await;
        for part in [
            "REQMOD icap://127.0.0.1:",
            "/scan ICAP/1.0\r\n",
            "Allow: 204\r\n",
            "X-Client-IP: 192.0.2.7\r\n",
            "X-Client-Username: ann\r\n",
            "PUT ftp://ftp.example.org/a%20b%3B%20exit%203 HTTP/1.1\r\n",
            "\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            assert!(asked.contains(part), "{part:?} in {asked}");
        }
        let _ = stream.write_all(b"ICAP/1.0 204 No Content\r\n\r\n").await;
    })
    .await;
    assert_eq!(ask(&inspect, b"hello").await, Ok(()));
}

#[tokio::test]
async fn a_preview_may_be_enough() {
    let preview = |answer: &'static str, end: &'static str, then: &'static str| {
        server("Methods: REQMOD\r\nPreview: 4\r\n", move |mut stream| async move {
            let asked = heard_until(&mut stream, end).await;
            assert!(asked.contains("Preview: 4\r\n"), "{asked}");
            let _ = stream.write_all(answer.as_bytes()).await;
            if !then.is_empty() {
                let rest = heard_until(&mut stream, "\r\n0\r\n\r\n").await;
                assert_eq!(rest, "1\r\no\r\n3\r\n me\r\n0\r\n\r\n");
                let _ = stream.write_all(then.as_bytes()).await;
            }
        })
    };
    let pass = "ICAP/1.0 204 No\r\n\r\n";
    let found = "ICAP/1.0 200 OK\r\nX-Infection-Found: Type=0; Resolution=2; Threat=EICAR;\r\n\r\n";
    let go_on = "ICAP/1.0 100 Continue\r\n\r\n";
    assert_eq!(ask(&preview(pass, "4\r\nhell\r\n0\r\n\r\n", "").await, b"hello me").await, Ok(()));
    assert_eq!(ask(&preview(pass, "4\r\nhell\r\n0; ieof\r\n\r\n", "").await, b"hell").await, Ok(()));
    assert_eq!(ask(&preview(pass, "\r\n\r\n0; ieof\r\n\r\n", "").await, b"").await, Ok(()));
    let refused = ask(&preview(go_on, "4\r\nhell\r\n0\r\n\r\n", found).await, b"hello me").await;
    assert_eq!(refused, Err("found EICAR".to_owned()));
    assert_eq!(ask(&preview(go_on, "4\r\nhell\r\n0\r\n\r\n", pass).await, b"hello me").await, Ok(()));
}

#[tokio::test]
async fn only_the_same_file_coming_back_passes() {
    let same = "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=5\r\n\r\nPUT\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    assert_eq!(ask(&says(same).await, b"hello").await, Ok(()));
    let other = ask(&says(same).await, b"hallo").await.unwrap_err();
    assert!(other.contains("would change it"), "{other}");
    let page = "ICAP/1.0 200 OK\r\nEncapsulated: res-hdr=0, res-body=26\r\n\r\nHTTP/1.1 403 Forbidden\r\n\r\n3\r\nno!\r\n0\r\n\r\n";
    let blocked = ask(&says(page).await, b"hello").await.unwrap_err();
    assert!(blocked.contains("403 Forbidden"), "{blocked}");
    // The same as an answer to a download.
    let mut inspection = says(page).await.start(&download()).await.unwrap();
    let _ = inspection.input.take().unwrap().write_all(b"hello").await;
    assert!(inspection.verdict().await.unwrap_err().contains("403 Forbidden"));
}

#[tokio::test]
async fn a_file_of_another_length_than_the_server_was_told_does_not_pass() {
    for (told, passes) in [(5, true), (4, false), (6, false)] {
        let inspect = says("ICAP/1.0 204 No\r\n\r\n").await;
        let mut inspection = inspect.start(&Subject { octets: Some(told), ..download() }).await.unwrap();
        let _ = inspection.input.take().unwrap().write_all(b"hello").await;
        assert_eq!(inspection.verdict().await.is_ok(), passes, "{told}");
    }
}

#[tokio::test]
async fn what_is_no_verdict_passes_nothing() {
    for answer in [
        "",
        "ICAP/1.0 404 Service not found\r\n\r\n",
        "ICAP/1.0 500 Oops\r\n\r\n",
        "ICAP/1.0 100 Continue\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "ICAP/1.0 200 OK\r\n\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=70000\r\n\r\n",
        "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=0\r\n\r\n5\r\nhello",
        "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=0\r\n\r\nxyz\r\n",
    ] {
        let refused = ask(&says(answer).await, b"hello").await;
        assert!(refused.is_err(), "{answer:?}");
    }
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let why = ask(&Inspect::icap(&format!("icap://{gone}/x")).unwrap(), b"hello").await.unwrap_err();
    assert!(why.contains("cannot be reached"), "{why}");
}

#[tokio::test]
async fn a_server_that_talks_without_end_is_given_up() {
    for start in
        ["ICAP/1.0 200 OK\r\n", "ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=0\r\n\r\n0\r\n"]
    {
        let inspect = server("Methods: REQMOD\r\n", move |mut stream| async move {
            let _ = stream.write_all(start.as_bytes()).await;
            while stream.write_all(b"Field: and one more\r\n").await.is_ok() {}
        })
        .await;
        let verdict = tokio::time::timeout(Duration::from_secs(20), ask(&inspect, b"hello")).await;
        assert!(verdict.expect("it ends").is_err(), "{start:?}");
    }
}

#[tokio::test]
async fn a_server_that_answers_while_the_file_comes_blocks_no_one() {
    // It sends each octet back as it comes, as echo services do.
    let inspect = server("Methods: REQMOD\r\n", |mut stream| async move {
        let (mut reading, mut writing) = stream.split();
        let mut head = Vec::new();
        while !head.ends_with(b"octet-stream\r\n\r\n") {
            head.push(reading.read_u8().await.unwrap());
        }
        let answer = b"ICAP/1.0 200 OK\r\nEncapsulated: req-hdr=0, req-body=0\r\n\r\n";
        writing.write_all(answer).await.unwrap();
        let mut part = [0; 4096];
        while let Ok(octets @ 1..) = reading.read(&mut part).await {
            let _ = writing.write_all(&part[..octets]).await;
        }
    })
    .await;
    let file: Vec<u8> = (0..3_000_000_u32).map(|n| (n >> 3) as u8).collect();
    assert_eq!(ask(&inspect, &file).await, Ok(()));
}
