//! What users of curl, wget and lftp type without thinking.

use anyhow::{Result, ensure};

use crate::site::Site;

#[test]
fn a_dash_is_standard_output_and_standard_input() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("a.txt", "from there\n")?;
    let down = site.portway(&["get", &site.url("a.txt")?, "-o", "-"])?.succeed()?;
    ensure!(down.stdout == b"from there\n" && !site.home.has("-"), "{down}");
    let resumed = site.portway(&["get", &site.url("a.txt")?, "-o", "-", "--continue"])?.run()?;
    ensure!(resumed.code == Some(2) && resumed.stdout.is_empty(), "{resumed}");
    for verb in [vec!["get", "-o", "-"], vec!["cat"]] {
        let hashed = site
            .portway(&[&verb[..], &[&site.url("a.txt")?, "--verify", "hash", "--trace"]].concat())?
            .succeed()?;
        ensure!(hashed.stdout == b"from there\n" && hashed.text().contains("> HASH a.txt"), "{hashed}");
        let believed = site
            .portway(&[&verb[..], &[&site.url("a.txt")?, "--verify", "replies", "--trace"]].concat())?
            .succeed()?;
        ensure!(believed.stdout == b"from there\n" && !believed.text().contains("> SIZE"), "{believed}");
    }
    let up = site.portway(&["put", "-", &site.url("b.txt")?])?.input("from here\n").succeed()?;
    ensure!(site.subject.tree.read("b.txt")? == b"from here\n", "{up}");
    let nameless = site.portway(&["put", "-", &site.url("")?])?.input("x").run()?;
    ensure!(nameless.code == Some(2) && !site.subject.tree.has("-"), "{nameless}");
    Ok(())
}

#[test]
fn a_file_is_listed_as_well_as_a_directory() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("dir/a.txt", "12345")?;
    let row = site.portway(&["ls", "-l", &site.url("dir/a.txt")?])?.succeed()?;
    let row = String::from_utf8_lossy(&row.stdout).into_owned();
    ensure!(row.starts_with("-              5 ") && row.ends_with(" a.txt\n"), "{row}");
    let inside = site.portway(&["shell", &site.url("dir/")?, "-e", "ls a.txt"])?.succeed()?;
    ensure!(inside.stdout == row.as_bytes(), "{inside}");
    let none = site.portway(&["ls", &site.url("none")?])?.run()?;
    ensure!(none.code == Some(3), "{none}");
    Ok(())
}

#[test]
fn one_transfer_in_active_mode_does_not_turn_the_automatic_choice_round() -> Result<()> {
    let site = Site::new()?;
    site.subject.tree.write("a.txt", "text")?;
    let url = site.url("a.txt")?;
    site.portway(&["get", "--mode", "active", &url])?.succeed()?;
    let traced = site.portway(&["get", "--trace", &url])?.succeed()?.text();
    ensure!(traced.contains("EPSV") && !traced.contains("EPRT") && !traced.contains("PORT "), "{traced}");
    Ok(())
}
