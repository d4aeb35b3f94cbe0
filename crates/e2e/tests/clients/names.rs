//! Names that shells, URLs, patterns and Telnet read as something else.

use anyhow::{Context, Result, ensure};
use portway_e2e::clients::{Act, Client, Site, Skill};
use portway_e2e::{Cell, Family, Mode, Options, Security, Subject, Tree, bytes};

/// Each is carried by every client that can spell it; `tests/protocol` carries all of them.
const NAMES: &[&[u8]] = &[
    b"two words",
    "größe ☃ 文件.bin".as_bytes(),
    b"it's \"quoted\" `twice`",
    b"back\\slash",
    b"per%20cent%0d%",
    b"  blanks before",
    b"blanks behind  ",
    b"-dash",
    b"star*and?[a-z]{b,c}",
    b"~tilde",
    b"$HOME;id|more>less&#!",
    b"...dots",
    b"semi;type=a",
    b"latin \xE9 and octet \xFF.",
    b"cr\rinside",
    b"tab\tinside",
];

/// Up, down and away again, under each name.
pub(crate) fn carry(client: &dyn Client) -> Result<()> {
    let subject = Subject::start(&Options::default())?;
    let home = Tree::new()?;
    let cell = Cell { mode: Mode::Passive, family: Family::V4, security: Security::Plain };
    let site = Site { subject: &subject, cell, home: home.path() };
    let mut carried = 0;
    for (i, name) in NAMES.iter().enumerate().filter(|(_, name)| client.spells(name)) {
        let shown = name.escape_ascii();
        let contents = bytes(100 + i as u64, 2000);
        if client.skills().contains(&Skill::Put) {
            let local = home.write("source", &contents)?;
            client
                .act(&site, &Act::Put { local: &local, remote: name })
                .with_context(|| format!("put {shown}"))?;
            ensure!(subject.tree.names()? == [name.to_vec()], "put {shown} made {:?}", lossy(&subject.tree)?);
        } else {
            subject.tree.write(name, &contents)?;
        }
        ensure!(subject.tree.read(name)? == contents, "other contents under {shown}");
        let local = home.at("got");
        client
            .act(&site, &Act::Get { remote: name, local: &local })
            .with_context(|| format!("get {shown}"))?;
        ensure!(home.read("got")? == contents, "got other contents for {shown}");
        std::fs::remove_file(local)?;
        std::fs::remove_file(subject.tree.at(name))?;
        carried += 1;
    }
    println!("{} spells {carried} of {} names", client.name(), NAMES.len());
    ensure!(carried > 3);
    Ok(())
}

fn lossy(tree: &Tree) -> Result<Vec<String>> {
    Ok(tree.names()?.iter().map(|name| name.escape_ascii().to_string()).collect())
}
