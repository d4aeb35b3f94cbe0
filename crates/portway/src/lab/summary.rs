//! The table of tables: a row for each firewall and cure, a column for each way to transfer.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use portway_lab::{Cell, Cure, Mode, Scenario, Verdict};

use super::table::{State, Table, column, is_unpromised};

const WIDTH: usize = 18;

/// All that was tried, IPv4 and IPv6 and all programs taken together.
#[derive(Default)]
pub(crate) struct Summary(Vec<(Cell, State)>);

impl Summary {
    /// Adds the cells of one scenario.
    pub(crate) fn add(&mut self, table: &Table) {
        self.0.extend(table.cells().iter().cloned());
    }

    pub(crate) fn text(&self) -> String {
        let mut out = format!("\n{:<24}", "");
        for protection in ["plain", "ftps"] {
            for mode in Mode::ALL {
                let _ = write!(out, "{:<WIDTH$}", format!("{protection} {}", mode.name()));
            }
        }
        let scenarios: BTreeSet<Scenario> = self.0.iter().map(|(cell, _)| cell.scenario).collect();
        for scenario in scenarios {
            for &cure in Cure::ALL {
                if !self.0.iter().any(|(cell, _)| cell.scenario == scenario && cell.cure == cure) {
                    continue;
                }
                let name = if cure == Cure::None { scenario.name() } else { "" };
                out.truncate(out.trim_end().len());
                let _ = write!(out, "\n{name:<14}{:<10}", column(cure));
                for tls in [false, true] {
                    for &mode in Mode::ALL {
                        let word = self.word(|cell| {
                            cell.scenario == scenario
                                && cell.cure == cure
                                && cell.tls == tls
                                && cell.mode == mode
                        });
                        let _ = write!(out, "{word:<WIDTH$}");
                    }
                }
            }
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        out
    }

    /// The same as a table in Markdown; each cell has the longest time of all programs and both families.
    pub(crate) fn markdown(&self) -> String {
        let mut out =
            String::from("| firewall | cure | plain active | plain passive | FTPS active | FTPS passive |\n");
        out.push_str("|---|---|---|---|---|---|\n");
        let scenarios: BTreeSet<Scenario> = self.0.iter().map(|(cell, _)| cell.scenario).collect();
        for scenario in scenarios {
            for &cure in Cure::ALL {
                let here = |cell: &Cell| cell.scenario == scenario && cell.cure == cure;
                if !self.0.iter().any(|(cell, _)| here(cell)) {
                    continue;
                }
                let _ = write!(out, "| {} | {} |", scenario.name(), column(cure));
                for tls in [false, true] {
                    for &mode in Mode::ALL {
                        let word = self.word(|cell| here(cell) && cell.tls == tls && cell.mode == mode);
                        let _ = write!(out, " {word} |");
                    }
                }
                out.push('\n');
            }
        }
        out
    }

    /// One word for some cells, with the longest time any of them took.
    fn word(&self, which: impl Fn(&Cell) -> bool) -> String {
        let mut words: BTreeSet<&str> = BTreeSet::new();
        let (mut longest, mut star) = (0.0_f64, "");
        for (cell, state) in self.0.iter().filter(|(cell, _)| which(cell)) {
            words.insert(match state {
                State::Done(outcome) if is_unpromised(cell, outcome) => {
                    star = "*";
                    continue;
                }
                State::Done(outcome) => {
                    longest = longest.max(outcome.took.as_secs_f64());
                    outcome.verdict.name()
                }
                State::Waiting | State::Running | State::Failed(_) => "not tried",
            });
        }
        match words.into_iter().collect::<Vec<_>>().as_slice() {
            [] if star.is_empty() => "-".to_owned(),
            [] => "blocked*".to_owned(),
            [one] if Verdict::read(one).is_some() => format!("{one}{star} {longest:.1} s"),
            [one] => (*one).to_owned(),
            // As IPv4 and IPv6 behind a translation: an address of one's own, or none, in the announcement.
            several => several.join("/"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portway_lab::{Client, Outcome, Server};

    use super::*;

    #[test]
    fn families_are_taken_together_and_the_slower_one_counts() {
        let cells = Cell::of(Scenario::Strict, &[Client::Lftp], &[Server::Portway], &Cure::USUAL);
        let mut table = Table::new(&cells);
        let mut milliseconds = 100;
        for cell in &cells {
            milliseconds += 100;
            let verdict =
                if cell.tls && cell.cure == Cure::KernelHelper { Verdict::Blocked } else { Verdict::Works };
            let outcome = Outcome { verdict, took: Duration::from_millis(milliseconds), said: String::new() };
            table.set(cell, State::Done(outcome));
        }
        table.set(&cells[0], State::Running);
        let mut summary = Summary::default();
        summary.add(&table);
        let text = summary.text();
        let rows: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows[1], "plain active plain passive ftps active ftps passive");
        assert_eq!(rows[2], "strict no cure not tried/works works 1.1 s works 1.7 s works 2.3 s");
        assert_eq!(rows[3], "helper works 0.6 s works 1.2 s blocked 1.8 s blocked 2.4 s");
        assert_eq!(rows.len(), 5);
    }
}
