//! Passwords: checked where blocking is allowed, slowed down where guessing goes on.

use std::net::IpAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use portway_accounts::{Accounts, Delay, Principal, Secret, Throttle};
use portway_proto::Verdict;
use tokio::sync::Semaphore;
use tokio::time::Instant;

/// Who may log in, and who has failed to.
pub struct Door {
    accounts: ArcSwap<Accounts>,
    throttle: Throttle,
    /// Checks at a time, as many as run side by side anyway.
    turns: Arc<Semaphore>,
}

/// Why a login is refused: for the dialogue, and the word for the log.
#[derive(Clone, Debug)]
pub struct NotIn(pub Verdict, pub &'static str);

impl Door {
    /// A door that these accounts open.
    #[must_use]
    pub fn new(accounts: Accounts, throttle: Throttle) -> Self {
        let turns = Arc::new(Semaphore::new(accounts.cost().at_once.get()));
        Self { accounts: ArcSwap::from_pointee(accounts), throttle, turns }
    }

    /// Other accounts, for logins from now on.
    pub fn replace(&self, accounts: Accounts) {
        self.accounts.store(Arc::new(accounts));
    }

    /// Checks a password. Waits for its turn, and as long as the address has to after wrong guesses.
    ///
    /// # Errors
    /// [`NotIn`]; wrong guesses are counted.
    pub async fn check(&self, peer: IpAddr, name: &[u8], secret: &[u8]) -> Result<Principal, NotIn> {
        let throttled = || NotIn(Verdict::TooMany, "throttled");
        match self.throttle.delay(peer, Instant::now().into_std()) {
            Delay::None => {}
            Delay::Wait(pause) => tokio::time::sleep(pause).await,
            Delay::Refuse => return Err(throttled()),
        }
        let secret = Secret::new(secret);
        let accounts = self.accounts.load_full();
        if let Some(known) = accounts.recall(name, &secret) {
            // Whoever logs in anonymously has shown nothing that would make up for wrong guesses.
            if !known.anonymous {
                self.throttle.succeeded(peer);
            }
            return Ok(known);
        }
        // It is never closed.
        let turn = Arc::clone(&self.turns).acquire_owned().await.ok();
        // Who guesses on many connections side by side has failed meanwhile.
        if self.throttle.delay(peer, Instant::now().into_std()) == Delay::Refuse {
            return Err(throttled());
        }
        let name = name.to_vec();
        // The turn goes along and comes back: it ends when the result has been counted.
        let checking = tokio::task::spawn_blocking(move || (accounts.verify(&name, &secret), turn));
        match checking.await {
            Ok((Ok(principal), _turn)) => {
                self.throttle.succeeded(peer);
                Ok(principal)
            }
            Ok((Err(_refused), _turn)) => {
                self.throttle.failed(peer, Instant::now().into_std());
                Err(NotIn(Verdict::Rejected, "wrong_credentials"))
            }
            Err(_gone) => Err(NotIn(Verdict::Rejected, "internal_error")),
        }
    }
}
