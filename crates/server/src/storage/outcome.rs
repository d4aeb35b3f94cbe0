//! Which reply fits what storage said: the one place where that is decided.

use portway_proto::{Code, Reply};
use portway_vfs::VfsError;

/// 550 is for good, 45x invites a retry (RFC 959 §4.2).
pub(crate) fn code(error: &VfsError) -> Code {
    match error {
        VfsError::Busy => Code::FILE_BUSY,
        VfsError::Io(_) => Code::LOCAL_ERROR,
        VfsError::Full => Code::INSUFFICIENT_STORAGE,
        VfsError::Quota => Code::STORAGE_EXCEEDED,
        VfsError::BadOffset => Code::INVALID_RESTART,
        VfsError::BadTime => Code::BAD_PARAMETER,
        VfsError::Unsupported => Code::NOT_IMPLEMENTED,
        _ => Code::FILE_UNAVAILABLE,
    }
}

/// The reply to a failed command: the name as the client gave it, and why.
pub(crate) fn refusal(name: &[u8], error: &VfsError) -> Reply {
    let mut text = name.to_vec();
    text.extend_from_slice(format!(": {error}.").as_bytes());
    Reply::octets(code(error), &text)
}

/// The same for a command that gives a name: 553 is for the name alone, and RFC 959 §5.4 has it for STOR, STOU, APPE and
/// RNTO only.
pub(crate) fn name_refusal(name: &[u8], error: &VfsError) -> Reply {
    match error {
        VfsError::BadName | VfsError::NameTooLong => {
            let mut text = name.to_vec();
            text.extend_from_slice(format!(": {error}.").as_bytes());
            Reply::octets(Code::NAME_NOT_ALLOWED, &text)
        }
        other => refusal(name, other),
    }
}

/// What a user without the right for it hears.
pub(crate) fn no_right() -> Reply {
    Reply::new(Code::FILE_UNAVAILABLE, "Permission denied: your account does not allow that.")
}
