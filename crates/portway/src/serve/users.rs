//! Accounts: what `--user` and `[[users]]` say becomes [`Accounts`].

use anyhow::{Context, Result, bail};
use portway_accounts::{Accounts, Rights, Secret};
use serde::Deserialize;

use super::args::UserArg;
use super::config::Settings;

/// One account of the configuration file.
#[derive(Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct UserEntry {
    pub(crate) name: String,
    /// In clear; one is made and shown if neither this nor a hash is given.
    password: Option<String>,
    /// As `portway user` prints it.
    password_hash: Option<String>,
    /// `full`, `read-only`, `none`, or single rights. Default `full`.
    rights: Option<Vec<String>>,
    /// The folder this user sees as `/`. Default `/`.
    home: Option<String>,
    /// No login without TLS.
    require_tls: bool,
}

impl UserEntry {
    /// What he may do, in a word or in the words of the file.
    pub(crate) fn access(&self) -> String {
        match self.rights.as_deref() {
            None => "read and write".to_owned(),
            Some([right]) if right == "full" => "read and write".to_owned(),
            Some([]) => "nothing".to_owned(),
            Some(rights) => rights.join(", "),
        }
    }

    /// Whether a password would have to be made for him.
    pub(crate) fn has_no_secret(&self) -> bool {
        self.password.is_none() && self.password_hash.is_none()
    }
}

impl std::fmt::Debug for UserEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "UserEntry({:?})", self.name)
    }
}

impl From<UserArg> for UserEntry {
    fn from(arg: UserArg) -> Self {
        Self { name: arg.name, password: arg.password, ..Self::default() }
    }
}

/// A user's name, and his password if it was made for this run.
pub(crate) type ShownUser = (String, Option<String>);

/// The accounts, and what to show of them: a generated password is shown once, a given one never.
///
/// # Errors
/// The first account that cannot be, with its name.
pub(crate) fn accounts(settings: &Settings) -> Result<(Accounts, Vec<ShownUser>)> {
    let mut accounts = Accounts::new().context("accounts")?;
    let mut shown = Vec::new();
    for user in &settings.users {
        let (next, generated) = add(accounts, user).with_context(|| format!("user {:?}", user.name))?;
        accounts = next;
        shown.push((user.name.clone(), generated));
    }
    if settings.anonymous {
        accounts = accounts.anonymous(Rights::READ_ONLY);
    }
    Ok((accounts, shown))
}

fn add(accounts: Accounts, user: &UserEntry) -> Result<(Accounts, Option<String>)> {
    let name = &user.name;
    let rights = match &user.rights {
        None => Rights::FULL,
        Some(names) => all_of(names)?,
    };
    let mut generated = None;
    let mut accounts = match (&user.password, &user.password_hash) {
        (Some(_), Some(_)) => bail!("password and password_hash are both given; one is enough"),
        (Some(password), None) => accounts.user(name, &Secret::new(password.as_bytes()), rights)?,
        (None, Some(hash)) => accounts.user_hashed(name, hash, rights)?,
        (None, None) => {
            let secret = Secret::generate().context("no password could be made")?;
            generated = Some(String::from_utf8_lossy(secret.expose_octets()).into_owned());
            accounts.user(name, &secret, rights)?
        }
    };
    if let Some(home) = &user.home {
        accounts = accounts.home(name, home.as_bytes())?;
    }
    if user.require_tls {
        accounts = accounts.require_tls(name)?;
    }
    Ok((accounts, generated))
}

fn all_of(names: &[String]) -> Result<Rights> {
    names.iter().try_fold(Rights::NONE, |sum, name| {
        let right = Rights::named(name).with_context(|| {
            format!("there is no right {name:?}; there are full, read-only, none and {}", Rights::FULL)
        })?;
        Ok(sum | right)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Result<UserEntry> {
        Ok(toml::from_str(text)?)
    }

    #[test]
    fn a_user_of_the_file_has_home_rights_and_a_hash() {
        let hash = Accounts::new()
            .and_then(|accounts| accounts.hash_of("bob", &Secret::from("secret")))
            .expect("a hash");
        let text = format!(
            "name = 'bob'\npassword_hash = '{hash}'\nrights = ['list', 'write']\nhome = '/in'\nrequire_tls = true"
        );
        let (accounts, generated) =
            add(Accounts::new().expect("accounts"), &entry(&text).expect("an entry")).expect("an account");
        assert!(generated.is_none());
        let bob = accounts.verify(b"bob", &Secret::from("secret")).expect("his password");
        assert_eq!(
            (bob.rights, bob.home.as_slice(), bob.tls_required),
            (Rights::LIST | Rights::WRITE, b"/in".as_slice(), true)
        );
    }

    #[test]
    fn what_cannot_be_is_refused_with_the_users_name() {
        for text in [
            "name = 'bob'\nrights = ['fly']",
            "name = 'bob'\npassword = 'a'\npassword_hash = 'b'",
            "name = 'bob'\nhome = 'relative'",
            "name = ''",
        ] {
            let entry = entry(text).expect("an entry");
            assert!(add(Accounts::new().expect("accounts"), &entry).is_err(), "{text}");
        }
        assert!(entry("name = 'bob'\nhoem = '/'").is_err(), "a typo is no setting");
    }

    #[test]
    fn a_password_is_not_shown() {
        let text = "name = 'bob'\npassword = 'hidden'";
        assert!(!format!("{:?}", entry(text).expect("an entry")).contains("hidden"));
    }
}
