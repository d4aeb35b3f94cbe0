//! Standard output: on a terminal the table changes in place, elsewhere it is printed once it is complete.

use std::io::IsTerminal as _;

use anyhow::Result;

use super::table::Table;

use crate::out;

/// Where the table is drawn.
pub(crate) struct Screen {
    live: bool,
    /// Says nothing: another form of output is wanted.
    silent: bool,
    colour: bool,
    /// Lines of the table that is on the screen now.
    drawn: usize,
}

impl Screen {
    pub(crate) fn new(silent: bool) -> Self {
        let terminal = std::io::stdout().is_terminal();
        // https://no-color.org
        let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let plain = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        Self { live: terminal && !plain && !silent, silent, colour: colour && !plain, drawn: 0 }
    }

    pub(crate) fn print(&self, text: &str) -> Result<()> {
        if self.silent {
            return Ok(());
        }
        out::print(text);
        Ok(())
    }

    /// Shows the table as it is now, if it can be shown in place of what was drawn before.
    pub(crate) fn draw(&mut self, table: &Table) -> Result<()> {
        if !self.live {
            return Ok(());
        }
        let plain = table.text(false);
        let lines = plain.lines().count();
        let (rows, columns) = size();
        // A line that wraps, or has scrolled away, cannot be found again.
        if lines + 1 > rows || plain.lines().any(|line| line.len() > columns) {
            return Ok(());
        }
        self.replace(&table.text(self.colour), lines)
    }

    /// Shows the complete table, and why cells are missing in it.
    pub(crate) fn finish(&mut self, table: &Table) -> Result<()> {
        self.replace(&table.text(self.colour), 0)?;
        let complaints = table.complaints();
        if !complaints.is_empty() {
            self.print(&format!("\n   refused: {}\n", complaints.join("\n            ")))?;
        }
        for reason in table.reasons() {
            eprintln!("portway: not tried: {reason}");
        }
        Ok(())
    }

    fn replace(&mut self, text: &str, lines: usize) -> Result<()> {
        // Up, and clear to the end of the screen.
        let back = if self.drawn > 0 { format!("\x1b[{}A\x1b[J", self.drawn) } else { String::new() };
        self.drawn = lines;
        self.print(&format!("{back}{text}"))
    }
}

/// Rows and columns of the terminal.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout());
    size.map_or((24, 80), |size| (usize::from(size.ws_row), usize::from(size.ws_col)))
}
