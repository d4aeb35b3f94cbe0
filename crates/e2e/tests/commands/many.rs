//! Mirrors of many small files: one data connection for all of them where the server has block mode, every file
//! accounted for, and from one server to another.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use portway_e2e::{Finished, Kind, Options, Program, Subject, Tree, bytes, sums};
use serde_json::Value;

const FILES: usize = 300;

fn plant(tree: &Tree, root: &str) -> Result<()> {
    for i in 0..FILES {
        tree.folder(format!("{root}/d{}", i % 6))?;
        tree.write(format!("{root}/d{}/f{i:03}", i % 6), bytes(i as u64, (i * 37) % 3000))?;
    }
    tree.write(format!("{root}/large"), bytes(7, 700_000))?;
    Ok(())
}

fn url(subject: &Subject, path: &str) -> Result<String> {
    let (user, password) = subject.account();
    Ok(format!("ftp://{user}:{}@{}/{path}", password.replace(' ', "%20"), subject.port()?))
}

fn mirror(home: &Tree, from: &str, to: &str, more: &[&str]) -> Result<Finished> {
    let program = Program::portway()?.folder(home.path()).args(["mirror", "--json", "--trace", "--insecure"]);
    program.args(more).args([from, to]).run()
}

fn events(finished: &Finished, event: &str) -> Vec<Value> {
    let text = String::from_utf8_lossy(&finished.stdout);
    let all = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    all.filter(|value| value["event"] == event).collect()
}

fn total(finished: &Finished, what: &str) -> Result<u64> {
    let total = events(finished, "total").pop().with_context(|| finished.text())?;
    total[what].as_u64().context("a number")
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path of ASCII")
}

/// Sums of a folder, and the times of its files in seconds.
fn state(folder: &Path) -> Result<Vec<(String, String, i64)>> {
    let sums = sums(folder)?.into_iter();
    sums.map(|(name, sum)| {
        let time = fs::metadata(folder.join(&name))?.mtime();
        Ok((name.display().to_string(), sum, time))
    })
    .collect()
}

#[test]
fn small_files_and_listings_share_one_data_connection_plain_and_under_tls() -> Result<()> {
    let subject = Subject::start_kind(Kind::Portway, Tree::new()?, &Options::default())?;
    plant(&subject.tree, "t")?;
    fs::remove_file(subject.tree.at("t/large"))?;
    for tls in ["off", "required"] {
        let home = Tree::new()?;
        let down = home.at("down");
        let came = mirror(&home, &url(&subject, "t")?, text(&down)?, &["--jobs", "1", "--tls", tls])?;
        ensure!(came.success, "{}", came.text());
        assert_eq!(total(&came, "transferred")?, FILES as u64);
        assert_eq!(events(&came, "data-open").len(), 1, "{tls}: down");
        assert_eq!(state(&subject.tree.at("t"))?, state(&down)?, "{tls}: octets and times");
        let went = mirror(&home, text(&down)?, &url(&subject, tls)?, &["--jobs", "1", "--tls", tls])?;
        ensure!(went.success, "{}", went.text());
        assert_eq!(events(&went, "data-open").len(), 1, "{tls}: up");
        assert_eq!(state(&subject.tree.at(tls))?, state(&down)?, "{tls}: octets and times go up, too");
    }
    Ok(())
}

#[test]
fn several_sessions_bring_every_file_once() -> Result<()> {
    let subject = Subject::start_kind(Kind::Portway, Tree::new()?, &Options::default())?;
    plant(&subject.tree, "t")?;
    let home = Tree::new()?;
    let down = home.at("down");
    let came = mirror(&home, &url(&subject, "t")?, text(&down)?, &["--jobs", "8"])?;
    assert_eq!((came.success, total(&came, "transferred")?), (true, FILES as u64 + 1), "{}", came.text());
    assert_eq!(state(&subject.tree.at("t"))?, state(&down)?);
    let again = mirror(&home, &url(&subject, "t")?, text(&down)?, &["--jobs", "8"])?;
    assert_eq!((total(&again, "transferred")?, total(&again, "equal")?), (0, FILES as u64 + 1));
    Ok(())
}

#[test]
fn uploads_that_are_refused_in_the_middle_cost_no_other_file() -> Result<()> {
    let subject = Subject::start_kind(Kind::Portway, Tree::new()?, &Options::default())?;
    let home = Tree::new()?;
    for i in 0..FILES {
        home.write(format!("t/f{i:03}"), bytes(i as u64, 500))?;
    }
    // Folders where files are to be.
    for name in ["f050", "f051", "f200"] {
        subject.tree.folder(format!("up/{name}"))?;
    }
    let went = mirror(&home, text(&home.at("t"))?, &url(&subject, "up")?, &["--jobs", "1"])?;
    assert!(!went.success, "what failed shows in the exit code");
    assert_eq!(
        (total(&went, "transferred")?, total(&went, "failed")?),
        (FILES as u64 - 3, 3),
        "{}",
        went.text()
    );
    for i in (0..FILES).filter(|i| ![50, 51, 200].contains(i)) {
        let name = format!("f{i:03}");
        assert_eq!(fs::read(subject.tree.at(format!("up/{name}")))?, bytes(i as u64, 500), "{name}");
    }
    Ok(())
}

#[test]
fn permission_bits_come_down_when_asked_for() -> Result<()> {
    let subject = Subject::start_kind(Kind::Portway, Tree::new()?, &Options::default())?;
    subject.tree.write("t/private", "x")?;
    fs::set_permissions(subject.tree.at("t/private"), fs::Permissions::from_mode(0o640))?;
    let home = Tree::new()?;
    let down = home.at("down");
    ensure!(mirror(&home, &url(&subject, "t")?, text(&down)?, &["--modes", "--verify", "hash"])?.success);
    assert_eq!(fs::metadata(down.join("private"))?.mode() & 0o777, 0o640);
    Ok(())
}

#[test]
fn a_tree_goes_from_one_server_to_another_in_both_directions() -> Result<()> {
    let ours = Subject::start_kind(Kind::Portway, Tree::new()?, &Options::default())?;
    let other = Subject::start_kind(Kind::Vsftpd, Tree::new()?, &Options::default())?;
    plant(&ours.tree, "t")?;
    let home = Tree::new()?;
    let (here, there, back) = (url(&ours, "t")?, url(&other, "copy")?, url(&ours, "back")?);
    let dry = mirror(&home, &here, &there, &["--dry-run"])?;
    assert_eq!(
        (total(&dry, "transferred")?, other.tree.has("copy")),
        (FILES as u64 + 1, false),
        "{}",
        dry.text()
    );
    let went = mirror(&home, &here, &there, &["--jobs", "2"])?;
    assert_eq!((went.success, total(&went, "transferred")?), (true, FILES as u64 + 1), "{}", went.text());
    assert_eq!(sums(&ours.tree.at("t"))?, sums(&other.tree.at("copy"))?);
    let again = mirror(&home, &here, &there, &[])?;
    assert_eq!(total(&again, "transferred")?, 0, "nothing is sent twice: {}", again.text());
    ours.tree.write("back/extra", "x")?;
    let returned = mirror(&home, &there, &back, &["--delete"])?;
    assert_eq!((returned.success, total(&returned, "deleted")?), (true, 1), "{}", returned.text());
    assert_eq!(sums(&ours.tree.at("t"))?, sums(&ours.tree.at("back"))?);
    Ok(())
}
