//! What a server may not say.

/// How much a server may say; each bound is an error when passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplyLimits {
    /// Octets in a line without its LF. Default 8 KiB.
    pub line: usize,
    /// Lines in a reply. Default 10,000.
    pub lines: usize,
    /// Octets of text in a reply. Default 1 MiB.
    pub octets: usize,
}

impl Default for ReplyLimits {
    fn default() -> Self {
        Self { line: 8 * 1024, lines: 10_000, octets: 1024 * 1024 }
    }
}

/// Why the server's words are no reply. Nothing after it can be trusted: close the connection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReplyError {
    /// Something else listens there; [`speaks`](Self::speaks) may know what.
    #[error("the peer does not speak FTP, it began with {:?}", String::from_utf8_lossy(starts_with))]
    NotFtp {
        /// Its first octets, at most 16.
        starts_with: Vec<u8>,
    },
    /// Only from a [strict](super::ReplyReader::strict) reader: a line end other than CRLF, or NUL or CR in a line.
    #[error("control characters in a reply, or a line that does not end with CRLF")]
    LineEnd,
    /// See [`ReplyLimits::line`].
    #[error("reply line longer than {limit} octets")]
    LineTooLong {
        /// The limit that was passed.
        limit: usize,
    },
    /// See [`ReplyLimits::lines`].
    #[error("reply of more than {limit} lines")]
    TooManyLines {
        /// The limit that was passed.
        limit: usize,
    },
    /// See [`ReplyLimits::octets`].
    #[error("reply of more than {limit} octets")]
    TooLarge {
        /// The limit that was passed.
        limit: usize,
    },
}

impl ReplyError {
    /// Names the protocol that answers in FTP's place, if it gave itself away.
    #[must_use]
    pub fn speaks(&self) -> Option<&'static str> {
        let Self::NotFtp { starts_with } = self else { return None };
        const SIGNS: &[(&[u8], &str)] = &[
            (b"SSH-", "SSH (use sftp)"),
            (b"HTTP/", "HTTP"),
            (b"<", "HTTP"),
            (&[21, 3], "TLS (use ftps)"),
            (&[22, 3], "TLS (use ftps)"),
            (b"+OK", "POP3"),
            (b"* OK", "IMAP"),
            (b"RFB ", "VNC"),
        ];
        SIGNS.iter().find(|(sign, _)| starts_with.starts_with(sign)).map(|&(_, name)| name)
    }
}
