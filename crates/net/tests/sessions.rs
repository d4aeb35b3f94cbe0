//! Whose data connection is this? Tickets, tags and their limits.
#![allow(clippy::unwrap_used, reason = "tests may, their helpers too")]

mod common;

use common::{Session, VERSIONS, client, identity, pair, read_all, server};
use portway_net::{Hello, read_hello};

#[tokio::test]
async fn a_data_connection_resumes_its_own_session_as_often_as_it_likes() {
    for version in VERSIONS {
        let session = Session::open(&server(), &client(version)).await;
        assert_eq!(session.server.tls().unwrap().version, version);
        assert!(!session.server.tls().unwrap().resumed);
        for round in 0..4 {
            let (ours, theirs) = session.data().await;
            assert!(ours.info().resumed && theirs.info().resumed, "TLS {version}, round {round}");
            assert_eq!(ours.info().version, version);
        }
    }
}

#[tokio::test]
async fn the_ticket_of_another_session_falls_to_a_full_handshake() {
    for version in VERSIONS {
        let (server, client) = (server(), client(version));
        let mine = Session::open(&server, &client).await;
        let foreign = Session::open(&server, &client).await;
        let (accepted, connected) = pair().await;
        let (ours, theirs) =
            tokio::join!(mine.server_tls.accept_data(accepted), foreign.client_tls.connect_data(connected));
        assert!(!ours.unwrap().info().resumed, "TLS {version}");
        assert!(!theirs.unwrap().info().resumed, "TLS {version}");
        let (ours, _) = mine.data().await;
        assert!(ours.info().resumed, "the owner still is");
    }
}

#[tokio::test]
async fn a_session_outlives_the_reload_of_the_certificate() {
    for version in VERSIONS {
        let (server, client) = (server(), client(version));
        let session = Session::open(&server, &client).await;
        server.reload(identity());
        let (ours, _) = session.data().await;
        assert!(ours.info().resumed, "TLS {version}");
        let newer = Session::open(&server, &client).await;
        assert_ne!(newer.client_tls.server_fingerprint(), session.client_tls.server_fingerprint());
    }
}

#[tokio::test]
async fn five_hundred_transfers_in_one_session_all_resume() {
    let session = Session::open(&server(), &client("1.3")).await;
    for round in 0..500 {
        let (mut ours, mut theirs) = session.data().await;
        assert!(ours.info().resumed, "transfer {round}");
        let (from, to) = if round % 2 == 0 { (&mut theirs, &mut ours) } else { (&mut ours, &mut theirs) };
        let send = async {
            from.write_all(b"file").await.unwrap();
            from.finish_sending().await.unwrap();
        };
        let receive = async {
            assert_eq!(read_all(to).await.unwrap(), b"file");
            to.finish_receiving().await.unwrap();
        };
        tokio::join!(send, receive);
    }
    assert!(session.client_tls.tickets_left() > 0);
}

#[tokio::test]
async fn the_server_notices_when_a_one_use_client_has_no_ticket_left() {
    let session = Session::open(&server(), &client("1.3")).await;
    assert_eq!(session.client_tls.tickets_left(), 8);
    for _ in 0..8 {
        assert!(!session.server_tls.tickets_exhausted());
        let (mut ours, mut theirs) = session.data().await;
        theirs.send_end().await.unwrap();
        assert_eq!(read_all(&mut ours).await.unwrap(), b"");
        drop((ours, theirs)); // neither sends nor reads the next ticket
    }
    assert_eq!(session.client_tls.tickets_left(), 0);
    assert!(session.server_tls.tickets_exhausted());
    let (ours, _) = session.data().await;
    assert!(!ours.info().resumed);
}

#[tokio::test]
async fn under_tls_1_2_tickets_are_never_exhausted() {
    let session = Session::open(&server(), &client("1.2")).await;
    for _ in 0..3 {
        session.data().await;
        assert!(!session.server_tls.tickets_exhausted());
        assert_eq!(session.client_tls.tickets_left(), usize::MAX);
    }
}

#[tokio::test]
async fn a_hello_names_its_session_before_it_is_answered() {
    for version in VERSIONS {
        let session = Session::open(&server(), &client(version)).await;
        let other = Session::open(&server(), &client(version)).await;
        assert_ne!(session.server_tls.tag(), other.server_tls.tag());
        let hello = peeked_hello(&session).await;
        assert_eq!(read_hello(&hello), Hello::Session(session.server_tls.tag()), "TLS {version}");
        for cut in 0..hello.len() {
            assert_eq!(read_hello(&hello[..cut]), Hello::NeedMore, "TLS {version}, {cut} octets");
        }
        for cut in [1, 3, 4, 5, 100, hello.len() - 6] {
            let recut = in_records_of(cut, &hello);
            assert_eq!(
                read_hello(&recut),
                Hello::Session(session.server_tls.tag()),
                "TLS {version}, by {cut}"
            );
        }
    }
}

#[tokio::test]
async fn a_hello_without_a_ticket_names_no_session() {
    for version in VERSIONS {
        let fresh = client(version).control("localhost").unwrap();
        let (accepted, connected) = pair().await;
        let hello = peek_while(accepted, fresh.connect_data(connected)).await;
        assert_eq!(read_hello(&hello), Hello::NoSession, "TLS {version}");
    }
}

async fn peeked_hello(session: &Session) -> Vec<u8> {
    let (accepted, connected) = pair().await;
    peek_while(accepted, session.client_tls.connect_data(connected)).await
}

/// What a client sends before it gets an answer.
async fn peek_while(server: tokio::net::TcpStream, client: impl Future) -> Vec<u8> {
    let mut hello = vec![0; 16 * 1024];
    let whole = async {
        loop {
            let n = server.peek(&mut hello).await.unwrap();
            if read_hello(&hello[..n]) != Hello::NeedMore {
                return n;
            }
        }
    };
    tokio::select! {
        n = whole => { hello.truncate(n); hello }
        _ = client => panic!("nobody answered"),
    }
}

/// The same handshake message, cut into records of `size` octets.
fn in_records_of(size: usize, hello: &[u8]) -> Vec<u8> {
    let mut records = vec![];
    for fragment in hello[5..].chunks(size) {
        records.extend_from_slice(&hello[..3]);
        records.extend_from_slice(&(fragment.len() as u16).to_be_bytes());
        records.extend_from_slice(fragment);
    }
    records
}
