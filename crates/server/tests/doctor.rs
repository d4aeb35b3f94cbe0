//! SITE DOCTOR: what the server tells a client about itself.

mod common;

use common::Site;
use tokio::net::TcpListener;

#[tokio::test]
async fn a_client_learns_how_it_looks_from_the_other_side() {
    let site = Site::open();
    let mut ann = site.ann().await;
    let port =
        TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("its address").port();
    assert_eq!(ann.say(&format!("EPRT |1|127.0.0.1|{port}|")).await, 200);
    let told = ann.ask("SITE DOCTOR").await;
    assert!(told.contains(&format!("announced=127.0.0.1:{port}")), "{told}");
    assert!(told.contains("control=127.0.0.1:") && told.contains("protection=clear"), "{told}");
    // The listener is gone again, and nobody is on the way.
    assert!(told.contains("hops=closed"), "{told}");
}

#[tokio::test]
async fn strangers_learn_nothing_and_nobody_may_ask_without_end() {
    let site = Site::open();
    let mut stranger = site.connect().await;
    assert_eq!(stranger.say("SITE DOCTOR").await, 530);
    let mut ann = site.ann().await;
    assert_eq!(ann.say("SITE DOCTOR").await, 211);
    assert_eq!(ann.say("SITE DOCTOR").await, 450, "not twice in a second");
}
