//! Active mode.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

mod common;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use common::*;
use portway_data::{Broker, BrokerConfig, ChannelMode, DialError, Failure, OwnListeners, Sharing};
use portway_proto::{Announced, Vetted};
use tokio::net::TcpListener;
use tokio::time::Instant;

fn vetted(to: SocketAddr) -> Vetted {
    Announced::new(to).vet(to.ip()).unwrap()
}

#[tokio::test]
async fn the_connection_comes_from_the_address_of_the_control_connection() {
    let broker = broker(1, Sharing::Exclusive);
    let client = TcpListener::bind((HOME, 0)).await.unwrap();
    let mut session = party(HOME);
    session.local = "127.0.0.3:21".parse().unwrap();
    let dial = broker.expect(&session, vetted(client.local_addr().unwrap())).await.unwrap();
    let (conn, accepted) = tokio::join!(dial.connect(later()), client.accept());
    let (conn, (stream, from)) = (conn.unwrap(), accepted.unwrap());
    assert_eq!(from.ip(), "127.0.0.3".parse::<IpAddr>().unwrap());
    assert_eq!((conn.facts().mode, conn.facts().local), (ChannelMode::Active, from));
    deliver(conn, b"data").await.unwrap();
    assert_eq!(read_all(stream).await.unwrap(), b"data");
}

#[tokio::test]
async fn a_fixed_source_port_is_used_and_a_collision_never_reaches_the_client() {
    let source = *quiet_range(1).start();
    let config = BrokerConfig { active_source_port: Some(source), ..config(1, Sharing::Exclusive) };
    let broker = Broker::new(config).unwrap();
    let client = TcpListener::bind((HOME, 0)).await.unwrap();
    let mut kept = Vec::new();
    for n in 0..20 {
        let dial = broker.expect(&party(HOME), vetted(client.local_addr().unwrap())).await.unwrap();
        let (conn, accepted) = tokio::join!(dial.connect(later()), client.accept());
        let (conn, (stream, from)) = (conn.unwrap(), accepted.unwrap());
        assert!(n > 0 || from.port() == source);
        // Every other connection stays open, so that the pair of ports is in use; the rest go to TIME_WAIT.
        if n % 2 == 0 {
            kept.push((conn, stream));
        }
    }
}

#[tokio::test]
async fn a_closed_port_is_told_from_a_black_hole_and_both_end_in_time() {
    let broker = broker(1, Sharing::Exclusive);
    let closed = TcpListener::bind((HOME, 0)).await.unwrap().local_addr().unwrap();
    let dial = broker.expect(&party(HOME), vetted(closed)).await.unwrap();
    let failure = dial.connect(later()).await.unwrap_err();
    assert!(matches!(failure, Failure::Refused { to } if to == closed), "{failure:?}");

    // A listener whose queue is full answers nobody.
    let full = std::net::TcpListener::bind((HOME, 0)).unwrap();
    rustix::net::listen(&full, 0).unwrap();
    let hole = full.local_addr().unwrap();
    let mut queue = Vec::new();
    while let Ok(stream) = std::net::TcpStream::connect_timeout(&hole, Duration::from_millis(100)) {
        queue.push(stream);
    }
    let dial = broker.expect(&party(HOME), vetted(hole)).await.unwrap();
    let start = Instant::now();
    let failure = dial.connect(Instant::now() + Duration::from_millis(300)).await.unwrap_err();
    assert!(matches!(failure, Failure::TimedOut { to, .. } if to == hole), "{failure:?}");
    assert!(start.elapsed() >= Duration::from_millis(300) && start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn our_own_listeners_and_passive_ports_are_never_dialled() {
    for sharing in [Sharing::Exclusive, Sharing::Pooled] {
        let own = OwnListeners::new();
        let control = TcpListener::bind((HOME, 0)).await.unwrap().local_addr().unwrap();
        own.add(SocketAddr::new("0.0.0.0".parse().unwrap(), control.port()));
        let broker = Broker::new(BrokerConfig { own_listeners: own, ..config(1, sharing) }).unwrap();
        let offer = broker.offer(&party(HOME)).await.unwrap();
        for to in [control, offer.announce()] {
            let refused = broker.expect(&party(HOME), vetted(to)).await.unwrap_err();
            assert!(matches!(refused, DialError::Refused(_)), "{refused:?}");
            assert_eq!(refused.code().number(), 501);
        }
    }
}

#[tokio::test]
async fn we_are_the_tls_server_in_active_mode_too() {
    let broker = broker(1, Sharing::Exclusive);
    let session = Session::open(&server_tls()).await;
    let client = TcpListener::bind((HOME, 0)).await.unwrap();
    let dial = broker.expect(&session.party, vetted(client.local_addr().unwrap())).await.unwrap();
    let theirs = async {
        let (stream, _) = client.accept().await.unwrap();
        session.client.connect_data(stream).await.unwrap()
    };
    let (conn, mut theirs) = tokio::join!(dial.connect(later()), theirs);
    let conn = conn.unwrap();
    assert!(conn.tls().unwrap().resumed && session.party.history.has_resumed());
    deliver(conn, b"secret").await.unwrap();
    assert_eq!(read_tls(&mut theirs).await.unwrap(), b"secret");
}

#[tokio::test]
async fn a_client_that_begins_no_handshake_is_not_waited_for_forever() {
    let broker = broker(1, Sharing::Exclusive);
    let session = Session::open(&server_tls()).await;
    let client = TcpListener::bind((HOME, 0)).await.unwrap();
    let dial = broker.expect(&session.party, vetted(client.local_addr().unwrap())).await.unwrap();
    let (conn, _silent) = tokio::join!(dial.connect(soon()), client.accept());
    assert!(matches!(conn, Err(Failure::NoHandshake { .. })));
}
