//! One JSON object per line, in both directions. Answers bear the number of their request and may come in any
//! order.

use std::net::{IpAddr, SocketAddr};

use serde::{Deserialize, Serialize};

/// Octets a line may have, its end included; nothing of use comes near.
pub const LONGEST: usize = 1024;

/// What a server asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Any number of the asker's choice.
    pub id: u64,
    /// What is wanted.
    pub ask: Ask,
}

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Ask {
    /// Let one connection through.
    Open {
        /// Who opens it.
        from: IpAddr,
        /// Where to.
        to: SocketAddr,
        /// How long to wait for it, 1 to 60 s.
        seconds: u64,
        /// The client's end of the control connection, as the server sees it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        control: Option<SocketAddr>,
    },
    /// Close a hole of this connection.
    Close {
        /// As the answer to `Open` said.
        hole: u64,
    },
}

/// What the gate answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The request's number.
    pub id: u64,
    /// How it went.
    pub result: Outcome,
}

/// How it went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    /// The hole is open.
    Opened {
        /// For `Close`.
        hole: u64,
        /// To be announced in place of what was asked for.
        announce: Option<SocketAddr>,
    },
    /// The hole is closed, or was gone.
    Closed,
    /// A rule forbids it; no retry helps.
    Denied {
        /// For a person.
        why: String,
    },
    /// The gate could not; a retry may help.
    Failed {
        /// For a person.
        why: String,
    },
}

/// Writes one line.
#[must_use]
pub fn emit(message: &impl Serialize) -> Vec<u8> {
    // None of these types can fail to be JSON.
    let mut line = serde_json::to_vec(message).unwrap_or_default();
    line.push(b'\n');
    line
}

/// Reads one line; `None` if it is no such message.
#[must_use]
pub fn parse<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
    serde_json::from_slice(line).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back_and_fits(
            id: u64, from: IpAddr, to: IpAddr, port: u16, seconds: u64, hole: u64, known: bool,
        ) {
            let control = known.then_some(SocketAddr::new(from, port));
            for ask in [Ask::Open { from, to: SocketAddr::new(to, port), seconds, control }, Ask::Close { hole }] {
                let request = Request { id, ask };
                let line = emit(&request);
                prop_assert!(line.len() <= LONGEST);
                prop_assert_eq!(parse::<Request>(&line), Some(request));
            }
        }

        #[test]
        fn no_line_makes_the_readers_panic(line: Vec<u8>) {
            let _ = parse::<Request>(&line);
            let _ = parse::<Answer>(&line);
        }
    }

    #[test]
    fn unknown_words_are_no_request() {
        for line in [
            r#"{"id":1,"ask":{"open":{"from":"192.0.2.7","to":"198.51.100.1:5000","seconds":10,"any":1}}}"#,
            r#"{"id":1,"ask":{"open":{"from":"192.0.2.7","to":"198.51.100.1","seconds":10}}}"#,
            r#"{"id":-1,"ask":{"close":{"hole":1}}}"#,
            "",
        ] {
            assert_eq!(parse::<Request>(line.as_bytes()), None, "{line}");
        }
    }
}
