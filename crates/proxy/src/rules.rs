//! Rules about single commands: by verb, argument and user, with the action that follows.
//!
//! The first row that decides wins; what no row decides passes. A row that denies is read widely (any letter case,
//! any way to write the path), one that allows or rewrites narrowly, so that doubt never opens anything.

mod path;
mod pattern;

use portway_proto::{Code, Command, Reply, Verb};

pub use pattern::{VerbPattern, VerbPatternError};

pub(crate) use path::argument;
use path::{Here, Paths};

/// One row.
#[derive(Clone, Debug)]
pub struct CommandRule {
    /// What refusals call it.
    pub name: String,
    /// The commands it is about.
    pub verbs: Vec<VerbPattern>,
    /// Patterns for the argument, with `*` for any octets; empty: whatever the argument is. One that begins with `/`
    /// is compared with the whole path, seen from the directory in which the server says that the session is, any
    /// other with the last name of the path and with the argument as it was sent.
    pub arguments: Vec<String>,
    /// Patterns for the name that the server let in, or with `@` in them for `name@server`; empty: everybody, also
    /// before the login.
    pub users: Vec<String>,
    /// What happens.
    pub action: RuleAction,
}

/// What happens to a command that a row is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RuleAction {
    /// It passes, whatever the rows below say.
    Allow,
    /// It does not pass.
    Deny,
    /// A path under `from` becomes the same path under `to`, both absolute; the rows below judge the new one. Where the
    /// server tells a path (257), it is moved back; other replies are passed on as they are.
    Rewrite {
        /// The folder that clients name.
        from: String,
        /// The folder that is meant.
        to: String,
    },
}

/// Who sends a command, and from where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sender<'a> {
    /// The name that the server let in; empty before.
    pub(crate) user: &'a [u8],
    /// The server's name; empty before there is one.
    pub(crate) host: &'a str,
    /// The directory, if the server has told.
    pub(crate) directory: Option<&'a [u8]>,
}

/// What becomes of a command.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ruled {
    /// The rules let it pass.
    Pass,
    /// It passes in this form: a line without its end.
    Instead(Vec<u8>),
    /// It does not pass.
    Denied(Reply),
}

/// Judges a command by rows. Where rows have moved the directory, a path that begins there is denied by its name at the
/// server and by the one that the client knows, and is allowed only if it would be by both.
pub(crate) fn judge(rules: &[CommandRule], asked: &Command<'_>, sender: Sender<'_>) -> Ruled {
    let mut changed: Option<Vec<u8>> = None;
    let back = sender.directory.and_then(|path| moved_back(rules, path, sender));
    let here = sender.directory.map(|server| Here { server, client: back.as_deref().unwrap_or(server) });
    for rule in rules {
        let line = changed.clone();
        let command = match line.as_deref().map(Command::parse) {
            None => *asked,
            Some(Ok(command)) => command,
            Some(Err(error)) => return Ruled::Denied(error.reply()),
        };
        // A CDUP that has become a CWD is one still.
        let about = rule.is_about(&command) || (rule.action == RuleAction::Deny && rule.is_about(asked));
        if !about || !rule.is_for(sender) {
            continue;
        }
        let paths = Paths::of(&command, here);
        match &rule.action {
            RuleAction::Deny if rule.arguments.is_empty() => return Ruled::Denied(rule.refusal(&command)),
            RuleAction::Deny if rule.arguments.iter().any(|pattern| paths.may_match(pattern)) => {
                return Ruled::Denied(rule.refusal(&command));
            }
            RuleAction::Allow if rule.fits(&paths) => break,
            RuleAction::Rewrite { from, to } if rule.fits(&paths) => {
                if let Some(line) = paths.moved(command, from, to) {
                    changed = Some(line);
                }
            }
            _ => {}
        }
    }
    let Some(line) = changed else { return Ruled::Pass };
    // Where the server takes what was asked for to be the same, its replies are better with the client's own words.
    let meant = Command::parse(&line).ok().and_then(|command| Paths::of(&command, here).at_server());
    if meant.is_some() && meant == Paths::of(asked, here).at_server() {
        return Ruled::Pass;
    }
    Ruled::Instead(line)
}

/// What the client calls the directory that the server calls so; `None` if no row moves it.
pub(crate) fn moved_back(rules: &[CommandRule], path: &[u8], sender: Sender<'_>) -> Option<Vec<u8>> {
    let mut changed: Option<Vec<u8>> = None;
    for rule in rules.iter().rev().filter(|rule| rule.is_for(sender)) {
        let RuleAction::Rewrite { from, to } = &rule.action else { continue };
        let Some(back) = path::under(changed.as_deref().unwrap_or(path), to, from) else { continue };
        let command = Command::Cwd(&back);
        if rule.is_about(&command) && rule.fits(&Paths::of(&command, None)) {
            changed = Some(back);
        }
    }
    changed
}

/// Whether a verb is kept back, whatever its argument: then FEAT and HELP are silent about it. `site` is the
/// command after SITE.
pub(crate) fn hides(rules: &[CommandRule], verb: Verb, site: Option<&[u8]>, sender: Sender<'_>) -> bool {
    for rule in rules.iter().filter(|rule| rule.is_for(sender)) {
        let about = rule.verbs.iter().any(|pattern| pattern.covers(verb, site));
        match rule.action {
            RuleAction::Deny if about && rule.arguments.is_empty() => return true,
            RuleAction::Allow if rule.touches(verb, site) => return false,
            _ => {}
        }
    }
    false
}

/// Whether a directory matters to the command at all.
pub(crate) fn names_path(command: &Command<'_>) -> bool {
    Paths::of(command, None).is_about_files()
}

/// Whether the rows cannot judge without the session's directory.
pub(crate) fn need_directory(rules: &[CommandRule]) -> bool {
    rules.iter().any(|rule| {
        matches!(rule.action, RuleAction::Rewrite { .. })
            || rule.arguments.iter().any(|pattern| pattern.starts_with('/'))
    })
}

impl CommandRule {
    fn is_about(&self, command: &Command<'_>) -> bool {
        self.verbs.iter().any(|pattern| pattern.matches(command))
    }

    /// Whether some command of the verb is meant, or of what SITE does by this word.
    fn touches(&self, verb: Verb, site: Option<&[u8]>) -> bool {
        self.verbs.iter().any(|pattern| match site {
            Some(_) => pattern.covers(verb, site),
            None => pattern.touches(verb),
        })
    }

    fn is_for(&self, sender: Sender<'_>) -> bool {
        let denies = self.action == RuleAction::Deny;
        let other = other_name(sender.user).filter(|_| denies);
        self.users.is_empty()
            || [Some(sender.user), other].into_iter().flatten().any(|user| {
                self.users.iter().any(|pattern| match pattern.contains('@') {
                    true => {
                        let whole = [user, b"@", sender.host.as_bytes()].concat();
                        glob(pattern.as_bytes(), &whole, denies)
                    }
                    // Nobody has no name, not even one that fits `*`.
                    false => !user.is_empty() && glob(pattern.as_bytes(), user, denies),
                })
            })
    }

    fn fits(&self, paths: &Paths<'_>) -> bool {
        self.arguments.is_empty() || self.arguments.iter().any(|pattern| paths.must_match(pattern))
    }

    fn refusal(&self, command: &Command<'_>) -> Reply {
        let verb = command.verb().map_or("this command", Verb::name);
        if self.arguments.is_empty() && !self.verbs.iter().any(VerbPattern::is_class) {
            let text = format_args!("{verb} is not passed on by this proxy (rule {}).", self.name);
            return Reply::new(Code::NOT_IMPLEMENTED, text);
        }
        let text = format_args!("{verb}: not allowed by this proxy (rule {}).", self.name);
        Reply::new(Code::FILE_UNAVAILABLE, text)
    }
}

/// The other name of anonymous users, whom servers let in by either.
pub(crate) fn other_name(user: &[u8]) -> Option<&'static [u8]> {
    const NAMES: [&[u8]; 2] = [b"anonymous", b"ftp"];
    let at = NAMES.iter().position(|name| user.eq_ignore_ascii_case(name))?;
    NAMES.get(1 - at).copied()
}

/// Whether the text has the form of the pattern, in which `*` stands for any octets; `fold`: in any letter case.
pub(crate) fn glob(pattern: &[u8], text: &[u8], fold: bool) -> bool {
    // Where the last star stands, and how much of the text it has taken: the only place to go back to.
    let (mut p, mut t, mut star) = (0, 0, None);
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(wanted)
                if text
                    .get(t)
                    .is_some_and(|octet| octet == wanted || (fold && octet.eq_ignore_ascii_case(wanted))) =>
            {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    p = at + 1;
                    t = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern.get(p..).unwrap_or_default().iter().all(|&b| b == b'*')
}

#[cfg(test)]
mod tests;
