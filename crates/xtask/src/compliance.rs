//! `docs/rfc-compliance.md`, made from the verb table so that it cannot disagree with the program.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use portway_proto::{During, Phase, Support, VERBS, VerbInfo};

use crate::run;

/// Writes the document.
///
/// # Errors
/// If the file cannot be written.
pub(crate) fn write() -> Result<()> {
    let file = file();
    fs::write(&file, render(VERBS)).with_context(|| format!("cannot write {}", file.display()))?;
    println!("docs: wrote {} verbs to docs/rfc-compliance.md", VERBS.len());
    Ok(())
}

/// Checks that the document is what [`write()`] would write.
///
/// # Errors
/// If it is not.
pub(crate) fn check() -> Result<()> {
    let written = fs::read_to_string(file()).unwrap_or_default();
    if written != render(VERBS) {
        bail!("docs/rfc-compliance.md does not match the verb table; run: cargo xtask docs");
    }
    println!("docs: docs/rfc-compliance.md matches the verb table");
    Ok(())
}

fn file() -> PathBuf {
    run::root().join("docs/rfc-compliance.md")
}

fn render(verbs: &[VerbInfo]) -> String {
    let count = |wanted: fn(Support) -> bool| verbs.iter().filter(|row| wanted(row.support)).count();
    let full = count(|support| support == Support::Full);
    let partial = count(|support| matches!(support, Support::Partial(_)));
    let refused = count(|support| matches!(support, Support::Refused(_)));
    let mut page = String::from(
        "<!-- Made by `cargo xtask docs` from the verb table in crates/proto/src/verb.rs. Do not edit. -->\n\
         # Verbs and RFCs\n\n",
    );
    let _ = writeln!(
        page,
        "portway's server knows {} verbs: {full} as specified, {partial} within limits, {refused} refused with a \
         reason. A verb that is not in this table gets 500. \"Specified in\" names the section that the row obeys; \
         \"field\" is common practice without an RFC.\n",
        verbs.len()
    );
    page.push_str("| Verb and argument | Served | In FEAT | Needs | During a transfer | Specified in |\n");
    page.push_str("|---|---|---|---|---|---|\n");
    for row in verbs {
        let served = match row.support {
            Support::Full => "yes".to_owned(),
            Support::Partial(limits) => format!("partly: {limits}"),
            Support::Refused(why) => format!("no: {why}"),
        };
        let needs = match row.needs {
            Phase::Connected => "-",
            Phase::LoggedIn => "login",
        };
        let during = match row.during {
            During::Now => "answered",
            During::Later => "waits",
            During::Abort => "ends it",
        };
        let feat = row.feat.map_or_else(|| "-".to_owned(), |line| format!("`{}`", cell(line)));
        let _ = writeln!(
            page,
            "| `{}` | {} | {feat} | {needs} | {during} | {} |",
            cell(&row.syntax()),
            cell(&served),
            cell(row.spec)
        );
    }
    page
}

/// A bar would end a table's cell, also within code.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_verb_has_one_row_of_six_cells() {
        let page = render(VERBS);
        let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows.len(), VERBS.len());
        for (row, info) in rows.iter().zip(VERBS) {
            assert!(row.starts_with(&format!("| `{}", info.name)), "{row}");
            assert_eq!(row.replace("\\|", "").matches('|').count(), 7, "{row}");
        }
    }

    #[test]
    fn refusals_give_their_reason() {
        let refused = VERBS.iter().find_map(|row| match row.support {
            Support::Refused(why) => Some(why),
            _ => None,
        });
        assert!(render(VERBS).contains(&format!("no: {}", refused.unwrap())));
    }
}
