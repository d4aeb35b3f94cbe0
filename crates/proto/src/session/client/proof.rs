//! When a transfer is done: by what arrived, not by what was said.

/// How the data connection of a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DataEnd {
    /// It never opened.
    Never,
    /// The sender ended it properly: FIN, under TLS after close_notify.
    Clean,
    /// FIN without close_notify: somebody may have cut it short.
    Unfinished,
    /// Reset, or it stalled, or it could not be written.
    Broken,
}

/// Everything known about a transfer that is over, one way or another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// The size that the whole file should have, from MLSD, SIZE or the local file; `None` if nobody said.
    pub expected: Option<u64>,
    /// Octets of it at the receiver, those before a restart included.
    pub reached: u64,
    /// How the data connection ended.
    pub end: DataEnd,
    /// The code of the final reply; `None` if it never came.
    pub reply: Option<u16>,
    /// True for an upload: only the server knows what reached it.
    pub upload: bool,
}

/// What to make of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Done.
    Complete,
    /// All octets are there, yet something was said or left unsaid that casts doubt; the sizes prove it.
    CompleteByProof,
    /// Ask for the size (and digest) on a working control connection, then judge again.
    Ask,
    /// Cut short; may be continued.
    Incomplete,
    /// The server refused: nothing to continue, its reply says why.
    Refused,
    /// More arrived than there should be: the file changed meanwhile, or offsets were ignored.
    Overlong,
}

impl Evidence {
    /// Judges. Whatever the last reply says, an unequal size is never success.
    #[must_use]
    pub fn judge(self) -> Judgement {
        let good = self.reply.map(|code| code / 100 == 2);
        match self.expected {
            Some(expected) if !self.upload => match self.reached.cmp(&expected) {
                std::cmp::Ordering::Less if self.refused() => Judgement::Refused,
                std::cmp::Ordering::Less => Judgement::Incomplete,
                std::cmp::Ordering::Greater => Judgement::Overlong,
                std::cmp::Ordering::Equal if self.refused() && expected == 0 => Judgement::Refused,
                std::cmp::Ordering::Equal if good == Some(true) && self.end == DataEnd::Clean => {
                    Judgement::Complete
                }
                std::cmp::Ordering::Equal => Judgement::CompleteByProof,
            },
            None if !self.upload => match (self.end, good) {
                (DataEnd::Never, Some(false)) => Judgement::Refused,
                (DataEnd::Clean, Some(true)) => Judgement::Complete,
                // Reset after the final reply with nothing sent is how some servers end an empty listing. It may as
                // well be a file of which nothing came.
                (DataEnd::Broken | DataEnd::Never, Some(true)) if self.reached == 0 => Judgement::Ask,
                (DataEnd::Unfinished, Some(true)) | (DataEnd::Clean, None | Some(false)) => Judgement::Ask,
                _ => Judgement::Incomplete,
            },
            _ if self.refused() => Judgement::Refused,
            _ if good == Some(true) && matches!(self.end, DataEnd::Clean | DataEnd::Unfinished) => {
                Judgement::Complete
            }
            _ => Judgement::Ask,
        }
    }

    fn refused(self) -> bool {
        self.end == DataEnd::Never && self.reply.is_some_and(|code| code >= 400)
    }
}
