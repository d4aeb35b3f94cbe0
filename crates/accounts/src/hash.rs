//! Argon2id with a bound on how much of it runs at once, and the keyed hash that remembers a success.

use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use argon2::password_hash::phc::{Output, ParamsString, PasswordHash, Salt};
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use blake2::Blake2sMac256;
use blake2::digest::{KeyInit, Mac};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use crate::secret::{NoRandomness, Secret, random_block, random_key};

/// What one check of a password costs, by Argon2id's own measures (RFC 9106).
///
/// The default is 19 MiB, two passes, one lane: some 20 ms of one core. Lower it in tests only.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effort {
    /// Memory in KiB; at least 8.
    pub memory_kib: u32,
    /// Passes over that memory; at least 1.
    pub passes: u32,
}

impl Default for Effort {
    fn default() -> Self {
        Self { memory_kib: Params::DEFAULT_M_COST, passes: Params::DEFAULT_T_COST }
    }
}

impl Effort {
    /// The parameters, with values below the algorithm's minimum raised to it.
    pub(crate) fn params(self) -> Params {
        let memory = self.memory_kib.max(Params::MIN_M_COST);
        let passes = self.passes.max(Params::MIN_T_COST);
        // Both are within range now; the default serves the compiler.
        Params::new(memory, passes, 1, None).unwrap_or_default()
    }
}

/// What checking passwords needs, for whoever sizes a thread pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cost {
    /// Checks that run at the same time; more callers than that wait inside
    /// [`Accounts::verify`](crate::Accounts::verify).
    pub at_once: NonZeroUsize,
    /// Memory in octets that one of them holds while it runs.
    pub memory_bytes: u64,
}

/// Runs Argon2id, counts the runs, and lets only so many run at a time.
#[derive(Debug)]
pub(crate) struct Hasher {
    at_once: NonZeroUsize,
    running: Mutex<usize>,
    one_ended: Condvar,
    runs: AtomicU64,
}

impl Hasher {
    /// As many at once as there are cores: more would only hold memory without finishing sooner.
    pub(crate) fn new() -> Self {
        let cores = std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN);
        Self { at_once: cores, running: Mutex::new(0), one_ended: Condvar::new(), runs: AtomicU64::new(0) }
    }

    pub(crate) fn at_once(&self) -> NonZeroUsize {
        self.at_once
    }

    /// Argon2 runs so far, the ones for missing users included.
    pub(crate) fn runs(&self) -> u64 {
        self.runs.load(Ordering::Relaxed)
    }

    /// Waits for a turn; the turn ends when the value is dropped.
    pub(crate) fn turn(&self) -> Turn<'_> {
        let mut running = self.lock();
        while *running >= self.at_once.get() {
            running = self.one_ended.wait(running).unwrap_or_else(PoisonError::into_inner);
        }
        *running += 1;
        Turn { hasher: self }
    }

    fn lock(&self) -> MutexGuard<'_, usize> {
        // A panic elsewhere cannot leave a number half written.
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permission to run Argon2 once.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    hasher: &'a Hasher,
}

impl Turn<'_> {
    /// Whether `secret` is the one that `hash` was made from.
    pub(crate) fn matches(&self, secret: &Secret, hash: &PasswordHash) -> bool {
        self.hasher.runs.fetch_add(1, Ordering::Relaxed);
        Argon2::default().verify_password(secret.expose_octets(), hash).is_ok()
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.hasher.lock() -= 1;
        self.hasher.one_ended.notify_one();
    }
}

/// Makes a hash with a fresh salt.
pub(crate) fn make(secret: &Secret, effort: Effort) -> Result<PasswordHash, argon2::password_hash::Error> {
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, effort.params());
    argon2.hash_password(secret.expose_octets())
}

/// The hash of a password that nobody has, costing exactly what `params` ask for.
///
/// Salt and result are random, so no password is known to match it (and a match would be ignored).
pub(crate) fn decoy(params: &Params) -> Result<PasswordHash, argon2::password_hash::Error> {
    let random = |_| argon2::password_hash::Error::Crypto;
    Ok(PasswordHash {
        algorithm: Algorithm::Argon2id.ident(),
        version: Some(Version::V0x13.into()),
        params: ParamsString::try_from(params)?,
        salt: Some(Salt::new(&random_block().map_err(random)?)?),
        hash: Some(Output::new(&random_key().map_err(random)?)?),
    })
}

/// Remembers that a password was right, as a hash under a key that lives and dies with this process.
///
/// It turns the next login with the same password from milliseconds into microseconds. What it costs: whoever
/// reads this process's memory can guess passwords faster than Argon2 would let him.
pub(crate) struct Memory {
    key: [u8; 32],
}

/// The keyed hash of one name and password.
#[derive(Clone, Copy)]
pub(crate) struct Tag([u8; 32]);

impl Memory {
    pub(crate) fn new() -> Result<Self, NoRandomness> {
        Ok(Self { key: random_key()? })
    }

    /// The tag of a name with its password; the name's length goes first so that no two pairs look alike.
    pub(crate) fn tag(&self, name: &[u8], secret: &Secret) -> Tag {
        let mut mac = Blake2sMac256::new(&self.key.into());
        mac.update(&(name.len() as u64).to_be_bytes());
        mac.update(name);
        mac.update(secret.expose_octets());
        Tag(mac.finalize().into_bytes().into())
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl Tag {
    /// A tag that nothing has, for comparing when there is none: the time must not tell.
    pub(crate) const NOBODY: Self = Self([0; 32]);

    /// Compares in constant time.
    pub(crate) fn same(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }

    /// The first octets as a number: a stable, secret pick among some choices.
    pub(crate) fn pick(&self, choices: usize) -> usize {
        let mut first = [0; 8];
        first.copy_from_slice(self.0.first_chunk::<8>().unwrap_or(&[0; 8]));
        (u64::from_be_bytes(first) % choices.max(1) as u64) as usize
    }
}
