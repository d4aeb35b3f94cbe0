//! Nothing outside the folder, whatever it is called.

use std::os::unix::fs::{PermissionsExt, symlink};

use anyhow::{Result, ensure};
use portway_e2e::{Control, Tree};

use crate::subject;

// Case 42.
#[test]
fn no_name_leads_out_of_the_folder() -> Result<()> {
    let subject = subject(&[])?;
    let outside = Tree::new()?;
    let secret = outside.write("secret", "secret contents")?;
    let secret = secret.display().to_string();
    subject.tree.folder("in")?;
    let mut control = subject.session()?;
    let up = "../".repeat(12);
    for name in [
        format!("{up}{}", secret.trim_start_matches('/')),
        format!("in/{up}{}", secret.trim_start_matches('/')),
        secret.clone(),
        format!("/{secret}"),
        format!("//{secret}"),
        format!("in/..//..{secret}"),
        format!("%2e%2e/%2e%2e{secret}"),
        format!("..\\..{secret}"),
        "/proc/self/root/etc/passwd".to_owned(),
        "/../../../etc/passwd".to_owned(),
        "in/../../etc/passwd".to_owned(),
    ] {
        for verb in ["SIZE", "MDTM", "MLST", "DELE", "CWD", "RNFR", "RETR"] {
            let reply = control.say(format!("{verb} {name}"))?;
            ensure!((400..600).contains(&reply.code), "{verb} {name}: «{reply}»");
        }
    }
    control.expect("CDUP", 250)?;
    control.expect("CDUP", 250)?;
    let here = control.expect("PWD", 257)?;
    ensure!(here.text().contains("\"/\""), "«{here}»");
    ensure!(std::fs::read(&secret)? == b"secret contents");
    Ok(())
}

// Case 42: links that lead out, to files and to folders, absolute and relative.
#[test]
fn links_out_of_the_folder_lead_nowhere() -> Result<()> {
    let subject = subject(&[])?;
    let outside = Tree::new()?;
    outside.write("folder/secret", "secret contents")?;
    outside.write("target", "untouched")?;
    symlink(outside.at("target"), subject.tree.at("file-out"))?;
    symlink(outside.at("folder"), subject.tree.at("folder-out"))?;
    symlink(
        format!("{}{}", "../".repeat(12), outside.at("folder").display().to_string().trim_start_matches('/')),
        subject.tree.at("relative-out"),
    )?;
    symlink("/proc/self/cwd", subject.tree.at("magic"))?;
    symlink("/etc", subject.tree.at("etc"))?;
    symlink("loop", subject.tree.at("loop"))?;
    let mut control = subject.session()?;
    for name in
        ["file-out", "folder-out/secret", "relative-out/secret", "magic/Cargo.toml", "etc/passwd", "loop"]
    {
        for verb in ["SIZE", "RETR", "APPE", "MLST"] {
            if verb == "MLST" && !name.contains('/') {
                // The link itself may be shown, what it leads to may not.
                continue;
            }
            let reply = control.say(format!("{verb} {name}"))?;
            ensure!((400..600).contains(&reply.code), "{verb} {name}: «{reply}»");
        }
    }
    for name in ["folder-out", "relative-out", "etc", "magic"] {
        let reply = control.say(format!("CWD {name}"))?;
        ensure!((500..600).contains(&reply.code), "CWD {name}: «{reply}»");
    }
    ensure!(!contains(&control.fetch("LIST")?, b"secret"));
    // Writing through a link that leads out must not create or change anything there.
    stores_nothing_outside(&mut control, "file-out")?;
    stores_nothing_outside(&mut control, "folder-out/new")?;
    stores_nothing_outside(&mut control, "relative-out/new")?;
    ensure!(outside.read("target")? == b"untouched");
    ensure!(!outside.has("folder/new"));
    Ok(())
}

fn stores_nothing_outside(control: &mut Control, name: &str) -> Result<()> {
    let to = control.epsv()?;
    let mut data = control.join(to)?;
    if control.say(format!("STOR {name}"))?.code == 150 {
        // Replacing the link by a file is fine; following it is not.
        std::io::Write::write_all(&mut data, b"overwritten")?;
        data.finish()?;
        control.reply()?;
    }
    Ok(())
}

// Case 42: the link is swapped between check and use, again and again.
#[test]
fn a_link_that_is_swapped_all_the_time_never_opens_the_outside() -> Result<()> {
    let subject = subject(&[])?;
    let outside = Tree::new()?;
    outside.write("file", "outside")?;
    subject.tree.write("real/file", "inside")?;
    let (link, real, out) =
        (subject.tree.at("swapped"), subject.tree.at("real"), outside.path().to_path_buf());
    let spare = subject.tree.at("spare");
    symlink(&real, &link)?;
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let swapper = std::thread::spawn(move || {
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            for target in [std::path::Path::new("real"), &out] {
                // rename(2) swaps the link in one step.
                let _ = symlink(target, &spare);
                let _ = std::fs::rename(&spare, &link);
            }
        }
    });
    let mut control = subject.session()?;
    let (mut inside, mut refused) = (0, 0);
    for _ in 0..300 {
        let to = control.epsv()?;
        let mut data = control.join(to)?;
        let reply = control.say("RETR swapped/file")?;
        if reply.code == 150 {
            let got = data.read_all()?;
            ensure!(got == b"inside", "{} came", got.escape_ascii());
            control.end()?;
            inside += 1;
        } else {
            ensure!((400..600).contains(&reply.code), "«{reply}»");
            refused += 1;
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    swapper.join().map_err(|_| anyhow::anyhow!("the swapper panicked"))?;
    println!("{inside} times inside, {refused} times refused");
    ensure!(inside > 0);
    Ok(())
}

// Links that stay inside work, absolute ones as seen from the served root.
#[test]
fn links_inside_the_folder_work() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("data/file", "contents")?;
    symlink("data", subject.tree.at("relative"))?;
    symlink("/data/file", subject.tree.at("absolute"))?;
    let mut control = subject.session()?;
    ensure!(control.fetch("RETR relative/file")? == b"contents");
    ensure!(control.fetch("RETR absolute")? == b"contents");
    control.expect("CWD relative", 250)?;
    ensure!(control.fetch("RETR file")? == b"contents");
    Ok(())
}

// A link whose target is gone: whoever lists the folder sees it, so it can be asked about by its name, too.
#[test]
fn a_link_that_leads_nowhere_is_listed_renamed_and_deleted() -> Result<()> {
    let subject = subject(&[])?;
    symlink("gone", subject.tree.at("dangling"))?;
    let mut control = subject.session()?;
    let row = String::from_utf8(control.fetch("LIST dangling")?)?;
    ensure!(row.starts_with('l') && row.trim_end().ends_with("dangling -> gone"), "{row}");
    ensure!(control.fetch("NLST dangling")? == b"dangling\r\n");
    let row = control.expect("MLST dangling", 250)?.to_string();
    ensure!(row.contains("type=OS.unix=s") && row.contains("/dangling"), "{row}");
    for line in ["SIZE dangling", "MDTM dangling", "CWD dangling", "MLST dangling/x", "MLST other"] {
        control.expect(line, 550)?;
    }
    control.expect("RNFR dangling", 350)?;
    control.expect("RNTO elsewhere", 250)?;
    control.expect("DELE elsewhere", 250)?;
    ensure!(control.fetch("NLST")?.is_empty());
    Ok(())
}

// Case 44.
#[test]
fn renaming_replaces_files_whole_and_refuses_folders() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("one", "1")?;
    subject.tree.write("two", "2")?;
    subject.tree.write("full/file", "x")?;
    subject.tree.folder("empty")?;
    let mut control = subject.session()?;
    control.expect("RNFR one", 350)?;
    let reply = control.say("RNTO full")?;
    ensure!((500..600).contains(&reply.code), "onto a folder: «{reply}»");
    ensure!(subject.tree.read("one")? == b"1" && subject.tree.read("full/file")? == b"x");
    control.expect("RNFR full", 350)?;
    let reply = control.say("RNTO full/inside")?;
    ensure!((500..600).contains(&reply.code), "into itself: «{reply}»");
    control.expect("RNFR one", 350)?;
    let reply = control.say("RNTO two")?;
    // Replaced or refused, never lost.
    match reply.code {
        250 => ensure!(subject.tree.read("two")? == b"1" && !subject.tree.has("one")),
        500..=599 => ensure!(subject.tree.read("two")? == b"2" && subject.tree.read("one")? == b"1"),
        _ => anyhow::bail!("«{reply}»"),
    }
    let reply = control.say("RNTO again")?;
    ensure!(reply.code == 503, "RNTO without RNFR: «{reply}»");
    let reply = control.say("RNFR missing")?;
    ensure!(reply.code == 550, "«{reply}»");
    // RNFR is forgotten when something else comes between. RFC 959 §4.1.3.
    control.expect("RNFR two", 350)?;
    control.expect("NOOP", 200)?;
    control.expect("RNTO other", 503)?;
    Ok(())
}

// Case 44: the partial of a running upload has a name of its own that no command reaches.
#[test]
fn an_open_upload_cannot_be_seen_renamed_or_deleted_by_others() -> Result<()> {
    let subject = subject(&[])?;
    let (mut writer, mut other) = (subject.session()?, subject.session()?);
    let mut data = writer.begin("STOR up")?;
    std::io::Write::write_all(&mut data, b"half")?;
    let hidden = portway_e2e::until("the hidden file is there", portway_e2e::PATIENCE, || {
        Ok(subject.tree.names()?.pop())
    })?;
    let hidden = String::from_utf8_lossy(&hidden).into_owned();
    for line in [
        format!("RETR {hidden}"),
        format!("RNFR {hidden}"),
        format!("DELE {hidden}"),
        format!("SIZE {hidden}"),
        "RNFR up".to_owned(),
    ] {
        let reply = other.say(&line)?;
        ensure!((400..600).contains(&reply.code), "{line}: «{reply}»");
    }
    for line in ["NLST", "NLST -a", "LIST -la", "MLSD"] {
        ensure!(!contains(&other.fetch(line)?, b"up"), "{line} shows it");
    }
    std::io::Write::write_all(&mut data, b" and half")?;
    data.finish()?;
    writer.end()?;
    ensure!(subject.tree.read("up")? == b"half and half");
    Ok(())
}

// Case 48.
#[test]
fn times_are_exact_or_refused() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("a file", "contents")?;
    let mut control = subject.session()?;
    for time in ["19700101000000", "20240229235959", "20261122101508", "20380119031408", "21060207062816"] {
        let reply = control.say(format!("MFMT {time} a file"))?;
        ensure!(reply.code == 213, "MFMT {time}: «{reply}»");
        let shown = control.expect("MDTM a file", 213)?;
        ensure!(shown.value().starts_with(time), "MFMT {time}, then MDTM «{shown}»");
    }
    let before = control.expect("MDTM a file", 213)?;
    for time in [
        "00000000000000",
        "20260229000000",
        "20261301000000",
        "20260132000000",
        "20260101240000",
        "20260101006000",
        "2026010100000",
        "202601010000000",
        "now",
        "-1",
    ] {
        let reply = control.say(format!("MFMT {time} a file"))?;
        ensure!((500..600).contains(&reply.code), "MFMT {time}: «{reply}»");
    }
    ensure!(control.expect("MDTM a file", 213)? == before, "a refused time was set");
    ensure!(subject.tree.read("a file")? == b"contents");
    Ok(())
}

fn contains(octets: &[u8], part: &[u8]) -> bool {
    octets.windows(part.len()).any(|at| at == part)
}

// RFC 959 §5.4 has 200 for SITE and no 250; PHP's ftp_chmod takes nothing else for success.
#[test]
fn site_commands_that_change_something_are_answered_by_200() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("file", "contents")?;
    let mut control = subject.session()?;
    for line in ["SITE CHMOD 600 file", "SITE UTIME 20200101000000 file", "SITE SYMLINK file link"] {
        control.expect(line, 200)?;
    }
    control.expect("SITE CHMOD 600 none", 550)?;
    control.expect("SITE SYMLINK file link", 550)?;
    Ok(())
}

#[test]
fn new_files_and_folders_have_the_mode_that_the_umask_leaves() -> Result<()> {
    for (umask, file, folder) in [("027", 0o640, 0o750), ("002", 0o664, 0o775)] {
        let subject = subject(&["--umask", umask])?;
        let mut control = subject.session()?;
        control.store("STOR file", b"contents")?;
        control.expect("MKD folder", 257)?;
        for (name, wanted) in [("file", file), ("folder", folder)] {
            let mode = std::fs::metadata(subject.tree.at(name))?.permissions().mode() & 0o7777;
            ensure!(mode == wanted, "{name}: {mode:o} with umask {umask}");
        }
    }
    Ok(())
}
