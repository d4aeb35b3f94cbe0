//! `portway user`: an account for the configuration file, with the password as a hash.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use portway_accounts::{Accounts, Rights, Secret};

use crate::prompt;

/// The flags of `portway user`.
#[derive(Debug, Args)]
pub(crate) struct UserArgs {
    /// The account's name
    name: String,
    /// The folder this user sees as /
    #[arg(long, value_name = "DIR")]
    home: Option<String>,
    /// What he may do: full, read-only, none, or single rights (repeatable) [default: full]
    #[arg(long = "right", value_name = "RIGHT")]
    rights: Vec<String>,
    /// No login without TLS
    #[arg(long)]
    require_tls: bool,
}

/// Asks for the password (a terminal), or reads one line of standard input, and prints a `[[users]]` entry.
pub(crate) fn run(args: &UserArgs) -> Result<ExitCode> {
    let mut checked = Accounts::new()?;
    for right in &args.rights {
        if Rights::named(right).is_none() {
            bail!("there is no right {right:?}; there are full, read-only, none and {}", Rights::FULL);
        }
    }
    let secret = secret()?;
    let hash = checked.hash_of(&args.name, &secret)?;
    // What `serve` would refuse is refused here already.
    checked = checked.user_hashed(&args.name, &hash, Rights::FULL)?;
    let mut entry = toml::Table::new();
    entry.insert("name".to_owned(), args.name.clone().into());
    entry.insert("password_hash".to_owned(), hash.into());
    if let Some(home) = &args.home {
        checked.home(&args.name, home.as_bytes())?;
        entry.insert("home".to_owned(), home.clone().into());
    }
    if !args.rights.is_empty() {
        entry.insert("rights".to_owned(), args.rights.clone().into());
    }
    if args.require_tls {
        entry.insert("require_tls".to_owned(), true.into());
    }
    let text = format!("[[users]]\n{}", toml::to_string(&entry).context("the entry cannot be written")?);
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn secret() -> Result<Secret> {
    let password = if std::io::stdin().is_terminal() {
        let first = prompt::secret("Password: ")?;
        if first != prompt::secret("Once more: ")? {
            bail!("the two passwords differ");
        }
        first
    } else {
        let mut line = String::new();
        std::io::stdin().lock().read_line(&mut line).context("no password on standard input")?;
        line.trim_end_matches(['\r', '\n']).as_bytes().to_vec()
    };
    Ok(Secret::new(password))
}
