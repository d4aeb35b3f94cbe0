//! Every command against every server: both modes, plain and under TLS, checksums compared.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::time::Duration;

use portway_client::{Connection, GetOptions, ModeChoice, PutOptions, TlsChoice, TlsTrust, Verify};
use portway_data::Progress;
use portway_proto::Command;
use portway_proto::row::RowKind;
use support::{ALL, Kind, Server, Tls, bytes, here, name, shared};

async fn round_trip(kind: Kind, tls: Tls, mode: ModeChoice) {
    let server = Server::start(kind, tls);
    let what = format!("{kind:?} {tls:?} {mode:?}");
    let mut settings = server.settings();
    settings.mode = mode;
    settings.trust = TlsTrust::Nobody;
    settings.tls = if tls == Tls::On { TlsChoice::Required } else { TlsChoice::Auto };
    let content = bytes(7, 300_000);
    server.write("down.bin", &content);
    let mut connection = Connection::open(&server.target(""), shared(settings))
        .await
        .unwrap_or_else(|e| panic!("{what}: {e}"));
    assert_eq!(connection.is_encrypted(), tls == Tls::On, "{what}");

    let (folder, local) = here();
    let progress = Progress::new();
    let got = connection.get(b"down.bin", &local, &name("down.bin"), GetOptions::default(), &progress).await;
    assert_eq!(got.unwrap_or_else(|e| panic!("{what}: {e}")).size, 300_000, "{what}");
    assert!(std::fs::read(folder.path().join("down.bin")).unwrap() == content, "{what}");

    let file = std::fs::File::open(folder.path().join("down.bin")).unwrap();
    let options = PutOptions { verify: Verify::Digest, ..PutOptions::default() };
    let put = connection.put(&file, b"up.bin", options, &Progress::new()).await;
    assert_eq!(put.unwrap_or_else(|e| panic!("{what}: {e}")).size, 300_000, "{what}");
    assert!(server.read("up.bin") == content, "{what}");
    let options = PutOptions { atomic: true, ..PutOptions::default() };
    connection
        .put(&file, b"up.bin", options, &Progress::new())
        .await
        .unwrap_or_else(|e| panic!("{what}: {e}"));

    connection.demand(&Command::Mkd(b"a dir")).await.unwrap();
    let rows = connection.list(None).await.unwrap_or_else(|e| panic!("{what}: {e}"));
    let mut seen: Vec<_> = rows
        .iter()
        .map(|row| (row.name.clone(), row.kind, row.size.filter(|_| row.kind == RowKind::File)))
        .collect();
    seen.sort_by(|a, b| a.0.cmp(&b.0));
    let file = |n: &str| (n.as_bytes().to_vec(), RowKind::File, Some(300_000));
    assert_eq!(seen, [(b"a dir".to_vec(), RowKind::Dir, None), file("down.bin"), file("up.bin")], "{what}");
    assert_eq!(connection.list(Some(b"a dir")).await.unwrap(), [], "{what}: an empty directory is no error");
    connection.quit().await;
}

#[tokio::test]
async fn files_and_listings_pass_unharmed_in_plain_passive_mode() {
    for kind in ALL {
        round_trip(kind, Tls::Off, ModeChoice::Passive).await;
    }
}

#[tokio::test]
async fn files_and_listings_pass_unharmed_in_plain_active_mode() {
    for kind in ALL {
        round_trip(kind, Tls::Off, ModeChoice::Active).await;
    }
}

#[tokio::test]
async fn files_and_listings_pass_unharmed_under_tls_in_passive_mode() {
    for kind in ALL {
        round_trip(kind, Tls::On, ModeChoice::Passive).await;
    }
}

#[tokio::test]
async fn files_and_listings_pass_unharmed_under_tls_in_active_mode() {
    for kind in ALL {
        round_trip(kind, Tls::On, ModeChoice::Active).await;
    }
}

async fn uploads_in_a_row(kind: Kind, count: usize) {
    let server = Server::start(kind, Tls::On);
    let mut settings = server.settings();
    settings.trust = TlsTrust::Nobody;
    settings.tls = TlsChoice::Required;
    settings.attempts = 1;
    let mut connection = Connection::open(&server.target(""), shared(settings)).await.unwrap();
    let (folder, _) = here();
    std::fs::write(folder.path().join("f"), bytes(3, 1000)).unwrap();
    let file = std::fs::File::open(folder.path().join("f")).unwrap();
    for i in 0..count {
        let (path, progress) = (format!("f{i}"), Progress::new());
        let options = PutOptions { verify: Verify::Replies, ..PutOptions::default() };
        let put = connection.put(&file, path.as_bytes(), options, &progress);
        let put = tokio::time::timeout(Duration::from_secs(60), put).await.unwrap();
        put.unwrap_or_else(|error| panic!("{kind:?}, upload {i}: {error}"));
    }
    assert_eq!(std::fs::read_dir(&server.folder).unwrap().count(), count, "{kind:?}");
}

#[tokio::test]
async fn five_hundred_uploads_in_a_row_resume_the_session_that_vsftpd_demands() {
    uploads_in_a_row(Kind::Vsftpd, 500).await;
}

#[tokio::test]
async fn many_uploads_in_a_row_pass_where_the_server_sends_no_new_tickets() {
    for kind in [Kind::Proftpd, Kind::PureFtpd, Kind::Pyftpdlib] {
        uploads_in_a_row(kind, 50).await;
    }
}
