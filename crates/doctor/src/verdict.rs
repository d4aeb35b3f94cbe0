//! What comes out.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

use crate::{Culprit, Cure, Evidence};

/// How far the server is usable from here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Usable {
    /// In every mode.
    Usable,
    /// In one mode, one family, one protection, or with a flag.
    OneMode,
    /// Not at all.
    Unusable,
}

impl Usable {
    /// The exit code of `portway doctor`.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Usable => 0,
            Self::OneMode => 10,
            Self::Unusable => 11,
        }
    }
}

/// How sure the verdict is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// It fits, and so does something else.
    Possible,
    /// Nothing else that is common fits.
    Likely,
    /// It was seen directly.
    Certain,
}

/// Who is to blame, and what helps.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// How far the server is usable.
    pub usable: Usable,
    /// Who is to blame; `None` if everything is as it should be.
    pub culprit: Option<Culprit>,
    /// How sure that is.
    pub confidence: Confidence,
    /// Who and what, in one or two sentences.
    pub sentence: String,
    /// What shows it, one sentence each.
    pub evidence: Vec<String>,
    /// What helps, best first.
    pub cures: Vec<Cure>,
}

impl Verdict {
    /// The one object of `portway doctor --json`.
    #[must_use]
    pub fn json(&self, seen: &Evidence) -> Value {
        let attempts: Vec<Value> = seen
            .attempts
            .iter()
            .map(|a| {
                json!({
                    "mode": a.command.mode(), "command": a.command.name(),
                    "tls": if a.tls { "ftps" } else { "plain" }, "family": a.family,
                    "result": a.outcome.result(), "cause": a.outcome.cause(),
                    "seconds": round(a.seconds), "detail": a.detail,
                })
            })
            .collect();
        json!({
            "url": seen.url, "verdict": self.usable, "culprit": self.culprit, "confidence": self.confidence,
            "sentence": self.sentence, "evidence": self.evidence, "attempts": attempts,
            "cures": self.cures, "server": seen.software, "seconds": round(seen.seconds),
        })
    }
}

fn round(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}

impl Serialize for Cure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(4))?;
        map.serialize_entry("place", &self.place)?;
        map.serialize_entry("program", &self.program)?;
        map.serialize_entry("kind", &self.kind)?;
        map.serialize_entry("text", &self.text)?;
        map.end()
    }
}
