//! Figures of several rounds, and what they say.

use std::fmt;

/// What a row must not exceed.
#[derive(Clone, Copy)]
pub(crate) enum Budget {
    /// So many times the first column's figure.
    Ratio(f64),
    /// So much, whatever the others need.
    Value(f64),
}

/// Least, middle and most of each row and column; the last column is ours, the first is the rival.
pub(crate) struct Table {
    rows: Vec<Row>,
    columns: Vec<String>,
}

struct Row {
    what: String,
    unit: String,
    budget: Budget,
    figures: Vec<Vec<f64>>,
}

impl Table {
    pub(crate) fn new(rows: &[(&str, &str, Budget)], columns: &[&str]) -> Self {
        let rows = rows.iter().map(|(what, unit, budget)| Row {
            what: (*what).to_owned(),
            unit: (*unit).to_owned(),
            budget: *budget,
            figures: vec![Vec::new(); columns.len()],
        });
        Self { rows: rows.collect(), columns: columns.iter().map(|name| (*name).to_owned()).collect() }
    }

    pub(crate) fn add(&mut self, row: usize, column: usize, figure: f64) {
        if let Some(cell) = self.rows.get_mut(row).and_then(|row| row.figures.get_mut(column)) {
            cell.push(figure);
            cell.sort_by(f64::total_cmp);
        }
    }
}

fn middle(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:22}{:12}", "", "")?;
        for column in &self.columns {
            write!(f, "{column:>26}")?;
        }
        writeln!(f, "{:>9}{:>12}", "ratio", "budget")?;
        for row in &self.rows {
            write!(f, "{:22}{:12}", row.what, row.unit)?;
            for cell in &row.figures {
                let (least, most) =
                    (cell.first().copied().unwrap_or(f64::NAN), cell.last().copied().unwrap_or(f64::NAN));
                write!(f, "{:>26}", format!("{least:.3} / {:.3} / {most:.3}", middle(cell)))?;
            }
            let rival = row.figures.first().map_or(f64::NAN, |cell| middle(cell));
            let ours = row.figures.last().map_or(f64::NAN, |cell| middle(cell));
            let (budget, kept) = match row.budget {
                Budget::Ratio(ratio) => (format!("{ratio} x"), ours <= ratio * rival),
                Budget::Value(value) => (format!("{value} {}", row.unit), ours <= value),
            };
            writeln!(f, "{:>9.2}{budget:>12} {}", ours / rival, if kept { "kept" } else { "MISSED" })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_figures_decide_whether_a_budget_is_kept() {
        let rows =
            [("a", "s", Budget::Ratio(0.5)), ("b", "s", Budget::Ratio(0.5)), ("c", "ms", Budget::Value(3.0))];
        let mut table = Table::new(&rows, &["rival", "ours"]);
        for (rival, a, b, c) in [(4.0, 9.0, 1.0, 1.0), (4.0, 1.9, 2.1, 2.0), (4.0, 1.8, 2.2, 9.0)] {
            for (row, ours) in [a, b, c].into_iter().enumerate() {
                table.add(row, 0, rival);
                table.add(row, 1, ours);
            }
        }
        let text = table.to_string();
        let lines: Vec<&str> = text.lines().skip(1).collect();
        assert!(lines[0].ends_with("kept") && lines[0].contains("0.47"), "{text}");
        assert!(lines[1].ends_with("MISSED"), "{text}");
        assert!(lines[2].ends_with("kept"), "{text}");
    }
}
