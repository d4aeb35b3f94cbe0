//! What a benchmark found: rows of figures for several programs, and whether ours keeps its budget.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Figures of several rounds.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// The machine, and how much was moved.
    pub(crate) about: Vec<String>,
    pub(crate) rows: Vec<Row>,
    /// What else is to be known.
    pub(crate) notes: Vec<String>,
}

/// One quantity, of each program.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) budgets: Vec<Budget>,
    pub(crate) cells: Vec<Cell>,
}

/// One program's figures, in order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) name: String,
    pub(crate) figures: Vec<f64>,
}

/// What our figure must not exceed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Budget {
    /// So many times this program's figure.
    Of(String, f64),
    /// So much, whatever the others need.
    Value(f64),
}

/// The name of the cell that budgets are about.
pub(crate) const OURS: &str = "portway";

/// A line of the design's table of budgets: what was to be reached, what was, and whether that is enough.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) row: String,
    pub(crate) budget: String,
    pub(crate) reached: String,
    pub(crate) kept: bool,
}

impl Report {
    /// Adds a figure; the row and its cell must have been named before, or it is dropped.
    pub(crate) fn add(&mut self, what: &str, name: &str, figure: f64) {
        let Some(row) = self.rows.iter_mut().find(|row| row.what == what) else { return };
        let at = match row.cells.iter().position(|cell| cell.name == name) {
            Some(at) => at,
            None => {
                row.cells.push(Cell { name: name.to_owned(), figures: Vec::new() });
                row.cells.len() - 1
            }
        };
        if let Some(cell) = row.cells.get_mut(at) {
            cell.figures.push(figure);
            cell.figures.sort_by(f64::total_cmp);
        }
    }

    /// Every budget with what was reached.
    pub(crate) fn verdicts(&self) -> Vec<Verdict> {
        self.rows.iter().flat_map(Row::verdicts).collect()
    }
}

impl Row {
    pub(crate) fn new(what: &str, unit: &str, budgets: &[Budget]) -> Self {
        Self { what: what.to_owned(), unit: unit.to_owned(), budgets: budgets.to_vec(), cells: Vec::new() }
    }

    /// A program's cell.
    pub(crate) fn cell(&self, name: &str) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.name == name)
    }

    /// The rival that needs least.
    pub(crate) fn best(&self) -> Option<&Cell> {
        let rivals = self.cells.iter().filter(|cell| cell.name != OURS && !cell.name.starts_with("bare"));
        rivals.min_by(|a, b| a.middle().total_cmp(&b.middle()))
    }

    fn verdicts(&self) -> Vec<Verdict> {
        let Some(ours) = self.cell(OURS) else { return Vec::new() };
        let verdict = |budget: &Budget| {
            let (budget, reached, kept) = match budget {
                Budget::Of(name, ratio) => {
                    let reached = ours.middle() / self.cell(name)?.middle();
                    (format!("<= {ratio} x {name}"), format!("{reached:.2} x"), reached <= *ratio)
                }
                Budget::Value(value) => {
                    let reached = ours.middle();
                    (
                        format!("<= {value} {}", self.unit),
                        format!("{reached:.2} {}", self.unit),
                        reached <= *value,
                    )
                }
            };
            Some(Verdict { row: self.what.clone(), budget, reached, kept })
        };
        self.budgets.iter().filter_map(verdict).collect()
    }
}

impl Cell {
    /// The median.
    pub(crate) fn middle(&self) -> f64 {
        self.figures.get(self.figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn ends(&self) -> (f64, f64) {
        let end = |figure: Option<&f64>| figure.copied().unwrap_or(f64::NAN);
        (end(self.figures.first()), end(self.figures.last()))
    }
}

impl Verdict {
    /// What [`Display`](fmt::Display) wrote, read again.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut parts = line.strip_prefix("budget: ")?.split(" | ").map(str::trim);
        let mut next = || parts.next().map(str::to_owned);
        let (row, budget, reached) = (next()?, next()?, next()?);
        Some(Self { row, budget, reached, kept: next()? == "kept" })
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kept = if self.kept { "kept" } else { "MISSED" };
        write!(f, "budget: {:40} | {:18} | {:16} | {kept}", self.row, self.budget, self.reached)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.about {
            writeln!(f, "{line}")?;
        }
        for row in &self.rows {
            writeln!(
                f,
                "\n{:44}{:>10}{:>10}{:>10}{:>13}",
                format!("{}, {}", row.what, row.unit),
                "least",
                "middle",
                "most",
                "portway is"
            )?;
            let ours = row.cell(OURS).map_or(f64::NAN, Cell::middle);
            for cell in &row.cells {
                let (least, most) = cell.ends();
                let best = if row.best().is_some_and(|best| best.name == cell.name) {
                    " (best of them)"
                } else {
                    ""
                };
                let ratio =
                    if cell.name == OURS { String::new() } else { format!("{:.2} x", ours / cell.middle()) };
                writeln!(
                    f,
                    "  {:42}{least:>10.3}{:>10.3}{most:>10.3}{ratio:>13}",
                    format!("{}{best}", cell.name),
                    cell.middle()
                )?;
            }
        }
        writeln!(f)?;
        for verdict in self.verdicts() {
            writeln!(f, "{verdict}")?;
        }
        for note in &self.notes {
            writeln!(f, "{note}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> Report {
        let budgets = [Budget::Of("slow".to_owned(), 0.5), Budget::Value(3.0)];
        let mut report = Report { rows: vec![Row::new("a", "s", &budgets)], ..Report::default() };
        for (slow, ours) in [(4.0, 9.0), (4.0, 2.4), (8.0, 1.0)] {
            report.add("a", "slow", slow);
            report.add("a", OURS, ours);
        }
        report.add("a", "fast", 1.5);
        report
    }

    #[test]
    fn the_middle_figures_decide_whether_a_budget_is_kept() {
        let verdicts = report().verdicts();
        assert_eq!(verdicts.len(), 2);
        assert!(!verdicts[0].kept && verdicts[0].reached == "0.60 x", "{verdicts:?}");
        assert!(verdicts[1].kept && verdicts[1].reached == "2.40 s", "{verdicts:?}");
    }

    #[test]
    fn the_best_rival_is_named_and_a_verdict_can_be_read_again() {
        let text = report().to_string();
        assert!(text.contains("fast (best of them)"), "{text}");
        let read: Vec<Verdict> = text.lines().filter_map(Verdict::parse).collect();
        assert_eq!(read, report().verdicts());
    }

    #[test]
    fn a_report_survives_being_written_to_a_file() {
        let text = serde_json::to_string(&report()).unwrap();
        let read: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(read.to_string(), report().to_string());
    }
}
