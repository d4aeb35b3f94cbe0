//! Octets from a server: replies do not depend on how the network cuts them, and memory stays bounded.

#![no_main]

use libfuzzer_sys::fuzz_target;
use portway_proto::{Family, RawReply, ReplyError, ReplyLimits, ReplyReader, passive_reply_lenient, unquote};

const LIMITS: ReplyLimits = ReplyLimits { line: 512, lines: 50, octets: 4096 };

fuzz_target!(|data: &[u8]| {
    for strict in [false, true] {
        let whole = replies(strict, data, data.len());
        for cut in [1, 7] {
            assert_eq!(whole, replies(strict, data, cut), "cut into {cut}");
        }
        for reply in whole.iter().flatten() {
            assert!((100..700).contains(&reply.code), "{reply:?}");
            assert!((1..=LIMITS.lines).contains(&reply.lines.len()), "{reply:?}");
            assert!(
                reply.lines.iter().map(Vec::len).sum::<usize>() <= LIMITS.octets + LIMITS.line,
                "{reply:?}"
            );
            for line in &reply.lines {
                assert!(!line.contains(&b'\n'));
                let _ = passive_reply_lenient(line, Family::V4);
                let _ = unquote(line);
            }
        }
        if let Some(error) = whole.iter().position(Result::is_err) {
            assert_eq!(error + 1, whole.len(), "nothing comes after an error");
        }
    }
});

fn replies(strict: bool, data: &[u8], cut: usize) -> Vec<Result<RawReply, ReplyError>> {
    let reader = ReplyReader::with_limits(LIMITS);
    let mut reader = if strict { reader.strict() } else { reader };
    let mut replies = Vec::new();
    for piece in data.chunks(cut.max(1)) {
        reader.feed(piece);
        while let Some(reply) = reader.next_reply() {
            replies.push(reply);
        }
        assert!(reader.buffered() <= 16 * 1024, "{} octets held", reader.buffered());
    }
    replies.extend(reader.finish_at_end());
    replies
}
