//! What an interruption would leave behind, so that it can be named.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use portway_client::Target;
use serde_json::json;

/// The process has one user, and a signal reaches all of it.
static UNDERWAY: Mutex<Underway> =
    Mutex::new(Underway { folders: BTreeSet::new(), uploads: BTreeMap::new(), since: None });
static JSON: AtomicBool = AtomicBool::new(false);

struct Underway {
    folders: BTreeSet<PathBuf>,
    /// Each with the parts it goes up in.
    uploads: BTreeMap<String, usize>,
    since: Option<SystemTime>,
}

/// Names looked at in search of partial files, at most.
const MOST: usize = 200_000;
/// The start of a partial file's name.
const PARTIAL: &[u8] = b".portway-part";

/// From now on files arrive in `folder` or below it.
pub(super) fn fetching_into(folder: &Path) {
    if let Ok(mut underway) = UNDERWAY.lock() {
        underway.since.get_or_insert_with(SystemTime::now);
        underway.folders.insert(folder.to_path_buf());
    }
}

/// From now on, until [`stored`], a file goes to `target`, in so many parts.
pub(super) fn storing(target: &Target, parts: usize) {
    if let Ok(mut underway) = UNDERWAY.lock() {
        underway.uploads.insert(target.to_string(), parts);
    }
}

/// The upload to `target` is over, well or not.
pub(super) fn stored(target: &Target) {
    if let Ok(mut underway) = UNDERWAY.lock() {
        underway.uploads.remove(&target.to_string());
    }
}

/// Whether output is for machines.
pub(super) fn in_json(json: bool) {
    JSON.store(json, Ordering::Relaxed);
}

/// Says what was left where.
pub(super) fn interrupted() {
    let (partials, uploads) = match UNDERWAY.lock() {
        Ok(underway) => (partials(&underway), underway.uploads.clone()),
        Err(_) => return,
    };
    if JSON.load(Ordering::Relaxed) {
        let partials: Vec<_> =
            partials.iter().map(|(file, size)| json!({"partial": file, "octets": size})).collect();
        let _ = writeln!(
            io::stdout(),
            "{}",
            json!({"event": "interrupted", "partials": partials, "uploads": uploads.keys().collect::<Vec<_>>()})
        );
        return;
    }
    let mut err = io::stderr();
    let _ = writeln!(err, "portway: interrupted");
    for (file, size) in &partials {
        let _ =
            writeln!(err, "portway: {size} octets wait in {}; --continue goes on with them", file.display());
    }
    for (upload, parts) in &uploads {
        let (what, how) = match parts {
            0 | 1 => ("what is there", String::new()),
            _ => {
                ("its parts, which wait beside it as .NAME.portway-upload.*", format!(" --segments {parts}"))
            }
        };
        let _ = writeln!(err, "portway: {upload} is not complete; put{how} --continue goes on with {what}");
    }
    if partials.is_empty() && uploads.is_empty() {
        let _ = writeln!(err, "portway: nothing half-done is left");
    }
}

/// Partial files that changed since the work began, with their sizes.
fn partials(underway: &Underway) -> Vec<(PathBuf, u64)> {
    let Some(since) = underway.since else { return Vec::new() };
    // File systems keep time more coarsely than the clock.
    let since = since.checked_sub(std::time::Duration::from_secs(2)).unwrap_or(since);
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut left: Vec<PathBuf> = underway.folders.iter().cloned().collect();
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            seen += 1;
            if seen > MOST {
                return found;
            }
            let Ok(facts) = entry.metadata() else { continue };
            if facts.is_dir() {
                left.push(entry.path());
            } else if entry.file_name().as_encoded_bytes().starts_with(PARTIAL)
                && facts.modified().is_ok_and(|at| at >= since)
            {
                found.push((entry.path(), facts.len()));
            }
        }
    }
    found.sort();
    found
}
