//! Which reply answers which command: FTP has no numbers, only order (RFC 959 §5.4).

use std::collections::VecDeque;

use crate::{Epsv, Reply, Vetted};

/// What a reply will mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Awaited {
    /// 220, before any command.
    Greeting,
    /// The answer of a command that changes nothing for us.
    Plain,
    /// Our own answer, which waits for its turn.
    Ours(Reply),
    /// USER, PASS, ACCT.
    Login,
    /// PORT, EPRT: a 2xx opens a hole to the client.
    Active(Vetted),
    /// PASV: 227 opens a hole to the server.
    Passive,
    /// EPSV.
    ExtendedPassive(EpsvAsked),
    /// AUTH.
    Auth,
    /// CCC.
    Ccc,
    /// REIN, QUIT: the hole goes when the answer comes.
    Farewell { rein: bool },
}

/// Whether EPSV asked for a port or only promised to ask for nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EpsvAsked {
    Port,
    All,
}

impl From<Epsv> for EpsvAsked {
    fn from(epsv: Epsv) -> Self {
        if epsv == Epsv::All { Self::All } else { Self::Port }
    }
}

/// Replies that are awaited, oldest first.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue(VecDeque<Awaited>);

impl Queue {
    pub(super) fn greeting() -> Self {
        Self([Awaited::Greeting].into())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn push(&mut self, awaited: Awaited) {
        self.0.push_back(awaited);
    }

    pub(super) fn pop(&mut self) -> Option<Awaited> {
        self.0.pop_front()
    }

    /// Takes an answer of ours whose turn has come.
    pub(super) fn pop_ours(&mut self) -> Option<Reply> {
        match self.0.pop_front() {
            Some(Awaited::Ours(reply)) => Some(reply),
            Some(other) => {
                self.0.push_front(other);
                None
            }
            None => None,
        }
    }

    /// Whether a login may yet succeed before the command that is judged now.
    pub(super) fn has_login(&self) -> bool {
        self.0.contains(&Awaited::Login)
    }

    /// Whether what comes next depends on an answer that is not here.
    pub(super) fn holds_back(&self) -> bool {
        self.has_auth() || self.0.iter().any(|a| matches!(a, Awaited::Active(_) | Awaited::Ccc))
    }

    pub(super) fn has_auth(&self) -> bool {
        self.0.contains(&Awaited::Auth)
    }
}
