//! A whole client session against a server that says anything at any time: every command is answered at most once and in
//! order, what leaves is what was asked for, and the password leaves once.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::client::{
    AddressTrust, Answer, ClientSession, CommandId, Credentials, Event, Login, LoginStep, passive,
};
use portway_proto::{Command, Epsv, ListArg, Mechanism, Protection, RawReply, ReplyLimits, Representation};

const LIMITS: ReplyLimits = ReplyLimits { line: 512, lines: 50, octets: 4096 };
const SECRET: &[u8] = b"s3cret-word";

fuzz_target!(|data: &[u8]| {
    let mut session = ClientSession::with_limits(LIMITS);
    let mut login = Login::new(Credentials {
        user: b"ann".to_vec(),
        password: SECRET.to_vec(),
        account: Some(b"account".to_vec()),
    });
    let mut sent = Sent::default();
    let mut data = data;
    // One octet says what happens next, the ones after it with what.
    while let Some((&what, rest)) = data.split_first() {
        data = rest;
        let length = usize::from(what >> 3).min(data.len());
        let (argument, after) = data.split_at(length);
        let event = match what & 7 {
            0 | 1 => {
                data = after;
                session.feed(argument);
                session.next_event()
            }
            2 => session.next_event(),
            3 => session.next_event_after_pause(),
            4 => {
                data = after;
                sent.note(session.send(&command(argument)).ok());
                None
            }
            5 => {
                sent.note(session.send(&Command::Epsv(Epsv::Same)).ok());
                sent.note(session.send(&Command::Retr(b"f")).ok());
                None
            }
            6 => {
                sent.check_output(&session.take_output());
                None
            }
            _ => {
                // TLS begins: what came in the clear is gone.
                session.tls_started();
                assert!(!session.has_partial() && session.next_event().is_none(), "text from before TLS");
                None
            }
        };
        match event {
            Some(Ok(event)) => sent.heard(&mut session, &mut login, event),
            Some(Err(_)) => return,
            None => {}
        }
        assert_eq!(session.outstanding(), sent.commands + 1 - sent.answered, "every command waits once");
    }
    sent.check_output(&session.take_output());
    if let Some(Ok(event)) = session.next_event_at_end() {
        sent.heard(&mut session, &mut login, event);
    }
    assert!(sent.secrets <= 1, "the password left {} times", sent.secrets);
});

#[derive(Default)]
struct Sent {
    commands: usize,
    answered: usize,
    emitted: usize,
    last_id: Option<CommandId>,
    last_answer: Option<CommandId>,
    secrets: usize,
}

impl Sent {
    fn note(&mut self, id: Option<CommandId>) {
        let Some(id) = id else { return };
        assert!(Some(id) > self.last_id, "numbers grow");
        self.last_id = Some(id);
        self.commands += 1;
    }

    /// Each command is one line, and nothing else leaves.
    fn check_output(&mut self, octets: &[u8]) {
        let lines = octets.split_inclusive(|&octet| octet == b'\n');
        for line in lines {
            assert!(line.ends_with(b"\r\n"), "half a line: {line:?}");
            let inner = &line[..line.len() - 2];
            assert!(!inner.iter().any(|octet| matches!(octet, b'\r' | b'\n' | 0)), "an injection: {line:?}");
            self.secrets += usize::from(inner.windows(SECRET.len()).any(|part| part == SECRET));
            self.emitted += 1;
        }
        assert_eq!(self.emitted, self.commands, "one line for each command");
    }

    fn heard(&mut self, session: &mut ClientSession, login: &mut Login, event: Event) {
        let Event::Answer(Answer { id, reply, last, .. }) = event else { return };
        assert!((100..700).contains(&reply.code), "{reply:?}");
        assert_eq!(last, !(100..200).contains(&reply.code), "1yz announces more");
        assert!(Some(id) <= self.last_id || id == CommandId::GREETING, "an answer to nothing");
        assert!(Some(id) >= self.last_answer, "answers come in order");
        self.last_answer = Some(id);
        self.answered += usize::from(last);
        leads_home(&reply);
        if id == CommandId::GREETING && last {
            self.note(session.send(&login.first()).ok());
        } else if last && self.secrets == 0 {
            let next = match login.step(&reply) {
                LoginStep::Send(command) => session.send(&command).ok(),
                LoginStep::LoggedIn | LoginStep::Failed(_) => None,
            };
            self.note(next);
            self.check_output(&session.take_output());
        }
    }
}

/// No announcement leads to another host or to a privileged port.
fn leads_home(reply: &RawReply) {
    for peer in ["192.0.2.1", "2001:db8::1"] {
        let peer = peer.parse().expect("an address");
        if let Ok(goal) = passive(reply, peer, AddressTrust::Peer) {
            assert_eq!(goal.to.addr().ip(), peer, "another host: {reply:?}");
            assert!(goal.to.addr().port() >= 1024, "a privileged port: {reply:?}");
        }
    }
}

/// A command of the client's, with a name from somewhere.
fn command(argument: &[u8]) -> Command<'_> {
    let (which, name) = argument.split_first().unwrap_or((&0, b"name"));
    match which % 12 {
        0 => Command::Retr(name),
        1 => Command::Stor(name),
        2 => Command::Mlsd(Some(name)),
        3 => Command::List(ListArg { flags: None, path: Some(name) }),
        4 => Command::Size(name),
        5 => Command::Cwd(name),
        6 => Command::Other { verb: name, arg: Some(name) },
        7 => Command::Type(Representation::Image),
        8 => Command::Auth(Mechanism::Tls),
        9 => Command::Prot(Protection::Private),
        10 => Command::Rest(u64::from(*which)),
        _ => Command::Pasv,
    }
}
