//! Certificates: the server's, believed at first sight and not when it has changed; and our own.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};

use portway_client::{
    Connection, Error, GetOptions, KnownServers, PutOptions, Settings, TlsChoice, TlsTrust,
};
use portway_data::Progress;
use support::{Kind, Server, Tls, bytes, here, name, shared};

fn settings(server: &Server) -> Settings {
    Settings { tls: TlsChoice::Required, attempts: 1, ..server.settings() }
}

async fn fetch(server: &Server, settings: Settings) -> Result<(), Error> {
    let mut connection = Connection::open(&server.target(""), shared(settings)).await?;
    let (folder, local) = here();
    let progress = Progress::new();
    connection.get(b"f", &local, &name("f"), GetOptions::default(), &progress).await?;
    let file = std::fs::File::open(folder.path().join("f")).unwrap();
    connection.put(&file, b"g", PutOptions::default(), &Progress::new()).await?;
    assert_eq!(server.read("g"), server.read("f"));
    connection.quit().await;
    Ok(())
}

/// The fingerprint that the message names.
fn named(text: &str) -> String {
    let (_, rest) = text.split_once("SHA256:").unwrap_or_else(|| panic!("no fingerprint: {text}"));
    rest.chars().take_while(|c| c.is_ascii_hexdigit() || *c == ':').collect()
}

#[tokio::test]
async fn an_unknown_certificate_is_refused_with_its_fingerprint_and_taken_when_the_user_says_so() {
    let server = Server::start(Kind::Vsftpd, Tls::On);
    server.write("f", &bytes(1, 1000));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known-servers");
    let known = || Arc::new(KnownServers::in_file(file.clone()));

    let error = fetch(&server, Settings { known: known(), ..settings(&server) }).await.unwrap_err();
    assert_eq!(error.class(), "tls");
    let remedy = error.remedy().unwrap().to_owned();
    for option in ["--pin SHA256:", "--trust-first", "--ca FILE", "--insecure"] {
        assert!(remedy.contains(option), "{remedy}");
    }
    let print = named(&remedy);
    assert_eq!(print.len(), 95, "{print}");

    // As the message says it.
    let trust = TlsTrust::Pinned(format!("SHA256:{print}"));
    fetch(&server, Settings { trust, ..settings(&server) }).await.unwrap();
    assert!(!file.exists(), "a pin for once is not kept");

    let told = Arc::new(Mutex::new(Vec::new()));
    let hear = Arc::clone(&told);
    let first = KnownServers::in_file(file.clone())
        .trusting_first(move |text| hear.lock().unwrap().push(text.to_owned()));
    fetch(&server, Settings { known: Arc::new(first), ..settings(&server) }).await.unwrap();
    let told = told.lock().unwrap().join("\n");
    assert!(told.contains(&print) && told.contains("first sight"), "{told}");

    // From now on without a word.
    fetch(&server, Settings { known: known(), ..settings(&server) }).await.unwrap();
}

#[tokio::test]
async fn a_changed_certificate_is_refused_loudly_whatever_the_user_said_before() {
    let server = Server::start(Kind::Vsftpd, Tls::On);
    server.write("f", &bytes(1, 1000));
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("known-servers");
    let before = ["AB"; 32].join(":");
    KnownServers::in_file(file.clone()).learn(&server.at.to_string(), &before).unwrap();
    for first in [false, true] {
        let known = KnownServers::in_file(file.clone());
        let known = Arc::new(if first { known.trusting_first(|_| panic!("nothing to tell")) } else { known });
        let error = fetch(&server, Settings { known, ..settings(&server) }).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("HAS CHANGED") && text.contains(&before), "{text}");
        assert!(error.remedy().unwrap().contains(&file.display().to_string()));
        assert_eq!(error.class(), "tls");
    }
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 1, "it is not learnt anew");
}

/// A certificate of our own, and its key.
fn own(folder: &Path, who: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{who}.crt")), folder.join(format!("{who}.key")));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"])
        .arg(format!("/CN={who}"))
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .output()
        .expect("openssl is missing; install it: apt-get install openssl");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (cert, key)
}

#[tokio::test]
async fn a_server_that_asks_for_a_certificate_gets_ours_on_both_channels() {
    let folder = tempfile::tempdir().unwrap();
    let (alice, mallory) = (own(folder.path(), "alice"), own(folder.path(), "mallory"));
    let more = format!(
        "require_cert=YES\nvalidate_cert=YES\nssl_request_cert=YES\nca_certs_file={}\n",
        alice.0.display()
    );
    let server = Server::start_with(Kind::Vsftpd, Tls::On, &more);
    server.write("f", &bytes(1, 100_000));
    for tls12_only in [false, true] {
        let base = || Settings { trust: TlsTrust::Nobody, tls12_only, ..settings(&server) };
        fetch(&server, Settings { identity: Some(alice.clone()), ..base() }).await.unwrap();
        for identity in [None, Some(mallory.clone())] {
            let what = format!("{identity:?}, TLS 1.2: {tls12_only}");
            let error = fetch(&server, Settings { identity, ..base() }).await.expect_err(&what);
            assert!(error.remedy().unwrap().contains("--cert FILE"), "{what}: {error}");
        }
        let swapped = Some((alice.0.clone(), mallory.1.clone()));
        let error = fetch(&server, Settings { identity: swapped, ..base() }).await.unwrap_err();
        assert!(error.to_string().contains("is not the key of"), "{error}");
    }
}
