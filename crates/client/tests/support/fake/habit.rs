//! The bad habits.

/// What it does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Habit {
    #[default]
    None,
    /// No 150 (quirk 1).
    No150,
    /// 226 before the data (quirk 2).
    Early226,
    /// Two of them (quirk 3).
    Two226,
    /// 250 instead (quirk 4).
    Says250,
    /// The control connection dies after the first transfer's data (quirk 5).
    LosesControl,
    /// The first download stops at half the file, and it says 226 (quirk 6).
    Half226,
    /// The first download stops at half the file, and both connections die.
    DropsHalfWay,
    /// 426 after a whole file (quirk 7).
    False426,
    /// No EPSV.
    NoEpsv,
    /// Neither EPSV nor PASV: active only.
    NoPassive,
    /// Passive ports are closed.
    PassiveReset,
    /// Passive ports do not answer.
    PassiveSilent,
    /// Passive ports do not answer, and it connects to nobody.
    AllSilent,
    /// 227 names another host (quirk 19), and there is no EPSV.
    PrivateAddress,
    /// 227 over two lines without brackets (quirks 14 and 17), and there is no EPSV.
    Odd227,
    /// Every reply to REST is a refusal.
    NoRest,
    /// It cannot append.
    NoAppe,
    /// A listing with names that lead out.
    HostileNames,
    /// It says nothing at all.
    Mute,
    /// It never stops greeting.
    EndlessGreeting,
    /// Wants to know what comes before it opens a port (drftpd).
    WantsPret,
    /// Forgets every command but the first of those that come together (quirk 60).
    LosesPipelined,
    /// Joins files (COMB).
    Joins,
    /// Announces COMB and refuses it.
    RefusesComb,
    /// Announces COMB, and forgets the last part.
    JoinsHalf,
    /// Joins files, and closes before it says so.
    JoinsMutely,
    /// Joins files, and has room for one session.
    JoinsForOne,
    /// Joins files, and has room for two sessions.
    JoinsForTwo,
    /// Takes REST and begins at 0 all the same.
    IgnoresRest,
    /// SIZE is always 0.
    SizeZero,
    /// SIZE is one too small.
    SizeSmall,
    /// Its listing is a page that asks for a login.
    ListsPage,
    /// A listing with one line that nobody can read.
    ListsNoise,
    /// Every directory holds itself, twice.
    Loops,
    /// Says 226 to RETR and opens no data connection, nor tells sizes.
    SaysDone,
    /// Answers TYPE three times.
    Stammers,
}

impl Habit {
    /// Whether FEAT names COMB.
    pub(super) fn has_comb(self) -> bool {
        use Habit::*;
        matches!(self, Joins | RefusesComb | JoinsHalf | JoinsMutely | JoinsForOne | JoinsForTwo)
    }
}
