//! Control connections that die, or fall silent, in the middle of a transfer.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use portway_client::{Connection, GetOptions, ModeChoice, PutOptions, Reach, Settings, Target, Timeouts};
use portway_data::Progress;
use support::fake::{Fake, Habit};
use support::{ALL, Kind, Server, Tls, bytes, here, name, shared};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::broadcast;

/// A middlebox in front of a server's control port.
struct Middlebox {
    at: SocketAddr,
    cut: broadcast::Sender<()>,
    connections: Arc<AtomicU32>,
    /// Logins may take long, and are not what is tried here.
    forgets: Arc<AtomicBool>,
}

impl Middlebox {
    /// With `idle`, connections that were silent for so long are forgotten: nothing passes any more, and nobody
    /// is told.
    async fn start(server: SocketAddr, idle: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (at, (cut, _)) = (listener.local_addr().unwrap(), broadcast::channel(1));
        let (signal, connections) = (cut.clone(), Arc::new(AtomicU32::new(0)));
        let forgets = Arc::new(AtomicBool::new(false));
        let (count, forgetting) = (Arc::clone(&connections), Arc::clone(&forgets));
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let (mut cut, forgets) = (signal.subscribe(), Arc::clone(&forgetting));
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    tokio::select! {
                        () = relay(client, server, idle, &forgets) => {}
                        _ = cut.recv() => {}
                    }
                });
            }
        });
        Self { at, cut, connections, forgets }
    }

    fn target(&self) -> Target {
        Target::parse(&format!("ftp://{}/", self.at)).unwrap()
    }

    fn connections(&self) -> u32 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Cuts all connections once so many octets have moved.
    async fn cut_at(&self, progress: &Progress, octets: u64) {
        let until = Instant::now() + Duration::from_secs(30);
        while progress.octets() < octets {
            assert!(Instant::now() < until, "nothing moves");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let _ = self.cut.send(());
    }
}

async fn relay(mut client: TcpStream, mut server: TcpStream, idle: Option<Duration>, forgets: &AtomicBool) {
    let (mut up, mut down) = ([0; 4096], [0; 4096]);
    loop {
        tokio::select! {
            n = client.read(&mut up) => match n {
                Ok(n) if n > 0 && server.write_all(&up[..n]).await.is_ok() => {}
                _ => return,
            },
            n = server.read(&mut down) => match n {
                Ok(n) if n > 0 && client.write_all(&down[..n]).await.is_ok() => {}
                _ => return,
            },
            () = tokio::time::sleep(idle.unwrap_or(Duration::from_secs(3600))) => {
                if forgets.load(Ordering::Relaxed) {
                    std::future::pending::<()>().await;
                }
            }
        }
    }
}

const SIZE: usize = 3_000_000;

fn slow(server: &Server, mode: ModeChoice) -> Settings {
    let timeouts = Timeouts { final_reply: Duration::from_secs(2), ..Timeouts::default() };
    Settings { limit_rate: Some(1_500_000), mode, timeouts, ..server.settings() }
}

async fn survives(kind: Kind) {
    let server = Server::start(kind, Tls::Off);
    let content = bytes(9, SIZE);
    server.write("down.bin", &content);
    let middle = Middlebox::start(server.at, None).await;
    let settings = shared(slow(&server, ModeChoice::Passive));
    let mut connection = Connection::open(&middle.target(), settings).await.unwrap();

    let (folder, local) = here();
    let progress = Progress::new();
    let target = name("down.bin");
    let get = connection.get(b"down.bin", &local, &target, GetOptions::default(), &progress);
    let (got, ()) = tokio::join!(get, middle.cut_at(&progress, 500_000));
    got.unwrap_or_else(|error| panic!("{kind:?}, down: {error}"));
    assert!(std::fs::read(folder.path().join("down.bin")).unwrap() == content, "{kind:?}, down");
    if !connection.is_usable() {
        connection.reconnect().await.unwrap();
    }
    let before = middle.connections();
    let file = std::fs::File::open(folder.path().join("down.bin")).unwrap();
    let progress = Progress::new();
    let put = connection.put(&file, b"up.bin", PutOptions::default(), &progress);
    let (put, ()) = tokio::join!(put, middle.cut_at(&progress, 500_000));
    put.unwrap_or_else(|error| panic!("{kind:?}, up: {error}"));
    assert!(server.read("up.bin") == content, "{kind:?}, up");
    assert!(middle.connections() > before, "{kind:?}: a new control connection");
}

#[tokio::test]
async fn downloads_and_uploads_survive_a_control_connection_that_dies_in_the_middle() {
    for kind in ALL {
        let began = Instant::now();
        survives(kind).await;
        println!("{kind:?}: {:?}", began.elapsed());
    }
}

/// A transfer that lasts longer than the middlebox remembers.
async fn long_transfer(kind: Kind, keep_alive: Option<Duration>) -> (u32, Duration, bool) {
    let server = Server::start(kind, Tls::Off);
    let content = bytes(4, SIZE);
    server.write("down.bin", &content);
    let middle = Middlebox::start(server.at, Some(Duration::from_secs(2))).await;
    let settings = slow(&server, ModeChoice::Passive);
    let reach = Reach { keep_alive, ..Reach::default() };
    let settings = Settings { reach, limit_rate: Some(1_000_000), ..settings };
    let mut connection = Connection::open(&middle.target(), shared(settings)).await.unwrap();
    middle.forgets.store(true, Ordering::Relaxed);
    let (folder, local) = here();
    let options = GetOptions { known: Some((SIZE as u64, None)), ..GetOptions::default() };
    let began = Instant::now();
    let (progress, target) = (Progress::new(), name("down.bin"));
    let got = connection.get(b"down.bin", &local, &target, options, &progress).await;
    let took = began.elapsed();
    let got = got.unwrap_or_else(|error| panic!("{kind:?}: {error}"));
    assert!(std::fs::read(folder.path().join("down.bin")).unwrap() == content, "{kind:?}");
    assert_eq!(progress.octets(), SIZE as u64, "{kind:?}: nothing was sent twice");
    // And the dialogue is still in step.
    if connection.is_usable() {
        assert_eq!(connection.size(b"down.bin").await.unwrap(), Some(SIZE as u64), "{kind:?}");
    }
    (middle.connections(), took, got.by_proof)
}

#[tokio::test]
async fn a_nat_that_forgets_the_control_connection_costs_no_octet() {
    let (_, _, by_proof) = long_transfer(Kind::Vsftpd, None).await;
    assert!(by_proof, "the 226 cannot have come");
}

#[tokio::test]
async fn noop_keeps_the_control_connection_alive_on_every_server() {
    for kind in ALL {
        let (connections, took, by_proof) = long_transfer(kind, Some(Duration::from_millis(700))).await;
        println!("{kind:?}: {connections} control connections, {took:?}, by proof: {by_proof}");
        assert!(!by_proof, "{kind:?}: the 226 was to come");
        // Pure-FTPd swallows NOOP while it sends: its connection is renewed for the next command.
        let most = if kind == Kind::PureFtpd { 2 } else { 1 };
        assert!(connections <= most, "{kind:?}: {connections}");
    }
}

#[tokio::test]
async fn a_server_that_wants_to_know_what_comes_is_told() {
    let fake = Fake::start(Habit::WantsPret, &[("f", bytes(1, 5000))]);
    let target = Target::parse(&format!("ftp://{}/", fake.at)).unwrap();
    let mut connection = Connection::open(&target, shared(Settings::default())).await.unwrap();
    let (folder, local) = here();
    connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await.unwrap();
    assert_eq!(std::fs::read(folder.path().join("f")).unwrap(), bytes(1, 5000));
    assert_eq!((fake.saw("PRET RETR f"), fake.saw("EPSV")), (1, 2));
    connection.get(b"f", &local, &name("f"), GetOptions::default(), &Progress::new()).await.unwrap();
    assert_eq!((fake.saw("PRET RETR f"), fake.saw("EPSV")), (2, 3), "known from then on");
}
