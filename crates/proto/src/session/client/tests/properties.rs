//! Whatever a server says and whenever, commands keep their answers, and a login ends.

use super::*;

/// What happens next in a dialogue.
#[derive(Clone, Debug)]
enum Turn {
    Sends(Vec<u8>),
    Hears(Vec<u8>),
    Pauses,
}

fn turn() -> impl Strategy<Value = Turn> {
    let lines = prop::collection::vec((100_u16..700, "[ -]", "[ -~]{0,20}"), 0..4).prop_map(|lines| {
        lines.iter().flat_map(|(code, mark, text)| format!("{code}{mark}{text}\r\n").into_bytes()).collect()
    });
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..12).prop_map(Turn::Sends),
        lines.prop_map(Turn::Hears),
        prop::collection::vec(any::<u8>(), 0..40).prop_map(Turn::Hears),
        Just(Turn::Pauses),
    ]
}

proptest! {
    #[test]
    fn every_command_is_one_line_and_is_answered_in_order_and_once(turns in prop::collection::vec(turn(), 0..40)) {
        let mut session = ClientSession::new();
        let (mut sent, mut finals, mut last) = (0, 0, CommandId::GREETING);
        let mut wire = Vec::new();
        for turn in turns {
            let event = match turn {
                Turn::Sends(name) => {
                    let id = session.send(&Command::Retr(&name));
                    prop_assert_eq!(id.is_err(), name.iter().any(|b| matches!(b, b'\r' | b'\n' | 0)));
                    sent += usize::from(id.is_ok());
                    wire.extend(session.take_output());
                    None
                }
                Turn::Hears(octets) => {
                    session.feed(&octets);
                    session.next_event()
                }
                Turn::Pauses => session.next_event_after_pause(),
            };
            match event {
                Some(Ok(Event::Answer(answer))) => {
                    prop_assert!(answer.id >= last);
                    last = answer.id;
                    finals += usize::from(answer.last);
                }
                Some(Err(_)) => return Ok(()),
                _ => {}
            }
            prop_assert_eq!(session.outstanding(), sent + 1 - finals);
        }
        prop_assert_eq!(wire.iter().filter(|&&b| b == b'\n').count(), sent);
        prop_assert_eq!(wire.windows(2).filter(|pair| pair == b"\r\n").count(), sent);
    }

    #[test]
    fn a_login_ends_after_a_few_replies_and_says_the_password_once(
        codes in prop::collection::vec(prop_oneof![Just(331_u16), Just(332), Just(230), Just(530), 100_u16..700], 6)
    ) {
        let account = Some(b"account".to_vec());
        let mut login = Login::new(Credentials { account, ..Credentials::default() });
        let mut said = Vec::new();
        for code in codes {
            match login.step(&reply(code, "words")) {
                LoginStep::Send(command) => said.push(command.verb()),
                LoginStep::LoggedIn | LoginStep::Failed(_) => break,
            }
        }
        prop_assert!(said.len() < 4, "{:?}", said);
        prop_assert!(said.iter().filter(|verb| **verb == Some(Verb::Pass)).count() <= 1, "{:?}", said);
    }
}
