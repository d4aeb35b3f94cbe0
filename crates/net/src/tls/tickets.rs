//! Tickets that only one control connection's session can have issued.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

/// Names one control connection's TLS session; random, and not secret: it stands in clear at the head of
/// every ticket the session issues, so that a ClientHello on a shared port names the session it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionTag(pub [u8; 16]);

/// Seals and opens the tickets of one session.
///
/// The ticketer that comes with rustls changes its key every six hours, and forgets the old one six hours
/// later: a control connection that lives a day would lose its data connections. This key lives exactly as
/// long as the session. A ticket is `tag | nonce | AES-256-GCM(serial | session)`, with the tag bound in.
pub(crate) struct SessionTickets {
    tag: SessionTag,
    /// The key itself, 32 octets; the expanded one is made when a ticket is sealed or opened, since most
    /// sessions are idle most of the time.
    key: Zeroizing<[u8; 32]>,
    ledger: Mutex<Ledger>,
}

/// Which tickets are still unused, among the last [`Ledger::WINDOW`].
#[derive(Default)]
struct Ledger {
    issued: u32,
    unused: [u64; 4],
}

impl Ledger {
    /// No client keeps more tickets than this; most keep 1 to 8.
    const WINDOW: u32 = 256;

    fn issue(&mut self) -> u32 {
        let serial = self.issued;
        self.issued = self.issued.wrapping_add(1);
        self.mark(serial, true);
        serial
    }

    fn used(&mut self, serial: u32) {
        // An older ticket has lost its place to a younger one.
        if self.issued.wrapping_sub(serial) <= Self::WINDOW {
            self.mark(serial, false);
        }
    }

    fn mark(&mut self, serial: u32, unused: bool) {
        let place = serial % Self::WINDOW;
        if let Some(word) = self.unused.get_mut(place as usize / 64) {
            let bit = 1 << (place % 64);
            *word = if unused { *word | bit } else { *word & !bit };
        }
    }
}

impl SessionTickets {
    /// `None` if the system gives no random numbers; sessions go without tickets then.
    pub(crate) fn new() -> Option<Self> {
        let (mut tag, mut key) = (SessionTag([0; 16]), Zeroizing::new([0; 32]));
        rand::fill(&mut tag.0).ok()?;
        rand::fill(key.as_mut_slice()).ok()?;
        Some(Self { tag, key, ledger: Mutex::default() })
    }

    pub(crate) fn tag(&self) -> SessionTag {
        self.tag
    }

    /// True once all tickets issued have been used, and at least one was issued.
    pub(crate) fn exhausted(&self) -> bool {
        let ledger = self.ledger.lock().unwrap_or_else(PoisonError::into_inner);
        ledger.issued > 0 && ledger.unused == [0; 4]
    }

    fn key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.key.as_slice()).ok().map(LessSafeKey::new)
    }

    fn seal(&self, session: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let serial = self.ledger.lock().unwrap_or_else(PoisonError::into_inner).issue();
        let mut sealed = Vec::with_capacity(session.len() + 4 + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&serial.to_be_bytes());
        sealed.extend_from_slice(session);
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(nonce_used, Aad::from(self.tag.0), &mut sealed).ok()?;
        Some([&self.tag.0[..], &nonce, &sealed].concat())
    }

    fn open(&self, ticket: &[u8]) -> Option<(u32, Vec<u8>)> {
        let (tag, rest) = ticket.split_first_chunk::<16>()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE_LEN>()?;
        if *tag != self.tag.0 {
            return None;
        }
        let mut sealed = Zeroizing::new(sealed.to_vec());
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let opened = self.key()?.open_in_place(nonce, Aad::from(*tag), &mut sealed).ok()?;
        let (serial, session) = opened.split_first_chunk()?;
        Some((u32::from_be_bytes(*serial), session.to_vec()))
    }
}

impl fmt::Debug for SessionTickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTickets").field("tag", &self.tag).finish_non_exhaustive()
    }
}

/// The session's tickets as one connection sees them.
///
/// A ticket counts as used when its handshake has succeeded, not when it was decrypted: an eavesdropper can
/// replay a ticket, but without its secret the handshake fails.
#[derive(Debug)]
pub(crate) struct ConnectionTickets {
    session: Arc<SessionTickets>,
    /// Serial of the ticket opened last; [`NONE`] if there was none.
    opened: AtomicU32,
}

const NONE: u32 = u32::MAX;

impl ConnectionTickets {
    pub(crate) fn new(session: Arc<SessionTickets>) -> Self {
        Self { session, opened: AtomicU32::new(NONE) }
    }

    /// To be called when a handshake has resumed.
    pub(crate) fn resumed(&self) {
        let serial = self.opened.load(Ordering::Relaxed);
        if serial != NONE {
            self.session.ledger.lock().unwrap_or_else(PoisonError::into_inner).used(serial);
        }
    }
}

impl ProducesTickets for ConnectionTickets {
    fn enabled(&self) -> bool {
        true
    }

    /// Seven days, the most RFC 8446 §4.6.1 allows: a ticket lasts as long as its session.
    fn lifetime(&self) -> u32 {
        7 * 24 * 60 * 60
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        self.session.seal(plain)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let (serial, session) = self.session.open(cipher)?;
        self.opened.store(serial, Ordering::Relaxed);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn connection(session: &Arc<SessionTickets>) -> ConnectionTickets {
        ConnectionTickets::new(Arc::clone(session))
    }

    #[test]
    fn a_ticket_opens_in_its_own_session_only_and_as_often_as_it_is_shown() {
        let ours = Arc::new(SessionTickets::new().unwrap());
        let theirs = Arc::new(SessionTickets::new().unwrap());
        let ticket = connection(&ours).encrypt(b"secret").unwrap();
        assert_eq!(ticket[..16], ours.tag().0, "the tag leads");
        for _ in 0..3 {
            assert_eq!(connection(&ours).decrypt(&ticket).unwrap(), b"secret");
        }
        assert_eq!(connection(&theirs).decrypt(&ticket), None);
        let mut relabelled = ticket.clone();
        relabelled[..16].copy_from_slice(&theirs.tag().0);
        assert_eq!(connection(&theirs).decrypt(&relabelled), None);
        for cut in 0..ticket.len() {
            assert_eq!(connection(&ours).decrypt(&ticket[..cut]), None, "cut at {cut}");
        }
    }

    #[test]
    fn tickets_are_exhausted_when_each_has_been_used_for_a_handshake() {
        let session = Arc::new(SessionTickets::new().unwrap());
        assert!(!session.exhausted(), "none was issued yet");
        let tickets: Vec<_> = (0..8).map(|_| connection(&session).encrypt(b"x").unwrap()).collect();
        for ticket in &tickets {
            assert!(!session.exhausted());
            let shown = connection(&session);
            shown.decrypt(ticket).unwrap();
            assert!(!session.exhausted(), "a ticket that was only shown is not used");
            shown.resumed();
        }
        assert!(session.exhausted());
        connection(&session).encrypt(b"x").unwrap();
        assert!(!session.exhausted(), "a new one was issued");
    }

    #[test]
    fn a_ticket_used_long_after_it_was_issued_does_not_hide_a_young_one() {
        let mut ledger = Ledger::default();
        for _ in 0..=Ledger::WINDOW {
            ledger.issue();
        }
        for serial in 1..Ledger::WINDOW {
            ledger.used(serial);
        }
        ledger.used(0);
        assert_ne!(ledger.unused, [0; 4], "the last one has the place of the first");
        ledger.used(Ledger::WINDOW);
        assert_eq!(ledger.unused, [0; 4]);
    }
}
