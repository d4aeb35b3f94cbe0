//! Passwords: checked where blocking is allowed, slowed down where guessing goes on.

use std::sync::Arc;

use portway_accounts::{Delay, Principal, Secret};
use portway_ops::{Login, LoginResult, SessionState, Shown};
use portway_proto::{Action, Code, Reply, Verdict};
use portway_vfs::{VPath, VfsError};
use tokio::time::Instant;

use portway_interpreter::End;

use super::Session;
use crate::storage::User;

impl Session {
    pub(super) async fn log_in(&mut self, name: &[u8], secret: &[u8]) -> Result<(), End> {
        self.client.entry.set_state(SessionState::LoggingIn);
        let (verdict, reason) = match self.check(name, secret).await {
            Ok(principal) if principal.tls_required && !self.client.dialogue.is_secure() => {
                (Verdict::NeedsTls, Some("tls_required"))
            }
            Ok(principal) => match self.enter(principal) {
                Ok(welcome) => (Verdict::Accepted(welcome), None),
                Err(_) => (Verdict::Rejected, Some("no_home")),
            },
            Err((verdict, reason)) => (verdict, Some(reason)),
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

    async fn check(&self, name: &[u8], secret: &[u8]) -> Result<Principal, (Verdict, &'static str)> {
        let (shared, peer) = (&self.shared, self.client.peer.ip());
        match shared.throttle.delay(peer, Instant::now().into_std()) {
            Delay::None => {}
            Delay::Wait(pause) => tokio::time::sleep(pause).await,
            Delay::Refuse => return Err((Verdict::TooMany, "throttled")),
        }
        let secret = Secret::new(secret);
        let accounts = shared.accounts.load_full();
        if let Some(known) = accounts.recall(name, &secret) {
            // Whoever logs in anonymously has shown nothing that would make up for wrong guesses.
            if !known.anonymous {
                shared.throttle.succeeded(peer);
            }
            return Ok(known);
        }
        let turn = self.turns.passwords.turn().await;
        // Who guesses on many connections side by side has failed meanwhile.
        if shared.throttle.delay(peer, Instant::now().into_std()) == Delay::Refuse {
            return Err((Verdict::TooMany, "throttled"));
        }
        let name = name.to_vec();
        // The turn comes back: it ends when the result has been counted.
        let checking = tokio::task::spawn_blocking(move || (accounts.verify(&name, &secret), turn));
        match checking.await {
            Ok((Ok(principal), _turn)) => {
                shared.throttle.succeeded(peer);
                Ok(principal)
            }
            Ok((Err(_refused), _turn)) => {
                shared.throttle.failed(peer, Instant::now().into_std());
                Err((Verdict::Rejected, "wrong_credentials"))
            }
            Err(_gone) => Err((Verdict::Rejected, "internal_error")),
        }
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
