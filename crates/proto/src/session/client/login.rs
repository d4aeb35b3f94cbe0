//! Logging in: USER, PASS, ACCT in whatever order the server asks for them (RFC 959 §5.4, fig. 4).

use crate::{Command, RawReply, printable};

/// What to log in with.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The argument of USER. `anonymous` by default.
    pub user: Vec<u8>,
    /// The argument of PASS; never shown.
    pub password: Vec<u8>,
    /// The argument of ACCT, where a server asks for one.
    pub account: Option<Vec<u8>>,
}

impl Default for Credentials {
    /// Anonymous, as RFC 1635 has it.
    fn default() -> Self {
        Self { user: b"anonymous".to_vec(), password: b"anonymous@".to_vec(), account: None }
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("user", &printable(&self.user)).finish_non_exhaustive()
    }
}

/// A login under way.
#[derive(Clone, Debug)]
pub struct Login {
    credentials: Credentials,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    User,
    Pass,
    Acct,
    Over,
}

/// What comes next in a login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginStep<'a> {
    /// Send this and hand the reply to [`Login::step`].
    Send(Command<'a>),
    /// We are in.
    LoggedIn,
    /// We are not.
    Failed(LoginError),
}

/// Why a login failed. First what the user can mend, then what time may.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoginError {
    /// 530 and its like: wrong name or password, or no right to log in.
    #[error("user name or password refused: {text}")]
    Refused {
        /// The server's words.
        text: String,
    },
    /// A challenge that a stored password cannot answer (OTP, S/Key).
    #[error("the server wants a one-time password: {challenge}")]
    OneTimePassword {
        /// The server's words, with the challenge in them.
        challenge: String,
    },
    /// 332 and no account was given.
    #[error("the server wants an account (ACCT) beside the password: {text}")]
    NeedsAccount {
        /// The server's words.
        text: String,
    },
    /// The server lets nobody in without TLS.
    #[error("the server wants TLS before the login: {text}")]
    NeedsTls {
        /// The server's words.
        text: String,
    },
    /// Too many users, or the server is closing: a later try may work.
    #[error("not now: {text}")]
    Busy {
        /// The server's words.
        text: String,
    },
    /// A proxy has no session with the server, for a reason of its own.
    #[error("the proxy does not get us to the server: {text}")]
    Proxy {
        /// The proxy's words.
        text: String,
    },
    /// A code that no login step has.
    #[error("unexpected reply {code} during the login: {text}")]
    Unexpected {
        /// The code.
        code: u16,
        /// The server's words.
        text: String,
    },
}

impl Login {
    /// A login that has not begun; send [`first`](Self::first).
    #[must_use]
    pub fn new(credentials: Credentials) -> Self {
        Self { credentials, state: State::User }
    }

    /// The first command: USER.
    #[must_use]
    pub fn first(&self) -> Command<'_> {
        Command::User(&self.credentials.user)
    }

    /// Takes the reply to the command last sent.
    pub fn step(&mut self, reply: &RawReply) -> LoginStep<'_> {
        let text = words(reply);
        match (reply.code, self.state) {
            (230 | 232 | 202, _) | (200..=299, State::Pass | State::Acct) => {
                self.state = State::Over;
                LoginStep::LoggedIn
            }
            (331 | 336 | 300..=330 | 333..=335, State::User) => {
                if is_challenge(reply) {
                    self.state = State::Over;
                    return LoginStep::Failed(LoginError::OneTimePassword { challenge: text });
                }
                self.state = State::Pass;
                LoginStep::Send(Command::Pass(&self.credentials.password))
            }
            (332, State::User | State::Pass) => match &self.credentials.account {
                Some(account) => {
                    self.state = State::Acct;
                    LoginStep::Send(Command::Acct(account))
                }
                None => LoginStep::Failed(LoginError::NeedsAccount { text }),
            },
            (code, _) => {
                self.state = State::Over;
                LoginStep::Failed(failure(code, text))
            }
        }
    }
}

fn failure(code: u16, text: String) -> LoginError {
    let lower = text.to_ascii_lowercase();
    let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
    match code {
        400..=499 => LoginError::Busy { text },
        500..=599 if says(&["too many", "maximum number", "limit", "try again later", "timed out"]) => {
            LoginError::Busy { text }
        }
        // What portway's proxy says of its own leg: the user's name, password and TLS have no part in it.
        500..=599 if lower.contains("the proxy's ") => LoginError::Proxy { text },
        503 | 521 | 522 | 530 | 533 | 534 | 550
            if says(&["tls", "ssl", "encrypt", "secure connection", "protected"]) =>
        {
            LoginError::NeedsTls { text }
        }
        500..=599 if says(&["otp-", "s/key", "challenge", "one-time"]) => {
            LoginError::OneTimePassword { challenge: text }
        }
        500..=599 => LoginError::Refused { text },
        _ => LoginError::Unexpected { code, text },
    }
}

/// A challenge instead of the plain request for a password; "OTP" alone may be an offer.
fn is_challenge(reply: &RawReply) -> bool {
    reply.lines.iter().any(|line| {
        let line = line.to_ascii_lowercase();
        let has = |word: &[u8]| memchr::memmem::find(&line, word).is_some();
        let required = !has(b"[") && !has(b"or password") && !has(b"optional");
        required && (has(b"otp-md") || has(b"otp-sha") || has(b"s/key ") || has(b"skey "))
    })
}

fn words(reply: &RawReply) -> String {
    reply.lines.iter().map(|line| printable(line.trim_ascii())).collect::<Vec<_>>().join(" / ")
}
