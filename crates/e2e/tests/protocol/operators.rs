//! What who runs the server can do: see who is there, change users, and give root away.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

use anyhow::{Context as _, Result, ensure};
use portway_e2e::{Control, Kind, Options, PATIENCE, Program, Subject, Tree, binary, until};
use serde_json::Value;

/// portway itself, whatever the environment says: no other server has these.
fn portway(tree: Tree, users: bool, flags: &[&str]) -> Result<Subject> {
    let mut options = Options::flags(flags.iter().copied());
    if !users {
        options.users.clear();
    }
    Subject::start_kind(Kind::Portway, tree, &options)
}

fn run(args: &[&str]) -> Result<Program> {
    let program = binary()?;
    Ok(Program::new(program.to_str().context("the path is text")?, "portway")?.args(args))
}

/// Where `--admin 127.0.0.1:0` came to be, as the log says.
fn admin(subject: &Subject) -> Result<SocketAddr> {
    subject.log.wait_for("the address of --admin", PATIENCE, |line| {
        let event: Value = serde_json::from_str(line).ok()?;
        (event["what"] == "admin").then(|| event["address"].as_str()?.parse().ok()).flatten()
    })
}

fn page(admin: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(admin)?;
    write!(stream, "GET {path} HTTP/1.0\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

#[test]
fn the_admin_pages_show_a_session_and_count_its_transfers() -> Result<()> {
    let subject = portway(Tree::new()?, true, &["--admin", "127.0.0.1:0"])?;
    let admin = admin(&subject)?;
    let mut session = subject.session()?;
    session.store("STOR a", b"seven..")?;
    until("the transfer is counted", PATIENCE, || {
        let metrics = page(admin, "/metrics")?;
        Ok(metrics.contains("portway_transfers_total{result=\"complete\"} 1\n").then_some(()))
    })?;
    let told = run(&["status", "--json", "--admin", &admin.to_string()])?.succeed()?.text();
    let status: Value = serde_json::from_str(&told)?;
    ensure!(status["sessions"][0]["user"] == "alice", "{told}");
    ensure!(status["counters"]["bytes_in"] == 7, "{told}");
    let told = run(&["status", "--admin", &admin.to_string()])?.succeed()?.text();
    ensure!(told.contains("alice idle") && told.contains("1 complete"), "{told}");
    ensure!(page(admin, "/health")?.starts_with("HTTP/1.0 200"));
    Ok(())
}

#[test]
fn users_of_the_file_come_and_go_while_the_server_runs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("portway.toml");
    let entry = |name: &str, flags: &[&str]| -> Result<String> {
        let made = run(&[&["user", name], flags].concat())?.input(format!("{name}'s secret\n")).succeed()?;
        Ok(made.text())
    };
    fs::write(&file, entry("ann", &["--home", "/ann", "--right", "read-only"])?)?;
    let file_text = file.to_str().context("the path is text")?;
    run(&["config", "check", file_text])?.succeed()?;
    let tree = Tree::new()?;
    tree.write("ann/hers", b"for ann")?;
    tree.write("other", b"not for ann")?;
    let subject = portway(tree, false, &["--config", file_text])?;
    let mut ann = Control::connect(subject.port()?)?;
    ann.login(("ann", "ann's secret"))?;
    ensure!(ann.fetch("RETR hers")? == b"for ann");
    ann.expect("SIZE /other", 550)?;
    ann.expect("DELE hers", 550)?;
    fs::write(&file, entry("bob", &[])?)?;
    subject.reload()?;
    until("bob may log in", PATIENCE, || {
        let mut bob = Control::connect(subject.port()?)?;
        Ok(bob.login(("bob", "bob's secret")).is_ok().then_some(()))
    })?;
    let mut again = Control::connect(subject.port()?)?;
    again.expect("USER ann", 331)?;
    again.expect("PASS ann's secret", 530)?;
    ann.expect("NOOP", 200).context("who is logged in stays so")?;
    fs::write(&file, "nonsense")?;
    subject.reload()?;
    subject.log.wait_for("the refusal of the file", PATIENCE, |line| {
        line.contains("the old ones stay").then_some(())
    })?;
    Control::connect(subject.port()?)?.login(("bob", "bob's secret"))?;
    let refused = run(&["config", "check", file_text])?.run()?;
    ensure!(refused.code == Some(2), "a wrong file is not called right");
    Ok(())
}

#[test]
fn a_server_started_as_root_becomes_somebody_else_and_stores_as_him() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        let refused = run(&["serve", ".", "--run-as", "nobody"])?.run()?;
        ensure!(refused.code == Some(2) && refused.text().contains("only root"), "{}", refused.text());
        return Ok(());
    }
    let tree = Tree::new()?;
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o777))?;
    tree.write("roots", b"secret")?;
    fs::set_permissions(tree.path().join("roots"), fs::Permissions::from_mode(0o600))?;
    let subject = portway(tree, true, &["--run-as", "nobody"])?;
    let mut session = subject.session()?;
    session.store("STOR a", b"octets")?;
    ensure!(fs::metadata(subject.tree.path().join("a"))?.uid() != 0, "the file is root's");
    session.epsv()?;
    session.expect("RETR roots", 550).context("root's file was read")?;
    for pid in subject.pids() {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let lines = status.lines().filter(|line| line.starts_with("Uid:") || line.starts_with("CapEff:"));
        for line in lines {
            let left = line.split_whitespace().skip(1);
            let root = if line.starts_with("Uid:") { "0" } else { "000001ffffffffff" };
            ensure!(left.clone().all(|word| word != root), "{line}");
        }
    }
    Ok(())
}

// A client that has believed a certificate at first sight would refuse the server.
#[test]
fn a_certificate_of_the_servers_own_outlives_a_reload_by_somebody_who_cannot_read_it() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let tree = Tree::new()?;
    fs::set_permissions(tree.path(), fs::Permissions::from_mode(0o777))?;
    let mut options = Options::flags(["--run-as", "nobody"]);
    options.tls = false;
    let subject = Subject::start_kind(Kind::Portway, tree, &options)?;
    let shown = subject.summary.wait_for("the fingerprint", PATIENCE, |line| {
        line.split_whitespace().find(|word| word.len() == 95 && word.contains(':')).map(str::to_owned)
    })?;
    let (user, password) = subject.account();
    let pin = format!("SHA256:{shown}");
    let url = format!("ftpes://{}/", subject.port()?);
    let list = || {
        let client = run(&["ls", "--pin", &pin, &url])?;
        client.env("FTP_USER", user).env("FTP_PASSWORD", password).succeed().map(drop)
    };
    list().context("before")?;
    subject.reload()?;
    subject.log.wait_for("the reload", PATIENCE, |line| line.contains("reloaded").then_some(()))?;
    list().context("after the reload")
}

#[test]
fn pinholes_that_take_root_and_somebody_without_it_do_not_start_together() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        return Ok(());
    }
    let binary = binary()?;
    let binary = binary.to_str().context("the path is text")?;
    let flags = ["--listen", "127.0.0.1:0", "--tls", "off", "--run-as", "nobody", "--pinholes"];
    let serve = [&["--net", binary, "serve", "."][..], &flags, &["nft:/nowhere/holed.sock"]].concat();
    let refused = Program::new("unshare", "a network of its own")?.args(&serve).run()?;
    ensure!(refused.code == Some(2), "it starts, and every PASV would be 425: {}", refused.text());
    for word in ["--run-as", "portway-holed", "CAP_NET_ADMIN"] {
        ensure!(refused.text().contains(word), "{word} is not in: {}", refused.text());
    }
    Ok(())
}

/// Where a balancer connects from, in these tests.
const BALANCER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

fn through_a_balancer(subject: &Subject, header: &[u8]) -> Result<Control> {
    let mut control = Control::raw(subject.port()?, Some(BALANCER))?;
    control.send(header)?;
    control.expect_reply(220)?;
    Ok(control)
}

// Case 24.
#[test]
fn a_balancer_says_whose_connection_it_is_and_which_address_was_reached() -> Result<()> {
    let subject = portway(Tree::new()?, true, &["--proxy-protocol", "127.0.0.2/32"])?;
    let mut second = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    second.extend([198, 51, 100, 7, 203, 0, 113, 9, 0x80, 0, 0, 21]);
    for header in [&b"PROXY TCP4 198.51.100.7 203.0.113.9 32768 21\r\n"[..], &second] {
        let mut session = through_a_balancer(&subject, header)?;
        session.login(subject.account())?;
        let told = session.expect("PASV", 227)?.text();
        ensure!(told.contains("203,0,113,9"), "the balancer's address is announced: {told}");
        session.expect("PORT 198,51,100,7,200,1", 200).context("the client's own address")?;
        session.expect("PORT 127,0,0,2,200,1", 501).context("the balancer's address is nobody's")?;
    }
    subject.log.wait_for("the client's address", PATIENCE, |line| {
        (line.contains("session_opened") && line.contains("\"198.51.100.7\"")).then_some(())
    })?;
    // A health check of the balancer's own.
    let mut own = through_a_balancer(&subject, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")?;
    own.expect("NOOP", 200).or_else(|_| own.expect("QUIT", 221))?;
    Ok(())
}

// Case 24.
#[test]
fn a_header_that_is_missing_or_wrong_or_from_anybody_else_names_nobody() -> Result<()> {
    let subject = portway(Tree::new()?, true, &["--proxy-protocol", "127.0.0.2/32"])?;
    for wrong in [&b"USER alice\r\n   "[..], b"PROXY TCP4 198.51.100.7 203.0.113.9\r\n", &[b'P'; 4096]] {
        let mut control = Control::raw(subject.port()?, Some(BALANCER))?;
        control.send(wrong)?;
        ensure!(control.ended()?.is_empty(), "somebody without a header was greeted");
    }
    let mut silent = Control::raw(subject.port()?, Some(BALANCER))?;
    silent.send(b"PROXY TCP4 198.")?;
    // Nobody waits for the silent one; and from anywhere else the header is just a wrong command.
    let mut spoofing = Control::raw(subject.port()?, None)?;
    spoofing.send(b"PROXY TCP4 198.51.100.7 203.0.113.9 32768 21\r\n")?;
    spoofing.expect_reply(220)?;
    spoofing.expect_reply(500)?;
    spoofing.login(subject.account())?;
    spoofing.expect("PORT 198,51,100,7,200,1", 501)?;
    ensure!(silent.ended()?.is_empty(), "the silent one was greeted");
    ensure!(
        !subject.log.so_far().iter().any(|line| line.contains("198.51.100.7\",\"port")),
        "it was believed"
    );
    Ok(())
}
