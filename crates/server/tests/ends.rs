//! How sessions end, and that nobody can keep one from ending.

mod common;

use std::sync::Arc;
use std::time::Duration;

use common::{PATIENCE, Site, tls};
use portway_data::{Broker, BrokerConfig, PassivePorts, Sharing};
use portway_proto::Policy;

#[tokio::test]
async fn a_shutdown_waits_for_no_handshake() {
    let site = Site::with(|parts, _| parts.tls = Some(tls()));
    let mut silent = site.connect().await;
    assert_eq!(silent.say("AUTH TLS").await, 234);
    let mut idle = site.ann().await;
    site.server.shutdown().begin();
    assert_eq!(idle.code().await, 421);
    let clean = tokio::time::timeout(PATIENCE / 2, site.serving).await.expect("it ends").expect("no panic");
    assert!(clean);
}

#[tokio::test]
async fn a_client_that_never_ends_its_tls_after_ccc_is_given_up() {
    let site = Site::with(|parts, _| {
        parts.tls = Some(tls());
        parts.policy = Arc::new(Policy { ccc: true, ..Policy::default() });
        parts.timeouts.idle = Duration::from_millis(300);
    });
    let mut ann = site.connect().await;
    ann.auth().await;
    for (line, code) in [("USER ann", 331), ("PASS x", 230), ("CCC", 200)] {
        assert_eq!(ann.say(line).await, code, "{line}");
    }
    site.logged(&["session_closed", "tls_failed"]).await;
}

#[tokio::test]
async fn a_login_in_the_clear_is_forgotten_by_auth() {
    let site = Site::with(|parts, _| parts.tls = Some(tls()));
    let mut ann = site.ann().await;
    ann.auth().await;
    assert_eq!(ann.say("PWD").await, 530);
    assert_eq!(site.server.parts().registry.sessions()[0].user, None);
}

#[tokio::test]
async fn a_port_that_is_not_to_be_had_is_logged() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let site = Site::with(|parts, _| {
        let ports = PassivePorts::Range(port..=port);
        let config_of_broker = BrokerConfig { ports, sharing: Sharing::Exclusive, ..BrokerConfig::default() };
        parts.broker = Broker::new(config_of_broker).expect("a broker");
    });
    let mut ann = site.ann().await;
    assert_eq!(ann.say("EPSV").await, 425);
    site.logged(&["data_failed", "EPSV", "pool_full"]).await;
    assert_eq!(ann.say("NOOP").await, 200);
}
