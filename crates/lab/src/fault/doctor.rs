//! Asking `portway doctor`, which knows a URL and nothing else.

use std::path::Path;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::cure::Cure;
use crate::error::LabError;
use crate::program::ourselves;
use crate::space::Host;
use crate::trial::{ends_within, spawn};

/// Well beyond the ten seconds that it may take.
const LIMIT: Duration = Duration::from_secs(40);

/// What it answers, as far as it is judged here.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Report {
    /// The fault's name; none if everything is well.
    pub(super) culprit: Option<String>,
    /// Its words.
    #[serde(default)]
    pub(super) sentence: String,
    /// In order of preference.
    #[serde(default)]
    pub(super) cures: Vec<Cure>,
    /// All of it, for a look into a failure.
    #[serde(skip)]
    pub(super) text: String,
}

/// Runs it on the client's machine; also says how long it took.
///
/// # Errors
/// [`LabError::Inside`] with its words if it has no answer.
pub(super) fn ask(client: &Host, url: &str, folder: &Path) -> Result<(Report, Duration), LabError> {
    let log = folder.join("doctor.log");
    let mut command = ourselves();
    command.args(["doctor", url, "--firewall", "--json"]).current_dir(folder).env("HOME", folder);
    let at = log.clone();
    let (ended, took) = client.run(move || {
        let begun = Instant::now();
        let mut child = spawn(&mut command, &at)?;
        let ended = ends_within(&child, LIMIT).map_err(LabError::system("waiting for the doctor"))?;
        let took = begun.elapsed();
        if !ended {
            child.kill().map_err(LabError::system("ending the doctor"))?;
        }
        child.wait().map_err(LabError::system("waiting for the doctor"))?;
        Ok::<_, LabError>((ended, took))
    })??;
    let text = std::fs::read_to_string(&log).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with('{')).unwrap_or_default();
    match serde_json::from_str::<Report>(line) {
        Ok(report) => Ok((Report { text: text.clone(), ..report }, took)),
        Err(why) => {
            let end = if ended { "gave no answer" } else { "did not end" };
            Err(LabError::Inside(format!("portway doctor {end} ({why}): {}", text.trim())))
        }
    }
}
