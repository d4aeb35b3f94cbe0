//! A helper that runs, and a client by hand.

use std::io::{BufRead as _, BufReader};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use portway_nft::wire::{ANSWER, Answer, Ask, Outcome, Request};
use portway_nft::{Key, Want};
use portway_proto::{Announced, Expected};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket,
};

/// A running helper; killed with this value.
pub(crate) struct Helper {
    pub(crate) process: Child,
    pub(crate) path: PathBuf,
    log: mpsc::Receiver<String>,
}

impl Helper {
    pub(crate) fn start(test: &str, options: &[&str]) -> Self {
        let path = std::env::temp_dir().join(format!("holed-{test}-{}.sock", std::process::id()));
        Self::start_at(path, options)
    }

    pub(crate) fn start_at(path: PathBuf, options: &[&str]) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_portway-holed"))
            .arg("--socket")
            .arg(&path)
            .args(options)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (lines, log) = mpsc::channel();
        let stderr = process.stderr.take().unwrap();
        std::thread::spawn(move || {
            BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|line| lines.send(line))
        });
        let helper = Self { process, path, log };
        helper.says("ready");
        helper
    }

    /// Waits for a line of the log that contains `word`.
    pub(crate) fn says(&self, word: &str) -> String {
        let end = Instant::now() + Duration::from_secs(10);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let line = self.log.recv_timeout(left).unwrap_or_else(|_| panic!("the log never said {word:?}"));
            if line.contains(word) {
                return line;
            }
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A client by hand.
pub(crate) struct Line(pub(crate) OwnedFd);

impl Line {
    pub(crate) fn to(path: &Path) -> Self {
        let line = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None).unwrap();
        connect(&line, &SocketAddrUnix::new(path).unwrap()).unwrap();
        Self(line)
    }

    pub(crate) fn ask(&self, ask: Ask) -> Option<Outcome> {
        send(&self.0, &Request { tag: 7, ask }.emit(), SendFlags::NOSIGNAL).ok()?;
        self.answer()
    }

    pub(crate) fn answer(&self) -> Option<Outcome> {
        let mut record = [0; ANSWER];
        let (_, length) = recv(&self.0, &mut record[..], RecvFlags::empty()).ok()?;
        Answer::parse(&record[..length]).map(|answer| answer.result)
    }

    pub(crate) fn open(&self, from: &str, to: std::net::SocketAddr, seconds: u64) -> Option<Outcome> {
        let key = Key::new(from.parse().unwrap(), to);
        self.ask(Ask::Open(Want { key, within: Duration::from_secs(seconds) }))
    }
}

pub(crate) fn expected(from: &str, to: std::net::SocketAddr) -> Expected {
    Expected::new(from.parse().unwrap(), Announced::new(to).vet(to.ip()).unwrap())
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}
