//! Passive mode on ports of its own, without TLS.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too, fail by panic")]

mod common;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::*;
use portway_data::{
    AnnounceAs, AnnouncePolicy, Broker, BrokerConfig, ChannelMode, Failure, OfferError, PortMap, Proven,
    Sharing,
};
use portway_pinhole::{Hole, HoleId, PinholeError, Pinholes, Waiting};
use portway_proto::Expected;
use tokio::time::{Instant, timeout};

#[tokio::test]
async fn a_stranger_who_comes_first_gets_nothing_and_the_owner_is_served() {
    for sharing in [Sharing::Exclusive, Sharing::Pooled] {
        let broker = broker(2, sharing);
        let offer = broker.offer(&party(HOME)).await.unwrap();
        let stranger = tokio::spawn(thrown_out(STRANGER, offer.announce()));
        tokio::task::yield_now().await;
        let owner = connect(HOME, offer.announce()).await.unwrap();
        let conn = offer.take(later()).await.unwrap();
        assert_eq!(conn.facts().peer, owner.local_addr().unwrap());
        assert_eq!(conn.facts().mode, ChannelMode::Passive);
        assert_eq!((conn.facts().strangers, conn.facts().proven), (1, Proven::Address));
        deliver(conn, b"for the owner").await.unwrap();
        assert_eq!(read_all(owner).await.unwrap(), b"for the owner");
        assert!(stranger.await.unwrap(), "the stranger is reset");
    }
}

#[tokio::test]
async fn the_failure_says_whether_nobody_or_somebody_else_came() {
    for sharing in [Sharing::Exclusive, Sharing::Pooled] {
        let broker = broker(2, sharing);
        let offer = broker.offer(&party(HOME)).await.unwrap();
        let port = offer.announce().port();
        let failure = offer.take(soon()).await.unwrap_err();
        assert!(matches!(failure, Failure::NobodyCame { port: p, .. } if p == port), "{failure:?}");

        let offer = broker.offer(&party(HOME)).await.unwrap();
        let at = offer.announce();
        let (failure, one, two) =
            tokio::join!(offer.take(soon()), thrown_out(STRANGER, at), thrown_out(STRANGER, at));
        assert!(one && two);
        let failure = failure.unwrap_err();
        assert!(matches!(failure, Failure::OnlyStrangersCame { count: 2, .. }), "{failure:?}");
        assert_eq!(broker.usage().pending, 0, "a failed offer frees its place");
    }
}

#[tokio::test]
async fn a_used_up_range_gets_425_at_once_and_nothing_outside_is_announced() {
    let broker = broker(3, Sharing::Exclusive);
    let mut offers = Vec::new();
    for _ in 0..3 {
        let offer = broker.offer(&party(HOME)).await.unwrap();
        assert!(broker.range().contains(&offer.announce().port()));
        offers.push(offer);
    }
    let start = Instant::now();
    let refused = broker.offer(&party(HOME)).await.err().unwrap();
    assert!(matches!(refused, OfferError::PoolFull(..)), "{refused:?}");
    assert_eq!(refused.code().number(), 425);
    assert!(start.elapsed() < Duration::from_millis(50));
    offers.pop();
    broker.offer(&party(HOME)).await.unwrap();
}

#[tokio::test]
async fn a_served_connection_does_not_occupy_its_port() {
    let broker = broker(1, Sharing::Exclusive);
    let mut running = Vec::new();
    for n in 0..5 {
        let offer = broker.offer(&party(HOME)).await.unwrap();
        let client = connect(HOME, offer.announce()).await.unwrap();
        running.push((n, client, offer.take(later()).await.unwrap()));
    }
    for (n, client, conn) in running {
        let data = format!("file {n}");
        deliver(conn, data.as_bytes()).await.unwrap();
        assert_eq!(read_all(client).await.unwrap(), data.as_bytes());
    }
}

#[tokio::test]
async fn a_thousand_announcements_that_nobody_follows_cost_nothing() {
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let broker = broker(100, Sharing::Exclusive);
    let session = party(HOME);
    let before = descriptors();
    let mut offer = broker.offer(&session).await.unwrap();
    for _ in 0..1000 {
        drop(offer);
        offer = broker.offer(&session).await.unwrap();
        assert_eq!(broker.usage().pending, 1);
    }
    let last = offer.announce();
    drop(offer);
    assert_eq!(broker.usage().pending, 0);
    assert!(descriptors() - before < 40, "{} more descriptors", descriptors() - before);
    assert!(connect(HOME, last).await.is_err(), "a port nobody announces is closed");
}

#[tokio::test]
async fn waiting_may_be_interrupted_and_the_connection_is_kept() {
    let broker = broker(1, Sharing::Exclusive);
    let mut offer = broker.offer(&party(HOME)).await.unwrap();
    assert!(timeout(Duration::from_millis(5), offer.arrive()).await.is_err());
    let client = connect(HOME, offer.announce()).await.unwrap();
    timeout(Duration::from_secs(20), offer.arrive()).await.unwrap().unwrap();
    assert!(offer.has_arrived());
    assert!(connect(HOME, offer.announce()).await.is_err(), "one announcement, one connection");
    let conn = offer.take(Instant::now()).await.unwrap();
    deliver(conn, b"data").await.unwrap();
    assert_eq!(read_all(client).await.unwrap(), b"data");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_does_not_keep_the_owner_out() {
    for sharing in [Sharing::Exclusive, Sharing::Pooled] {
        let broker = broker(1, sharing);
        let mut waits = Vec::new();
        for _ in 0..20 {
            let mut offer = broker.offer(&party(HOME)).await.unwrap();
            let at = offer.announce();
            // Ten thousand strangers in all; they come as fast as one thread can connect.
            let flood = tokio::task::spawn_blocking(move || {
                for n in 0..500_u16 {
                    let from = SocketAddr::from(([127, 0, 1, (n % 250) as u8 + 1], 0));
                    let socket = socket_from(from);
                    let _ = rustix::net::connect(&socket, &at);
                }
            });
            let start = Instant::now();
            let (client, arrived) =
                tokio::join!(connect(HOME, at), timeout(Duration::from_secs(20), offer.arrive()));
            arrived.unwrap().unwrap();
            waits.push(start.elapsed());
            let conn = offer.take(later()).await.unwrap();
            deliver(conn, b"mine").await.unwrap();
            assert_eq!(read_all(client.unwrap()).await.unwrap(), b"mine");
            flood.await.unwrap();
        }
        waits.sort_unstable();
        assert!(waits[18] < Duration::from_millis(900), "{sharing:?}: {waits:?}");
    }
}

fn socket_from(from: SocketAddr) -> rustix::fd::OwnedFd {
    use rustix::net::{AddressFamily, SocketType, bind, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &from).unwrap();
    socket
}

#[tokio::test]
async fn clients_are_told_the_address_by_which_they_reach_us() {
    let announce = AnnouncePolicy {
        table: vec![("127.0.0.0/8".parse().unwrap(), AnnounceAs::Fixed("203.0.113.5".parse().unwrap()))],
        ports: PortMap::Offset(1000),
        ..AnnouncePolicy::default()
    };
    let broker = Broker::new(BrokerConfig { announce, ..config(1, Sharing::Exclusive) }).unwrap();
    let offer = broker.offer(&party(HOME)).await.unwrap();
    let port = *broker.range().start();
    assert_eq!(offer.announce(), SocketAddr::from(([203, 0, 113, 5], port + 1000)));
    let brackets = offer.announced().host_port().unwrap().to_string();
    assert!(brackets.starts_with("203,0,113,5,"), "{brackets}");
    assert!(
        connect(HOME, SocketAddr::new(HOME, port)).await.is_ok(),
        "the bound port is the one of the range"
    );
}

#[tokio::test]
async fn ipv6_and_mapped_addresses_work_alike() {
    let broker = broker(4, Sharing::Exclusive);
    let mut six = party("::1".parse().unwrap());
    six.local = "[::1]:21".parse().unwrap();
    let offer = broker.offer(&six).await.unwrap();
    assert!(offer.announce().is_ipv6());
    let _client = tokio::net::TcpStream::connect(offer.announce()).await.unwrap();
    offer.take(later()).await.unwrap();

    let mut mapped = party("::ffff:127.0.0.1".parse().unwrap());
    mapped.local = "[::ffff:127.0.0.1]:21".parse().unwrap();
    let offer = broker.offer(&mapped).await.unwrap();
    assert!(offer.announce().is_ipv4());
    let _client = connect(HOME, offer.announce()).await.unwrap();
    offer.take(later()).await.unwrap();
}

/// A filter that writes down what it was asked.
#[derive(Default)]
struct Filter {
    open: Mutex<Vec<Expected>>,
    closed: Mutex<Vec<HoleId>>,
    announce: Option<SocketAddr>,
    refuse: bool,
}

impl Pinholes for Filter {
    fn open(&self, want: Expected) -> Option<Waiting<'_, Result<Hole, PinholeError>>> {
        Some(Box::pin(async move {
            tokio::task::yield_now().await;
            if self.refuse {
                return Err(PinholeError::Full(7));
            }
            let mut open = self.open.lock().unwrap();
            open.push(want);
            Ok(Hole { id: HoleId(open.len() as u64), announce: self.announce })
        }))
    }

    fn close(&self, id: HoleId) -> Waiting<'_, ()> {
        Box::pin(async move { self.closed.lock().unwrap().push(id) })
    }
}

#[tokio::test]
async fn the_pinhole_is_open_before_the_announcement_and_closed_after_the_transfer() {
    let public: SocketAddr = "203.0.113.5:40001".parse().unwrap();
    let filter = Arc::new(Filter { announce: Some(public), ..Filter::default() });
    let broker =
        Broker::new(BrokerConfig { pinholes: filter.clone(), ..config(1, Sharing::Exclusive) }).unwrap();
    let offer = broker.offer(&party(HOME)).await.unwrap();
    let bound = SocketAddr::new(HOME, *broker.range().start());
    let want = filter.open.lock().unwrap()[0];
    assert_eq!((want.from, want.to()), (HOME, bound));
    assert!(want.within <= Duration::from_secs(60));
    assert_eq!(offer.announce(), public, "the gate's own address, where it translates");

    let client = connect(HOME, bound).await.unwrap();
    let conn = offer.take(later()).await.unwrap();
    assert!(filter.closed.lock().unwrap().is_empty(), "open while octets move");
    deliver(conn, b"data").await.unwrap();
    assert_eq!(read_all(client).await.unwrap(), b"data");
    until("the hole is closed", || filter.closed.lock().unwrap().len() == 1).await;

    drop(broker.offer(&party(HOME)).await.unwrap());
    until("the abandoned hole is closed", || filter.closed.lock().unwrap().len() == 2).await;
}

#[tokio::test]
async fn a_firewall_that_stays_shut_is_a_reason_and_takes_no_port() {
    let filter = Arc::new(Filter { refuse: true, ..Filter::default() });
    let broker = Broker::new(BrokerConfig { pinholes: filter, ..config(1, Sharing::Exclusive) }).unwrap();
    for _ in 0..3 {
        let refused = broker.offer(&party(HOME)).await.err().unwrap();
        assert!(matches!(refused, OfferError::Pinhole(PinholeError::Full(7))), "{refused:?}");
    }
    assert_eq!(broker.usage().pending, 0);
}

#[tokio::test]
async fn the_futures_can_move_between_threads() {
    fn movable<T: Send>(value: T) -> T {
        value
    }
    let broker = broker(1, Sharing::Exclusive);
    let party = party(HOME);
    let mut offer = movable(broker.offer(&party)).await.unwrap();
    drop(movable(offer.arrive()));
    let failure = movable(offer.take(soon())).await.unwrap_err();
    assert_eq!(failure.cause(), "nobody_came");
}
