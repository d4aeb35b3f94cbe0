//! A client, a router that may filter and translate, and a server.

use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use portway_peers::{Brand, vsftpd};
use serde_json::Value;

use crate::lab::{Lab, SERVER, at, nft, run, until};

/// The server program and what it is told beyond where to listen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    /// `portway serve` with further flags, on both families.
    Portway(&'static [&'static str]),
    /// Debian's vsftpd with further lines of configuration, on IPv4.
    Vsftpd(&'static str),
}

pub(crate) struct Stage {
    pub(crate) lab: Lab,
    pub(crate) folder: PathBuf,
    server: Child,
}

/// How a client's program ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) took: Duration,
    /// Its events (`--json --trace`).
    pub(crate) events: Vec<Value>,
    /// What it wrote besides, to be shown when the test fails.
    #[allow(dead_code, reason = "read by Debug")]
    pub(crate) stderr: String,
}

pub(crate) const FILE: &str = "file.bin";

/// The content that every server here has.
pub(crate) fn content() -> Vec<u8> {
    (0..300_000_u32).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).collect()
}

/// Rules for what the router forwards; everything is forwarded that no line stops.
pub(crate) fn wall(lines: &str) {
    nft(&format!(
        "table inet wall
         delete table inet wall
         table inet wall {{ chain forward {{ type filter hook forward priority filter; policy accept;
             ct state established accept
             {lines}
         }}; }}"
    ));
}

impl Stage {
    /// Wires up the machines and starts the server; nothing is filtered yet.
    pub(crate) fn new(server: Server) -> Self {
        let lab = Lab::new();
        let folder = std::env::temp_dir().join(format!("portway-client-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        for name in ["pub", "empty", "home"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("pub").join(FILE), content()).unwrap();
        use std::os::unix::fs::PermissionsExt as _;
        std::fs::set_permissions(folder.join("pub"), std::fs::Permissions::from_mode(0o555)).unwrap();
        let server = start(&lab, &folder, server);
        Self { lab, folder, server }
    }

    /// Runs `portway` on the client's machine and gives it fifteen seconds.
    pub(crate) fn portway(&self, words: &[&str]) -> Ended {
        let home = self.folder.join("home");
        let mut command = Command::new("timeout");
        command.args(["-k", "1", "15", env!("CARGO_BIN_EXE_portway")]).args(words);
        command.args(["--json", "--trace", "--insecure"]).current_dir(&home);
        command.env("HOME", &home).env("XDG_CACHE_HOME", home.join("cache")).stdin(Stdio::null());
        let begun = Instant::now();
        let output = self.lab.client.run(move || command.output().unwrap());
        let took = begun.elapsed();
        let text = String::from_utf8(output.stdout).unwrap();
        let events = text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        Ended { code: output.status.code(), took, events, stderr }
    }

    /// Fetches the file from the server as seen at `host`; fails the test if what arrived is not what was sent.
    pub(crate) fn get(&self, host: &str, flags: &[&str]) -> Ended {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let url = format!("ftp://{host}/{FILE}");
        let here = self.folder.join("home").join(FILE);
        let _ = std::fs::remove_file(&here);
        let ended = self.portway(&[&["get", &url][..], flags].concat());
        let arrived = std::fs::read(&here).ok();
        match ended.code {
            Some(0) => assert!(arrived == Some(content()), "{ended:?}"),
            _ => assert_eq!(arrived, None, "half a file under its name: {ended:?}"),
        }
        ended
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
        if std::thread::panicking() {
            println!("{}", std::fs::read_to_string(self.folder.join("server.log")).unwrap_or_default());
            println!("{}", run("nft list ruleset"));
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Ended {
    /// The command that announced the data connection which came about last.
    pub(crate) fn way(&self) -> Option<&str> {
        let open = self.events.iter().rposition(|event| event["event"] == "data-open")?;
        let before = self.events.get(..open)?.iter().rev();
        before.filter(|event| event["event"] == "announced").find_map(|event| event["by"].as_str())
    }

    /// Every command with which a data connection was announced or asked for.
    pub(crate) fn tried(&self) -> Vec<&str> {
        let lines = self.events.iter().filter(|event| event["event"] == "sent");
        let verbs = lines.filter_map(|event| event["line"].as_str()?.split(' ').next());
        verbs.filter(|verb| ["EPSV", "PASV", "PORT", "EPRT"].contains(verb)).collect()
    }

    /// What it says of the failure: message, remedy and the side to blame.
    pub(crate) fn failure(&self) -> (String, String, String) {
        let event = self.events.iter().rev().find(|event| event["event"] == "failed");
        let event = event.unwrap_or_else(|| panic!("no failure: {self:?}"));
        let word = |key: &str| event[key].as_str().unwrap_or_default().to_owned();
        (word("message"), word("remedy"), word("blame"))
    }
}

fn start(lab: &Lab, folder: &Path, server: Server) -> Child {
    let log = std::fs::File::create(folder.join("server.log")).unwrap();
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]);
    match server {
        Server::Portway(flags) => {
            command.arg(env!("CARGO_BIN_EXE_portway")).arg("serve").arg(folder.join("pub")).args(flags);
            for ip in SERVER {
                command.args(["--listen", &at(ip, 21).to_string()]);
            }
        }
        Server::Vsftpd(more) => {
            let config = folder.join("vsftpd.conf");
            std::fs::write(&config, vsftpd(folder, more)).unwrap();
            let found = Brand::Vsftpd.find().unwrap_or_else(|error| panic!("{error}"));
            command.arg(found.file).arg(config);
        }
    }
    command.env("HOME", folder).env("XDG_STATE_HOME", folder.join("state")).current_dir(folder);
    command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
    let (child, up) = lab.server.run(move || {
        let child = command.spawn().unwrap();
        let here: SocketAddr = at(SERVER[0], 21);
        (child, until(Duration::from_secs(15), || TcpStream::connect(here).is_ok()))
    });
    let said = std::fs::read_to_string(folder.join("server.log")).unwrap_or_default();
    assert!(up, "{server:?} does not listen: {said}");
    child
}

fn vsftpd(folder: &Path, more: &str) -> String {
    let lines = vsftpd::anonymous(&folder.join("pub"), &folder.join("empty")).join("\n");
    format!("listen=YES\nlisten_port=21\n{}\n{lines}\n{more}\n", vsftpd::ONE_USER.join("\n"))
}
