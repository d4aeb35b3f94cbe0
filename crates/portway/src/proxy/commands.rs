//! Rules about commands, as the configuration file has them.

use anyhow::{Context, Result, bail};
use portway_proxy::{CommandRule, RuleAction, VerbPattern};
use serde::Deserialize;

/// A row of `[[commands]]` or `[[routes.commands]]`.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CommandEntry {
    /// What refusals call the row; without it, its number.
    name: Option<String>,
    verbs: Vec<String>,
    arguments: Vec<String>,
    users: Vec<String>,
    action: ActionEntry,
    from: Option<String>,
    to: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ActionEntry {
    Allow,
    #[default]
    Deny,
    Rewrite,
}

/// The rules of the flag, then those of these tables.
pub(super) fn rules(deny: &[VerbPattern], tables: &[&[CommandEntry]]) -> Result<Vec<CommandRule>> {
    let mut rules = Vec::new();
    if !deny.is_empty() {
        rules.push(CommandRule {
            name: "--deny".to_owned(),
            verbs: deny.to_vec(),
            arguments: Vec::new(),
            users: Vec::new(),
            action: RuleAction::Deny,
        });
    }
    for (at, entry) in tables.iter().flat_map(|table| table.iter()).enumerate() {
        let name = entry.name.clone().unwrap_or_else(|| format!("{}", at + 1));
        rules.push(rule(entry, &name).with_context(|| format!("commands, rule {name}"))?);
    }
    Ok(rules)
}

fn rule(entry: &CommandEntry, name: &str) -> Result<CommandRule> {
    if name.chars().any(char::is_control) {
        bail!("a name is one line");
    }
    let absolute = |path: &Option<String>| path.clone().filter(|path| path.starts_with('/'));
    let action = match (entry.action, absolute(&entry.from), absolute(&entry.to)) {
        (ActionEntry::Rewrite, Some(from), Some(to)) => RuleAction::Rewrite { from, to },
        (ActionEntry::Rewrite, ..) => bail!("rewrite needs from and to, both beginning with /"),
        _ if entry.from.is_some() || entry.to.is_some() => bail!("from and to belong to rewrite"),
        (ActionEntry::Allow, ..) => RuleAction::Allow,
        (ActionEntry::Deny, ..) => RuleAction::Deny,
    };
    let every = ["*".to_owned()];
    let verbs = match (entry.verbs.as_slice(), &action) {
        ([], RuleAction::Rewrite { .. }) => &every[..],
        ([], _) => bail!("verbs are missing"),
        (verbs, _) => verbs,
    };
    Ok(CommandRule {
        name: name.to_owned(),
        verbs: verbs.iter().map(|verb| verb.parse()).collect::<Result<_, _>>()?,
        arguments: entry.arguments.clone(),
        users: entry.users.clone(),
        action,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_nonsense_is_refused() {
        let read = |text: &str| {
            let entry: CommandEntry = toml::from_str(text)?;
            rules(&[], &[&[entry]])
        };
        let row = read("verbs = [\"STOR\", \"@write\"]\narguments = [\"*.exe\"]").expect("a row");
        assert_eq!((row[0].name.as_str(), &row[0].action), ("1", &RuleAction::Deny));
        assert!(read("action = \"rewrite\"\nfrom = \"/a\"\nto = \"/b\"").is_ok());
        for text in [
            "",
            "verbs = [\"USER\"]",
            "verbs = [\"DELE\"]\naction = \"drop\"",
            "action = \"rewrite\"\nfrom = \"a\"\nto = \"/b\"",
            "verbs = [\"DELE\"]\nto = \"/b\"",
            "verb = [\"DELE\"]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
