//! The accounts and the one question put to them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, PoisonError};

use argon2::Params;
use argon2::password_hash::phc::PasswordHash;

use crate::hash::{self, Cost, Effort, Hasher, Memory, Tag};
use crate::{NoRandomness, Rights, Secret};

/// The longest name, in octets.
const MAX_NAME: usize = 255;

/// The most memory that an imported hash may ask for, in KiB: 1 GiB.
const MAX_MEMORY_KIB: u32 = 1024 * 1024;

/// The most passes that an imported hash may ask for.
const MAX_PASSES: u32 = 64;

/// Somebody who is logged in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    /// The account's name; for anonymous users the name they gave, `anonymous` or `ftp`.
    pub name: String,
    /// Whether no password was checked.
    pub anonymous: bool,
    /// What this user may do.
    pub rights: Rights,
    /// The folder that this user sees as `/`, as an absolute path inside the served tree. Default `/`.
    pub home: Vec<u8>,
    /// Whether this user may log in under TLS only. Default no. The caller enforces it, with 530 (RFC 4217
    /// §11.1), after the password: the answer to `USER` must not tell who exists.
    pub tls_required: bool,
}

/// Why a login failed; one text for all of it goes to the client, 530 "Login incorrect".
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginRefused {
    /// Name and password do not belong together; whether the name exists is not told, not even in the log.
    #[error("wrong name or password")]
    WrongCredentials,
}

/// Why an account cannot be made; always the fault of who configures it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Names are 1 to 255 octets, without control characters, `/` and spaces at either end.
    #[error(
        "user name {0:?} is empty, longer than 255 octets, or has control characters, slashes or outer spaces"
    )]
    Name(String),
    /// An empty password is no password; anonymous access is a setting of its own.
    #[error("the password of {0:?} is empty")]
    EmptyPassword(String),
    /// The hash is not an Argon2id string of the form `$argon2id$v=19$m=…,t=…,p=…$salt$hash`.
    #[error("the password hash of {0:?} is not an argon2id hash")]
    NotArgon2id(String),
    /// One login with this hash would need more than 1 GiB or more than 64 passes.
    #[error("the password hash of {0:?} asks for more than 1 GiB of memory or 64 passes")]
    TooCostly(String),
    /// A setting names an account that does not exist.
    #[error("there is no account {0:?}")]
    NoSuchAccount(String),
    /// A home is an absolute path without NUL and `..`.
    #[error("the home folder of {0:?} is not an absolute path, or has `..` in it")]
    Home(String),
    /// Hashing failed.
    #[error("the password of {0:?} could not be hashed: {1}")]
    Hash(String, argon2::password_hash::Error),
    /// No salt without random numbers.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
}

/// Everybody who may log in.
///
/// Built once and then shared; to change it, build another and swap it. What was remembered goes with it.
///
/// ```
/// use portway_accounts::{Accounts, Rights, Secret};
///
/// let accounts = Accounts::new()?
///     .user("ann", &Secret::from("correct horse"), Rights::FULL)?
///     .anonymous(Rights::READ_ONLY);
/// let ann = accounts.verify(b"ann", &Secret::from("correct horse")).expect("that is her password");
/// assert_eq!(ann.rights, Rights::FULL);
/// # Ok::<(), portway_accounts::AccountError>(())
/// ```
pub struct Accounts {
    users: BTreeMap<Vec<u8>, Account>,
    anonymous: Option<Rights>,
    effort: Effort,
    hasher: Hasher,
    memory: Memory,
    /// One hash per set of parameters in use, of a password that nobody has: what a missing user is measured
    /// against, so that he costs what an existing one costs.
    decoys: Vec<PasswordHash>,
}

struct Account {
    principal: Principal,
    hash: PasswordHash,
    /// The last password that was right, if any; gone when the account is replaced.
    remembered: Mutex<Option<Tag>>,
}

impl Accounts {
    /// Nobody yet, with the default [`Effort`].
    ///
    /// # Errors
    /// [`AccountError::NoRandomness`]: the key for remembered passwords needs some.
    pub fn new() -> Result<Self, AccountError> {
        Self::with_effort(Effort::default())
    }

    /// Nobody yet; passwords given in clear are hashed with this effort.
    ///
    /// # Errors
    /// [`AccountError::NoRandomness`].
    pub fn with_effort(effort: Effort) -> Result<Self, AccountError> {
        let mut accounts = Self {
            users: BTreeMap::new(),
            anonymous: None,
            effort,
            hasher: Hasher::new(),
            memory: Memory::new()?,
            decoys: Vec::new(),
        };
        accounts.renew_decoys()?;
        Ok(accounts)
    }

    /// Adds an account, or replaces the one of that name and forgets its password.
    ///
    /// # Errors
    /// [`AccountError::Name`], [`AccountError::EmptyPassword`], [`AccountError::Hash`].
    pub fn user(self, name: &str, secret: &Secret, rights: Rights) -> Result<Self, AccountError> {
        if secret.is_empty() {
            return Err(AccountError::EmptyPassword(name.to_owned()));
        }
        let hash =
            hash::make(secret, self.effort).map_err(|error| AccountError::Hash(name.to_owned(), error))?;
        self.insert(name, hash, rights)
    }

    /// The hash that [`user_hashed`](Self::user_hashed) takes, in PHC format, for keeping in a file.
    ///
    /// # Errors
    /// [`AccountError::EmptyPassword`], [`AccountError::Hash`].
    pub fn hash_of(&self, name: &str, secret: &Secret) -> Result<String, AccountError> {
        if secret.is_empty() {
            return Err(AccountError::EmptyPassword(name.to_owned()));
        }
        hash::make(secret, self.effort)
            .map(|hash| hash.to_string())
            .map_err(|error| AccountError::Hash(name.to_owned(), error))
    }

    /// Like [`user`](Self::user), with the password as an Argon2id string (PHC format).
    ///
    /// # Errors
    /// [`AccountError::Name`], [`AccountError::NotArgon2id`], [`AccountError::TooCostly`].
    pub fn user_hashed(self, name: &str, phc: &str, rights: Rights) -> Result<Self, AccountError> {
        let not_argon2id = || AccountError::NotArgon2id(name.to_owned());
        let hash = PasswordHash::new(phc).map_err(|_| not_argon2id())?;
        let params = Params::try_from(&hash).map_err(|_| not_argon2id())?;
        let whole = hash.salt.is_some() && hash.hash.is_some();
        if hash.algorithm.as_str() != "argon2id" || !whole {
            return Err(not_argon2id());
        }
        if params.m_cost() > MAX_MEMORY_KIB || params.t_cost() > MAX_PASSES {
            return Err(AccountError::TooCostly(name.to_owned()));
        }
        self.insert(name, hash, rights)
    }

    /// Lets anybody in who calls himself `anonymous` or `ftp` (RFC 1635), in any case of letters and with any
    /// password. An account of that very name goes first.
    #[must_use]
    pub fn anonymous(mut self, rights: Rights) -> Self {
        self.anonymous = Some(rights);
        self
    }

    /// Sets the folder that this user sees as `/`.
    ///
    /// # Errors
    /// [`AccountError::NoSuchAccount`], [`AccountError::Home`].
    pub fn home(mut self, name: &str, home: &[u8]) -> Result<Self, AccountError> {
        let climbs = home.split(|&octet| octet == b'/').any(|part| part == b"..");
        if !home.starts_with(b"/") || home.contains(&0) || climbs {
            return Err(AccountError::Home(name.to_owned()));
        }
        self.account_mut(name)?.principal.home = home.to_vec();
        Ok(self)
    }

    /// Lets this user log in under TLS only.
    ///
    /// # Errors
    /// [`AccountError::NoSuchAccount`].
    pub fn require_tls(mut self, name: &str) -> Result<Self, AccountError> {
        self.account_mut(name)?.principal.tls_required = true;
        Ok(self)
    }

    /// Takes an account away; the password that was remembered goes with it.
    ///
    /// # Errors
    /// [`AccountError::NoSuchAccount`], [`AccountError::Hash`].
    pub fn without(mut self, name: &str) -> Result<Self, AccountError> {
        let gone = self.users.remove(name.as_bytes());
        gone.ok_or_else(|| AccountError::NoSuchAccount(name.to_owned()))?;
        self.renew_decoys()?;
        Ok(self)
    }

    /// Whether nobody at all can log in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.anonymous.is_none()
    }

    /// The named accounts, in order of their names.
    pub fn principals(&self) -> impl Iterator<Item = &Principal> {
        self.users.values().map(|account| &account.principal)
    }

    /// Checks a name and a password.
    ///
    /// Blocks its thread for some 20 ms of CPU, and longer while [`Cost::at_once`] others are being checked;
    /// a user who does not exist costs the same. Returns within microseconds for anonymous users and for a
    /// password that this process has found right before. Ask [`Throttle`](crate::Throttle) first.
    ///
    /// # Errors
    /// [`LoginRefused`]: answer 530, and tell [`Throttle::failed`](crate::Throttle::failed).
    pub fn verify(&self, user: &[u8], secret: &Secret) -> Result<Principal, LoginRefused> {
        if let Some(known) = self.recall(user, secret) {
            return Ok(known);
        }
        let turn = self.hasher.turn();
        // While this login waited, another one of the same user may have been found right.
        if let Some(known) = self.recall(user, secret) {
            return Ok(known);
        }
        let tag = self.memory.tag(user, secret);
        let Some(account) = self.users.get(user) else {
            let decoy = self.memory.tag(user, &Secret::new([])).pick(self.decoys.len());
            if let Some(hash) = self.decoys.get(decoy) {
                // The result is of no interest: nobody knows the decoy's password, and nobody is home.
                let _ = turn.matches(secret, hash);
            }
            return Err(LoginRefused::WrongCredentials);
        };
        if !turn.matches(secret, &account.hash) {
            return Err(LoginRefused::WrongCredentials);
        }
        *account.remembered.lock().unwrap_or_else(PoisonError::into_inner) = Some(tag);
        Ok(account.principal.clone())
    }

    /// The quick half of [`verify`](Self::verify): anonymous users and remembered passwords, in microseconds.
    ///
    /// `None` says nothing about the password; ask `verify` then, on a thread that may block.
    pub fn recall(&self, user: &[u8], secret: &Secret) -> Option<Principal> {
        let tag = self.memory.tag(user, secret);
        let account = self.users.get(user);
        let remembered =
            account.and_then(|account| *account.remembered.lock().unwrap_or_else(PoisonError::into_inner));
        let same = remembered.unwrap_or(Tag::NOBODY).same(&tag);
        match account {
            Some(account) if same && remembered.is_some() => Some(account.principal.clone()),
            Some(_) => None,
            None => self.anonymous_principal(user),
        }
    }

    /// What a check costs at most, for sizing the pool of threads that call [`verify`](Self::verify).
    pub fn cost(&self) -> Cost {
        let hashes = self.users.values().map(|account| &account.hash).chain(&self.decoys);
        let memory_kib = hashes.filter_map(|hash| Params::try_from(hash).ok()).map(|p| p.m_cost()).max();
        Cost { at_once: self.hasher.at_once(), memory_bytes: u64::from(memory_kib.unwrap_or(0)) * 1024 }
    }

    /// How often Argon2 has run since these accounts were built, for missing users too.
    pub fn hashes_run(&self) -> u64 {
        self.hasher.runs()
    }

    fn anonymous_principal(&self, user: &[u8]) -> Option<Principal> {
        let rights = self.anonymous?;
        let name =
            ["anonymous", "ftp"].into_iter().find(|name| user.eq_ignore_ascii_case(name.as_bytes()))?;
        Some(Principal {
            name: name.to_owned(),
            anonymous: true,
            rights,
            home: b"/".to_vec(),
            tls_required: false,
        })
    }

    fn insert(mut self, name: &str, hash: PasswordHash, rights: Rights) -> Result<Self, AccountError> {
        let outer_space = name.starts_with(' ') || name.ends_with(' ');
        let forbidden = name.chars().any(|c| c.is_control() || c == '/');
        if name.is_empty() || name.len() > MAX_NAME || outer_space || forbidden {
            return Err(AccountError::Name(name.to_owned()));
        }
        let principal = Principal {
            name: name.to_owned(),
            anonymous: false,
            rights,
            home: b"/".to_vec(),
            tls_required: false,
        };
        let params = Params::try_from(&hash).map_err(|error| AccountError::Hash(name.to_owned(), error))?;
        let first = self.users.is_empty();
        let account = Account { principal, hash, remembered: Mutex::new(None) };
        let replaced = self.users.insert(name.as_bytes().to_vec(), account);
        if first || replaced.is_some() {
            self.renew_decoys()?;
        } else {
            self.add_decoy(&params)?;
        }
        Ok(self)
    }

    fn account_mut(&mut self, name: &str) -> Result<&mut Account, AccountError> {
        self.users.get_mut(name.as_bytes()).ok_or_else(|| AccountError::NoSuchAccount(name.to_owned()))
    }

    /// Makes sure that some missing user costs what this hash costs.
    fn add_decoy(&mut self, params: &Params) -> Result<(), AccountError> {
        let alike =
            |decoy: &PasswordHash| Params::try_from(decoy).is_ok_and(|known| costs_same(&known, params));
        if !self.decoys.iter().any(alike) {
            let decoy =
                hash::decoy(params).map_err(|error| AccountError::Hash("nobody".to_owned(), error))?;
            self.decoys.push(decoy);
        }
        Ok(())
    }

    /// Begins again with the decoys; with no account left they cost what the next account would.
    fn renew_decoys(&mut self) -> Result<(), AccountError> {
        self.decoys.clear();
        let in_use: Vec<Params> =
            self.users.values().filter_map(|account| Params::try_from(&account.hash).ok()).collect();
        for params in &in_use {
            self.add_decoy(params)?;
        }
        if in_use.is_empty() { self.add_decoy(&self.effort.params()) } else { Ok(()) }
    }
}

fn costs_same(a: &Params, b: &Params) -> bool {
    (a.m_cost(), a.t_cost(), a.p_cost()) == (b.m_cost(), b.t_cost(), b.p_cost())
}

impl fmt::Debug for Accounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounts")
            .field("users", &self.users.len())
            .field("anonymous", &self.anonymous)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
