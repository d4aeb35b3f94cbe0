//! The log: one line for each hole, when it is over, and one for each that was refused. To standard error.

use std::fmt::Display;

use portway_nft::{End, Ended, Want};

use crate::socket::Peer;

pub(crate) fn ended(hole: &Ended, peer: Option<Peer>) {
    let how = match hole.how {
        End::Used => "used",
        End::Expired => "expired",
        End::Closed => "closed unused",
    };
    let who = peer.map_or_else(String::new, |peer| format!(" uid={} pid={}", peer.uid, peer.pid));
    eprintln!(
        "hole id={} result={how:?} from={} to={} lived={:.3}s{who}",
        hole.id,
        hole.key.from,
        hole.key.to,
        hole.lived.as_secs_f64()
    );
}

pub(crate) fn refused(want: &Want, peer: Peer, why: &dyn Display) {
    eprintln!(
        "hole result=\"refused\" from={} to={} for={:.3}s uid={} pid={} why={:?}",
        want.key.from,
        want.key.to,
        want.within.as_secs_f64(),
        peer.uid,
        peer.pid,
        why.to_string()
    );
}

pub(crate) fn client(peer: Peer, what: &str) {
    eprintln!("client uid={} pid={} {what}", peer.uid, peer.pid);
}

pub(crate) fn mended(done: std::io::Result<bool>) {
    match done {
        Ok(false) => {}
        Ok(true) => eprintln!(
            "rules result=\"restored\" why=\"somebody has taken the guarded table away, as a reload of the firewall does\""
        ),
        Err(error) => eprintln!("rules result=\"lost\" why=\"the guarded ports may be open: {error}\""),
    }
}
