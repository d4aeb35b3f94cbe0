//! What holds whatever is said, however it is cut.

use proptest::prelude::*;

use super::*;

proptest! {
    #[test]
    fn whatever_is_said_holes_lead_only_between_the_two(
        lines in proptest::collection::vec((any::<bool>(), words()), 1..40),
        cut in 1_usize..30,
    ) {
        let mut gate = Gate::with(&V4, WatchPolicy { login_first: false, ..WatchPolicy::default() });
        gate.cut = cut;
        gate.server_line("220 Hello.");
        gate.client_line("NOOP");
        for (client, line) in lines {
            if client { gate.client(line) } else { gate.server(line) }
        }
        for want in &gate.opened {
            let ends = [want.from.to_string(), want.to().ip().to_string()];
            prop_assert!(ends == [V4.client, V4.server] || ends == [V4.server, V4.client], "{:?}", want);
            prop_assert!(want.to().port() >= 1024);
        }
    }

    #[test]
    fn what_comes_out_does_not_depend_on_segments(
        lines in proptest::collection::vec((any::<bool>(), words()), 1..30),
        cut in 1_usize..30,
    ) {
        let run = |cut| {
            let mut gate = Gate::in_session(&V4);
            gate.cut = cut;
            for (client, line) in &lines {
                if *client { gate.client(line) } else { gate.server(line) }
            }
            (gate.to_server, gate.to_client, gate.opened)
        };
        prop_assert_eq!(run(cut), run(usize::MAX));
    }
}

/// Lines of both sides, good and bad, with and without their end.
fn words() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        proptest::sample::select(vec![
            "PASV\r\n",
            "EPSV\r\n",
            "EPSV ALL\r\n",
            "PORT 192,0,2,7,19,136\r\n",
            "PORT 203,0,113,9,19,136\r\n",
            "EPRT |1|192.0.2.7|22|\r\n",
            "NOOP\r\n",
            "ABOR\r\n",
            "QUIT\r\n",
            "USER u\r\n",
            "PO",
            "RT 1\r\n",
            "\r\n",
            "200 ok\r\n",
            "227 (198,51,100,1,19,136)\r\n",
            "227 (203,0,113,9,19,136)\r\n",
            "227-x\r\n",
            "500-x\r\n",
            "229 (|||5000|)\r\n",
            "229 (|||22|)\r\n",
            "500 x\r\n",
            "150 x\r\n",
            "226 x\r\n",
            "421 x\r\n",
            "230 x\r\n",
        ])
        .prop_map(|line| line.as_bytes().to_vec()),
        proptest::collection::vec(any::<u8>(), 0..20),
    ]
}
