//! The rules: from what was seen to who is to blame.
//!
//! They stand in order of weight. What keeps everything from working comes first; then what breaks passive
//! mode, which clients use by default; then what harms some transfers; then what breaks active mode only, as
//! every NAT does; last what portway copes with and others may not.

mod control;
mod data;
mod modes;
mod quality;
#[cfg(test)]
mod tests;

pub(crate) use data::is_private;

use crate::{Confidence, Culprit, Evidence, Login, Outcome, Tls, Usable, Verdict, cures};

/// One accusation.
#[derive(Clone, Debug)]
pub(crate) struct Finding {
    pub(crate) culprit: Culprit,
    pub(crate) confidence: Confidence,
    pub(crate) sentence: String,
    pub(crate) evidence: Vec<String>,
}

impl Finding {
    fn new(culprit: Culprit, confidence: Confidence, sentence: impl Into<String>) -> Self {
        Self { culprit, confidence, sentence: sentence.into(), evidence: Vec::new() }
    }

    fn because(mut self, evidence: impl Into<String>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}

/// Looks at the evidence.
#[must_use]
pub fn judge(seen: &Evidence) -> Verdict {
    let rules: &[fn(&Evidence) -> Option<Finding>] = &[
        control::name,
        control::reach,
        control::auth,
        control::login,
        data::exhausted,
        quality::no_octets,
        data::data_tls,
        data::helper_blind,
        data::announced_elsewhere,
        data::one_command,
        data::partly_closed,
        modes::passive_broken,
        quality::bulk,
        quality::idle,
        control::one_family,
        control::certificate,
        modes::active_broken,
        data::resumption,
        control::untrusted,
    ];
    let finding = rules.iter().find_map(|rule| rule(seen));
    let works = works(seen);
    match finding {
        Some(finding) => {
            let usable = match (works, finding.culprit) {
                (_, Culprit::MtuBlackHole) => Usable::Unusable,
                (Usable::Usable, Culprit::DataTlsResumptionRequired) => Usable::Usable,
                (Usable::Usable, _) => Usable::OneMode,
                (works, _) => works,
            };
            Verdict {
                usable,
                culprit: Some(finding.culprit),
                confidence: finding.confidence,
                sentence: finding.sentence,
                cures: cures::of(finding.culprit, seen),
                evidence: finding.evidence,
            }
        }
        None => Verdict {
            usable: works,
            culprit: None,
            confidence: if works == Usable::Unusable { Confidence::Possible } else { Confidence::Certain },
            sentence: quiet(seen, works),
            evidence: Vec::new(),
            cures: Vec::new(),
        },
    }
}

/// What works, whoever is to blame for the rest.
fn works(seen: &Evidence) -> Usable {
    let tls = seen.tls == Tls::Works;
    let any = |passive: bool, tls: bool| {
        seen.attempts.iter().any(|a| {
            a.tls == tls
                && (a.command.mode() == crate::Mode::Passive) == passive
                && a.outcome == Outcome::Works
        })
    };
    match (any(true, tls), any(false, tls)) {
        (true, true) => Usable::Usable,
        (false, false) if any(true, !tls) || any(false, !tls) => Usable::OneMode,
        (false, false) => Usable::Unusable,
        _ => Usable::OneMode,
    }
}

/// The sentence where nobody is to blame.
fn quiet(seen: &Evidence, works: Usable) -> String {
    match works {
        Usable::Usable => "Both channels work, in passive and in active mode.".to_owned(),
        Usable::OneMode => "The server serves one mode only, by its own choice; that mode works.".to_owned(),
        Usable::Unusable if seen.login != Login::In && seen.login != Login::InUnderTlsOnly => {
            "The session did not come as far as the data channel.".to_owned()
        }
        Usable::Unusable => "No data connection came about, and nothing that was seen says why.".to_owned(),
    }
}
