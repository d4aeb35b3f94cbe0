//! What the client says while a transfer runs.

use std::io;
use std::time::Duration;

use portway_data::Progress;
use portway_net::Received;
use portway_proto::{Action, Code, Command, During, Reply};

use crate::{ControlConnection, End};

/// How long to wait for the end of the control connection behind an upload in stream mode without TLS that took so
/// long. The connections of a program that was killed end one right after the other, the data connection mostly
/// first, and only the other one tells that from the end of the file. Nothing behind a small file, which a client is
/// seldom killed with, and never much beside what the transfer took: a fiftieth, 20 ms at most.
#[must_use]
pub fn patience(taken: Duration) -> Duration {
    const LEAST: Duration = Duration::from_millis(1);
    const MOST: Duration = Duration::from_millis(20);
    Some((taken / 50).min(MOST)).filter(|wait| *wait >= LEAST).unwrap_or_default()
}

impl ControlConnection {
    /// Sorts what came while a transfer runs: what cannot change it is answered, the rest waits. True is ABOR.
    ///
    /// # Errors
    /// The client is gone; `news` is what the exchange with it brought.
    pub fn heard(&mut self, news: &io::Result<bool>, progress: &Progress) -> Result<bool, End> {
        while !self.control.must_flush() {
            let Some(received) = self.control.take_new_line() else { break };
            let Received::Line(line) = &received else {
                self.control.put_back(received);
                continue;
            };
            let during = Command::parse(line).map_or(During::Later, |command| command.during_transfer());
            match during {
                During::Abort => return Ok(true),
                During::Now if !self.control.has_waiting() => {
                    let reply = match self.dialogue.line(line) {
                        Action::Reply(reply) => reply,
                        Action::Status => self
                            .dialogue
                            .status(&[format!("{} octets have been transferred", progress.octets())]),
                        _ => Reply::new(Code::NOT_IMPLEMENTED, "Not while a transfer runs."),
                    };
                    self.control.queue(&reply);
                }
                _ => self.control.put_back(received),
            }
        }
        match news {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(End::RESET),
            // A client that said QUIT and closed its side still gets its file (RFC 959 §4.1.1).
            news if self.control.is_abandoned() => {
                Err(if news.is_err() { End::RESET } else { End::PEER_CLOSED })
            }
            _ => Ok(false),
        }
    }

    /// The replies to ABOR: 426 for the transfer, then 226 for the ABOR itself (RFC 959 §4.1.3).
    pub fn confirm_abort(&mut self) {
        self.say(Code::TRANSFER_ABORTED, "Transfer aborted.");
        self.say(Code::TRANSFER_COMPLETE, "ABOR done.");
    }
}
