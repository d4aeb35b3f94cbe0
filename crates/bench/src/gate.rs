//! The gate: what a hole and a round trip cost, how fast data runs beside the kernel's own helper, and whether a byte
//! costs anything. In network namespaces of its own.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use portway_nft::{Elements as _, Filter, Key, Layout};

#[path = "../../nft/tests/lab/mod.rs"]
mod lab;
use lab::{CLIENT, Lab, SERVER, at};

/// Set in the process that is in the namespaces.
const INSIDE: &str = "PORTWAY_BENCH_INSIDE";
/// The gate watches this port, and the kernel's helper the other.
const GATE: u16 = 21;
const HELPER: u16 = 2121;
/// Where somebody answers whom the gate watches, and whom nobody watches.
const WATCHED: u16 = 2100;
const DIRECT: u16 = 2200;

/// How much is measured.
#[derive(Clone, Copy)]
pub(crate) struct Sizes {
    /// Holes, and round trips of each kind.
    turns: usize,
    /// Octets of the file whose throughput is measured.
    file: u64,
    /// Octets of the file that must not cost the gate more than 10 KiB do.
    big: u64,
}

impl Sizes {
    pub(crate) const FULL: Self = Self { turns: 5000, file: 2 << 30, big: 10 << 30 };
    pub(crate) const QUICK: Self = Self { turns: 1000, file: 256 << 20, big: 1 << 30 };
}

/// Measures, in a process of its own, and gives the report.
pub(crate) fn run(rounds: usize, sizes: Sizes) -> Result<String> {
    if std::env::var_os(INSIDE).is_some() {
        return inside(rounds, sizes);
    }
    let user = ["--user", "--map-root-user"];
    let flags = if rustix::process::geteuid().is_root() { &user[..0] } else { &user[..] };
    let output = Command::new("unshare")
        .args(flags)
        .arg("--net")
        .arg(std::env::current_exe()?)
        .args(std::env::args_os().skip(1))
        .env(INSIDE, "1")
        .stderr(Stdio::inherit())
        .output()
        .context("unshare (Debian: util-linux)")?;
    ensure!(output.status.success(), "the benchmark failed inside its namespaces");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Whether this is the process inside: the other one writes the report to a file.
pub(crate) fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn inside(rounds: usize, sizes: Sizes) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let lab = Lab::new();
    let mut report = format!(
        "{} CPUs; {} turns, {rounds} rounds of {} MiB\n\n",
        std::thread::available_parallelism().map_or(1, usize::from),
        sizes.turns,
        sizes.file >> 20
    );
    let holes = holes(sizes.turns)?;
    line(&mut report, "a hole opened, by netlink", "us", &holes);
    let files = folder.path().join("files");
    fs::create_dir(&files)?;
    for (name, octets) in [("small", 10 << 10), ("file", sizes.file), ("big", sizes.big)] {
        fs::File::create(files.join(name))?.set_len(octets)?;
    }
    for port in [WATCHED, DIRECT] {
        lab.server.run(move || answer(at(SERVER[0], port)))?;
    }
    firewall();
    let portway = portway_e2e::binary()?;
    let gate = Ended(ready(
        Command::new(&portway)
            .args(["gate", "run", "--openings-per-second", "0", "--failed-logins-per-minute", "0"])
            .args(["--port", &GATE.to_string(), "--port", &WATCHED.to_string(), "--status-socket"])
            .arg(folder.path().join("gate.sock")),
        "ready",
    )?);
    let mut serve = Command::new(&portway);
    serve.arg("serve").arg(&files).args(["--anonymous", "--tls", "off"]);
    for port in [GATE, HELPER] {
        serve.args(["--listen", &at(SERVER[0], port).to_string()]);
    }
    serve.env("XDG_STATE_HOME", folder.path());
    let _server = Ended(lab.server.run(move || ready(&mut serve, "stop "))?);

    let turns = sizes.turns;
    let direct = lab.client.run(move || round_trips(at(SERVER[0], DIRECT), "NOOP", turns))?;
    let through = lab.client.run(move || round_trips(at(SERVER[0], WATCHED), "NOOP", turns))?;
    let announced = lab.client.run(move || round_trips(at(SERVER[0], WATCHED), "EPSV", turns))?;
    line(&mut report, "round trip of a command, direct", "us", &direct);
    line(&mut report, "round trip of a command, gate", "us", &through);
    line(&mut report, "EPSV, its hole and its 229, gate", "us", &announced);

    let (mut by_helper, mut by_gate) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        by_helper.push(fetch(&lab, HELPER, "file")?.1 / f64::from(1 << 30));
        by_gate.push(fetch(&lab, GATE, "file")?.1 / f64::from(1 << 30));
    }
    for figures in [&mut by_helper, &mut by_gate] {
        figures.sort_by(f64::total_cmp);
    }
    line(&mut report, "throughput, kernel helper", "GiB/s", &by_helper);
    line(&mut report, "throughput, gate", "GiB/s", &by_gate);
    let ratio = quantile(&by_gate, 0.5) / quantile(&by_helper, 0.5);
    let _ = writeln!(report, "{:38} {ratio:.2} x", "throughput, gate to kernel helper");

    fetch(&lab, GATE, "small")?;
    let mut spent = Vec::new();
    for name in ["small", "big"] {
        let before = cpu(gate.0.id())?;
        let (octets, _) = fetch(&lab, GATE, name)?;
        spent.push((octets, cpu(gate.0.id())?.saturating_sub(before)));
    }
    for (octets, time) in &spent {
        let what = format!("CPU of the gate for {octets} octets");
        let _ = writeln!(report, "{what:38} {:.2} ms", time.as_secs_f64() * 1000.0);
    }
    if let [(_, small), (_, big)] = spent.as_slice() {
        // Two looks a second at a connection that runs, and no more.
        let kept = *big < *small + Duration::from_millis(100);
        let _ = writeln!(report, "a byte costs the gate nothing: {}", if kept { "kept" } else { "MISSED" });
    }
    Ok(report)
}

/// What it takes to open a hole in the kernel, each closed before the next.
fn holes(turns: usize) -> Result<Vec<f64>> {
    let mut filter = Filter::install(&Layout::default())?;
    let mut took = Vec::new();
    for turn in 0..turns {
        let port = 2000 + u16::try_from(turn % 50_000)?;
        let key = Key::new(at(CLIENT[0], 0).ip(), at(SERVER[0], port));
        let start = Instant::now();
        filter.add(&key, Duration::from_secs(10))?;
        took.push(micros(start));
        filter.remove(&key)?;
    }
    took.sort_by(f64::total_cmp);
    Ok(took)
}

fn micros(start: Instant) -> f64 {
    start.elapsed().as_secs_f64() * 1e6
}

/// Answers as a server does, as fast as can be.
fn answer(at: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(at)?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.set_nodelay(true).and_then(|()| stream.write_all(b"220 Hello.\r\n"));
            let Ok(reader) = stream.try_clone() else { continue };
            for line in BufReader::new(reader).lines().map_while(Result::ok) {
                let reply = match line.split(' ').next().unwrap_or_default() {
                    "USER" => "331 Password?\r\n",
                    "PASS" => "230 Welcome.\r\n",
                    "EPSV" => "229 Entering Extended Passive Mode (|||5000|)\r\n",
                    _ => "200 Fine.\r\n",
                };
                if stream.write_all(reply.as_bytes()).is_err() {
                    break;
                }
            }
        }
    });
    Ok(())
}

/// Microseconds from a command to its reply, in order.
fn round_trips(server: SocketAddr, command: &str, turns: usize) -> Result<Vec<f64>> {
    let mut stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut reply = String::new();
    replies.read_line(&mut reply)?;
    let mut took = Vec::new();
    for line in ["USER anonymous", "PASS x"].into_iter().chain(std::iter::repeat_n(command, turns)) {
        let start = Instant::now();
        stream.write_all(format!("{line}\r\n").as_bytes())?;
        reply.clear();
        replies.read_line(&mut reply)?;
        took.push(micros(start));
        ensure!(reply.starts_with(['2', '3']), "{line}: {reply}");
    }
    let mut took = took.split_off(2);
    took.sort_by(f64::total_cmp);
    Ok(took)
}

/// Fetches a file into nowhere; octets, and octets a second. A minute at most.
fn fetch(lab: &Lab, port: u16, name: &str) -> Result<(u64, f64)> {
    let url = format!("ftp://{}:{port}/{name}", SERVER[0]);
    let mut curl = Command::new("curl");
    curl.args([
        "-q",
        "-sS",
        "--max-time",
        "60",
        "-o",
        "/dev/null",
        "-w",
        "%{size_download} %{speed_download}",
        &url,
    ]);
    let output = lab.client.run(move || curl.output()).context("curl (Debian: curl)")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // 28: a slow machine; what has come is what counts.
    ensure!(
        output.status.success() || output.status.code() == Some(28),
        "curl {url}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let (octets, speed) = text.split_once(' ').context("curl's words")?;
    Ok((octets.parse()?, speed.parse()?))
}

/// CPU time of all threads of a process, to the nanosecond.
fn cpu(pid: u32) -> Result<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end meanwhile; its time is lost with it, and the gate's do not.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanos += text.split(' ').next().and_then(|n| n.parse::<u64>().ok()).unwrap_or_default();
    }
    Ok(Duration::from_nanos(nanos))
}

/// Drops all but answers, what carries our mark, what the helper expects, and the ports that nobody watches.
fn firewall() {
    lab::nft(&format!(
        "table inet admin {{
            ct helper ftp {{ type \"ftp\" protocol tcp; }}
            chain attach {{ type filter hook prerouting priority -150; policy accept;
                tcp dport {HELPER} ct helper set \"ftp\"
            }}
            chain forward {{ type filter hook forward priority filter; policy drop;
                ct state established,related accept
                ct mark and 0x00100000 == 0x00100000 accept
                tcp dport {{ {HELPER}, {DIRECT} }} accept
                meta l4proto {{ icmp, ipv6-icmp }} accept
            }}
        }}"
    ));
}

/// A process that ends with this value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Starts a program and waits for the line with which it says that it is ready.
fn ready(command: &mut Command, word: &str) -> Result<Child> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("a pipe")?);
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line)? == 0 {
            bail!("{} ended before it was ready", Path::new(command.get_program()).display());
        }
        if line.starts_with(word) {
            break;
        }
    }
    std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
    Ok(child)
}

fn quantile(sorted: &[f64], part: f64) -> f64 {
    let at = ((sorted.len().saturating_sub(1)) as f64 * part).round() as usize;
    sorted.get(at).copied().unwrap_or(f64::NAN)
}

fn line(report: &mut String, what: &str, unit: &str, sorted: &[f64]) {
    let (p50, p99) = (quantile(sorted, 0.5), quantile(sorted, 0.99));
    // Writing to a string cannot fail.
    let _ = writeln!(report, "{what:38} p50 {p50:.2} {unit}, p99 {p99:.2} {unit}");
}
