//! OPTS (RFC 2389 §4) and LANG (RFC 2640 §4).

use std::net::Ipv6Addr;

use super::{ServerSession, reply};
use crate::row::MlsxFacts;
use crate::session::Action;
use crate::{Algorithm, Code, Reply};

impl ServerSession {
    /// The answer to OPTS; what it sets holds for the session.
    pub(super) fn options(&mut self, command: &[u8], options: Option<&[u8]>) -> Reply {
        let is = |name: &[u8]| command.eq_ignore_ascii_case(name);
        let words = options.unwrap_or_default();
        if is(b"UTF8") || is(b"UTF-8") {
            return match words.trim_ascii() {
                on if on.is_empty() || on.eq_ignore_ascii_case(b"ON") || on.eq_ignore_ascii_case(b"NLST") => {
                    Reply::new(Code::OK, "Names are UTF-8.")
                }
                _ => Reply::new(Code::BAD_PARAMETER, "OPTS UTF8: names are always UTF-8 here."),
            };
        }
        if is(b"MLST") {
            self.facts = MlsxFacts::parse_opts(words);
            return Reply::new(Code::OK, self.facts.opts_reply());
        }
        if is(b"HASH") && !self.policy.hashes.is_empty() {
            if words.is_empty() {
                return Reply::new(Code::OK, self.hash.map_or("", Algorithm::name));
            }
            return match Algorithm::read(words.trim_ascii()).filter(|name| self.policy.hashes.contains(name))
            {
                Some(algorithm) => {
                    self.hash = Some(algorithm);
                    Reply::new(Code::OK, algorithm.name())
                }
                None => Reply::new(Code::BAD_PARAMETER, "OPTS HASH: unknown digest; FEAT lists them."),
            };
        }
        if is(b"MODE") {
            let words: Vec<&[u8]> = words.split(|&b| b == b' ').filter(|word| !word.is_empty()).collect();
            if let [z, level, [digit @ b'0'..=b'9']] = words.as_slice()
                && z.eq_ignore_ascii_case(b"Z")
                && level.eq_ignore_ascii_case(b"LEVEL")
            {
                self.deflate_level = u32::from(digit - b'0');
                return Reply::new(Code::OK, format_args!("MODE Z LEVEL set to {}.", self.deflate_level));
            }
            return Reply::new(Code::BAD_PARAMETER, "OPTS MODE: expected Z LEVEL and a digit.");
        }
        Reply::new(Code::BAD_PARAMETER, "OPTS: no such option.")
    }
}

/// The answer to LANG.
pub(super) fn lang(tag: Option<&[u8]>) -> Action<'static> {
    match tag.map(<[u8]>::trim_ascii) {
        None => reply(Code::OK, "Replies are in English."),
        Some(tag)
            if tag.get(..2).is_some_and(|two| two.eq_ignore_ascii_case(b"EN"))
                && tag.get(2).is_none_or(|&b| b == b'-') =>
        {
            reply(Code::OK, "Replies are in English.")
        }
        Some(_) => reply(Code::PARAMETER_NOT_IMPLEMENTED, "LANG: only EN is served."),
    }
}

/// Whether HOST may name it: a domain name, also in UTF-8, an IPv4 address, or an IPv6 address in brackets
/// (RFC 7151 §3.1).
pub(super) fn is_host(name: &[u8]) -> bool {
    let name = name.trim_ascii();
    if let Some(literal) = name.strip_prefix(b"[") {
        let inside = literal.strip_suffix(b"]").and_then(|inside| std::str::from_utf8(inside).ok());
        return inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok());
    }
    let label = |label: &[u8]| {
        !label.is_empty()
            && label
                .iter()
                .all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(octet) || *octet >= 0x80)
    };
    name.len() <= 255 && name.strip_suffix(b".").unwrap_or(name).split(|&octet| octet == b'.').all(label)
}
