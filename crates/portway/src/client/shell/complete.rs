//! Completion: verbs, names at the server, names here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex};
use std::time::Duration;

use portway_client::Connection;
use portway_proto::row::RowKind;
use portway_proto::{Command, printable};
use portway_vfs::VPath;
use rustyline::completion::{Completer, FilenameCompleter, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use tokio::sync::Mutex;

use super::table;
use super::words::quoted;

/// How long a listing for the completion may take: somebody has a finger on the key.
const PATIENCE: Duration = Duration::from_secs(3);

/// Knows the names in directories that were asked for since the last command.
#[derive(Clone)]
pub(super) struct Names {
    connection: Arc<Mutex<Option<Connection>>>,
    state: Arc<StdMutex<State>>,
}

#[derive(Default)]
struct State {
    cwd: Vec<u8>,
    /// Names by directory; those of directories end with `/`.
    known: BTreeMap<Vec<u8>, Vec<String>>,
}

impl Names {
    pub(super) fn new(connection: Arc<Mutex<Option<Connection>>>) -> Self {
        Self { connection, state: Arc::default() }
    }

    /// We are in another directory.
    pub(super) fn stand_in(&self, cwd: &[u8]) {
        if let Ok(mut state) = self.state.lock() {
            cwd.clone_into(&mut state.cwd);
        }
        self.forget();
    }

    /// Something at the server may have changed.
    pub(super) fn forget(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.known.clear();
        }
    }

    /// The names in a directory, from memory or from the server.
    fn of(&self, dir: &str) -> Vec<String> {
        let path = match self.state.lock() {
            Ok(state) => VPath::resolve(&VPath::root(), &state.cwd)
                .and_then(|cwd| VPath::resolve(&cwd, dir.as_bytes()))
                .map_or_else(|| dir.as_bytes().to_vec(), |path| path.as_bytes().to_vec()),
            Err(_) => return Vec::new(),
        };
        if let Some(known) = self.state.lock().ok().and_then(|state| state.known.get(&path).cloned()) {
            return known;
        }
        let names = tokio::runtime::Handle::current().block_on(self.list(&path)).unwrap_or_default();
        if let Ok(mut state) = self.state.lock() {
            state.known.insert(path, names.clone());
        }
        names
    }

    async fn list(&self, path: &[u8]) -> Option<Vec<String>> {
        let mut guard = self.connection.lock().await;
        let connection = guard.as_mut()?;
        let listing = async {
            if !connection.is_usable() {
                connection.reconnect().await.ok()?;
                let cwd = self.state.lock().map(|state| state.cwd.clone()).ok()?;
                connection.demand(&Command::Cwd(&cwd)).await.ok()?;
            }
            connection.list(Some(path)).await.ok()
        };
        let rows = match tokio::time::timeout(PATIENCE, listing).await {
            Ok(rows) => rows?,
            Err(_) => {
                // Half a listing is under way.
                connection.abandon();
                return None;
            }
        };
        let mut names: Vec<String> = rows
            .iter()
            // What cannot be typed is not offered.
            .filter(|row| std::str::from_utf8(&row.name).is_ok_and(|name| name == printable(&row.name)))
            .map(|row| {
                let slash = if row.kind == RowKind::Dir { "/" } else { "" };
                format!("{}{slash}", String::from_utf8_lossy(&row.name))
            })
            .collect();
        names.sort();
        Some(names)
    }
}

/// Where the word at the end of a line begins, and what it says.
fn last_word(line: &str) -> (usize, String) {
    let (mut start, mut word) = (0, String::new());
    let mut chars = line.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => word.extend(chars.next().map(|(_, c)| c)),
            c if c.is_whitespace() => {
                start = at + c.len_utf8();
                word.clear();
            }
            c => word.push(c),
        }
    }
    (start, word)
}

impl Completer for Names {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or_default();
        let (start, word) = last_word(before);
        let pair = |display: &str, replacement: String| Pair { display: display.to_owned(), replacement };
        if before.get(..start).is_some_and(|head| head.trim().is_empty()) {
            let fitting = table::names().into_iter().filter(|verb| verb.starts_with(&word));
            return Ok((start, fitting.map(|verb| pair(verb, format!("{verb} "))).collect()));
        }
        let verb = before.split_whitespace().next().unwrap_or_default();
        if verb.starts_with('!') || table::takes_local_names(verb) {
            return FilenameCompleter::new().complete_path(line, at);
        }
        let cut = word.rfind('/').map_or(0, |slash| slash + 1);
        let (dir, name) = word.split_at(cut);
        let asked = match dir {
            "" => ".",
            "/" => "/",
            dir => dir.trim_end_matches('/'),
        };
        let names = self.of(asked);
        let fitting = names.iter().filter(|candidate| candidate.starts_with(name));
        let whole = |candidate: &String| {
            let end = if candidate.ends_with('/') { "" } else { " " };
            pair(candidate, format!("{}{end}", quoted(&format!("{dir}{candidate}"))))
        };
        Ok((start, fitting.map(whole).collect()))
    }
}

impl Helper for Names {}
impl Highlighter for Names {}
impl Validator for Names {}

impl Hinter for Names {
    type Hint = String;
}

#[cfg(test)]
mod tests {
    use super::last_word;

    #[test]
    fn the_last_word_may_hold_escaped_blanks() {
        assert_eq!(last_word("get a\\ b/c"), (4, "a b/c".to_owned()));
        assert_eq!(last_word("get größe x "), (14, String::new()));
        assert_eq!(last_word("ge"), (0, "ge".to_owned()));
    }
}
