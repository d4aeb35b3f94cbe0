//! Trying many cases, several at a time, and what is told about each.

use std::process::ExitCode;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::catalog::{Case, cases};
use super::trial;
use crate::error::LabError;
use crate::inside::{answer, end_after, folder};
use crate::program::find;
use crate::run::{enclosed, several};

/// A case takes this long at most, whatever hangs.
const LIMIT: Duration = Duration::from_secs(150);

/// What to try.
#[derive(Debug)]
pub struct Plan {
    /// The cases.
    pub cases: Vec<Case>,
    /// Apply the cure that is written here by hand, and ask no doctor: proves that the faults are what they say.
    pub reference: bool,
    /// How many at a time; at least one.
    pub at_once: usize,
    /// Arguments with which this very program calls [`inside`]; the task is added to them.
    pub arguments: Vec<String>,
}

/// What happens meanwhile; the number is the case's place in the plan.
#[derive(Debug)]
pub enum Event {
    /// A case is being tried.
    Begun(usize),
    /// A case has been tried, or could not be.
    Ended(usize, Result<Row, LabError>),
}

/// How a case went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// The case's name.
    pub scenario: String,
    /// Whom the doctor named; `healthy` if nobody.
    pub verdict: String,
    /// Whether that is right.
    pub named: bool,
    /// Whether the transfer that failed works after the first applicable cure. Of a healthy case: whether it works.
    pub cured: bool,
    /// How long the doctor took.
    pub seconds: f64,
    /// For a look into a failure: what was said and done. Not part of the record.
    pub notes: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Task {
    scenario: String,
    reference: bool,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Done(Row),
    Failed(String),
}

/// A row as one line of JSON, with the keys `scenario, verdict, named, cured, seconds`.
#[must_use]
pub fn record(row: &Row) -> String {
    #[derive(Serialize)]
    struct Record<'a> {
        scenario: &'a str,
        verdict: &'a str,
        named: bool,
        cured: bool,
        seconds: f64,
    }
    let Row { scenario, verdict, named, cured, seconds, notes: _ } = row;
    let record = Record {
        scenario,
        verdict,
        named: *named,
        cured: *cured,
        seconds: (seconds * 1000.0).round() / 1000.0,
    };
    // Strings and numbers always have a JSON form.
    serde_json::to_string(&record).unwrap_or_default()
}

/// What must be installed before any case can be tried, and is not.
#[must_use]
pub fn missing() -> Vec<LabError> {
    let programs = ["ip", "nft", "iptables-restore", "openssl", "lftp", "curl"];
    programs.into_iter().filter_map(|name| find(name).err()).collect()
}

/// The server that this case is about, if it is missing.
#[must_use]
pub fn lacks(case: &Case) -> Option<LabError> {
    case.setting.server.peer()?.find().err().map(LabError::from)
}

/// Tries all cases of the plan and tells `tell` how it goes. Returns when all are over.
pub fn run(plan: &Plan, mut tell: impl FnMut(Event)) {
    several(
        &plan.cases,
        plan.at_once,
        |case| attempt(plan, case),
        |number, outcome| match outcome {
            None => tell(Event::Begun(number)),
            Some(outcome) => tell(Event::Ended(number, outcome)),
        },
    );
}

fn attempt(plan: &Plan, case: &Case) -> Result<Row, LabError> {
    let task = Task { scenario: case.name.to_owned(), reference: plan.reference };
    let task = serde_json::to_string(&task).map_err(|why| LabError::Broken(why.to_string()))?;
    let (answer, end) = enclosed(&plan.arguments, &task)?;
    match serde_json::from_str(&answer) {
        Ok(Answer::Done(row)) => Ok(row),
        Ok(Answer::Failed(why)) => Err(LabError::Inside(why)),
        Err(_) => Err(LabError::Broken(end)),
    }
}

/// Tries the case that [`run`] started this process for; `task` is the last argument it gave.
#[must_use]
pub fn inside(task: &str) -> ExitCode {
    answer(|| match serde_json::from_str::<Task>(task) {
        Ok(task) => perform(&task),
        Err(why) => Answer::Failed(format!("not a task of the lab: {why}")),
    })
}

fn perform(task: &Task) -> Answer {
    end_after(LIMIT);
    let Some(case) = cases().into_iter().find(|case| case.name == task.scenario) else {
        return Answer::Failed(format!("there is no case {}", task.scenario));
    };
    match folder().and_then(|folder| trial::perform(&case, task.reference, &folder)) {
        Ok(row) => Answer::Done(row),
        Err(why) => Answer::Failed(format!("{}: {why}", case.name)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_record_has_exactly_the_promised_keys() {
        let row = Row {
            scenario: "a".to_owned(),
            verdict: "server_down".to_owned(),
            named: true,
            cured: false,
            seconds: 1.23456,
            notes: vec!["x".to_owned()],
        };
        assert_eq!(
            record(&row),
            r#"{"scenario":"a","verdict":"server_down","named":true,"cured":false,"seconds":1.235}"#
        );
    }
}
