//! What worked before, per network and server, so that a blocked mode costs its second only once.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Way;

/// How long what worked is believed. Networks change; a wrong memory costs about a second.
const WINNER_LIVES: Duration = Duration::from_secs(7 * 24 * 3600);
/// How long a mode that failed is passed over when another one works.
const LOSER_LIVES: Duration = Duration::from_secs(24 * 3600);
/// Servers remembered at most; the oldest are forgotten first.
const MOST: usize = 500;

/// What worked before. Lives in a file, or in this process alone.
#[derive(Debug, Default)]
pub struct Memory {
    file: Option<PathBuf>,
    facts: Mutex<BTreeMap<String, Fact>>,
}

/// What is known about one server as seen from one network.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Fact {
    /// What worked last.
    pub works: Option<Way>,
    /// What failed, and why.
    pub fails: BTreeMap<Way, String>,
    /// Commands sent ahead confuse it.
    pub no_pipelining: bool,
    /// What is faster for many small files than what works first.
    pub batch: Option<Way>,
    /// When this was learnt, in seconds since 1970.
    pub learnt: u64,
}

impl Memory {
    /// Forgotten when the process ends.
    #[must_use]
    pub fn in_process() -> Self {
        Self::default()
    }

    /// Kept in `file`, which need not exist. What cannot be read is forgotten.
    #[must_use]
    pub fn in_file(file: PathBuf) -> Self {
        let facts =
            fs::read(&file).ok().and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default();
        Self { file: Some(file), facts: Mutex::new(facts) }
    }

    /// Kept where caches of this user belong: `$XDG_CACHE_HOME/portway/modes.json` or
    /// `~/.cache/portway/modes.json`; in the process alone if there is neither.
    #[must_use]
    pub fn of_user(cache: Option<&Path>, home: Option<&Path>) -> Self {
        let folder = cache
            .filter(|path| path.is_absolute())
            .map(Path::to_path_buf)
            .or_else(|| home.filter(|path| path.is_absolute()).map(|home| home.join(".cache")));
        folder.map_or_else(Self::in_process, |folder| Self::in_file(folder.join("portway/modes.json")))
    }

    /// What is known, if it is fresh enough.
    #[must_use]
    pub fn recall(&self, key: &str) -> Fact {
        let Ok(facts) = self.facts.lock() else { return Fact::default() };
        let age = |fact: &Fact| Duration::from_secs(now().saturating_sub(fact.learnt));
        let Some(mut fact) = facts.get(key).filter(|fact| age(fact) < WINNER_LIVES).cloned() else {
            return Fact::default();
        };
        if age(&fact) > LOSER_LIVES {
            fact.fails.clear();
        }
        fact
    }

    /// Learns something. A file that cannot be written is no failure: memory is only a saving.
    pub fn learn(&self, key: &str, change: impl FnOnce(&mut Fact)) {
        let Ok(mut facts) = self.facts.lock() else { return };
        let mut fact = facts.get(key).cloned().unwrap_or_default();
        let before = fact.clone();
        change(&mut fact);
        // Seeing the same again within the hour is no reason to write the file.
        let known = Fact { learnt: before.learnt, ..fact.clone() } == before;
        if known && now().saturating_sub(before.learnt) < 3600 {
            return;
        }
        fact.learnt = now();
        facts.insert(key.to_owned(), fact);
        while facts.len() > MOST {
            let oldest = facts.iter().min_by_key(|(_, fact)| fact.learnt).map(|(key, _)| key.clone());
            match oldest {
                Some(key) => facts.remove(&key),
                None => break,
            };
        }
        if let Some(file) = &self.file {
            let _ = write(file, &facts);
        }
    }
}

/// Names a network and a server in it: our address without its host part, the router, and the server.
#[must_use]
pub(crate) fn key(local: IpAddr, server: SocketAddr, name: &str) -> String {
    let network = match local.to_canonical() {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            format!("{a}.{b}.{c}.0/24")
        }
        IpAddr::V6(ip) => {
            let [a, b, c, d, ..] = ip.segments();
            format!("{a:x}:{b:x}:{c:x}:{d:x}::/64")
        }
    };
    format!("{network} {} {name} {server}", router().unwrap_or_default())
}

/// The hardware address of the default router (IPv4), which tells networks with equal addresses apart.
fn router() -> Option<String> {
    let routes = fs::read_to_string("/proc/net/route").ok()?;
    let gateway = routes.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let (to, gateway) = (fields.next()?, fields.next()?);
        (to == "00000000").then(|| u32::from_str_radix(gateway, 16).ok())?
    })?;
    let gateway = IpAddr::from(gateway.to_ne_bytes()).to_string();
    let neighbours = fs::read_to_string("/proc/net/arp").ok()?;
    neighbours.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        (fields.next()? == gateway).then(|| fields.nth(2).map(str::to_owned))?
    })
}

fn write(file: &Path, facts: &BTreeMap<String, Fact>) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    // Written beside it and renamed: a second client never reads half a file.
    let draft = file.with_extension(format!("{}.tmp", std::process::id()));
    let mut out = fs::File::options().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
    out.write_all(&serde_json::to_vec(facts)?)?;
    fs::rename(&draft, file)
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_worked_is_known_to_the_next_process_and_forgotten_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a/modes.json");
        let memory = Memory::in_file(file.clone());
        assert_eq!(memory.recall("k"), Fact::default());
        memory.learn("k", |fact| {
            fact.works = Some(Way::Port);
            fact.fails.insert(Way::Epsv, "silent".to_owned());
        });
        let again = Memory::in_file(file.clone());
        assert_eq!(again.recall("k").works, Some(Way::Port));
        for (age, works, fails) in [(2 * 24 * 3600, true, false), (8 * 24 * 3600, false, false)] {
            let mut facts = again.facts.lock().unwrap().clone();
            facts.get_mut("k").unwrap().learnt = now() - age;
            write(&file, &facts).unwrap();
            let fact = Memory::in_file(file.clone()).recall("k");
            assert_eq!((fact.works.is_some(), !fact.fails.is_empty()), (works, fails), "{age}");
        }
    }

    #[test]
    fn a_damaged_file_is_forgotten_and_its_size_is_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("modes.json");
        fs::write(&file, b"{not json").unwrap();
        let memory = Memory::in_file(file.clone());
        for i in 0..MOST + 5 {
            memory.learn(&i.to_string(), |fact| fact.no_pipelining = true);
        }
        assert_eq!(memory.facts.lock().unwrap().len(), MOST);
        assert!(serde_json::from_slice::<BTreeMap<String, Fact>>(&fs::read(&file).unwrap()).is_ok());
    }
}
