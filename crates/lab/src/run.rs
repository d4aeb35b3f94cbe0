//! Trying many cells, several at a time: a blocked cell costs time and nothing else.

use std::collections::VecDeque;
use std::io::Read as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use rustix::process::geteuid;

use crate::cell::{Cell, Outcome};
use crate::error::LabError;
use crate::inside::{Answer, Task};
use crate::space::isolate;

/// What to try.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The cells.
    pub cells: Vec<Cell>,
    /// How long a client may try.
    pub limit: Duration,
    /// How many cells are tried at a time; at least one.
    pub at_once: usize,
    /// Arguments with which this very program calls [`inside`](crate::inside()); the task is added to them.
    pub arguments: Vec<String>,
}

/// What happens meanwhile; the number is the cell's place in the plan.
#[derive(Debug)]
pub enum Event {
    /// A cell is being tried.
    Begun(usize),
    /// A cell has been tried, or could not be.
    Ended(usize, Result<Outcome, LabError>),
}

/// Tries all cells of the plan and tells `tell` how it goes. Returns when all are over.
pub fn run(plan: &Plan, mut tell: impl FnMut(Event)) {
    several(
        &plan.cells,
        plan.at_once,
        |cell| attempt(plan, *cell),
        |number, outcome| match outcome {
            None => tell(Event::Begun(number)),
            Some(outcome) => tell(Event::Ended(number, outcome)),
        },
    );
}

/// Does something for each, `at_once` at a time; tells the place of each in `all` when it begins, and how it ended.
pub(crate) fn several<T: Sync, R: Send>(
    all: &[T],
    at_once: usize,
    attempt: impl Fn(&T) -> R + Sync,
    mut tell: impl FnMut(usize, Option<R>),
) {
    let waiting: Mutex<VecDeque<(usize, &T)>> = Mutex::new(all.iter().enumerate().collect());
    let (events, heard) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..at_once.clamp(1, all.len().max(1)) {
            let (waiting, events, attempt) = (&waiting, events.clone(), &attempt);
            scope.spawn(move || {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((number, one)) = next else { break };
                    let begun = events.send((number, None));
                    let ended = events.send((number, Some(attempt(one))));
                    if begun.or(ended).is_err() {
                        break;
                    }
                }
            });
        }
        drop(events);
        heard.into_iter().for_each(|(number, outcome)| tell(number, outcome));
    });
}

fn attempt(plan: &Plan, cell: Cell) -> Result<Outcome, LabError> {
    let task = serde_json::to_string(&Task { cell, limit: plan.limit })
        .map_err(|why| LabError::Broken(why.to_string()))?;
    let (answer, end) = enclosed(&plan.arguments, &task)?;
    match serde_json::from_str(&answer) {
        Ok(Answer::Done(outcome)) => Ok(outcome),
        Ok(Answer::Failed(why)) => Err(LabError::Inside(why)),
        Err(_) => Err(LabError::Broken(end)),
    }
}

/// Starts this very program with these arguments in namespaces of its own. Returns its answer, and how it ended.
pub(crate) fn enclosed(arguments: &[String], task: &str) -> Result<(String, String), LabError> {
    let start = |as_user: bool| {
        let mut command = Command::new("/proc/self/exe");
        command.args(arguments).arg(task);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        isolate(&mut command, as_user);
        command.spawn()
    };
    // Root tries without a user namespace where those are off.
    let mut child = match start(true) {
        Err(_) if geteuid().is_root() => start(false),
        other => other,
    }
    .map_err(LabError::NoNamespaces)?;
    let (mut answer, mut noise) = (String::new(), String::new());
    if let Some(mut stdout) = child.stdout.take() {
        // What is not text is no answer either.
        let _ = stdout.read_to_string(&mut answer);
    }
    if let Some(mut stderr) = child.stderr.take() {
        let _ = stderr.read_to_string(&mut noise);
    }
    let status = child.wait().map_err(LabError::system("waiting for a cell"))?;
    Ok((answer, format!("{status} {}", noise.trim())))
}
