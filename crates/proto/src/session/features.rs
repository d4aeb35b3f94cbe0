//! FEAT, HELP and OPTS MLST, derived from the table of verbs.

use super::ServerSession;
use crate::{Algorithm, Code, Reply, Support, VERBS, Verb};

/// The FEAT reply (RFC 2389 §3.2).
pub(super) fn feat(session: &ServerSession) -> Reply {
    let policy = session.policy();
    let mut reply = Reply::new(Code::SYSTEM_STATUS, "Features:");
    for row in VERBS {
        let on = match row.verb {
            Verb::Pbsz | Verb::Prot => policy.tls,
            Verb::Mode => policy.advertise_deflate,
            Verb::Xcrc | Verb::Xmd5 | Verb::Xsha1 | Verb::Xsha256 | Verb::Xsha512 => {
                Algorithm::ALL.iter().any(|digest| digest.2 == row.verb && policy.hashes.contains(&digest.0))
            }
            _ => true,
        };
        if let Some(line) = row.feat.filter(|_| on) {
            reply = reply.line(line);
        }
        match row.verb {
            Verb::Auth if policy.tls => reply = reply.line("AUTH TLS"),
            Verb::Ccc if policy.tls && policy.ccc => reply = reply.line("CCC"),
            Verb::Hash if !policy.hashes.is_empty() => reply = reply.line(hash_line(session)),
            Verb::Mlst => reply = reply.line(session.facts().feat()),
            Verb::Mode => reply = reply.line("MODE B"),
            // lftp makes links only where FEAT names it.
            Verb::Site => reply = reply.line("SITE SYMLINK").line("SITE UTIME"),
            _ => {}
        }
    }
    reply.line("TVFS").line("UTF8").line("End")
}

/// The HELP reply: all verbs, or one (RFC 959 §4.1.3).
pub(super) fn help(topic: Option<&[u8]>) -> Reply {
    match topic.map(|topic| Verb::read(topic.trim_ascii())) {
        None => {
            let mut reply = Reply::new(Code::HELP, "These commands are served:");
            let served: Vec<&str> = VERBS
                .iter()
                .filter(|row| !matches!(row.support, Support::Refused(_)))
                .map(|row| row.name)
                .collect();
            for names in served.chunks(10) {
                reply = reply.line(names.join(" "));
            }
            reply.line("HELP and a command shows its form.")
        }
        Some(Some(Verb::Site)) => site_help(),
        Some(Some(verb)) => Reply::new(
            Code::HELP,
            format_args!("Syntax: {} ({})", verb.info().syntax(), verb.info().spec.replace('§', "section ")),
        ),
        Some(None) => Reply::new(Code::NOT_IMPLEMENTED, "No such command; HELP lists them."),
    }
}

/// The reply to SITE HELP.
pub(super) fn site_help() -> Reply {
    Reply::new(Code::HELP, "These SITE commands are served:")
        .line("CHMOD mode path")
        .line("UTIME YYYYMMDDhhmmss path")
        .line("SYMLINK target link")
        .line("UMASK [mask]")
        .line("IDLE [seconds]")
        .line("DOCTOR")
        .line("HELP")
        .line("End")
}

/// `HASH SHA-256*;SHA-512;…` (draft-bryan-ftpext-hash §3.1).
fn hash_line(session: &ServerSession) -> String {
    let names: Vec<String> = session
        .policy()
        .hashes
        .iter()
        .map(|&digest| format!("{}{}", digest.name(), if session.hash() == Some(digest) { "*" } else { "" }))
        .collect();
    format!("HASH {}", names.join(";"))
}
