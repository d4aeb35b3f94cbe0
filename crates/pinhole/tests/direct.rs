//! Pinholes written by this very process, and its end.
#![allow(clippy::unwrap_used)]

#[path = "../../nft/tests/lab/mod.rs"]
mod lab;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use lab::{CLIENT, GATE, Lab, SERVER, at, in_namespaces, run, strict};
use portway_nft::{DEFAULT_MARK, End, Layout, Policy};
use portway_pinhole::{NftPinholes, PinholeError, Pinholes as _};
use portway_proto::{Announced, Expected};

fn expected(from: &str, to: std::net::SocketAddr) -> Expected {
    Expected::new(from.parse().unwrap(), Announced::new(to).vet(to.ip()).unwrap())
}

#[tokio::test]
async fn a_process_with_the_capability_opens_its_own_holes() {
    if !lab::is_inside() {
        return in_namespaces(|| {});
    }
    let lab = Lab::new();
    strict(DEFAULT_MARK);
    let ended = Arc::new(Mutex::new(Vec::new()));
    let log = ended.clone();
    let policy = Policy { per_pair: 2, ..Policy::default() };
    let holes = NftPinholes::install(&Layout::default(), policy)
        .unwrap()
        .with_log(move |hole| log.lock().unwrap().push((hole.key.to.port(), hole.how)));
    for family in [0, 1] {
        let passive = at(GATE[family], 5000);
        lab::greet(passive);
        assert!(!lab.reaches(CLIENT[family], passive));
        let hole = holes.open(expected(CLIENT[family], passive)).unwrap().await.unwrap();
        assert_eq!(hole.announce, None);
        assert!(lab.reaches(CLIENT[family], passive));
        assert!(!lab.reaches(CLIENT[family], passive));
        holes.close(hole.id).await;
        let unused = holes.open(expected(CLIENT[family], at(GATE[family], 5001))).unwrap().await.unwrap();
        holes.close(unused.id).await;
        holes.close(unused.id).await;
        // Active mode: from here to the client.
        holes.open(expected(GATE[family], at(CLIENT[family], 5002))).unwrap().await.unwrap();
        let foreign = holes.open(expected(CLIENT[family], at(SERVER[family], 5003))).unwrap().await;
        assert!(matches!(foreign, Err(PinholeError::Denied { .. })), "{foreign:?}");
    }
    assert_eq!(
        *ended.lock().unwrap(),
        [(5000, End::Used), (5001, End::Closed), (5000, End::Used), (5001, End::Closed)]
    );
    for port in [6100, 6101] {
        holes.open(expected(CLIENT[0], at(GATE[0], port))).unwrap().await.unwrap();
    }
    let third = holes.open(expected(CLIENT[0], at(GATE[0], 6102))).unwrap().await;
    assert!(matches!(third, Err(PinholeError::Full(2))), "{third:?}");
    assert!(holes.open(expected("::1", at("::1", 5000))).is_none(), "nobody filters loopback");
    drop(holes);
    assert!(!run("nft list tables").contains("portway"));
}

#[tokio::test]
async fn a_hole_that_nobody_uses_is_logged_as_expired() {
    if !lab::is_inside() {
        return in_namespaces(|| {});
    }
    let _lab = Lab::new();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let log = ended.clone();
    let holes = NftPinholes::install(&Layout::default(), Policy::default())
        .unwrap()
        .with_log(move |hole| log.lock().unwrap().push(hole.how));
    let mut want = expected(CLIENT[0], at(GATE[0], 5000));
    want.within = Duration::from_secs(1);
    holes.open(want).unwrap().await.unwrap();
    let end = Instant::now() + Duration::from_secs(5);
    while ended.lock().unwrap().is_empty() && Instant::now() < end {
        holes.sweep();
        tokio::task::yield_now().await;
    }
    assert_eq!(*ended.lock().unwrap(), [End::Expired]);
}
