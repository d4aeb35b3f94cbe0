//! Configuration files: what every role that plays the server has in common, and what is a role's own.

use std::fmt::Display;
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use clap::{Args as _, Command};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use toml::Spanned;
use toml::de::{DeTable, Deserializer as Toml};

use super::ServiceArgs;

/// Reads a file. Unknown keys are refused, so that a typo is no setting.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<(ServiceArgs, T)> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(&text).map_err(|error| {
        anyhow!("{} is not as expected: {error}{}", path.display(), also_known(&text, &error))
    })
}

/// The common settings have the names of their flags; everything else is the role's.
pub(crate) fn parse<T: DeserializeOwned>(text: &str) -> Result<(ServiceArgs, T), toml::de::Error> {
    let flags = ServiceArgs::augment_args(Command::new(""));
    let is_common = |key: &str| flags.get_arguments().any(|flag| flag.get_id() == key);
    let table = DeTable::parse(text)?;
    let span = table.span();
    let (common, own): (DeTable<'_>, DeTable<'_>) =
        table.into_inner().into_iter().partition(|(key, _)| is_common(key.get_ref()));
    Ok((part(text, Spanned::new(span.clone(), common))?, part(text, Spanned::new(span, own))?))
}

/// What the list in the error lacks: a role's settings are read apart from the common ones.
fn also_known(text: &str, error: &toml::de::Error) -> String {
    let unknown = error.message().strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
    let outermost = DeTable::parse(text)
        .is_ok_and(|table| unknown.is_some_and(|unknown| table.get_ref().contains_key(unknown)));
    if !outermost {
        return String::new();
    }
    let flags = ServiceArgs::augment_args(Command::new(""));
    let known: Vec<_> = flags.get_arguments().map(|flag| format!("`{}`", flag.get_id())).collect();
    format!("or of what every server has: {}", known.join(", "))
}

/// Takes a part of the file; an error shows the line of the whole.
fn part<T: DeserializeOwned>(text: &str, table: Spanned<DeTable<'_>>) -> Result<T, toml::de::Error> {
    T::deserialize(Toml::from(table)).map_err(|mut error| {
        error.set_input(Some(text));
        error
    })
}

/// A setting that is written as its flag is.
pub(crate) fn text<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    from: D,
) -> Result<Option<T>, D::Error> {
    String::deserialize(from)?.parse().map(Some).map_err(D::Error::custom)
}

/// Several of them.
pub(crate) fn texts<'de, D: Deserializer<'de>, T: FromStr<Err: Display>>(
    from: D,
) -> Result<Vec<T>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(D::Error::custom)).collect()
}

/// A time with its unit, such as `300s`.
pub(crate) fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
    super::duration(&String::deserialize(from)?).map(Some).map_err(D::Error::custom)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Default, Deserialize)]
    #[serde(default, deny_unknown_fields)]
    struct Own {
        colour: Option<String>,
    }

    #[test]
    fn a_file_is_parted_into_what_is_common_and_what_is_the_roles() {
        let (common, own) =
            parse::<Own>("colour = 'red'\nidle_timeout = '5m'\npassive_ports = '50000'").expect("right");
        assert_eq!(common.idle_timeout, Some(Duration::from_secs(300)));
        assert_eq!(common.passive_ports.map(|range| range.0), Some(50000..=50000));
        assert_eq!(own.colour.as_deref(), Some("red"));
    }

    #[test]
    fn what_is_wrong_is_shown_with_its_line() {
        for (wrong, line) in
            [("\ncolor = 'red'", "line 2"), ("a = [", "line 1"), ("\n\nidle_timeout = '5 years'", "line 3")]
        {
            let error = parse::<Own>(wrong).expect_err(wrong).to_string();
            assert!(error.contains(line), "{error}");
        }
    }

    #[test]
    fn a_setting_that_nobody_knows_is_answered_with_all_there_are() {
        let known = |text: &str| also_known(text, &parse::<Own>(text).expect_err("unknown"));
        let all = known("color = 'red'");
        assert!(all.contains("`listen`") && all.contains("`passive_ports`"), "{all}");
        assert_eq!(known("colour = 1"), "");
    }
}
