//! Server and gate over a real connection: restarts, silence, floods.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use portway_agent::{Agent, AgentPinholes, AgentServer, Denied, Gatekeeper, Opened};
use portway_net::{
    Authority, ClientTls, ClientTlsOptions, Identity, Issued, ServerTls, ServerTlsOptions, TlsMin, Trust,
};
use portway_pinhole::{PinholeError, Pinholes as _};
use portway_proto::{Announced, Expected};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

const SERVER: &str = "198.51.100.1";
const CLIENT: &str = "192.0.2.7";
const PUBLIC: &str = "203.0.113.1:50123";

/// A gate that remembers what is open.
#[derive(Default)]
struct Keeper {
    open: Mutex<BTreeSet<(u64, u64)>>,
    refused: Mutex<Vec<String>>,
}

impl Gatekeeper for Keeper {
    fn open(&self, agent: &Agent, client: IpAddr, want: Expected) -> Result<Opened, Denied> {
        if want.to().port() == 5555 {
            return Err(Denied::Rule(format!("{client} has no control connection")));
        }
        let hole = u64::from(want.to().port());
        self.open.lock().unwrap().insert((agent.connection, hole));
        Ok(Opened { hole, announce: Some(PUBLIC.parse().unwrap()) })
    }

    fn close(&self, agent: &Agent, hole: u64) {
        self.open.lock().unwrap().remove(&(agent.connection, hole));
    }

    fn end(&self, agent: &Agent) {
        self.open.lock().unwrap().retain(|(connection, _)| *connection != agent.connection);
    }

    fn refused(&self, _who: IpAddr, why: &str) {
        self.refused.lock().unwrap().push(why.to_owned());
    }
}

impl Keeper {
    fn count(&self) -> usize {
        self.open.lock().unwrap().len()
    }
}

/// Certificates of one house, in files.
struct House(tempfile::TempDir);

impl House {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (authority, own) = Authority::create().unwrap();
        // As `enroll` does when a second server comes.
        let again = Authority::load(&own.key).unwrap();
        keep(dir.path(), "ca", &own);
        keep(dir.path(), "gate", &authority.issue_gate().unwrap());
        keep(dir.path(), "server", &again.issue_server("ftp", &[SERVER.parse().unwrap()]).unwrap());
        Self(dir)
    }

    fn identity(&self, name: &str) -> Identity {
        let path = self.0.path();
        Identity::load(&path.join(format!("{name}.pem")), &path.join(format!("{name}.key"))).unwrap()
    }

    fn client(&self, shows: Option<&str>) -> ClientTls {
        let trust = Trust::Only(self.0.path().join("ca.pem"));
        let identity = shows.map(|name| self.identity(name));
        ClientTls::new(&ClientTlsOptions { trust, identity, ..ClientTlsOptions::default() }).unwrap()
    }

    async fn gate(&self, at: SocketAddr, shows: &str, keeper: &Arc<Keeper>) -> (SocketAddr, JoinHandle<()>) {
        let options = ServerTlsOptions {
            client_ca: Some(self.0.path().join("ca.pem")),
            require_client_cert: true,
            min: TlsMin::V13,
            ..ServerTlsOptions::default()
        };
        let tls = ServerTls::new(self.identity(shows), options).unwrap();
        let listener = portway_net::listen(at).unwrap();
        let bound = listener.local_addr().unwrap();
        let keeper = Arc::clone(keeper) as _;
        (bound, tokio::spawn(AgentServer::new(listener, tls, keeper).serve()))
    }
}

fn keep(dir: &Path, name: &str, issued: &Issued) {
    std::fs::write(dir.join(format!("{name}.pem")), &issued.cert).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), issued.key.as_bytes()).unwrap();
}

fn want(port: u16) -> Expected {
    let to = SocketAddr::new(SERVER.parse().unwrap(), port);
    Expected::new(CLIENT.parse().unwrap(), Announced::new(to).vet(to.ip()).unwrap())
}

async fn until(mut so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !so() {
        assert!(Instant::now() < end, "not in five seconds");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

const ANY: &str = "127.0.0.1:0";

#[tokio::test]
async fn a_hole_is_opened_announced_and_closed() {
    let (house, keeper) = (House::new(), Arc::default());
    let (at, _gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    let pinholes = AgentPinholes::start(at, house.client(Some("server")));
    let hole = pinholes.open(want(5000)).unwrap().await.unwrap();
    assert_eq!(hole.announce, Some(PUBLIC.parse().unwrap()));
    assert_eq!(keeper.count(), 1);
    pinholes.close(hole.id).await;
    assert_eq!(keeper.count(), 0);
    let denied = pinholes.open(want(5555)).unwrap().await.unwrap_err();
    assert!(matches!(&denied, PinholeError::Denied { why, .. } if why.contains("no control")), "{denied}");
    pinholes.open(want(5001)).unwrap().await.unwrap();
    drop(pinholes);
    until(|| keeper.count() == 0).await;
}

#[tokio::test]
async fn many_ask_at_once_and_each_gets_his_own_answer() {
    let (house, keeper) = (House::new(), Arc::default());
    let (at, _gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    let pinholes = Arc::new(AgentPinholes::start(at, house.client(Some("server"))));
    let all: Vec<_> = (10_000..10_500)
        .map(|port| {
            let pinholes = Arc::clone(&pinholes);
            tokio::spawn(async move { (port, pinholes.open(want(port)).unwrap().await.unwrap().id.0) })
        })
        .collect();
    for one in all {
        let (port, id) = one.await.unwrap();
        assert_eq!(id & 0xFFFF, u64::from(port));
    }
    assert_eq!(keeper.count(), 500);
}

#[tokio::test]
async fn a_gate_that_was_started_anew_is_found_again() {
    let (house, keeper) = (House::new(), Arc::default());
    let (at, gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    let pinholes = AgentPinholes::start(at, house.client(Some("server")));
    let old = pinholes.open(want(5000)).unwrap().await.unwrap();
    gate.abort();
    until(|| keeper.count() == 0).await;
    let start = Instant::now();
    let error = pinholes.open(want(5000)).unwrap().await.unwrap_err();
    assert!(matches!(error, PinholeError::Unreachable(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    let (_, _gate) = house.gate(at, "gate", &keeper).await;
    let new = pinholes.open(want(5000)).unwrap().await.unwrap();
    assert_ne!(old.id, new.id);
    pinholes.close(old.id).await;
    assert_eq!(keeper.count(), 1, "an old number closes nobody's hole");
}

#[tokio::test]
async fn a_gate_that_is_silent_fails_within_seconds() {
    let listener = TcpListener::bind(ANY).await.unwrap();
    let house = House::new();
    let pinholes = AgentPinholes::start(listener.local_addr().unwrap(), house.client(Some("server")));
    let start = Instant::now();
    let error = pinholes.open(want(5000)).unwrap().await.unwrap_err();
    assert!(matches!(error, PinholeError::Unreachable(_)), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5), "{:?}", start.elapsed());
}

#[tokio::test]
async fn whoever_cannot_prove_who_he_is_opens_nothing() {
    let (house, stranger, keeper) = (House::new(), House::new(), Arc::<Keeper>::default());
    let (at, _gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    // No certificate; one of the gate's; one of another house, to a gate that it does believe.
    let mixed = House::new();
    std::fs::copy(house.0.path().join("ca.pem"), mixed.0.path().join("ca.pem")).unwrap();
    for tls in [
        house.client(None),
        house.client(Some("gate")),
        stranger.client(Some("server")),
        mixed.client(Some("server")),
    ] {
        let error = AgentPinholes::start(at, tls).open(want(5000)).unwrap().await.unwrap_err();
        assert!(matches!(error, PinholeError::Unreachable(_)), "{error}");
    }
    // A server does not pass for a gate.
    let (fake, _gate) = house.gate(ANY.parse().unwrap(), "server", &keeper).await;
    let pinholes = AgentPinholes::start(fake, house.client(Some("server")));
    assert!(pinholes.open(want(5000)).unwrap().await.is_err());
    assert_eq!(keeper.count(), 0);
    assert!(!keeper.refused.lock().unwrap().is_empty());
}

#[tokio::test]
async fn an_announcement_said_once_more_by_another_opens_nothing_and_is_counted() {
    let (house, keeper) = (House::new(), Arc::<Keeper>::default());
    let (at, _gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    // Somebody on the way writes down what a server says.
    let tap = TcpListener::bind(ANY).await.unwrap();
    let tapped = tap.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let writing = Arc::clone(&heard);
    let tapping = tokio::spawn(async move {
        let (server, mut gate) = (tap.accept().await.unwrap().0, TcpStream::connect(at).await.unwrap());
        let (mut from_server, mut to_server) = server.into_split();
        let (mut from_gate, mut to_gate) = gate.split();
        let there = async {
            let mut buffer = [0; 4096];
            while let Ok(octets @ 1..) = from_server.read(&mut buffer).await {
                writing.lock().unwrap().extend_from_slice(&buffer[..octets]);
                to_gate.write_all(&buffer[..octets]).await.unwrap();
            }
        };
        let back = async {
            let mut buffer = [0; 4096];
            while let Ok(octets @ 1..) = from_gate.read(&mut buffer).await {
                to_server.write_all(&buffer[..octets]).await.unwrap();
            }
        };
        tokio::select! {
            () = there => {}
            () = back => {}
        }
    });
    let pinholes = AgentPinholes::start(tapped, house.client(Some("server")));
    pinholes.open(want(5000)).unwrap().await.unwrap();
    assert_eq!(keeper.count(), 1);
    drop(pinholes);
    tapping.abort();
    until(|| keeper.count() == 0).await;
    // The same octets once more, and a request in clear.
    let heard = heard.lock().unwrap().clone();
    assert!(heard.len() > 500, "a handshake and an announcement");
    let clear = br#"{"id":1,"ask":{"open":{"from":"192.0.2.7","to":"198.51.100.1:5000","seconds":10}}}"#;
    for (said, octets) in [("again", &heard[..]), ("in clear", &clear[..])] {
        let refused = keeper.refused.lock().unwrap().len();
        let mut replay = TcpStream::connect(at).await.unwrap();
        replay.write_all(octets).await.unwrap();
        let mut rest = Vec::new();
        let ended = tokio::time::timeout(Duration::from_secs(10), replay.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the gate hangs up on what is said {said}");
        until(|| keeper.refused.lock().unwrap().len() > refused).await;
        assert_eq!(keeper.count(), 0, "{said}");
    }
    assert!(keeper.refused.lock().unwrap().iter().all(|why| why.contains("not believed")));
}

#[tokio::test]
async fn a_flood_of_announcements_is_slowed() {
    let (house, keeper) = (House::new(), Arc::default());
    let (at, _gate) = house.gate(ANY.parse().unwrap(), "gate", &keeper).await;
    let pinholes = AgentPinholes::start(at, house.client(Some("server")));
    let start = Instant::now();
    let (mut asked, mut refused) = (0_u32, false);
    while !refused && start.elapsed() < Duration::from_secs(20) {
        let asking = (0..200).map(|n| pinholes.open(want(20_000 + n)).unwrap());
        for answer in futures(asking).await {
            asked += 1;
            refused |=
                matches!(&answer, Err(PinholeError::Filter(why)) if why.to_string().contains("too many"));
        }
    }
    let allowed = 2000.0 + 1000.0 * start.elapsed().as_secs_f64() + 200.0;
    assert!(refused || f64::from(asked) < allowed, "{asked} in {:?}", start.elapsed());
}

/// Waits for all of them, side by side.
async fn futures<T: Send>(all: impl Iterator<Item = portway_pinhole::Waiting<'_, T>>) -> Vec<T> {
    let mut all: Vec<_> = all.map(Some).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|cx| {
        for slot in &mut all {
            if let Some(future) = slot
                && let std::task::Poll::Ready(value) = future.as_mut().poll(cx)
            {
                done.push(value);
                *slot = None;
            }
        }
        if all.iter().all(Option::is_none) { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
