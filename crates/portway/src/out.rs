//! Standard output, whose reader may have gone (`| head`): that is no fault.

use std::fmt::Display;
use std::io::{Write as _, stdout};

/// Prints a text at once.
pub(crate) fn print(text: impl Display) {
    let mut out = stdout().lock();
    let _ = write!(out, "{text}").and_then(|()| out.flush());
}

/// Prints a line at once.
pub(crate) fn line(text: impl Display) {
    print(format_args!("{text}\n"));
}
