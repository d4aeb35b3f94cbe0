//! What one user may have: so many sessions at a time, and so many octets a second.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::rules::{glob, other_name};

/// Limits of the users that a row is about.
#[derive(Clone, Debug, Default)]
pub struct UserLimit {
    /// Patterns for the name that the server let in (or an account of the proxy itself), or with `@` in them for
    /// `name@server`, in any letter case; empty: everybody.
    pub users: Vec<String>,
    /// Sessions at a time that each of them may have. Default 0: no limit.
    pub sessions: usize,
    /// Octets per second for each transfer. Default `None`: no limit.
    pub rate: Option<u64>,
}

/// All rows, of which the first that is about a user decides, and who is logged in. The default limits nobody.
#[derive(Debug, Default)]
pub struct UserLimits {
    rows: Vec<UserLimit>,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts(Mutex<HashMap<User, usize>>);

/// Who counts as one: names in lower case, and where one name means several people, the server's address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum User {
    OfProxy(Vec<u8>),
    OfServer(Vec<u8>, Option<IpAddr>),
}

/// What a user has been given; the place is given back when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    pub(crate) rate: Option<u64>,
    _place: Option<Place>,
}

#[derive(Debug)]
struct Place {
    user: User,
    counts: Arc<Counts>,
}

/// All places of the user are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many sessions of this user, the limit is {limit}")]
pub(crate) struct TooMany {
    pub(crate) limit: usize,
}

impl UserLimits {
    /// Limits by these rows.
    #[must_use]
    pub fn new(rows: Vec<UserLimit>) -> Self {
        Self { rows, counts: Arc::default() }
    }

    /// Takes a place for an account of the proxy.
    pub(crate) fn admit_account(&self, name: &[u8]) -> Result<Allowance, TooMany> {
        self.admit(name, "", User::OfProxy(name.to_ascii_lowercase()))
    }

    /// Takes a place for a user of a server; `at` is its address, unless all servers have the same users.
    pub(crate) fn admit_user(
        &self,
        name: &[u8],
        host: &str,
        at: Option<IpAddr>,
    ) -> Result<Allowance, TooMany> {
        let one = if name.eq_ignore_ascii_case(b"ftp") { b"anonymous" } else { name };
        self.admit(name, host, User::OfServer(one.to_ascii_lowercase(), at))
    }

    fn admit(&self, name: &[u8], host: &str, user: User) -> Result<Allowance, TooMany> {
        let Some(row) = self.rows.iter().find(|row| row.is_about(name, host)) else {
            return Ok(Allowance::default());
        };
        if row.sessions == 0 {
            return Ok(Allowance { rate: row.rate, _place: None });
        }
        let mut counts = self.counts.lock();
        let count = counts.entry(user.clone()).or_insert(0);
        if *count >= row.sessions {
            return Err(TooMany { limit: row.sessions });
        }
        *count += 1;
        drop(counts);
        let place = Place { user, counts: Arc::clone(&self.counts) };
        Ok(Allowance { rate: row.rate, _place: Some(place) })
    }
}

impl UserLimit {
    fn is_about(&self, name: &[u8], host: &str) -> bool {
        self.users.is_empty()
            || [Some(name), other_name(name)].into_iter().flatten().any(|name| {
                self.users.iter().any(|pattern| match pattern.contains('@') {
                    true => glob(pattern.as_bytes(), &[name, b"@", host.as_bytes()].concat(), true),
                    false => glob(pattern.as_bytes(), name, true),
                })
            })
    }
}

impl Counts {
    fn lock(&self) -> MutexGuard<'_, HashMap<User, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.user);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_row_about_a_user_decides_and_places_come_back() {
        let limit = |user: &str, sessions, rate| UserLimit { users: vec![user.to_owned()], sessions, rate };
        let limits = UserLimits::new(vec![
            limit("guest*", 1, Some(1000)),
            limit("*@old.example", 0, Some(5)),
            limit("boss", 0, None),
            UserLimit { sessions: 2, ..UserLimit::default() },
        ]);
        let first = limits.admit_user(b"guest1", "h", None).unwrap();
        assert_eq!(first.rate, Some(1000));
        assert_eq!(limits.admit_user(b"Guest1", "h", None).unwrap_err(), TooMany { limit: 1 });
        let second = limits.admit_user(b"guest2", "h", None).unwrap();
        drop(first);
        assert!(limits.admit_user(b"guest1", "h", None).is_ok());
        assert_eq!(limits.admit_user(b"ann", "OLD.example", None).unwrap().rate, Some(5));
        let _all: Vec<_> = (0..9).map(|_| limits.admit_user(b"boss", "h", None).unwrap()).collect();
        // The same name somewhere else, or at the proxy, is somebody else.
        let (one, other) = (IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2]));
        let _kept: Vec<_> =
            [one, one, other].map(|at| limits.admit_user(b"bob", "h", Some(at)).unwrap()).into();
        assert!(limits.admit_user(b"bob", "h", Some(one)).is_err());
        assert!(limits.admit_account(b"bob").is_ok());
        drop(second);
        assert_eq!(limits.counts.lock().len(), 2);
        // Servers know the same guest by two names.
        let limits = UserLimits::new(vec![limit("anonymous", 1, None)]);
        let _guest = limits.admit_user(b"FTP", "h", None).unwrap();
        assert!(limits.admit_user(b"anonymous", "h", None).is_err());
    }
}
