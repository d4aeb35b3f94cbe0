//! The first line, which tells what is no client of ours.

use super::super::action::Action;
use crate::{Code, Reply};

/// ALPACA: never reflect what a browser sent, and do not go on talking to it.
pub(super) fn no_client_of_ours() -> Action<'static> {
    Action::Close(Reply::new(Code::UNRECOGNIZED, "This is an FTP server."))
}

/// A first line of HTTP, SMTP, TLS or SSH: not a client of ours.
pub(super) fn other_protocol(line: &[u8]) -> bool {
    let word = line.split(|&b| b == b' ').next().unwrap_or_default();
    const FOREIGN: [&[u8]; 10] =
        [b"GET", b"POST", b"HEAD", b"PUT", b"OPTIONS", b"CONNECT", b"EHLO", b"HELO", b"PRI", b"PATCH"];
    FOREIGN.iter().any(|verb| word.eq_ignore_ascii_case(verb))
        // A script may choose its method, such as NOOP.
        || line.rsplit(|&b| b == b' ').next().is_some_and(|last| last.starts_with(b"HTTP/"))
        || line.starts_with(b"SSH-")
        || line.starts_with(b"\x16\x03")
}
