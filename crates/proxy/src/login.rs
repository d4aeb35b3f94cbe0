//! How a client of a forward proxy says who it is and where it wants to go.
//!
//! There is no standard, and clients have settled on a handful of dialogues. All of these are understood:
//!
//! | dialogue | lftp calls it | curl |
//! |---|---|---|
//! | `USER name@host` | (no proxy user) | `-u name@host:password ftp://proxy/` |
//! | `USER proxyname`, `PASS`, `USER name@host` | `user` | |
//! | `USER name@proxyname@host`, `PASS password@proxypassword` | `joined` | |
//! | `USER name@host proxyname`, `PASS`, `ACCT proxypassword` | `joined-acct` | `--ftp-account` |
//! | `USER proxyname`, `PASS`, `OPEN host`, `USER name` | `open` | |
//! | `USER proxyname@host`, `PASS`, `USER name` | `proxy-user@host` | |

use zeroize::Zeroizing;

use crate::{Destination, DestinationError};

/// A login at a forward proxy: pure, the session does the work.
#[derive(Debug)]
pub(crate) struct Login {
    /// Whether the proxy wants a login of its own.
    guarded: bool,
    admitted: bool,
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nothing is under way, or it is between client and server.
    #[default]
    Idle,
    /// The password of a proxy account comes next; then perhaps a connection.
    OwnPassword {
        name: Vec<u8>,
        to: Option<Destination>,
    },
    /// One PASS will bring both passwords.
    BothPasswords {
        user: Vec<u8>,
        name: Vec<u8>,
        to: Destination,
    },
    /// PASS brings the server's, ACCT the proxy's.
    ThenAccount {
        user: Vec<u8>,
        name: Vec<u8>,
        to: Destination,
    },
    Account {
        user: Vec<u8>,
        name: Vec<u8>,
        to: Destination,
        password: Zeroizing<Vec<u8>>,
    },
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// 331: a password comes next.
    AskPassword,
    /// 332: an account comes next.
    AskAccount,
    /// Check a proxy account; then [`Login::checked`] tells how it goes on.
    Check { name: Vec<u8>, secret: Zeroizing<Vec<u8>>, then: Then },
    /// Go on between client and server.
    Go(Then),
    /// 501 or 530, with this text.
    Refuse(&'static str),
    /// Not ours: to the server as it is.
    Pass,
}

/// What follows a good login at the proxy.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// 230: the client says where to.
    Welcome,
    /// Connect; the client says who it is there.
    Connect(Destination),
    /// Connect and log in.
    LogIn { to: Destination, user: Vec<u8>, password: Option<Zeroizing<Vec<u8>>> },
}

const WHERE: &str = "Where to? Log in as name@host, or send OPEN host first.";
const WHO: &str = "Log in at this proxy first: USER and PASS of its own account.";
const HOW: &str = "The destination is not understood; expected name@host or name@host:port.";

impl Login {
    pub(crate) fn new(guarded: bool) -> Self {
        Self { guarded, admitted: false, state: State::Idle }
    }

    /// Whether the proxy wants a login of its own.
    pub(crate) fn is_guarded(&self) -> bool {
        self.guarded
    }

    /// Whether the client may name a destination.
    pub(crate) fn is_admitted(&self) -> bool {
        self.admitted || !self.guarded
    }

    /// The proxy account was right.
    pub(crate) fn checked(&mut self) {
        self.admitted = true;
    }

    /// USER; `connected` tells whether a server is there already.
    pub(crate) fn user(&mut self, argument: &[u8], connected: bool) -> Step {
        self.state = State::Idle;
        let (argument, proxy_name) = split_account(argument);
        let parts = argument.iter().rposition(|&b| b == b'@').and_then(|at| argument.split_at_checked(at));
        let Some((user, host)) = parts else {
            return match (self.is_admitted(), connected) {
                (false, _) => {
                    self.state = State::OwnPassword { name: argument.to_vec(), to: None };
                    Step::AskPassword
                }
                (true, true) => Step::Pass,
                (true, false) => Step::Refuse(WHERE),
            };
        };
        let to = match Destination::parse(host.get(1..).unwrap_or_default()) {
            Ok(to) if !user.is_empty() => to,
            // A user name with an at sign, on a server that is known.
            _ if self.is_admitted() && connected => return Step::Pass,
            Ok(_) | Err(DestinationError::Host | DestinationError::Port) => return Step::Refuse(HOW),
        };
        if self.is_admitted() {
            return Step::Go(Then::LogIn { to, user: user.to_vec(), password: None });
        }
        if let Some(name) = proxy_name {
            self.state = State::ThenAccount { user: user.to_vec(), name: name.to_vec(), to };
            return Step::AskPassword;
        }
        let inner = user.iter().rposition(|&b| b == b'@').and_then(|at| user.split_at_checked(at));
        self.state = match inner {
            Some((user, name)) => {
                let name = name.get(1..).unwrap_or_default().to_vec();
                State::BothPasswords { user: user.to_vec(), name, to }
            }
            None => State::OwnPassword { name: user.to_vec(), to: Some(to) },
        };
        Step::AskPassword
    }

    /// PASS.
    pub(crate) fn password(&mut self, secret: &[u8]) -> Step {
        let own = |secret: &[u8]| Zeroizing::new(secret.to_vec());
        match std::mem::take(&mut self.state) {
            State::OwnPassword { name, to } => {
                let then = to.map_or(Then::Welcome, Then::Connect);
                Step::Check { name, secret: own(secret), then }
            }
            State::BothPasswords { user, name, to } => {
                let at = secret.iter().rposition(|&b| b == b'@').unwrap_or(secret.len());
                let (password, secret) = secret.split_at_checked(at).unwrap_or((secret, &[]));
                let password = Some(own(password));
                let secret = own(secret.get(1..).unwrap_or_default());
                Step::Check { name, secret, then: Then::LogIn { to, user, password } }
            }
            State::ThenAccount { user, name, to } => {
                self.state = State::Account { user, name, to, password: own(secret) };
                Step::AskAccount
            }
            State::Idle | State::Account { .. } => Step::Pass,
        }
    }

    /// ACCT.
    pub(crate) fn account(&mut self, secret: &[u8]) -> Step {
        match std::mem::take(&mut self.state) {
            State::Account { user, name, to, password } => Step::Check {
                name,
                secret: Zeroizing::new(secret.to_vec()),
                then: Then::LogIn { to, user, password: Some(password) },
            },
            _ => Step::Pass,
        }
    }

    /// OPEN or SITE with a host.
    pub(crate) fn open(&mut self, argument: &[u8]) -> Step {
        self.state = State::Idle;
        match Destination::parse(argument) {
            _ if !self.is_admitted() => Step::Refuse(WHO),
            Ok(to) => Step::Go(Then::Connect(to)),
            Err(_) => Step::Refuse("Expected a host, or a host and a port: OPEN ftp.example.org 2121."),
        }
    }
}

/// `name@host proxyname`: what stands behind a blank is an account of the proxy, unless it is a port.
fn split_account(argument: &[u8]) -> (&[u8], Option<&[u8]>) {
    let behind_host = argument.iter().rposition(|&b| b == b' ');
    let parts = behind_host.and_then(|at| Some((argument.get(..at)?, argument.get(at + 1..)?)));
    match parts {
        Some((front, name))
            if front.contains(&b'@') && !name.is_empty() && !name.iter().all(u8::is_ascii_digit) =>
        {
            (front, Some(name))
        }
        _ => (argument, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(host: &str, port: u16) -> Destination {
        Destination { host: host.to_owned(), port }
    }

    fn octets(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn log_in(host: &str, port: u16, user: &str, password: Option<&str>) -> Then {
        let password = password.map(|text| Zeroizing::new(octets(text)));
        Then::LogIn { to: to(host, port), user: octets(user), password }
    }

    #[test]
    fn an_open_proxy_takes_the_destination_from_the_user_name() {
        let mut login = Login::new(false);
        for (argument, then) in [
            ("ann@h", log_in("h", 21, "ann", None)),
            ("ann@h:2121", log_in("h", 2121, "ann", None)),
            ("ann@h 2121", log_in("h", 2121, "ann", None)),
            ("ann@[2001:db8::1]:2121", log_in("2001:db8::1", 2121, "ann", None)),
            ("ann@2001:db8::1", log_in("2001:db8::1", 21, "ann", None)),
            ("ann@corp.example@h", log_in("h", 21, "ann@corp.example", None)),
            ("ann@h proxyuser", log_in("h", 21, "ann", None)),
        ] {
            assert_eq!(login.user(argument.as_bytes(), false), Step::Go(then), "{argument}");
        }
        assert_eq!(login.user(b"ann", false), Step::Refuse(WHERE));
        assert_eq!(login.user(b"ann", true), Step::Pass);
        assert_eq!(login.user(b"ann@", false), Step::Refuse(HOW));
        assert_eq!(login.user(b"@h", false), Step::Refuse(HOW));
        assert_eq!(login.open(b"h 2121"), Step::Go(Then::Connect(to("h", 2121))));
    }

    #[test]
    fn every_known_dialogue_leads_through_a_guarded_proxy() {
        let check = |name: &str, secret: &str, then| Step::Check {
            name: octets(name),
            secret: Zeroizing::new(octets(secret)),
            then,
        };
        let mut login = Login::new(true);
        assert_eq!(login.user(b"pro", false), Step::AskPassword);
        assert_eq!(login.password(b"pw"), check("pro", "pw", Then::Welcome));
        login.checked();
        assert_eq!(login.user(b"ann@h", false), Step::Go(log_in("h", 21, "ann", None)));

        let mut joined = Login::new(true);
        assert_eq!(joined.user(b"ann@pro@h", false), Step::AskPassword);
        assert_eq!(
            joined.password(b"se@cret@pw"),
            check("pro", "pw", log_in("h", 21, "ann", Some("se@cret")))
        );

        let mut account = Login::new(true);
        assert_eq!(account.user(b"ann@h pro", false), Step::AskPassword);
        assert_eq!(account.password(b"secret"), Step::AskAccount);
        assert_eq!(account.account(b"pw"), check("pro", "pw", log_in("h", 21, "ann", Some("secret"))));

        let mut at_host = Login::new(true);
        assert_eq!(at_host.user(b"pro@h", false), Step::AskPassword);
        assert_eq!(at_host.password(b"pw"), check("pro", "pw", Then::Connect(to("h", 21))));
        at_host.checked();
        assert_eq!(at_host.user(b"ann", true), Step::Pass);
        assert_eq!(at_host.password(b"secret"), Step::Pass);
    }

    #[test]
    fn nobody_names_a_destination_before_the_login_at_the_proxy() {
        let mut login = Login::new(true);
        assert_eq!(login.open(b"h"), Step::Refuse(WHO));
        for argument in ["ann@h", "ann@pro@h", "ann@h pro", "ann"] {
            assert_eq!(login.user(argument.as_bytes(), false), Step::AskPassword, "{argument}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_dialogue_gets_past_a_guard_without_a_check(lines: Vec<(u8, Vec<u8>)>) {
            let mut login = Login::new(true);
            for (kind, argument) in lines {
                let step = match kind % 4 {
                    0 => login.user(&argument, false),
                    1 => login.password(&argument),
                    2 => login.account(&argument),
                    _ => login.open(&argument),
                };
                proptest::prop_assert!(!matches!(step, Step::Go(_)));
            }
        }
    }
}
