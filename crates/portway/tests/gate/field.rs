//! A gate with a firewall of the administrator's own, a server behind it, and clients before it.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portway_peers::{Brand, vsftpd};

pub(crate) use crate::lab::until;
use crate::lab::{Lab, SERVER, is_inside, nft, once_more};

/// What the administrator's firewall forwards besides answers and what carries our mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wall {
    /// Nothing.
    Strict,
    /// Whatever the client begins.
    ClientSide,
    /// Whatever the server begins.
    ServerSide,
    /// ufw as it comes, with what `portway gate rules` prints.
    Ufw,
}

/// The server program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Server {
    Portway,
    Vsftpd,
}

pub(crate) struct Field {
    pub(crate) lab: Lab,
    pub(crate) folder: PathBuf,
    pub(crate) gate: Option<Child>,
    servers: Vec<Child>,
}

/// Set inside if we are root outside, too.
const ROOT: &str = "PORTWAY_LAB_ROOT";

impl Server {
    /// Debian's vsftpd, which changes users and therefore needs root; our own server where we are not.
    pub(crate) fn of_others() -> Self {
        if std::env::var_os(ROOT).is_some() {
            return Self::Vsftpd;
        }
        println!("vsftpd needs root; our own server takes its place");
        Self::Portway
    }
}

pub(crate) const FILE: &str = "file.bin";

/// As [`lab::in_namespaces`](crate::lab::in_namespaces), with root if we have it, since vsftpd changes users.
pub(crate) fn in_namespaces<F: FnOnce()>(body: F) {
    if rustix::process::geteuid().is_root() && !is_inside() {
        return once_more::<F>(Command::new("unshare").arg("--net").env(ROOT, "1"));
    }
    crate::lab::in_namespaces(body);
}

impl Field {
    pub(crate) fn new(wall: Wall) -> Self {
        let lab = Lab::new();
        wall.build();
        let folder = std::env::temp_dir().join(format!("portway-gate-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("pub")).unwrap();
        std::fs::create_dir_all(folder.join("empty")).unwrap();
        let octets: Vec<u8> = (0..1_u32 << 20).map(|n| (n ^ (n >> 8)).to_le_bytes()[0]).collect();
        std::fs::write(folder.join("pub").join(FILE), octets).unwrap();
        Self { lab, folder, gate: None, servers: Vec::new() }
    }

    /// Starts the gate, and waits until it is ready.
    pub(crate) fn gate(mut self, flags: &[&str]) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_portway"))
            .args(["gate", "run", "--status-socket"])
            .arg(self.folder.join("gate.sock"))
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(self.folder.join("gate.log")).unwrap())
            .spawn()
            .unwrap();
        self.gate = Some(ready(child, "ready"));
        self
    }

    /// Starts a server behind the gate on port 21, both families.
    pub(crate) fn server(self, server: Server) -> Self {
        match server {
            Server::Portway => self.portway(&["--tls", "off"]),
            Server::Vsftpd => self.vsftpd_with(""),
        }
    }

    /// Starts vsftpd behind the gate with more lines of configuration.
    pub(crate) fn vsftpd_with(self, more: &str) -> Self {
        let commands = [0, 1].map(|family| self.vsftpd(family, more)).into();
        self.start(Server::Vsftpd, commands)
    }

    /// Starts our own server.
    pub(crate) fn portway(self, flags: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portway"));
        command.arg("serve").arg(self.folder.join("pub")).arg("--anonymous").args(flags);
        for at in SERVER {
            command.args(["--listen", &crate::lab::at(at, 21).to_string()]);
        }
        command.env("XDG_STATE_HOME", self.folder.join("state"));
        command.stderr(std::fs::File::create(self.folder.join("serve.log")).unwrap());
        self.start(Server::Portway, vec![command])
    }

    fn start(mut self, server: Server, commands: Vec<Command>) -> Self {
        for mut command in commands {
            let child = self.lab.server.run(move || command.stdout(Stdio::piped()).spawn().unwrap());
            self.servers.push(if server == Server::Portway { ready(child, "stop ") } else { child });
        }
        for at in SERVER {
            let at = crate::lab::at(at, 21);
            let up = self
                .lab
                .server
                .run(move || until(Duration::from_secs(10), || std::net::TcpStream::connect(at).is_ok()));
            assert!(up, "{server:?} does not listen on {at}");
        }
        self
    }

    fn vsftpd(&self, family: usize, more: &str) -> Command {
        let found = Brand::Vsftpd.find().unwrap_or_else(|error| panic!("{error}"));
        let yes = |on| if on { "YES" } else { "NO" };
        let config = self.folder.join(format!("vsftpd-{family}.conf"));
        let text = format!(
            "listen={}\nlisten_ipv6={}\n{}={}\nlisten_port=21\n{}\n{more}\n",
            yes(family == 0),
            yes(family == 1),
            if family == 0 { "listen_address" } else { "listen_address6" },
            SERVER[family],
            vsftpd::anonymous(&self.folder.join("pub"), &self.folder.join("empty")).join("\n"),
        );
        std::fs::write(&config, text).unwrap();
        let mut command = Command::new(found.file);
        command.arg(config).stdin(Stdio::null());
        command
    }

    /// Runs a client's program for at most `patience`.
    pub(crate) fn client(&self, words: &[String], patience: Duration) -> (Output, Duration) {
        let mut command = Command::new("timeout");
        command.arg("-k").arg("1").arg(patience.as_secs_f64().to_string()).args(words);
        command.env("HOME", &self.folder).current_dir(&self.folder);
        let start = Instant::now();
        let output = self.lab.client.run(move || command.output().unwrap());
        (output, start.elapsed())
    }

    /// What the gate says of itself.
    pub(crate) fn status(&self) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_portway"))
            .args(["gate", "status", "--json", "--status-socket"])
            .arg(self.folder.join("gate.sock"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What the gate has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.folder.join("gate.log")).unwrap()
    }
}

impl Drop for Field {
    fn drop(&mut self) {
        for child in self.gate.iter_mut().chain(&mut self.servers) {
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            for name in ["gate.log", "serve.log"] {
                let text = std::fs::read_to_string(self.folder.join(name)).unwrap_or_default();
                println!("--- {name}\n{text}");
            }
            println!("{}", crate::lab::run("nft list ruleset"));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Wall {
    pub(crate) fn build(self) {
        let forward = match self {
            Self::Strict => "",
            Self::ClientSide => "iifname cli ct state new accept",
            Self::ServerSide => "iifname srv ct state new accept",
            Self::Ufw => return crate::beside::ufw(),
        };
        // As `portway gate rules` says.
        nft(&format!(
            "table inet admin {{
                chain forward {{
                    type filter hook forward priority filter; policy drop;
                    ct state established accept
                    ct mark and 0x00100000 == 0x00100000 accept
                    meta l4proto {{ icmp, ipv6-icmp }} accept
                    {forward}
                }}
                chain input {{
                    type filter hook input priority filter; policy drop;
                    iif lo accept
                    ct state established,related accept
                    socket transparent 1 meta mark and 0x00200000 == 0x00200000 accept
                    meta l4proto {{ icmp, ipv6-icmp }} accept
                }}
            }}"
        ));
    }
}

/// Waits for the line with which a program says that it is ready; reads on in the background.
pub(crate) fn ready(mut child: Child, word: &str) -> Child {
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).unwrap() == 0 {
            let _ = child.wait();
            panic!("it ended before it was ready");
        }
        if line.starts_with(word) {
            break;
        }
    }
    std::thread::spawn(move || {
        let _ = lines.read_to_end(&mut Vec::new());
    });
    child
}
