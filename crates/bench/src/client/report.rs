//! Figures of several rounds, for each program and server.

use std::fmt;

use super::Run;
use super::programs::Program;

/// What a section shows.
#[derive(Clone, Copy)]
pub(crate) enum Measure {
    /// Wall and CPU time as ratios to the first program.
    Ratios,
    /// Round trips for each file.
    RoundTrips,
}

/// One table: programs down, servers across.
pub(crate) struct Section {
    title: String,
    programs: Vec<&'static Program>,
    servers: Vec<&'static str>,
    measure: Measure,
    cells: Vec<Vec<Cell>>,
    /// Middle seconds of the first program, for each server.
    base: Vec<Vec<(f64, f64)>>,
}

#[derive(Clone, Default)]
struct Cell {
    first: Vec<f64>,
    second: Vec<f64>,
    lost: usize,
    untrue: bool,
}

impl Section {
    pub(crate) fn new(
        title: String,
        programs: &'static [Program],
        servers: &[&'static str],
        measure: Measure,
        only: Option<&str>,
    ) -> Self {
        let wanted =
            |(i, program): &(usize, &Program)| *i == 0 || only.is_none_or(|only| program.name.contains(only));
        let programs: Vec<_> =
            programs.iter().enumerate().filter(wanted).map(|(_, program)| program).collect();
        let cells = vec![vec![Cell::default(); servers.len()]; programs.len()];
        let base = vec![Vec::new(); servers.len()];
        Self { title, programs, servers: servers.to_vec(), measure, cells, base }
    }

    pub(crate) fn programs(&self) -> Vec<&'static Program> {
        self.programs.clone()
    }

    /// Takes in one round: a run of each program.
    pub(crate) fn add(&mut self, column: usize, runs: &[Run]) {
        let Some(base) = runs.first() else { return };
        if let Some(seconds) = self.base.get_mut(column) {
            seconds.push((base.wall, base.cpu));
            seconds.sort_by(|a, b| a.0.total_cmp(&b.0));
        }
        for (row, run) in self.cells.iter_mut().zip(runs) {
            let Some(cell) = row.get_mut(column) else { continue };
            match self.measure {
                Measure::Ratios => {
                    cell.first.push(run.wall / base.wall);
                    cell.second.push(run.cpu / base.cpu);
                }
                Measure::RoundTrips => {
                    let round_trip = super::ROUND_TRIP_MS as f64 / 1000.0;
                    cell.first.push(run.wall / round_trip / run.files as f64);
                }
            }
            cell.first.sort_by(f64::total_cmp);
            cell.second.sort_by(f64::total_cmp);
            cell.lost += run.lost;
            cell.untrue |= run.well != (run.lost == 0);
        }
    }
}

/// Least, middle and most.
fn three(sorted: &[f64]) -> String {
    let at = |i: usize| sorted.get(i).copied().unwrap_or(f64::NAN);
    format!("{:5.2} /{:5.2} /{:5.2}", at(0), at(sorted.len() / 2), at(sorted.len().saturating_sub(1)))
}

impl fmt::Display for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{:22}", self.title, "")?;
        let columns = match self.measure {
            Measure::Ratios => ["wall", "CPU"].as_slice(),
            Measure::RoundTrips => &["round trips/file"],
        };
        for server in &self.servers {
            for what in columns {
                write!(f, "{:>21}", format!("{server} {what}"))?;
            }
            write!(f, "{:>7}", "lost")?;
        }
        writeln!(f)?;
        for (program, row) in self.programs.iter().zip(&self.cells) {
            write!(f, "{:22}", program.name)?;
            for cell in row {
                write!(f, "{:>21}", three(&cell.first))?;
                if matches!(self.measure, Measure::Ratios) {
                    write!(f, "{:>21}", three(&cell.second))?;
                }
                write!(f, "{:>6}{}", cell.lost, if cell.untrue { "!" } else { " " })?;
            }
            writeln!(f)?;
        }
        let seconds = |runs: &Vec<(f64, f64)>| {
            let (wall, cpu) = runs.get(runs.len() / 2).copied().unwrap_or_default();
            format!("{wall:.2} s ({cpu:.2} s CPU)")
        };
        let base: Vec<String> = self
            .servers
            .iter()
            .zip(&self.base)
            .map(|(name, runs)| format!("{} with {name}", seconds(runs)))
            .collect();
        writeln!(f, "the first row took {}", base.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::programs::DOWN;

    #[test]
    fn ratios_are_of_one_round_and_losses_and_false_exit_codes_show() {
        let mut section =
            Section::new("t".to_owned(), DOWN, &["x"], Measure::Ratios, Some("portway mirror -j 1"));
        assert_eq!(section.programs().len(), 2, "the first is always there");
        for (slow, fast, lost) in [(2.0, 1.0, 0), (4.0, 1.0, 3), (4.0, 4.0, 0)] {
            let run = |wall, lost| Run { wall, cpu: wall, files: 1, lost, well: true };
            section.add(0, &[run(slow, 0), run(fast, lost)]);
        }
        let text = section.to_string();
        let line = text.lines().find(|line| line.starts_with("portway")).unwrap();
        assert!(line.contains("0.25 / 0.50 / 1.00") && line.trim_end().ends_with("3!"), "{text}");
    }
}
