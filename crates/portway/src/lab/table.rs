//! The table of one scenario: a row for each way to transfer, a column for each cure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use portway_lab::{Cell, Cure, Family, Outcome, Verdict};

/// What is known of a cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Waiting,
    Running,
    Done(Outcome),
    /// It could not be tried, for this reason.
    Failed(String),
}

/// Cells and what is known of them, in the order of the plan: the cures of a row are neighbours.
pub(crate) struct Table {
    cells: Vec<(Cell, State)>,
    /// Whether rows differ in their programs; else the title names them.
    mixed: bool,
}

const COLUMN: usize = 18;
/// Of the names of two programs.
const PROGRAMS: usize = 22;

impl Table {
    pub(crate) fn new(cells: &[Cell]) -> Self {
        let programs: BTreeSet<_> = cells.iter().map(|cell| (cell.client, cell.server)).collect();
        Self { cells: cells.iter().map(|cell| (*cell, State::Waiting)).collect(), mixed: programs.len() > 1 }
    }

    pub(crate) fn set(&mut self, cell: &Cell, state: State) {
        if let Some(place) = self.cells.iter_mut().find(|(known, _)| known == cell) {
            place.1 = state;
        }
    }

    /// What is known so far.
    pub(crate) fn cells(&self) -> &[(Cell, State)] {
        &self.cells
    }

    /// The table as text, in colour for terminals.
    pub(crate) fn text(&self, colour: bool) -> String {
        let who = |cell: &Cell| format!("{} from {}", cell.client.name(), cell.server.name());
        let programs = if self.mixed { PROGRAMS } else { 0 };
        let title = match self.cells.first() {
            Some((cell, _)) if !self.mixed => who(cell),
            _ => String::new(),
        };
        let mut out = format!("   {title:<0$}", 21 + programs);
        let cures = Cure::ALL.iter().filter(|cure| self.cells.iter().any(|(cell, _)| cell.cure == **cure));
        for title in cures.map(|cure| column(*cure)) {
            let _ = write!(out, "{title:<COLUMN$}");
        }
        out.truncate(out.trim_end().len());
        out.push('\n');
        for row in self.cells.chunk_by(|(one, _), (other, _)| Cell { cure: other.cure, ..*one } == *other) {
            let Some((cell, _)) = row.first() else { continue };
            let protection = if cell.tls { "ftps" } else { "plain" };
            let family = if cell.family == Family::V4 { "IPv4" } else { "IPv6" };
            let names = if self.mixed { who(cell) } else { String::new() };
            let _ = write!(out, "   {protection:<6}{:<9}{family:<6}{names:<programs$}", cell.mode.name());
            for (cell, state) in row {
                let (word, shade) = words(cell, state);
                // Padded first: a colour has no width.
                let padded = format!("{word:<COLUMN$}");
                match shade {
                    Some(shade) if colour => {
                        let _ = write!(out, "\x1b[{shade}m{padded}\x1b[0m");
                    }
                    _ => out.push_str(&padded),
                }
            }
            out.truncate(out.trim_end().len());
            out.push('\n');
        }
        out
    }

    /// What clients that gave up said; sentences that differ in numbers only are one.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut complaints: BTreeMap<String, String> = BTreeMap::new();
        for (cell, state) in &self.cells {
            if let State::Done(Outcome { verdict: Verdict::Refused, said, .. }) = state {
                let kind = said.chars().filter(|c| !c.is_ascii_hexdigit()).collect();
                let complaint = || format!("{} said: {said}", cell.client.name());
                complaints.entry(kind).or_insert_with(complaint);
            }
        }
        complaints.into_values().collect()
    }

    /// Why cells could not be tried, each reason once.
    pub(crate) fn reasons(&self) -> Vec<&str> {
        let mut reasons = Vec::new();
        for (_, state) in &self.cells {
            if let State::Failed(why) = state
                && !reasons.contains(&why.as_str())
            {
                reasons.push(why.as_str());
            }
        }
        reasons
    }
}

pub(crate) const fn column(cure: Cure) -> &'static str {
    match cure {
        Cure::None => "no cure",
        Cure::KernelHelper => "helper",
        Cure::Portway => "portway",
        Cure::Inspect => "inspect",
    }
}

/// Whether nothing else was to be expected of portway.
pub(crate) fn is_unpromised(cell: &Cell, outcome: &Outcome) -> bool {
    cell.cure.is_ours() && !cell.promised() && outcome.verdict != Verdict::Works
}

fn words(cell: &Cell, state: &State) -> (String, Option<u8>) {
    match state {
        State::Waiting => (".".to_owned(), Some(2)),
        State::Running => ("trying".to_owned(), Some(2)),
        State::Failed(_) => ("not tried".to_owned(), Some(35)),
        State::Done(outcome) => {
            let shade = match outcome.verdict {
                Verdict::Works => 32,
                Verdict::Blocked => 31,
                Verdict::Refused => 33,
            };
            let seconds = outcome.took.as_secs_f64();
            let star = if is_unpromised(cell, outcome) { " *" } else { "" };
            (format!("{:<8}{seconds:>5.2} s{star}", outcome.verdict.name()), Some(shade))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portway_lab::{Client, Scenario, Server};

    use super::*;

    #[test]
    fn a_row_shows_what_each_cure_did() {
        let cells = Cell::of(Scenario::Strict, &[Client::Lftp], &[Server::Portway], &Cure::USUAL);
        let mut table = Table::new(&cells);
        let done = |verdict, ms| {
            State::Done(Outcome { verdict, took: Duration::from_millis(ms), said: String::new() })
        };
        table.set(&cells[0], done(Verdict::Blocked, 8003));
        table.set(&cells[1], done(Verdict::Works, 120));
        table.set(&cells[2], State::Running);
        let text = table.text(false);
        let row = text.lines().nth(1).expect("a row");
        let words: Vec<_> = row.split_whitespace().collect();
        let wanted = "plain active IPv4 blocked 8.00 s works 0.12 s trying";
        assert_eq!(words.join(" "), wanted);
        assert_eq!(text.lines().count(), 1 + 8);
        assert!(text.starts_with("   lftp from portway"), "{text}");
        assert!(text.lines().all(|line| line.len() < 80), "{text}");
        assert!(table.text(true).contains("\x1b[31mblocked"));
    }

    #[test]
    fn rows_name_their_programs_where_these_differ() {
        let cells = Cell::of(Scenario::Strict, &[Client::Lftp], Server::ALL, &Cure::USUAL);
        let text = Table::new(&cells).text(false);
        assert!(text.lines().skip(1).all(|row| row.contains("lftp from ")), "{text}");
    }
}
