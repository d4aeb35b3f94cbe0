//! A table with more than one column of ours, and one of nobody's.

use std::collections::BTreeMap;
use std::fmt;

/// Whether a figure should be high or low.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Better {
    More,
    Less,
}

/// What ours is to reach, beside being ahead of every rival.
#[derive(Clone, Copy)]
pub(super) enum Goal {
    Ahead,
    /// So much of the figure without a proxy.
    OfDirect(f64),
    /// The same over a line that one transfer can fill: nobody is ahead there, and level is within [`LEVEL`].
    OfLine(f64),
}

/// What is level with a rival on a full line.
const LEVEL: f64 = 0.97;

/// One row; without a name it belongs to the one above.
#[derive(Clone, Copy)]
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) unit: &'static str,
    pub(super) better: Better,
    pub(super) goal: Goal,
}

/// The name of a row.
pub(super) fn name(rows: &[Row], row: usize) -> &'static str {
    rows.get(row).map_or("", |row| row.what)
}

/// Figures in the order of the rounds: rows, columns, rounds; NaN where there is none. The first column is direct, and from `ours` on they are
/// ours.
pub(super) struct Report {
    rows: Vec<Row>,
    columns: Vec<&'static str>,
    ours: usize,
    figures: Vec<Vec<Vec<f64>>>,
    failures: BTreeMap<String, usize>,
}

impl Report {
    pub(super) fn new(rows: &[Row], columns: &[&'static str], ours: usize) -> Self {
        let figures = vec![vec![Vec::new(); columns.len()]; rows.len()];
        Self { rows: rows.to_vec(), columns: columns.to_vec(), ours, figures, failures: BTreeMap::new() }
    }

    /// What a rival could not do, and why.
    pub(super) fn failed(&mut self, what: String) {
        *self.failures.entry(what).or_default() += 1;
    }

    pub(super) fn add(&mut self, row: usize, column: usize, figure: f64) {
        if let Some(cell) = self.figures.get_mut(row).and_then(|row| row.get_mut(column)) {
            cell.push(figure);
        }
    }

    /// The middle of one column's ratios to another within each round.
    fn ratio(&self, row: usize, column: usize, to: usize) -> Option<f64> {
        let row = self.figures.get(row)?;
        let ratios = row.get(column)?.iter().zip(row.get(to)?).map(|(ours, other)| ours / other);
        middle(ratios.filter(|ratio| ratio.is_finite()).collect())
    }

    /// Ratios of our worse kind: to direct, and to the better rival.
    fn verdict(&self, at: usize, row: &Row) -> (Option<f64>, Option<f64>) {
        let worst = |ratios: &mut dyn Iterator<Item = f64>| match row.better {
            Better::More => ratios.min_by(f64::total_cmp),
            Better::Less => ratios.max_by(f64::total_cmp),
        };
        let ours = || self.ours..self.columns.len();
        let direct = worst(&mut ours().filter_map(|column| self.ratio(at, column, 0)));
        let pairs = ours().flat_map(|column| (1..self.ours).map(move |rival| (column, rival)));
        (direct, worst(&mut pairs.filter_map(|(column, rival)| self.ratio(at, column, rival))))
    }
}

fn middle(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied()
}

fn three(figures: &[f64]) -> String {
    let mut sorted: Vec<f64> = figures.iter().copied().filter(|figure| !figure.is_nan()).collect();
    sorted.sort_by(f64::total_cmp);
    let (Some(least), Some(most), Some(middle)) = (sorted.first(), sorted.last(), middle(sorted.clone()))
    else {
        return "-".to_owned();
    };
    let digits = match *most {
        most if most >= 100.0 => 0,
        most if most >= 10.0 => 1,
        _ => 3,
    };
    format!("{least:.digits$} / {middle:.digits$} / {most:.digits$}")
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:22}{:12}", "", "")?;
        for column in &self.columns {
            write!(f, "{column:>24}")?;
        }
        writeln!(f, "{:>10}{:>10}  goal", "x direct", "x rival")?;
        for (at, (row, cells)) in self.rows.iter().zip(&self.figures).enumerate() {
            if cells.iter().all(Vec::is_empty) {
                continue;
            }
            write!(f, "{:22}{:12}", row.what, row.unit)?;
            for cell in cells {
                let shown =
                    if cell.iter().all(|&figure| figure == 0.0) { "-".to_owned() } else { three(cell) };
                write!(f, "{shown:>24}")?;
            }
            let (direct, rival) = self.verdict(at, row);
            for ratio in [direct, rival] {
                write!(f, "{:>10}", ratio.map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")))?;
            }
            let level = if matches!(row.goal, Goal::OfLine(_)) { LEVEL } else { 1.0 };
            let ahead = rival.is_none_or(|ratio| match row.better {
                Better::More => ratio >= level,
                Better::Less => ratio <= 1.0,
            });
            let enough = |part| ahead && direct.is_some_and(|ratio| ratio >= part);
            let (goal, kept) = match row.goal {
                Goal::Ahead => ("ahead".to_owned(), ahead),
                Goal::OfDirect(part) => (format!("{part} x direct"), enough(part)),
                Goal::OfLine(part) => (format!("{part} x direct, level"), enough(part)),
            };
            writeln!(f, "  {goal} {}", if kept { "kept" } else { "MISSED" })?;
        }
        for (what, times) in &self.failures {
            writeln!(f, "failed {times} x: {what}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_kept_only_if_both_of_our_kinds_are_ahead_of_both_rivals() {
        let rows = [
            Row { what: "speed", unit: "MiB/s", better: Better::More, goal: Goal::OfDirect(0.9) },
            Row { what: "cost", unit: "s", better: Better::Less, goal: Goal::Ahead },
            Row { what: "size", unit: "KiB", better: Better::Less, goal: Goal::Ahead },
        ];
        let mut report = Report::new(&rows, &["direct", "one", "two", "reverse", "forward"], 3);
        let figures = [
            [100.0, 50.0, 60.0, 95.0, 91.0],
            [0.0, 3.0, 2.0, 1.0, 2.1],
            // The second rival cannot do it at all.
            [0.0, 3.0, f64::NAN, 1.0, 1.5],
        ];
        for (row, cells) in figures.into_iter().enumerate() {
            for (column, figure) in cells.into_iter().enumerate().filter(|(_, figure)| !figure.is_nan()) {
                report.add(row, column, figure);
            }
        }
        let text = report.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].contains("0.91      1.52  0.9 x direct kept"), "{text}");
        assert!(lines[1].ends_with("1.05  ahead MISSED"), "{text}");
        assert!(lines[2].ends_with("0.50  ahead kept"), "{text}");
    }

    #[test]
    fn on_a_full_line_it_is_enough_to_be_level() {
        let rows = [Row { what: "line", unit: "", better: Better::More, goal: Goal::OfLine(0.9) }; 3];
        let mut report = Report::new(&rows, &["direct", "rival", "ours"], 2);
        for (row, ours) in [99.0, 96.0, 89.0].into_iter().enumerate() {
            for (column, figure) in [100.0, 100.0 - row as f64 / 2.0, ours].into_iter().enumerate() {
                report.add(row, column, figure);
            }
        }
        let text = report.to_string();
        let kept: Vec<bool> = text.lines().skip(1).map(|line| line.ends_with("level kept")).collect();
        assert_eq!(kept, [true, false, false], "{text}");
    }

    #[test]
    fn ratios_are_taken_within_a_round() {
        let rows = [Row { what: "speed", unit: "", better: Better::More, goal: Goal::OfDirect(0.9) }];
        let mut report = Report::new(&rows, &["direct", "rival", "ours"], 2);
        // The machine was twice as fast in the second round, and half as fast in the third.
        for speed in [1.0, 2.0, 0.5] {
            for (column, figure) in [100.0, 80.0, 92.0].into_iter().enumerate() {
                report.add(0, column, figure * speed);
            }
        }
        assert_eq!(report.verdict(0, &rows[0]).0, Some(0.92));
    }
}
