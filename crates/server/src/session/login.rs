//! Logging in: from name and password to a home.

use std::sync::Arc;

use portway_accounts::Principal;
use portway_ops::{Login, LoginResult, SessionState, Shown};
use portway_proto::{Action, Code, Reply, Verdict};
use portway_vfs::{VPath, VfsError};

use portway_interpreter::{End, NotIn};

use super::Session;
use crate::storage::User;

impl Session {
    pub(super) async fn log_in(&mut self, name: &[u8], secret: &[u8]) -> Result<(), End> {
        self.client.entry.set_state(SessionState::LoggingIn);
        let checked = self.shared.door.check(self.client.peer.ip(), name, secret).await;
        let (verdict, reason) = match checked {
            Ok(principal) if principal.tls_required && !self.client.dialogue.is_secure() => {
                (Verdict::NeedsTls, Some("tls_required"))
            }
            Ok(principal) => match self.enter(principal) {
                Ok(welcome) => (Verdict::Accepted(welcome), None),
                Err(_) => (Verdict::Rejected, Some("no_home")),
            },
            Err(NotIn(verdict, reason)) => (verdict, Some(reason)),
        };
        self.client.record(Login {
            session: self.client.entry.id(),
            peer: self.client.peer.ip().to_canonical(),
            user: Shown::new(name),
            result: if reason.is_none() { LoginResult::Ok } else { LoginResult::Failed },
            tls: self.client.control.tls_version(),
            reason,
        });
        self.client.entry.set_state(SessionState::Idle);
        match self.client.dialogue.verified(verdict) {
            Action::Reply(reply) => self.client.control.queue(&reply),
            Action::Close(reply) => {
                self.client.control.queue(&reply);
                return Err(End::REFUSED);
            }
            _ => self.client.control.queue(&Reply::new(Code::LOCAL_ERROR, "The login came to no end.")),
        }
        Ok(())
    }

    /// Shows the user his home; returns the welcome.
    fn enter(&mut self, principal: Principal) -> Result<String, VfsError> {
        let home = VPath::resolve(&VPath::root(), &principal.home).ok_or(VfsError::BadName)?;
        let storage = if home.is_root() {
            Arc::clone(&self.shared.storage)
        } else {
            self.shared.storage.below(&home)?
        };
        let welcome = if principal.anonymous {
            "Welcome, anonymous user.".to_owned()
        } else {
            format!("Welcome, {}.", principal.name)
        };
        self.client.belongs_to(Some(principal.name.as_bytes()));
        let turns = Arc::clone(&self.turns);
        self.user = Some(Box::new(User { principal, storage, directory: VPath::root(), umask: None, turns }));
        Ok(welcome)
    }
}
