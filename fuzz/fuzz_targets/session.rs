//! A whole control connection against a hostile client, with a shell that does nothing but say yes.

#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use portway_proto::{
    Action, Announced, Channel, Code, LineReader, Policy, Reply, ReplyReader, ServerSession, Verdict,
};

fuzz_target!(|data: &[u8]| {
    let (settings, data) = data.split_first().unwrap_or((&0, data));
    let policy = Policy {
        tls: settings & 1 == 0,
        tls_required: settings & 2 != 0,
        ccc: settings & 4 != 0,
        ..Policy::default()
    };
    let peer: IpAddr =
        if settings & 8 == 0 { "192.0.2.7" } else { "2001:db8::7" }.parse().expect("an address");
    let mut session = ServerSession::new(policy, peer, settings & 16 != 0);
    let mut reader = LineReader::new();
    reader.feed(data);
    // The shell reads no further while it answers; whatever is left is left behind by a close.
    while let Some(line) = reader.next_line() {
        let open = match line {
            Ok(line) => obey(&mut session, &line, settings & 2 != 0, peer, &mut reader),
            Err(error) => {
                answer(session.bad_line(error));
                !error.is_fatal()
            }
        };
        if !open {
            break;
        }
    }
});

/// Does what the session wants done; returns whether the connection stays open.
fn obey(
    session: &mut ServerSession,
    line: &[u8],
    tls_required: bool,
    peer: IpAddr,
    reader: &mut LineReader,
) -> bool {
    let in_before = session.user().is_some();
    let action = session.line(line);
    match action {
        Action::StartTls(reply) => {
            well_formed(&reply);
            reader.clear();
            session.tls_started();
            assert!(session.is_secure() && session.user().is_none());
        }
        Action::StopTls(reply) => {
            well_formed(&reply);
            assert!(session.is_secure(), "there is no TLS to stop");
            session.tls_stopped();
        }
        Action::Verify { user, secret } => {
            assert!(session.is_secure() || !tls_required, "a password in the clear: {user:?}");
            let verdict = match secret.len() % 3 {
                0 => Verdict::Rejected,
                1 => Verdict::NeedsTls,
                _ => Verdict::Accepted("Welcome.".to_owned()),
            };
            let accepted = matches!(verdict, Verdict::Accepted(_));
            let open = answer(session.verified(verdict));
            assert_eq!(session.user().is_some(), accepted, "logged in if and only if the password was right");
            return open;
        }
        Action::Offer(verb) => {
            assert!(in_before, "a port for somebody who is not logged in");
            let announced = Announced::parse_host_port(b"192,0,2,1,8,0").expect("an announcement");
            let reply = session.offered(verb, announced);
            well_formed(&reply);
        }
        Action::Target(_, vetted) => {
            assert!(in_before, "a target from somebody who is not logged in");
            assert_eq!(vetted.addr().ip().to_canonical(), peer, "a bounce");
            assert!(vetted.addr().port() >= 1024, "a privileged port");
            well_formed(&session.targeted());
            assert_eq!(session.channel(), Channel::Active);
        }
        Action::Transfer(transfer) => {
            assert!(in_before, "data for somebody who is not logged in");
            assert!(transfer.channel != Channel::None, "data without an announcement");
            assert!(transfer.restart <= i64::MAX as u64, "an offset that no file has");
        }
        Action::RenameFrom(path) => {
            assert!(in_before);
            well_formed(&session.rename_from(path));
        }
        Action::Perform(_) | Action::Rename { .. } | Action::Idle(_) => {
            assert!(in_before, "storage for somebody who is not logged in: {line:?}");
        }
        Action::Status => well_formed(&session.status(&[])),
        Action::Reinitialize(reply) => {
            well_formed(&reply);
            assert!(session.user().is_none(), "REIN leaves nobody logged in");
        }
        other => return answer(other),
    }
    true
}

/// Checks a reply that is only to be sent; returns whether the connection stays open.
fn answer(action: Action<'_>) -> bool {
    match action {
        Action::Reply(reply) => {
            well_formed(&reply);
            true
        }
        Action::Close(reply) => {
            well_formed(&reply);
            false
        }
        other => panic!("not an answer: {other:?}"),
    }
}

/// Whatever the client said, a reply is exactly one reply on the wire.
fn well_formed(reply: &Reply) {
    let mut wire = Vec::new();
    reply.emit(&mut wire);
    let mut reader = ReplyReader::new().strict();
    reader.feed(&wire);
    let read = reader.next_reply().expect("a reply").expect("by the book");
    assert_eq!(read.lines.len(), reply.lines().count(), "{wire:?}");
    assert!(reader.next_reply().is_none() && !reader.has_partial(), "one reply and no more: {wire:?}");
    assert!(read.code >= 100 && Code::READY.name().is_some());
}
