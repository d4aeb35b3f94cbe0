//! Who may log in, what they may do then, and what wrong guesses cost.
//!
//! - [`Accounts`] checks a name and a [`Secret`] and yields a [`Principal`] with [`Rights`].
//! - [`Throttle`] delays and then refuses addresses that guess.
//!
//! Nothing here waits, opens a socket or knows a runtime. [`Accounts::verify`] burns CPU on purpose and
//! belongs on a thread that may block; [`Throttle`] takes the time as an argument.

mod accounts;
mod hash;
mod rights;
mod secret;
mod throttle;

pub use accounts::{AccountError, Accounts, LoginRefused, Principal};
pub use hash::{Cost, Effort};
pub use rights::Rights;
pub use secret::{NoRandomness, Secret};
pub use throttle::{Delay, Throttle, ThrottlePolicy};
