//! Trying one case, inside its namespaces: prove the fault, ask, cure, prove the cure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::mount::{MountFlags, mount_bind, mount_remount};

use super::addresses::{Addresses, number};
use super::catalog::Case;
use super::cure::{Cure, PATIENCE, Patient, equip};
use super::machines::Machines;
use super::papers::Authority;
use super::run::Row;
use super::server::{Server, Site};
use super::setting::{Login, Naming, Paper, Setting};
use super::transfer::Download;
use super::{doctor, holders, middlebox};
use crate::error::LabError;

/// What is transferred: enough to need more than one window of TCP.
const OCTETS: usize = 1 << 20;
/// A transfer that has not arrived by then does not work. On a machine that does nothing else it takes 0.1 s.
const BROKEN: Duration = Duration::from_secs(6);
/// Where in `/etc` the authorities are that programs trust, in Debian and its children.
const AUTHORITIES: &str = "ssl/certs/ca-certificates.crt";
/// Nobody's settings are larger, in octets.
const LARGEST: u64 = 1 << 20;

/// Tries a case; files go to `folder`.
pub(super) fn perform(case: &Case, reference: bool, folder: &Path) -> Result<Row, LabError> {
    let setting = &case.setting;
    let world = World::new(setting, folder)?;
    let machines = Machines::new(setting, &world.at, &(world.range.0..=world.range.1))?;
    let authority = Authority::new()?;
    let papers = authority.issue(setting.paper, &world.name, &folder.join("certificate"))?;
    let fresh = authority.issue(Paper::Good, &world.name, &folder.join("fresh"))?;
    world.mount(folder, &authority)?;
    let mut server = Server::new(&Site {
        setting,
        public: world.public.into(),
        stale: world.at.nobody.into(),
        own: world.own.clone(),
        range: world.range,
        served: &folder.join("served"),
        folder,
        papers: &papers,
        user: (&world.user, &world.password),
    })?;
    if !setting.down {
        server.restart(&machines.server)?;
    }
    if let Some(meddling) = setting.meddling {
        middlebox::start(&machines.near, meddling, world.at.near_in, world.public)?;
    }
    if setting.held {
        holders::start(&machines.middle, world.public.into(), setting.ports)?;
    }
    let url = world.url(setting);
    let mut download =
        Download::new(setting.transfer.client, &url, setting.transfer.more, setting.transfer.times);
    let facts = world.facts(setting, &fresh.both, &fresh.key);
    let mut notes = Vec::new();
    let patience = if case.culprit.is_some() { BROKEN } else { PATIENCE };
    let arrived = download.arrives(&machines.client, folder, &world.content, patience)?;
    match (&arrived, case.culprit) {
        (Ok(()), Some(_)) => return Err(LabError::Inside("the fault breaks nothing".to_owned())),
        (Err(said), None) => {
            return Err(LabError::Inside(format!("a healthy set-up does not work: {said}")));
        }
        (Err(said), Some(_)) => notes.push(format!("before: {said}")),
        (Ok(()), None) => {}
    }
    let expected = case.culprit.unwrap_or("healthy");
    let (verdict, cures, seconds) = if reference {
        (expected.to_owned(), case.reference.clone(), 0.0)
    } else {
        let (report, took) = doctor::ask(&machines.client, &url, folder)?;
        let verdict = report.culprit.unwrap_or_else(|| "healthy".to_owned());
        if verdict != expected {
            notes.push(format!("doctor: {}", report.text.trim()));
        }
        notes.push(format!("says: {}", report.sentence));
        (verdict, report.cures, took.as_secs_f64())
    };
    let mut patient = Patient {
        setting,
        machines: &machines,
        server: &mut server,
        download: &mut download,
        facts: &facts,
        folder,
    };
    let cured =
        if case.culprit.is_some() { cure(&mut patient, &cures, &world.content, &mut notes)? } else { true };
    Ok(Row { scenario: case.name.to_owned(), named: verdict == expected, verdict, cured, seconds, notes })
}

/// Applies the first cure that is for something there and changes anything, and tries the transfer again.
fn cure(
    patient: &mut Patient<'_>,
    cures: &[Cure],
    content: &[u8],
    notes: &mut Vec<String>,
) -> Result<bool, LabError> {
    for chosen in cures {
        if !patient.can_take(chosen) {
            continue;
        }
        notes.push(format!("cure at {} for {}: {}", chosen.place, chosen.program, chosen.text));
        match patient.take(chosen) {
            Ok(true) => {}
            // Such as one that takes away what is not there.
            Ok(false) => {
                notes.push("it changes nothing; the next one".to_owned());
                continue;
            }
            Err(why) => {
                notes.push(format!("it cannot be applied: {why}"));
                return Ok(false);
            }
        }
        let client = &patient.machines.client;
        return match patient.download.arrives(client, patient.folder, content, PATIENCE)? {
            Ok(()) => Ok(true),
            Err(said) => {
                notes.push(format!("after: {said}"));
                Ok(false)
            }
        };
    }
    notes.push(format!("no cure can be applied: {cures:?}"));
    Ok(false)
}

/// Names and numbers of one trial.
struct World {
    at: Addresses,
    name: String,
    public: Ipv4Addr,
    own: Vec<IpAddr>,
    range: (u16, u16),
    user: String,
    password: String,
    content: Vec<u8>,
    hosts: String,
}

impl World {
    fn new(setting: &Setting, folder: &Path) -> Result<Self, LabError> {
        let at = Addresses::draw(setting.client_hidden, setting.server_hidden);
        let public = if setting.server_hidden { at.far_out } else { at.server };
        let name = format!("{}.{}.net", word(), word());
        let six = at.v6[3][1];
        let own = match setting.naming {
            Naming::V4 | Naming::Nowhere => vec![at.server.into()],
            Naming::V6 => vec![six.into()],
            Naming::Both => vec![at.server.into(), six.into()],
        };
        let mut hosts = "127.0.0.1 localhost\n::1 localhost\n".to_owned();
        if matches!(setting.naming, Naming::V4 | Naming::Both) {
            hosts.push_str(&format!("{public} {name}\n"));
        }
        if matches!(setting.naming, Naming::V6 | Naming::Both) {
            hosts.push_str(&format!("{six} {name}\n"));
        }
        let first = 20_000 + u16::try_from(number(10_000)).unwrap_or_default();
        let content: Vec<u8> =
            (0_u32..).flat_map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()).take(OCTETS).collect();
        let served = folder.join("served");
        let files = || -> std::io::Result<()> {
            std::fs::create_dir(&served)?;
            std::fs::create_dir(folder.join("empty"))?;
            std::fs::write(served.join("file"), &content)?;
            std::fs::write(served.join("readme.txt"), "Welcome.\n")?;
            for index in 0..100 {
                std::fs::write(served.join(format!("{}-{index}.dat", word())), word())?;
            }
            // vsftpd refuses to serve a folder that its user could write to.
            std::fs::set_permissions(&served, std::fs::Permissions::from_mode(0o555))
        };
        files().map_err(LabError::system("no files for the lab"))?;
        equip(folder)?;
        Ok(Self {
            at,
            name,
            public,
            own,
            range: (first, first + setting.ports - 1),
            user: word(),
            password: word() + &word(),
            content,
            hosts,
        })
    }

    /// Gives the processes in here a folder for settings of their own, and makes all else that is not ours read-only:
    /// cures change files of the system.
    fn mount(&self, folder: &Path, authority: &Authority) -> Result<(), LabError> {
        let served = folder.join("served");
        let users = format!(
            "root:x:0:0::/root:/bin/sh\nnobody:x:65534:65534::/nonexistent:/bin/sh\n\
             ftp:x:990:65534::{}:/bin/sh\n",
            served.display()
        );
        let files = [
            ("hosts", self.hosts.clone()),
            ("passwd", users),
            ("nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n".to_owned()),
            (AUTHORITIES, authority.pem.clone()),
        ];
        let own = folder.join("etc");
        copy(Path::new("/etc"), &own).map_err(LabError::system("no copy of the system's settings"))?;
        for (name, text) in files {
            let file = own.join(name);
            // There may be none yet, or one that is a link.
            let _ = std::fs::remove_file(&file);
            let made = file.parent().map_or(Ok(()), std::fs::create_dir_all);
            made.and_then(|()| std::fs::write(&file, text))
                .map_err(LabError::system("no files for the lab"))?;
        }
        mount_bind(&own, "/etc").map_err(LabError::system("the system's settings cannot be covered"))?;
        let flags = MountFlags::BIND | MountFlags::RDONLY;
        mount_remount("/", flags, c"").map_err(LabError::system("the system cannot be made read-only"))
    }

    fn url(&self, setting: &Setting) -> String {
        let scheme = if setting.implicit && setting.meddling.is_none() { "ftps" } else { "ftp" };
        match setting.login {
            Login::Anonymous => format!("{scheme}://{}/", self.name),
            Login::User => format!("{scheme}://{}:{}@{}/", self.user, self.password, self.name),
            Login::Wrong => format!("{scheme}://{}:{}@{}/", self.user, word(), self.name),
        }
    }

    /// What an administrator has at hand.
    fn facts(&self, setting: &Setting, certificate: &Path, key: &Path) -> BTreeMap<&'static str, String> {
        let (low, mut high) = self.range;
        // Whose range is too small chooses a larger one.
        if setting.held {
            high = low + 999;
        }
        [
            ("PUBLIC ADDRESS", self.public.to_string()),
            ("SERVER ADDRESS", self.public.to_string()),
            ("INNER ADDRESS", self.at.server.to_string()),
            ("SERVER INNER ADDRESS", self.at.server.to_string()),
            ("CLIENT ADDRESS", self.at.client.to_string()),
            ("LOW", low.to_string()),
            ("HIGH", high.to_string()),
            ("PASSIVE FIRST", low.to_string()),
            ("PASSIVE LAST", high.to_string()),
            ("NAME", self.name.clone()),
            ("USER", self.user.clone()),
            ("PASSWORD", self.password.clone()),
            ("CERTIFICATE", certificate.display().to_string()),
            ("CERTIFICATE FILE", certificate.display().to_string()),
            ("CHAIN", certificate.display().to_string()),
            ("KEY", key.display().to_string()),
            ("KEY FILE", key.display().to_string()),
        ]
        .into()
    }
}

/// Copies what this user may read and is of interest: settings are small. Links stay links.
fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        // What cannot be read is nobody's business in here either.
        let _ = if kind.is_symlink() {
            std::fs::read_link(&source).and_then(|link| std::os::unix::fs::symlink(link, &target))
        } else if kind.is_dir() {
            copy(&source, &target)
        } else if kind.is_file() && entry.metadata()?.len() <= LARGEST {
            std::fs::copy(&source, &target).map(|_| ())
        } else {
            Ok(())
        };
    }
    Ok(())
}

/// A word that nobody has used before.
fn word() -> String {
    const CONSONANTS: &[u8] = b"bdfgklmnprstvz";
    const VOWELS: &[u8] = b"aeiou";
    let draw = |from: &[u8]| from.get(number(from.len())).copied().map_or('a', char::from);
    (0..4).flat_map(|_| [draw(CONSONANTS), draw(VOWELS)]).collect()
}
