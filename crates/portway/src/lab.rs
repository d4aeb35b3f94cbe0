//! `portway lab`: which transfers get through which firewalls, tried here and now.

mod args;
mod doctor;
mod picture;
mod screen;
mod summary;
mod table;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::ExitCode;

use anyhow::{Result, bail};
use portway_lab::{Cell, Event, Plan, Scenario, Verdict, missing, record};

pub(crate) use args::LabArgs;
use args::{LabCommand, RunArgs};
use screen::Screen;
use summary::Summary;
use table::{State, Table};

use crate::out;

/// Lists or tries scenarios.
pub(crate) fn run(args: LabArgs) -> Result<ExitCode> {
    match args.command {
        LabCommand::List => Ok(list()),
        LabCommand::Run(args) if args.scenarios.is_empty() => doctor::try_all(&args),
        LabCommand::Run(args) => try_all(&args),
        LabCommand::Cell { task } => Ok(portway_lab::inside(&task)),
        LabCommand::Fault { task } => Ok(portway_lab::fault::inside(&task)),
    }
}

fn list() -> ExitCode {
    for scenario in Scenario::ALL {
        out::line(format_args!("{:<12} {}", scenario.name(), scenario.meaning()));
        out::line(format_args!("{:<12} {}\n", "", picture::of(scenario)));
    }
    out::line("portway lab run all tries every one of them; portway lab run strict tries one.");
    out::line(
        "portway lab run doctor tries what can go wrong, and whether portway doctor finds and cures it:\n",
    );
    for case in portway_lab::fault::cases() {
        out::line(format_args!("{:<34} {}", case.name, case.meaning));
    }
    ExitCode::SUCCESS
}

fn try_all(args: &RunArgs) -> Result<ExitCode> {
    let (clients, servers, cures) = (args.clients(), args.servers(), args.cures());
    let absent = missing(&clients, &servers);
    if !absent.is_empty() {
        bail!("{}", absent.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n         "));
    }
    let mut good = true;
    if args.json {
        let cells: Vec<Cell> = args
            .scenarios
            .iter()
            .flat_map(|scenario| Cell::of(*scenario, &clients, &servers, &cures))
            .collect();
        let (mut out, mut told) = (std::io::stdout(), BTreeSet::new());
        good &= perform(args, cells, |cell, state| match state {
            State::Done(outcome) => Ok(writeln!(out, "{}", record(cell, outcome))?),
            State::Failed(why) => {
                if told.insert(why.clone()) {
                    eprintln!("portway: not tried: {why}");
                }
                Ok(())
            }
            State::Waiting | State::Running => Ok(()),
        })?;
        return Ok(code(good));
    }
    let mut screen = Screen::new(args.markdown);
    screen.print(&picture::legend())?;
    let mut summary = Summary::default();
    for scenario in args.scenarios.iter() {
        let cells = Cell::of(*scenario, &clients, &servers, &cures);
        let mut table = Table::new(&cells);
        let head =
            format!("\n{}\n{}\n\n   {}\n\n", scenario.name(), scenario.meaning(), picture::of(*scenario));
        screen.print(&head)?;
        good &= perform(args, cells, |cell, state| {
            table.set(cell, state.clone());
            screen.draw(&table)
        })?;
        screen.finish(&table)?;
        summary.add(&table);
    }
    if args.markdown {
        out::print(summary.markdown());
    } else if args.scenarios.len() > 1 {
        screen.print(&summary.text())?;
    }
    Ok(code(good))
}

/// Tries cells and shows each change of one; says whether all could be tried, and portway kept its promise.
fn perform(
    args: &RunArgs,
    cells: Vec<Cell>,
    mut show: impl FnMut(&Cell, &State) -> Result<()>,
) -> Result<bool> {
    let plan = Plan {
        cells,
        limit: args.limit,
        at_once: args.jobs(),
        arguments: vec!["lab".to_owned(), "cell".to_owned()],
    };
    let (mut good, mut shown) = (true, Ok(()));
    portway_lab::run(&plan, |event| {
        let (number, state) = match event {
            Event::Begun(number) => (number, State::Running),
            Event::Ended(number, Ok(outcome)) => (number, State::Done(outcome)),
            Event::Ended(number, Err(why)) => (number, State::Failed(why.to_string())),
        };
        let Some(cell) = plan.cells.get(number) else { return };
        good &= match &state {
            State::Failed(_) => false,
            State::Done(outcome) => !cell.promised() || outcome.verdict == Verdict::Works,
            _ => true,
        };
        if shown.is_ok() {
            shown = show(cell, &state);
        }
    });
    shown.map(|()| good)
}

fn code(good: bool) -> ExitCode {
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
