//! The Telnet layer below the control channel (RFC 854, RFC 1123 §4.1.2.10): FTP uses its octets, not its
//! options, so every command is taken out and none is answered.

use memchr::memchr;

pub(crate) const IAC: u8 = 255;
const DONT: u8 = 254;
const WILL: u8 = 251;
const SB: u8 = 250;
const IP: u8 = 244;
const DM: u8 = 242;
const SE: u8 = 240;
/// The lowest command Telnet knows (EOF, RFC 1184); below it an octet after IAC is text.
const FIRST_COMMAND: u8 = 236;

/// Takes Telnet commands out of a stream, however it is cut.
#[derive(Clone, Debug, Default)]
pub(crate) struct Telnet {
    state: State,
    interrupt: bool,
    mid_line: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Text,
    Command,
    Option,
    Interrupted,
    Sub,
    SubCommand,
}

/// What became of some octets of the wire.
pub(crate) enum Piece<'a> {
    /// Text to keep, in order.
    Text(&'a [u8]),
    /// So many octets were Telnet's own.
    Dropped(usize),
}

impl Telnet {
    /// Says, once, whether an interrupt (IP) or a data mark (DM) came since the last call.
    pub(crate) fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.interrupt)
    }

    /// Splits `input` into text and Telnet commands. Every octet is accounted for exactly once.
    pub(crate) fn strip(&mut self, mut input: &[u8], mut sink: impl FnMut(Piece<'_>)) {
        while let Some((&octet, rest)) = input.split_first() {
            match self.state {
                State::Text => {
                    let run = memchr(IAC, input).unwrap_or(input.len());
                    let (text, after) = input.split_at(run);
                    if let Some(last) = text.last() {
                        self.mid_line = *last != b'\n';
                        sink(Piece::Text(text));
                    }
                    input = after;
                    if !after.is_empty() {
                        self.state = State::Command;
                        input = after.get(1..).unwrap_or_default();
                    }
                    continue;
                }
                // A data mark sent as urgent data may lose its IAC on the way (RFC 854, SYNCH).
                State::Interrupted if octet != DM => {
                    self.state = State::Text;
                    continue;
                }
                State::Interrupted => {
                    self.interrupt = true;
                    self.drop_to(State::Text, 1, &mut sink);
                }
                State::Command => {
                    if !self.command(octet, &mut sink) {
                        continue;
                    }
                }
                State::Option => self.drop_to(State::Text, 3, &mut sink),
                State::Sub if octet == IAC => self.drop_to(State::SubCommand, 1, &mut sink),
                State::Sub => {
                    let run = memchr(IAC, input).unwrap_or(input.len());
                    sink(Piece::Dropped(run));
                    input = input.get(run..).unwrap_or_default();
                    continue;
                }
                State::SubCommand => {
                    self.drop_to(if octet == SE { State::Text } else { State::Sub }, 1, &mut sink);
                }
            }
            input = rest;
        }
    }

    /// Handles the octet after IAC; `false` if it is text and still to be read.
    fn command(&mut self, octet: u8, sink: &mut impl FnMut(Piece<'_>)) -> bool {
        match octet {
            IAC => {
                self.state = State::Text;
                self.mid_line = true;
                sink(Piece::Dropped(1));
                sink(Piece::Text(&[IAC]));
            }
            WILL..=DONT => self.state = State::Option,
            SB => self.drop_to(State::Sub, 2, sink),
            IP => {
                self.interrupt = true;
                self.drop_to(State::Interrupted, 2, sink);
            }
            DM => {
                self.interrupt = true;
                self.drop_to(State::Text, 2, sink);
            }
            FIRST_COMMAND.. => self.drop_to(State::Text, 2, sink),
            // No command at all. Inside a line it is a Latin-1 name whose sender forgot to double the
            // octet; before a line it is what is left of a SYNCH whose mark travelled out of band.
            _ => {
                self.state = State::Text;
                if self.mid_line {
                    sink(Piece::Text(&[IAC]));
                } else {
                    sink(Piece::Dropped(1));
                }
                return false;
            }
        }
        true
    }

    fn drop_to(&mut self, state: State, octets: usize, sink: &mut impl FnMut(Piece<'_>)) {
        self.state = state;
        sink(Piece::Dropped(octets));
    }
}
