//! `portway lab run doctor`: faults, whether `portway doctor` names them, and whether what it prints cures them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Result, bail};
use portway_lab::fault::{Case, Event, Plan, Row, cases, lacks, missing, record, run};

use super::args::RunArgs;
use super::code;

use crate::out;

/// Tries the cases that were asked for and prints a row for each.
pub(super) fn try_all(args: &RunArgs) -> Result<ExitCode> {
    let chosen = chosen(&args.only)?;
    let absent = missing();
    if !absent.is_empty() {
        bail!("{}", absent.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n         "));
    }
    // Debian's servers cannot be installed side by side: those that are there are tried.
    let (mut good, mut told) = (true, BTreeSet::new());
    let (chosen, without): (Vec<Case>, Vec<Case>) =
        chosen.into_iter().partition(|case| lacks(case).is_none());
    for why in without.iter().filter_map(lacks) {
        good = false;
        if told.insert(why.to_string()) {
            eprintln!("portway: not all scenarios are tried: {why}");
        }
    }
    let names = chosen.iter().map(|case| case.name.len()).max().unwrap_or_default();
    let plan = Plan {
        cases: chosen,
        reference: args.reference,
        at_once: args.few_jobs(),
        arguments: vec!["lab".to_owned(), "fault".to_owned()],
    };
    if !args.json {
        out::line(format_args!("{:<names$}  {:<30}  {:>7}  cured", "scenario", "verdict", "seconds"));
    }
    // Told in their order, however they end.
    let (mut done, mut rows, mut out) = (BTreeMap::new(), Vec::new(), Ok(()));
    run(&plan, |event| {
        let Event::Ended(number, outcome) = event else { return };
        done.insert(number, outcome);
        while let Some(first) = done.first_entry().filter(|entry| *entry.key() == rows.len()) {
            let row = first.remove();
            match &row {
                Ok(row) => {
                    good &= row.named && row.cured;
                    if out.is_ok() {
                        out = print(row, args.json, names, args.explain);
                    }
                }
                Err(why) => {
                    good = false;
                    eprintln!("portway: not tried: {why}");
                }
            }
            rows.push(row.ok());
        }
    });
    out?;
    if !args.json {
        out::line(format_args!(
            "\n{}",
            summary(&plan.cases, &rows.into_iter().flatten().collect::<Vec<_>>())
        ));
    }
    Ok(code(good))
}

/// The cases whose names begin with one of the words; all without any word.
fn chosen(words: &[String]) -> Result<Vec<Case>> {
    let all = cases();
    if let Some(unknown) = words.iter().find(|word| !all.iter().any(|case| case.name.starts_with(*word))) {
        let names: Vec<&str> = all.iter().map(|case| case.name).collect();
        bail!("no scenario of the doctor begins with {unknown:?}; there are {}", names.join(", "));
    }
    let wanted = |case: &Case| words.is_empty() || words.iter().any(|word| case.name.starts_with(word));
    Ok(all.into_iter().filter(wanted).collect())
}

fn print(row: &Row, json: bool, names: usize, explain: bool) -> Result<()> {
    let mut out = std::io::stdout().lock();
    let good = row.named && row.cured;
    if json {
        writeln!(out, "{}", record(row))?;
    } else {
        let red = out.is_terminal() && !good;
        let (on, off) = if red { ("\x1b[31m", "\x1b[0m") } else { ("", "") };
        let verdict = if row.named { row.verdict.clone() } else { format!("{} (wrong)", row.verdict) };
        let cured = if row.cured { "yes" } else { "NO" };
        writeln!(out, "{on}{:<names$}  {verdict:<30}  {:>7.1}  {cured}{off}", row.scenario, row.seconds)?;
    }
    if explain || !good {
        for note in &row.notes {
            eprintln!("    {}: {note}", row.scenario);
        }
    }
    Ok(())
}

fn summary(cases: &[Case], rows: &[Row]) -> String {
    let ill: BTreeSet<&str> = cases.iter().filter(|case| !case.is_healthy()).map(|case| case.name).collect();
    let (faults, well): (Vec<&Row>, Vec<&Row>) =
        rows.iter().partition(|row| ill.contains(row.scenario.as_str()));
    let slowest = rows.iter().map(|row| row.seconds).fold(0.0, f64::max);
    format!(
        "{} of {} faults named, {} cured; {} false alarms in {} healthy set-ups; {slowest:.1} s at most",
        faults.iter().filter(|row| row.named).count(),
        ill.len(),
        faults.iter().filter(|row| row.cured).count(),
        well.iter().filter(|row| !row.named).count(),
        cases.len() - ill.len(),
    )
}
