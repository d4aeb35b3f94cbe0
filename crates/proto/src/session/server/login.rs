//! USER and PASS, and what ends a login.

use super::super::action::{Action, Verdict};
use super::{ServerSession, reply};
use crate::{Code, Reply};

pub(super) const PLEASE_LOG_IN: &str = "Please log in with USER and PASS.";

/// How far the login has come (RFC 959 §5.4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Login {
    NeedUser,
    NeedPassword(Vec<u8>),
    In(Vec<u8>),
}

impl ServerSession {
    /// Whether a user is logged in, and under which name.
    #[must_use]
    pub fn user(&self) -> Option<&[u8]> {
        match &self.login {
            Login::In(user) => Some(user),
            _ => None,
        }
    }

    /// The password has been checked.
    pub fn verified(&mut self, verdict: Verdict) -> Action<'static> {
        let user = match std::mem::replace(&mut self.login, Login::NeedUser) {
            Login::NeedPassword(user) => user,
            other => {
                self.login = other;
                return reply(Code::BAD_SEQUENCE, "USER comes before PASS.");
            }
        };
        match verdict {
            Verdict::Accepted(text) => {
                self.login = Login::In(user);
                self.failed = 0;
                reply(Code::LOGGED_IN, text)
            }
            Verdict::NeedsTls => reply(Code::NOT_LOGGED_IN, "This account needs TLS: send AUTH TLS first."),
            Verdict::TooMany => {
                Action::Close(Reply::new(Code::UNAVAILABLE, "Too many failed logins; try again later."))
            }
            Verdict::Rejected => {
                self.failed += 1;
                if self.failed >= self.policy.failed_logins {
                    Action::Close(Reply::new(Code::UNAVAILABLE, "Too many failed logins; closing."))
                } else {
                    reply(Code::NOT_LOGGED_IN, "Login incorrect.")
                }
            }
        }
    }

    pub(super) fn user_given(&mut self, name: &[u8]) -> Action<'static> {
        if self.policy.tls_required && !self.secure {
            return self
                .refuse(Reply::new(Code::NOT_LOGGED_IN, "This server needs TLS: send AUTH TLS first."));
        }
        self.drop_kept();
        self.login = Login::NeedPassword(name.to_vec());
        // The same for every name: a stranger must not learn who has an account.
        reply(Code::NEED_PASSWORD, "Password, please.")
    }

    pub(super) fn password<'a>(&mut self, secret: &'a [u8]) -> Action<'a> {
        match &self.login {
            Login::NeedPassword(user) => Action::Verify { user: user.clone(), secret },
            Login::NeedUser => reply(Code::BAD_SEQUENCE, "USER comes before PASS."),
            Login::In(_) => reply(Code::SUPERFLUOUS, "You are logged in."),
        }
    }

    pub(super) fn reinitialize(&mut self) -> Action<'static> {
        self.login = Login::NeedUser;
        self.reset_transfer_parameters();
        Action::Reinitialize(Reply::new(Code::READY, "Ready for a new user."))
    }
}
