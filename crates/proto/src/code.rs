//! Reply codes by name.

use std::fmt;

/// A three-digit reply code, 100 to 599 in well-formed replies (RFC 959 §4.2).
///
/// Codes that have no name here survive as numbers: a proxy forwards what it does not know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

/// What the first digit of a reply promises (RFC 959 §4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// 1yz: begun; another reply follows.
    Preliminary,
    /// 2yz: done.
    Done,
    /// 3yz: more is needed (the password, the new name).
    More,
    /// 4yz: failed now; the same command may work later.
    Transient,
    /// 5yz: failed for good.
    Permanent,
    /// 6yz: a protected reply (RFC 2228 §4).
    Protected,
    /// A first digit the RFCs do not know.
    Unknown,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $value:literal,)*) => {
        impl Code {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// Every code that has a name, in ascending order.
            pub const NAMED: &'static [(Self, &'static str)] = &[$((Self($value), stringify!($name)),)*];
        }
    };
}

codes! {
    /// Restart marker reply (RFC 959 §4.2).
    RESTART_MARKER = 110,
    /// Service ready in some minutes (RFC 959 §4.2).
    READY_SOON = 120,
    /// Data connection already open, transfer starting (RFC 959 §4.2).
    TRANSFER_STARTING = 125,
    /// File status okay, about to open the data connection (RFC 959 §4.2).
    OPENING_DATA = 150,
    /// Command okay (RFC 959 §4.2).
    OK = 200,
    /// Not implemented, superfluous at this site (RFC 959 §4.2).
    SUPERFLUOUS = 202,
    /// System status or help reply; FEAT uses it (RFC 959 §4.2, RFC 2389 §3.2).
    SYSTEM_STATUS = 211,
    /// Directory status (RFC 959 §4.2).
    DIRECTORY_STATUS = 212,
    /// File status: SIZE, MDTM, HASH, STAT of a path (RFC 959 §4.2, RFC 3659 §2.3).
    FILE_STATUS = 213,
    /// Help message for a human (RFC 959 §4.2).
    HELP = 214,
    /// NAME system type (RFC 959 §4.2).
    SYSTEM_TYPE = 215,
    /// What an FTP ALG between IPv6 and IPv4 translates (RFC 6384 §11).
    ALG_STATUS = 216,
    /// Service ready for a new user (RFC 959 §4.2).
    READY = 220,
    /// Service closing the control connection (RFC 959 §4.2).
    CLOSING = 221,
    /// Data connection open, no transfer in progress (RFC 959 §4.2).
    DATA_OPEN = 225,
    /// Closing the data connection, the request succeeded (RFC 959 §4.2).
    TRANSFER_COMPLETE = 226,
    /// Entering passive mode (h1,h2,h3,h4,p1,p2) (RFC 959 §4.2).
    PASSIVE = 227,
    /// Entering long passive mode (RFC 1639 §4).
    LONG_PASSIVE = 228,
    /// Entering extended passive mode (RFC 2428 §3).
    EXTENDED_PASSIVE = 229,
    /// User logged in (RFC 959 §4.2).
    LOGGED_IN = 230,
    /// User logged in, authorized by the security exchange (RFC 2228 §4).
    LOGGED_IN_BY_SECURITY = 232,
    /// Security exchange complete: start TLS now (RFC 2228 §4, RFC 4217 §4.1).
    AUTH_OK = 234,
    /// Security data accepted, exchange complete (RFC 2228 §4).
    SECURITY_DATA_OK = 235,
    /// Requested file action completed (RFC 959 §4.2).
    FILE_ACTION_OK = 250,
    /// "PATHNAME" created, or the current directory (RFC 959 §4.2).
    PATH = 257,
    /// User name okay, need password (RFC 959 §4.2).
    NEED_PASSWORD = 331,
    /// Need account for login (RFC 959 §4.2).
    NEED_ACCOUNT = 332,
    /// Security mechanism accepted, more data needed (RFC 2228 §4).
    NEED_SECURITY_DATA = 334,
    /// User name okay, need password; a challenge is in the text (RFC 2228 §4).
    NEED_PASSWORD_CHALLENGE = 336,
    /// File action pending further information: REST and RNFR (RFC 959 §4.2).
    PENDING = 350,
    /// Service not available, closing the control connection (RFC 959 §4.2).
    UNAVAILABLE = 421,
    /// Can't open the data connection (RFC 959 §4.2).
    CANT_OPEN_DATA = 425,
    /// Connection closed, transfer aborted (RFC 959 §4.2).
    TRANSFER_ABORTED = 426,
    /// Need some unavailable resource to process security (RFC 2228 §4).
    SECURITY_UNAVAILABLE = 431,
    /// Requested host unavailable (RFC 1123 §4.1.2.11 keeps it from older texts; proxies use it).
    HOST_UNAVAILABLE = 434,
    /// File action not taken, file busy (RFC 959 §4.2).
    FILE_BUSY = 450,
    /// Action aborted, local error (RFC 959 §4.2).
    LOCAL_ERROR = 451,
    /// Insufficient storage space (RFC 959 §4.2).
    INSUFFICIENT_STORAGE = 452,
    /// Syntax error, command unrecognized (RFC 959 §4.2).
    UNRECOGNIZED = 500,
    /// Syntax error in the parameters (RFC 959 §4.2).
    BAD_PARAMETER = 501,
    /// Command not implemented (RFC 959 §4.2).
    NOT_IMPLEMENTED = 502,
    /// Bad sequence of commands (RFC 959 §4.2).
    BAD_SEQUENCE = 503,
    /// Not implemented for that parameter (RFC 959 §4.2).
    PARAMETER_NOT_IMPLEMENTED = 504,
    /// Data connection of this kind cannot be opened: protection required (RFC 4217 §11, RFC 2228).
    DATA_PROTECTION_REQUIRED = 521,
    /// Network protocol not supported, use (list) (RFC 2428 §2).
    PROTOCOL_NOT_SUPPORTED = 522,
    /// Not logged in (RFC 959 §4.2).
    NOT_LOGGED_IN = 530,
    /// Need account for storing files (RFC 959 §4.2).
    NEED_ACCOUNT_TO_STORE = 532,
    /// Command protection level denied by policy (RFC 2228 §4).
    PROTECTION_DENIED = 533,
    /// Request denied by policy (RFC 2228 §4).
    DENIED_BY_POLICY = 534,
    /// Failed security check (RFC 2228 §4).
    SECURITY_CHECK_FAILED = 535,
    /// Data protection level not supported by the mechanism (RFC 2228 §4).
    PROTECTION_NOT_SUPPORTED = 536,
    /// Command protection level not supported by the mechanism (RFC 2228 §4).
    COMMAND_PROTECTION_NOT_SUPPORTED = 537,
    /// File unavailable (RFC 959 §4.2).
    FILE_UNAVAILABLE = 550,
    /// Page type unknown (RFC 959 §4.2).
    PAGE_TYPE_UNKNOWN = 551,
    /// Exceeded storage allocation (RFC 959 §4.2).
    STORAGE_EXCEEDED = 552,
    /// File name not allowed (RFC 959 §4.2).
    NAME_NOT_ALLOWED = 553,
    /// Invalid REST parameter (RFC 3659 §5.3 and the field).
    INVALID_RESTART = 554,
    /// Integrity protected reply (RFC 2228 §4).
    PROTECTED_INTEGRITY = 631,
    /// Confidentiality and integrity protected reply (RFC 2228 §4).
    PROTECTED_PRIVATE = 632,
    /// Confidentiality protected reply (RFC 2228 §4).
    PROTECTED_CONFIDENTIAL = 633,
}

impl Code {
    /// A code by number; numbers outside 100 to 999 are no codes.
    #[must_use]
    pub const fn new(number: u16) -> Option<Self> {
        if number >= 100 && number <= 999 { Some(Self(number)) } else { None }
    }

    /// The number, as sent.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What the first digit promises.
    #[must_use]
    pub const fn class(self) -> Class {
        match self.0 / 100 {
            1 => Class::Preliminary,
            2 => Class::Done,
            3 => Class::More,
            4 => Class::Transient,
            5 => Class::Permanent,
            6 => Class::Protected,
            _ => Class::Unknown,
        }
    }

    /// The code's name in this crate, if the RFCs give it a meaning.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        let at = Self::NAMED.binary_search_by_key(&self, |row| row.0).ok()?;
        Self::NAMED.get(at).map(|row| row.1)
    }

    /// The three digits, as octets.
    #[must_use]
    pub const fn digits(self) -> [u8; 3] {
        [b'0' + (self.0 / 100 % 10) as u8, b'0' + (self.0 / 10 % 10) as u8, b'0' + (self.0 % 10) as u8]
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:03}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_code_is_listed_once_in_order() {
        assert!(Code::NAMED.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert_eq!(Code::PASSIVE.name(), Some("PASSIVE"));
        assert_eq!(Code::new(299).and_then(Code::name), None);
    }

    #[test]
    fn numbers_that_are_not_three_digits_are_no_codes() {
        assert_eq!(Code::new(99), None);
        assert_eq!(Code::new(1000), None);
        assert_eq!(Code::PASSIVE.digits(), *b"227");
    }
}
