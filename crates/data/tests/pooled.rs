//! Any number of sessions on one port.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

mod common;

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use common::*;
use portway_data::{Broker, Failure, Offer, OfferError, Party, Sharing};
use tokio::time::Instant;

/// An offer, tried again when the address was busy.
async fn offer_patiently(broker: &Broker, party: &Party) -> Offer {
    let start = Instant::now();
    loop {
        match broker.offer(party).await {
            Ok(offer) => return offer,
            Err(OfferError::AddressBusy) if start.elapsed() < Duration::from_secs(60) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sixty_sessions_of_one_address_share_one_port_and_each_gets_its_own_file() {
    let broker = broker(1, Sharing::Pooled);
    let sessions: Vec<_> = (0..60_u32)
        .map(|n| {
            let broker = broker.clone();
            tokio::spawn(async move {
                let (party, file) = (party(HOME), n.to_be_bytes().repeat(50_000));
                for _ in 0..3 {
                    let offer = offer_patiently(&broker, &party).await;
                    let client = connect(HOME, offer.announce()).await.unwrap();
                    let conn = offer.take(later()).await.unwrap();
                    let (sent, read) = tokio::join!(deliver(conn, &file), read_all(client));
                    sent.unwrap();
                    assert!(read.unwrap() == file, "session {n} got another's file");
                }
            })
        })
        .collect();
    for session in sessions {
        session.await.unwrap();
    }
    assert_eq!(broker.usage().pending, 0);
}

#[tokio::test]
async fn sessions_of_different_addresses_need_not_wait_for_one_another() {
    let broker = broker(1, Sharing::Pooled);
    let addresses: Vec<IpAddr> = (2..40).map(|n| Ipv4Addr::new(127, 0, 0, n).into()).collect();
    let mut offers = Vec::new();
    for &address in &addresses {
        offers.push(broker.offer(&party(address)).await.unwrap());
    }
    assert_eq!(broker.usage().pending, addresses.len());
    for (&address, offer) in addresses.iter().zip(offers).rev() {
        let client = connect(address, offer.announce()).await.unwrap();
        let conn = offer.take(later()).await.unwrap();
        assert_eq!(conn.facts().peer, client.local_addr().unwrap());
    }
}

#[tokio::test]
async fn a_second_plain_offer_of_one_address_takes_another_port_or_is_refused_with_a_reason() {
    let broker = broker(2, Sharing::Pooled);
    let (first, second) = (party(HOME), party(HOME));
    let one = broker.offer(&first).await.unwrap();
    let two = broker.offer(&second).await.unwrap();
    assert_ne!(one.announce(), two.announce());
    let start = Instant::now();
    let refused = broker.offer(&party(HOME)).await.err().unwrap();
    assert!(matches!(refused, OfferError::AddressBusy), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(one);
    // The port just given up is kept from strangers to the session for a moment, not for long.
    let three = broker.offer(&party(HOME)).await.unwrap();
    assert_ne!(three.announce(), two.announce());
}

#[tokio::test]
async fn waiting_sessions_are_served_in_the_order_they_came() {
    let broker = broker(1, Sharing::Pooled);
    let first = broker.offer(&party(HOME)).await.unwrap();
    let order = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut waiting = Vec::new();
    for n in 0..5 {
        let (broker, order) = (broker.clone(), order.clone());
        let task = tokio::spawn(async move {
            let offer = broker.offer(&party(HOME)).await.unwrap();
            order.lock().unwrap().push(n);
            let _client = connect(HOME, offer.announce()).await.unwrap();
            offer.take(later()).await.unwrap();
        });
        // On one thread the task runs until it waits.
        tokio::task::yield_now().await;
        waiting.push(task);
    }
    let _client = connect(HOME, first.announce()).await.unwrap();
    first.take(later()).await.unwrap();
    for task in waiting {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test]
async fn a_connection_that_came_before_the_offer_is_not_its_owner() {
    let (broker, session) = (broker(1, Sharing::Pooled), party(HOME));
    let abandoned = broker.offer(&session).await.unwrap();
    let at = abandoned.announce();
    drop(abandoned);
    // Without an await nobody looks at the queue before the next offer does.
    let stale = std::net::TcpStream::connect(at).unwrap();
    let offer = broker.offer(&session).await.unwrap();
    assert_eq!(offer.announce(), at, "there is only one port");
    let owner = connect(HOME, at).await.unwrap();
    let conn = offer.take(later()).await.unwrap();
    assert_eq!(conn.facts().peer, owner.local_addr().unwrap());
    assert!(std::io::Read::read(&mut &stale, &mut [0]).is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_sessions_of_one_address_share_a_port_and_are_told_apart_by_their_tickets() {
    let broker = broker(1, Sharing::Pooled);
    let server = server_tls();
    let (mut sessions, mut offers) = (Vec::new(), Vec::new());
    for _ in 0..8 {
        let session = Session::open(&server).await;
        offers.push(broker.offer(&session.party).await.unwrap());
        sessions.push(session);
    }
    assert_eq!(broker.usage().pending, 8, "all wait at once on one port");
    // Their connections come in the opposite order.
    let mut clients = Vec::new();
    for (n, (session, offer)) in sessions.iter().zip(&offers).enumerate().rev() {
        let tcp = connect(HOME, offer.announce()).await.unwrap();
        let handshake = session.client.connect_data(tcp);
        clients
            .push(tokio::spawn(async move { (n, read_tls(&mut handshake.await.unwrap()).await.unwrap()) }));
    }
    for (n, offer) in offers.into_iter().enumerate() {
        let conn = offer.take(later()).await.unwrap();
        deliver(conn, format!("file of session {n}").as_bytes()).await.unwrap();
    }
    for client in clients {
        let (n, file) = client.await.unwrap();
        assert_eq!(file, format!("file of session {n}").as_bytes());
    }
}

#[tokio::test]
async fn a_tls_connection_that_could_be_two_sessions_is_refused_and_the_owners_are_served() {
    let broker = broker(1, Sharing::Pooled);
    let server = server_tls();
    let (one, two) = (Session::open(&server).await, Session::without_tickets(&server).await);
    let first = broker.offer(&one.party).await.unwrap();
    let second = broker.offer(&two.party).await.unwrap();
    assert_eq!(first.announce(), second.announce());
    // The second session's client shows no ticket: it could be either.
    let tcp = connect(HOME, second.announce()).await.unwrap();
    assert!(two.client.connect_data(tcp).await.is_err());
    let failure = second.take(soon()).await.unwrap_err();
    assert!(matches!(failure, Failure::Ambiguous { count: 1, .. }), "{failure:?}");
    let (mut client, conn) = tokio::join!(one.connect(first.announce()), first.take(later()));
    deliver(conn.unwrap(), b"of the first").await.unwrap();
    assert_eq!(read_tls(&mut client).await.unwrap(), b"of the first");
}

#[tokio::test]
async fn a_disputed_connection_is_not_given_to_the_one_who_remains() {
    let broker = broker(1, Sharing::Pooled);
    let server = server_tls();
    let (one, two) = (Session::open(&server).await, Session::without_tickets(&server).await);
    let first = broker.offer(&one.party).await.unwrap();
    let second = broker.offer(&two.party).await.unwrap();
    // It came while both were waiting and spoke only when one had left.
    let silent = connect(HOME, second.announce()).await.unwrap();
    // Whoever is thrown out came after the silent one, who has been seen then.
    assert!(thrown_out(STRANGER, second.announce()).await);
    drop(second);
    let (spoken, first) = tokio::join!(two.client.connect_data(silent), first.take(soon()));
    assert!(spoken.is_err());
    assert!(matches!(first, Err(Failure::Ambiguous { .. })), "{first:?}");
}

#[tokio::test]
async fn plain_and_tls_sessions_of_one_address_do_not_share_a_port() {
    let broker = broker(1, Sharing::Pooled);
    let server = server_tls();
    let session = Session::open(&server).await;
    let plain = broker.offer(&party(HOME)).await.unwrap();
    assert!(matches!(broker.offer(&session.party).await, Err(OfferError::AddressBusy)));
    drop(plain);
    let _tls = broker.offer(&session.party).await.unwrap();
    assert!(matches!(broker.offer(&party(HOME)).await, Err(OfferError::AddressBusy)));
}
