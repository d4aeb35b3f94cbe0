//! Tickets that only one control connection's session can have issued.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::rand;
use rustls::server::ProducesTickets;
use zeroize::Zeroizing;

use super::kin::Kin;

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
    kin: Arc<Kin>,
}

/// Which of the youngest tickets a client has, but has not used yet.
#[derive(Default)]
struct Ledger {
    next: u32,
    /// Sent where a client must read past them to reach something it wants.
    sure: Serials,
    /// Sent behind an upload, where many clients do not look.
    late: Serials,
    any_sent: bool,
    /// This client has used a late ticket: it does look there.
    reads_late: bool,
}

impl Ledger {
    fn take_serial(&mut self) -> u32 {
        let serial = self.next;
        self.next = serial.wrapping_add(1);
        serial
    }

    fn sent(&mut self, serial: u32, late: bool) {
        self.any_sent = true;
        // A serial takes the place of an older one in both sets.
        self.sure.set(serial, !late);
        self.late.set(serial, late);
    }

    fn used(&mut self, serial: u32) {
        if self.next.wrapping_sub(serial) > Serials::MOST {
            return; // its place belongs to a younger one
        }
        self.reads_late |= self.late.has(serial);
        self.sure.set(serial, false);
        self.late.set(serial, false);
    }

    fn exhausted(&self) -> bool {
        self.any_sent && self.sure.is_empty() && (!self.reads_late || self.late.is_empty())
    }
}

/// A set of serial numbers, all of them among the youngest 256: no client keeps more tickets; most keep 1 to 8.
#[derive(Default)]
struct Serials([u64; 4]);

impl Serials {
    const MOST: u32 = 256;

    fn set(&mut self, serial: u32, present: bool) {
        let place = serial % Self::MOST;
        if let Some(word) = self.0.get_mut(place as usize / 64) {
            let bit = 1 << (place % 64);
            *word = if present { *word | bit } else { *word & !bit };
        }
    }

    fn has(&self, serial: u32) -> bool {
        let place = serial % Self::MOST;
        self.0.get(place as usize / 64).is_some_and(|word| word & 1 << (place % 64) != 0)
    }

    fn is_empty(&self) -> bool {
        self.0 == [0; 4]
    }
}

impl SessionTickets {
    /// `None` if the system gives no random numbers; sessions go without tickets then.
    pub(crate) fn new(kin: Arc<Kin>) -> Option<Self> {
        let (mut tag, mut key) = (SessionTag([0; 16]), Zeroizing::new([0; 32]));
        rand::fill(&mut tag.0).ok()?;
        rand::fill(key.as_mut_slice()).ok()?;
        Some(Self { tag, key, ledger: Mutex::default(), kin })
    }

    /// Makes this session known to its siblings; nobody is logged in yet.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) {
        self.kin.enter(self, address);
    }

    /// Says who is logged in.
    pub(crate) fn belong_to(&self, user: Option<&[u8]>) {
        self.kin.belong_to(self.tag, user);
    }

    /// Whether the session named `other` has the same owner.
    pub(crate) fn is_sibling(&self, other: SessionTag) -> bool {
        self.kin.sibling(self.tag, other).is_some()
    }

    /// Whether there is another session of the same owner.
    pub(crate) fn has_sibling(&self) -> bool {
        self.kin.has_sibling(self.tag)
    }

    /// Whether the session named `other` may yet turn out to be a sibling.
    pub(crate) fn undecided(&self, other: SessionTag) -> bool {
        self.kin.undecided(self.tag, other)
    }

    pub(crate) fn tag(&self) -> SessionTag {
        self.tag
    }

    /// True once all tickets the client surely got have been used, and it got one at least.
    pub(crate) fn exhausted(&self) -> bool {
        self.ledger().exhausted()
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self) -> Option<LessSafeKey> {
        UnboundKey::new(&AES_256_GCM, self.key.as_slice()).ok().map(LessSafeKey::new)
    }

    /// A new ticket and its serial number.
    fn seal(&self, session: &[u8]) -> Option<(u32, Vec<u8>)> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let serial = self.ledger().take_serial();
        let mut sealed = Vec::with_capacity(session.len() + 4 + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&serial.to_be_bytes());
        sealed.extend_from_slice(session);
        let nonce_used = Nonce::assume_unique_for_key(nonce);
        self.key()?.seal_in_place_append_tag(nonce_used, Aad::from(self.tag.0), &mut sealed).ok()?;
        Some((serial, [&self.tag.0[..], &nonce, &sealed].concat()))
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

impl Drop for SessionTickets {
    fn drop(&mut self) {
        self.kin.leave(self.tag);
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
    /// The ticket opened last: whose it is, and its serial.
    opened: Mutex<Option<(Arc<SessionTickets>, u32)>>,
    /// Serials of the tickets made for this connection, and not sent yet.
    sealed: Mutex<Vec<u32>>,
}

impl ConnectionTickets {
    pub(crate) fn new(session: Arc<SessionTickets>) -> Self {
        Self { session, opened: Mutex::default(), sealed: Mutex::default() }
    }

    /// To be called when a handshake has resumed; true if by a ticket of another session of the same owner.
    pub(crate) fn resumed(&self) -> bool {
        let Some((session, serial)) = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take()
        else {
            return false;
        };
        session.ledger().used(serial);
        !Arc::ptr_eq(&session, &self.session)
    }

    /// To be called when the tickets made for this connection leave; `late` if that is behind an upload.
    pub(crate) fn sent(&self, late: bool) {
        for serial in std::mem::take(&mut *self.sealed.lock().unwrap_or_else(PoisonError::into_inner)) {
            self.session.ledger().sent(serial, late);
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
        let (serial, ticket) = self.session.seal(plain)?;
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).push(serial);
        Some(ticket)
    }

    fn decrypt(&self, cipher: &[u8]) -> Option<Vec<u8>> {
        let tag = SessionTag(*cipher.first_chunk()?);
        let issuer = if tag == self.session.tag {
            Arc::clone(&self.session)
        } else {
            self.session.kin.sibling(self.session.tag, tag)?
        };
        let (serial, session) = issuer.open(cipher)?;
        *self.opened.lock().unwrap_or_else(PoisonError::into_inner) = Some((issuer, serial));
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
        let ours = Arc::new(SessionTickets::new(Arc::default()).unwrap());
        let theirs = Arc::new(SessionTickets::new(Arc::default()).unwrap());
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
    fn a_sibling_opens_a_ticket_and_a_stranger_does_not() {
        let kin = Arc::new(Kin::default());
        let session = |owner: Option<&[u8]>| {
            let session = Arc::new(SessionTickets::new(Arc::clone(&kin)).unwrap());
            session.enter(IpAddr::from([192, 0, 2, 7]));
            session.belong_to(owner);
            session
        };
        let (first, second) = (session(Some(b"ann")), session(Some(b"ann")));
        let (stranger, nobody) = (session(Some(b"bob")), session(None));
        let ticket = give(&first, false);
        let shown = connection(&second);
        assert_eq!(shown.decrypt(&ticket).unwrap(), b"x");
        assert!(shown.resumed(), "it is told apart from a ticket of its own");
        assert!(first.undecided(nobody.tag()) && !first.undecided(stranger.tag()));
        for other in [stranger, nobody] {
            assert_eq!(connection(&other).decrypt(&ticket), None);
        }
        second.belong_to(None);
        assert_eq!(connection(&second).decrypt(&ticket), None, "who logged out has no kin");
        drop(first);
        second.belong_to(Some(b"ann"));
        assert_eq!(connection(&second).decrypt(&ticket), None, "nor has a ticket that outlives its session");
    }

    /// Issues a ticket and sends it.
    fn give(session: &Arc<SessionTickets>, late: bool) -> Vec<u8> {
        let connection = connection(session);
        let ticket = connection.encrypt(b"x").unwrap();
        connection.sent(late);
        ticket
    }

    fn take(session: &Arc<SessionTickets>, ticket: &[u8]) {
        let connection = connection(session);
        connection.decrypt(ticket).unwrap();
        connection.resumed();
    }

    #[test]
    fn tickets_are_exhausted_when_each_has_been_used_for_a_handshake() {
        let session = Arc::new(SessionTickets::new(Arc::default()).unwrap());
        assert!(!session.exhausted(), "none was issued yet");
        let tickets: Vec<_> = (0..8).map(|_| give(&session, false)).collect();
        for ticket in &tickets {
            assert!(!session.exhausted());
            connection(&session).decrypt(ticket).unwrap();
            assert!(!session.exhausted(), "a ticket that was only shown is not used");
            take(&session, ticket);
        }
        assert!(session.exhausted());
        connection(&session).encrypt(b"x").unwrap();
        assert!(session.exhausted(), "a ticket that was made but not sent is of no use to the client");
        give(&session, false);
        assert!(!session.exhausted());
    }

    #[test]
    fn tickets_behind_an_upload_count_once_the_client_has_used_such_a_one() {
        let session = Arc::new(SessionTickets::new(Arc::default()).unwrap());
        let first = give(&session, false);
        let behind = give(&session, true);
        take(&session, &first);
        assert!(session.exhausted(), "nobody knows whether the client has read the other one");
        let another = give(&session, true);
        take(&session, &behind);
        assert!(!session.exhausted(), "it has: so it has the next one too");
        take(&session, &another);
        assert!(session.exhausted());
    }

    #[test]
    fn a_ticket_used_long_after_it_was_issued_does_not_hide_a_young_one() {
        let session = Arc::new(SessionTickets::new(Arc::default()).unwrap());
        let tickets: Vec<_> = (0..=Serials::MOST).map(|_| give(&session, false)).collect();
        let (last, others) = tickets.split_last().unwrap();
        others.iter().for_each(|ticket| take(&session, ticket));
        assert!(!session.exhausted(), "the last one has the place of the first, but is another");
        take(&session, last);
        assert!(session.exhausted());
    }
}
