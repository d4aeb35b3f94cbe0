//! A control connection that passes by: two lanes, one [`Watch`] over them, and what leaves in the end.
//!
//! Nothing here knows sockets or packets. Every segment gets its verdict at once: what may leave does, what has to
//! wait stays in the lane and leaves with the sender's next packet. So a line is let go when it is whole and was
//! judged, however it was cut.

use std::collections::VecDeque;
use std::time::Instant;

use portway_proto::watch::{Notice, Ruling, Watch};
use portway_proto::{LineError, LineReader, ReplyReader};

use super::half::Half;
use super::keeper::{Keeper, Outcome, Part, Side};
use super::lane::{Lane, Taken, Untaken};
use super::records::{Found, Records};
use super::substitute;

// By its path, since the fuzz target takes this file in by one, too.
#[path = "dialogue/replies.rs"]
mod replies;

/// The longest line that waits to be whole (RFC 959 sets no limit; servers take 4 KiB at most).
const LONGEST: usize = 4096;

/// The dialogue.
#[derive(Debug)]
pub(crate) struct Dialogue {
    client: Half,
    server: Half,
    watch: Watch,
    lines: LineReader,
    replies: ReplyReader,
    /// What the next replies of the server answer, oldest first.
    due: VecDeque<Due>,
    /// Octets of the client's current line that its reader has.
    fed: usize,
    implicit: bool,
    over: bool,
    /// What leaves now is the last word to its receiver.
    farewell: bool,
}

/// One reply to come.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Due {
    /// The watch judges it.
    Watched,
    /// It answers what took the place of a refused command: this is said in its place.
    Ours(Option<Vec<u8>>),
}

impl Dialogue {
    /// A dialogue whose SYNs of client and server bear these sequence numbers; `implicit` if TLS comes first.
    #[must_use]
    pub(crate) fn new(syns: [u32; 2], watch: Watch, implicit: bool) -> Self {
        Self {
            client: Half::new(syns[0], implicit),
            server: Half::new(syns[1], implicit),
            watch,
            lines: LineReader::new().strict(),
            replies: ReplyReader::new().strict(),
            due: [Due::Watched].into(),
            fed: 0,
            implicit,
            over: false,
            farewell: false,
        }
    }

    /// The lane of one side.
    #[must_use]
    pub(crate) fn lane(&self, side: Side) -> &Lane {
        &self.half_ref(side).lane
    }

    /// Octets in memory.
    #[must_use]
    pub(crate) fn held(&self) -> usize {
        self.client.lane.held() + self.server.lane.held() + self.lines.buffered() + self.replies.buffered()
    }

    /// Whether both sides have ended in order, or have been cut off.
    #[must_use]
    pub(crate) fn has_ended(&self) -> bool {
        self.over || self.client.lane.has_ended() && self.server.lane.has_ended()
    }

    /// Whether this side acknowledges what has not left here.
    pub(crate) fn has_missed(&self, side: Side, ack: u32) -> bool {
        !self.half_ref(side.other()).lane.may_acknowledge(ack)
    }

    /// Takes one segment and says what leaves in its place.
    pub(crate) fn segment(
        &mut self,
        side: Side,
        part: Part<'_>,
        now: Instant,
        keeper: &mut dyn Keeper,
    ) -> Outcome {
        if self.over {
            return Outcome::Close(self.half(side).lane.seq_sent());
        }
        let other = self.half(side.other());
        if part.ack.is_some_and(|ack| !other.lane.may_acknowledge(ack)) {
            return Outcome::Drop;
        }
        if let Some(ack) = part.ack {
            other.lane.acknowledge(ack);
        }
        let taken = self.half(side).lane.take(part.seq, part.octets, part.fin);
        match taken {
            Err(Untaken::Contradicts) => {
                keeper.note(&Untaken::Contradicts);
                return Outcome::Drop;
            }
            Err(Untaken::Outside) => return Outcome::Drop,
            Ok(Taken::Again) if side == Side::Server || self.watch.is_ready_for_command() => {
                self.half(side).push();
            }
            Ok(_) => {}
        }
        match side {
            Side::Client => self.client_says(now, keeper),
            Side::Server => self.server_says(now, keeper),
        }
        if self.half(side).lane.has_ended() {
            // FIN of the control connection closes the hole; what is still to be said passes.
            keeper.shut();
        }
        let farewell = std::mem::take(&mut self.farewell);
        if self.over && !farewell {
            return Outcome::Close(self.half(side).lane.seq_sent());
        }
        let mut leaving = self.half(side).lane.leave(part.seq, part.octets.len(), part.fin, part.room);
        leaving.fin |= farewell;
        Outcome::Leave(leaving)
    }

    /// Ends it: the hole is closed, and nothing passes any more.
    pub(crate) fn end(&mut self, keeper: &mut dyn Keeper) {
        if !std::mem::replace(&mut self.over, true) {
            let _ = self.watch.on_end();
            keeper.shut();
        }
    }

    fn client_says(&mut self, now: Instant, keeper: &mut dyn Keeper) {
        while !self.over && self.strip_tls(Side::Client, keeper) && self.watch.is_ready_for_command() {
            let Some(line) = self.client.line(self.fed) else { return self.skip_if_endless(keeper) };
            self.lines.feed(line.get(self.fed..).unwrap_or_default());
            self.fed = line.len();
            // Otherwise the line end was a part of a Telnet command.
            if let Some(read) = self.lines.next_line() {
                self.fed = 0;
                self.command(&line, read.as_deref().map_err(|error| *error), now, keeper);
            }
        }
    }

    /// An over-long line leaves as something that no server understands; its end will be answered.
    fn skip_if_endless(&mut self, keeper: &mut dyn Keeper) {
        let waiting = self.client.lane.waiting().to_vec();
        if waiting.len() <= LONGEST {
            return;
        }
        let line = [&self.client.begun[..], &waiting].concat();
        self.lines.feed(line.get(self.fed..).unwrap_or_default());
        self.fed = line.len();
        self.client.lane.clear(&vec![b'?'; waiting.len()]);
        self.client.begun = line;
        if self.lines.has_pending() {
            keeper.note(&"a line without an end");
            self.end(keeper);
        }
    }

    fn command(&mut self, raw: &[u8], line: Result<&[u8], LineError>, now: Instant, keeper: &mut dyn Keeper) {
        if substitute::has_telnet_inside(raw) {
            keeper.note(&"a Telnet command inside a line");
            return self.refuse(
                raw,
                Some(b"500 Telnet commands inside a line do not pass.\r\n".to_vec()),
                keeper,
            );
        }
        if let Ok(line) = line
            && let Some((verb, name)) = line.split_at_checked(5)
            && verb.eq_ignore_ascii_case(b"USER ")
        {
            keeper.user(name);
        }
        let rulings = self.watch.on_command(line, now);
        let (mut passed, mut ours) = (None, None);
        for ruling in rulings {
            match ruling {
                Ruling::ToServer(line) => passed = Some(line),
                Ruling::ToClient(line) => ours = Some(line),
                Ruling::Shut => keeper.shut(),
                Ruling::Note(notice) => keeper.note(&notice),
                _ => return self.end(keeper),
            }
        }
        let Some(written) = passed else { return self.refuse(raw, ours, keeper) };
        self.due.push_back(Due::Watched);
        let Ok(translated) = keeper.as_the_server_knows_it(&written, raw.len()) else {
            keeper.note(&"the translated address does not fit into the line");
            return self.end(keeper);
        };
        match translated {
            Some(translated) if !self.client.clear_line(&translated) => {
                keeper.note(&"a part of the line has left untranslated");
                self.end(keeper);
            }
            Some(_) => {}
            // What was read is what leaves, if that is possible without another length.
            None if written.len() == raw.len() && self.client.begun.is_empty() => {
                self.client.clear_line(&written);
            }
            None => {
                self.client.clear_line(raw);
            }
        }
    }

    /// Something harmless goes to the server, and its answer is replaced.
    fn refuse(&mut self, raw: &[u8], ours: Option<Vec<u8>>, keeper: &mut dyn Keeper) {
        let begun = self.client.begun.len();
        let Some(line) = substitute::harmless(begun, raw.len() - begun) else {
            keeper.note(&"a line too short to be replaced");
            return self.end(keeper);
        };
        self.client.lane.clear(&line);
        self.client.begun.clear();
        self.due.push_back(Due::Ours(ours));
    }

    fn go_dark(&mut self, keeper: &mut dyn Keeper) {
        if !self.client.lane.waiting().is_empty() || !self.client.begun.is_empty() {
            keeper.note(&Notice::Injected);
            return self.end(keeper);
        }
        self.lines.clear();
        self.due.clear();
        self.client.tls = Some(Records::default());
        self.server.tls = Some(Records::default());
        keeper.opaque(true);
    }

    /// Lets TLS leave as it is; says whether what waits is clear text.
    fn strip_tls(&mut self, side: Side, keeper: &mut dyn Keeper) -> bool {
        let half = match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        };
        let Some(records) = &mut half.tls else { return true };
        let waiting = half.lane.waiting().to_vec();
        match records.feed(&waiting) {
            Found::Tls => {
                half.lane.clear(&waiting);
                return false;
            }
            Found::ClearFrom(at) => half.lane.clear(waiting.get(..at).unwrap_or_default()),
            Found::Broken => {
                keeper.note(&"neither TLS nor FTP after AUTH");
                self.end(keeper);
                return false;
            }
        }
        let unspoken = |half: &Half| half.tls.as_ref().is_some_and(|records| !records.has_spoken());
        if self.implicit || unspoken(&self.client) || unspoken(&self.server) {
            keeper.note(&"clear text in place of TLS");
            self.end(keeper);
            return false;
        }
        self.half(side).tls = None;
        if self.watch.is_opaque() {
            keeper.opaque(false);
            let rulings = self.watch.resume();
            if !rulings.is_empty() {
                replies::notes(rulings, keeper);
                self.end(keeper);
                return false;
            }
        }
        true
    }

    fn half(&mut self, side: Side) -> &mut Half {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    fn half_ref(&self, side: Side) -> &Half {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }
}
