//! Listings of many and of odd names.

use std::io::Read;
use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use portway_e2e::{Tree, bytes};

use crate::subject;

fn crowded(count: usize) -> Result<Tree> {
    let tree = Tree::new()?;
    tree.folder("many")?;
    for i in 0..count {
        std::fs::File::create(tree.at(format!("many/file number {i:06}")))?;
    }
    Ok(tree)
}

// Case 43: the first octet leaves long before the last row is made; `cargo xtask bench` says how soon.
#[test]
fn a_listing_of_a_hundred_thousand_begins_at_once_and_is_complete() -> Result<()> {
    let count = 100_000;
    let subject = portway_e2e::Subject::start_on(crowded(count)?, &portway_e2e::Options::default())?;
    let mut control = subject.session()?;
    for line in ["MLSD many", "LIST many", "NLST many"] {
        let to = control.epsv()?;
        let mut data = control.join(to)?;
        let begun = Instant::now();
        control.expect(line, 150)?;
        let answered = begun.elapsed();
        let mut first = [0; 1];
        data.read_exact(&mut first)?;
        let waited = begun.elapsed();
        let rest = data.read_all()?;
        let whole = begun.elapsed();
        drop(data);
        control.end()?;
        ensure!(
            waited * 3 < whole,
            "{line}: 150 came after {answered:?}, the first octet after {waited:?}, all after {whole:?}"
        );
        let lines = rest.iter().filter(|octet| **octet == b'\n').count();
        // LIST may begin with a total, MLSD with the folder itself.
        ensure!((count..count + 3).contains(&lines), "{line}: {lines} lines");
        println!("{line}: first octet after {waited:?}");
    }
    Ok(())
}

// Case 43.
#[test]
fn patterns_that_backtrack_and_deep_recursion_end_soon() -> Result<()> {
    let subject = subject(&[])?;
    subject.tree.write("a".repeat(200), "x")?;
    subject.tree.folder("d/".repeat(60))?;
    symlink("..", subject.tree.at("d/up"))?;
    let mut control = subject.session()?;
    for line in [
        format!("NLST {}b", "*a".repeat(40)),
        format!("LIST {}b", "a*".repeat(60)),
        format!("NLST {}", "*/".repeat(60)),
        format!("NLST {}", "{a,b}".repeat(30)),
        "LIST -R".to_owned(),
        "NLST ../../../../*".to_owned(),
        "STAT -R .".to_owned(),
    ] {
        let begun = Instant::now();
        let to = control.epsv()?;
        let data = control.join(to)?;
        let reply = control.say(&line)?;
        if reply.code == 150 {
            let mut data = data;
            let got = data.read_all()?;
            ensure!(got.len() < 1 << 20, "{line}: {} octets", got.len());
            let last = control.reply()?;
            ensure!(matches!(last.code, 226 | 450 | 550), "{line}: «{last}»");
        } else {
            ensure!((200..600).contains(&reply.code), "{line}: «{reply}»");
        }
        ensure!(begun.elapsed() < Duration::from_secs(5), "{line} took {:?}", begun.elapsed());
        control.expect("NOOP", 200)?;
    }
    Ok(())
}

// Case 43: the folder changes while it is listed.
#[test]
fn a_folder_that_changes_while_it_is_listed_shows_what_stays() -> Result<()> {
    let subject = subject(&[])?;
    for i in 0..3000 {
        subject.tree.write(format!("stays{i}"), "")?;
        subject.tree.write(format!("goes{i}"), "")?;
    }
    let mut control = subject.session()?;
    let mut data = control.begin("MLSD")?;
    data.read_exact(&mut [0; 1])?;
    for i in 0..3000 {
        std::fs::remove_file(subject.tree.at(format!("goes{i}")))?;
    }
    let listing = data.read_all()?;
    drop(data);
    control.end()?;
    let stays = String::from_utf8_lossy(&listing).matches(" stays").count();
    ensure!(stays == 3000, "{stays} of 3000");
    Ok(())
}

// Case 43: the longest names, in every encoding.
#[test]
fn names_of_255_octets_are_listed_whole() -> Result<()> {
    let subject = subject(&[])?;
    let names = [
        vec![b'x'; 255],
        "ä".repeat(127).into_bytes(),
        vec![0xE9; 255],
        [b"-".to_vec(), vec![b' '; 253], b".".to_vec()].concat(),
    ];
    for name in &names {
        subject.tree.write(name, bytes(1, 10))?;
    }
    let mut control = subject.session()?;
    for line in ["NLST", "LIST", "MLSD"] {
        let listing = control.fetch(line)?;
        for name in &names {
            ensure!(
                listing.windows(255).any(|at| at.starts_with(name))
                    || listing.windows(name.len()).any(|at| at == name),
                "{line} lacks {}",
                name.escape_ascii()
            );
        }
    }
    Ok(())
}

// An empty folder is no error (many clients take 550 for one).
#[test]
fn an_empty_folder_lists_as_nothing() -> Result<()> {
    let subject = subject(&[])?;
    let mut control = subject.session()?;
    for line in ["NLST", "LIST", "LIST -a", "LIST -al"] {
        let listing = control.fetch(line)?;
        ensure!(!String::from_utf8_lossy(&listing).contains("root.txt"), "{line}");
    }
    ensure!(control.fetch("NLST")?.is_empty());
    Ok(())
}

#[test]
fn a_folder_of_some_hundred_names_is_listed_in_their_order() -> Result<()> {
    let subject = subject(&[])?;
    // Numbered by a step that has no factor in common with the count, so that none is made in its place.
    for i in 0..300 {
        subject.tree.write(format!("dir/{:03}", i * 7 % 300), "")?;
    }
    let mut control = subject.session()?;
    let names = String::from_utf8(control.fetch("NLST dir")?)?;
    let expected = (0..300).map(|i| format!("dir/{i:03}")).collect::<Vec<_>>();
    ensure!(names.lines().collect::<Vec<_>>() == expected, "{names}");
    for line in ["LIST dir", "MLSD dir"] {
        let rows = String::from_utf8(control.fetch(line)?)?;
        let names = rows.lines().filter_map(|row| row.rsplit(' ').next());
        let names = names.filter(|name| name.len() == 3).map(|name| format!("dir/{name}"));
        ensure!(names.collect::<Vec<_>>() == expected, "{line}: {rows}");
    }
    Ok(())
}
