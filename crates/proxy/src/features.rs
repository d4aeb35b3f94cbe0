//! FEAT and HELP, truthful for the pair: what the server has and the proxy passes on, and what the proxy adds.

use portway_proto::{Code, Phase, Policy, RawReply, Reply, Support, VERBS, Verb};

use crate::Filter;
use crate::rules::{self, Sender};

/// What the proxy answers itself; a server's word about it means nothing to the client.
const OURS: &[Verb] = &[
    Verb::Abor,
    Verb::Auth,
    Verb::Ccc,
    Verb::Eprt,
    Verb::Epsv,
    Verb::Feat,
    Verb::Help,
    Verb::Host,
    Verb::Pasv,
    Verb::Pbsz,
    Verb::Port,
    Verb::Prot,
    Verb::Quit,
    Verb::Rein,
    Verb::User,
    Verb::Pass,
    Verb::Acct,
];

/// Features that are no verbs and need nothing from us.
const PLAIN: &[&[u8]] = &[b"UTF8", b"TVFS"];

/// The lines that the proxy adds.
fn own_lines(policy: &Policy, filter: &Filter, sender: Sender<'_>) -> Vec<&'static str> {
    let mut lines = vec!["EPRT", "EPSV", "PASV"];
    if policy.tls {
        lines.extend(["AUTH TLS", "PBSZ", "PROT"]);
        if policy.ccc {
            lines.push("CCC");
        }
    }
    lines.retain(|line| {
        let name = line.split(' ').next().unwrap_or_default();
        Verb::read(name.as_bytes()).is_none_or(|verb| !rules::hides(&filter.rules, verb, None, sender))
    });
    lines
}

/// The FEAT reply (RFC 2389 §3.2): the server's lines as far as we pass them on, and ours. `None` for what the
/// server said if there is none yet.
pub(crate) fn feat(server: Option<&RawReply>, policy: &Policy, filter: &Filter, sender: Sender<'_>) -> Reply {
    let mut reply = Reply::new(Code::SYSTEM_STATUS, "Features:");
    for line in own_lines(policy, filter, sender) {
        reply = reply.line(line);
    }
    for line in server.into_iter().flat_map(features) {
        if passes(line, filter, sender) {
            reply = reply.line_octets(line);
        }
    }
    reply.line("End")
}

/// The lines of a FEAT reply between its first and last.
fn features(reply: &RawReply) -> impl Iterator<Item = &[u8]> {
    let inner = reply.lines.get(1..reply.lines.len().saturating_sub(1)).filter(|_| reply.code / 100 == 2);
    inner.unwrap_or_default().iter().map(|line| line.trim_ascii())
}

fn passes(line: &[u8], filter: &Filter, sender: Sender<'_>) -> bool {
    let mut words = line.split(|&b| b == b' ');
    let name = words.next().unwrap_or_default();
    // Block mode keeps data connections, and ours carry one transfer each.
    if line.eq_ignore_ascii_case(b"MODE B") {
        return false;
    }
    if PLAIN.iter().any(|plain| plain.eq_ignore_ascii_case(name)) {
        return true;
    }
    match Verb::read(name) {
        Some(verb) if OURS.contains(&verb) => false,
        Some(Verb::Site) => is_passed(Verb::Site, words.next(), filter, sender),
        Some(verb) => is_passed(verb, None, filter, sender),
        None => filter.unknown,
    }
}

/// Whether a verb of the table goes to the server.
fn is_passed(verb: Verb, site: Option<&[u8]>, filter: &Filter, sender: Sender<'_>) -> bool {
    if rules::hides(&filter.rules, verb, site, sender) {
        return false;
    }
    if matches!(verb.info().support, Support::Refused(_)) {
        return filter.unknown;
    }
    let in_pieces = filter.whole_files && crate::filter::PIECES.contains(&verb);
    !(in_pieces || filter.read_only && WRITING.contains(&verb))
}

/// Verbs that a read-only proxy keeps back.
pub(crate) const WRITING: &[Verb] = &[
    Verb::Appe,
    Verb::Comb,
    Verb::Dele,
    Verb::Mff,
    Verb::Mfmt,
    Verb::Mkd,
    Verb::Rmd,
    Verb::Rmda,
    Verb::Rnfr,
    Verb::Rnto,
    Verb::Stor,
    Verb::Stou,
];

/// The HELP reply: the verbs that the server lists and we pass on, and those that we answer. A server that
/// lists none is taken to have all.
pub(crate) fn help(server: Option<&RawReply>, filter: &Filter, sender: Sender<'_>) -> Reply {
    let listed = server.map(words).unwrap_or_default();
    let known = |verb: Verb| listed.is_empty() || listed.contains(&verb);
    let names: Vec<&str> = VERBS
        .iter()
        .filter(|row| {
            if OURS.contains(&row.verb) {
                row.verb != Verb::Acct && !rules::hides(&filter.rules, row.verb, None, sender)
            } else {
                // Before a login nobody knows what the server has.
                let asked = server.is_some() || row.needs == Phase::Connected;
                asked && known(row.verb) && is_passed(row.verb, None, filter, sender)
            }
        })
        .map(|row| row.name)
        .collect();
    let mut reply =
        Reply::new(Code::HELP, "These commands are served, by the proxy or the server behind it:");
    for row in names.chunks(10) {
        reply = reply.line(row.join(" "));
    }
    reply.line("End")
}

/// The verbs in the text of a HELP reply; lower-case words are prose.
fn words(reply: &RawReply) -> Vec<Verb> {
    let lines = reply.lines.iter().filter(|_| reply.code / 100 == 2);
    lines
        .flat_map(|line| line.split(|b| !b.is_ascii_alphanumeric()))
        .filter(|word| word.len() >= 3 && word.iter().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()))
        .filter_map(Verb::read)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: Sender<'_> = Sender { user: b"", host: "", directory: None };

    fn raw(code: u16, lines: &[&str]) -> RawReply {
        RawReply { code, lines: lines.iter().map(|line| line.as_bytes().to_vec()).collect() }
    }

    fn text(reply: &Reply) -> Vec<String> {
        reply.lines().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn features_are_the_servers_as_far_as_they_pass_and_our_own_once() {
        let server = raw(
            211,
            &[
                "Features:",
                " AUTH TLS;SSL",
                " EPSV",
                " MDTM",
                " MLST type*;size*;",
                " MODE B",
                " MODE Z",
                " REST STREAM",
                " UTF8",
                " XYZZY",
                " SITE MKDIR",
                " CPSV",
                " HOST",
                "End",
            ],
        );
        let with_tls = text(&feat(Some(&server), &Policy::default(), &Filter::default(), NOBODY));
        let wanted = [
            "Features:",
            "EPRT",
            "EPSV",
            "PASV",
            "AUTH TLS",
            "PBSZ",
            "PROT",
            "MDTM",
            "MLST type*;size*;",
            "MODE Z",
            "REST STREAM",
            "UTF8",
            "SITE MKDIR",
            "End",
        ];
        assert_eq!(with_tls, wanted);
        let plain = Policy { tls: false, ..Policy::default() };
        let without = text(&feat(None, &plain, &Filter::default(), NOBODY));
        assert_eq!(without, ["Features:", "EPRT", "EPSV", "PASV", "End"]);
        let refused = raw(500, &["What?"]);
        assert_eq!(text(&feat(Some(&refused), &plain, &Filter::default(), NOBODY)), without);
    }

    #[test]
    fn help_lists_what_the_server_has_and_the_proxy_adds() {
        let server =
            raw(214, &["The following commands are recognized.", " ABOR CWD RETR STOR XYZZY", "Help OK."]);
        let all = text(&help(Some(&server), &Filter::default(), NOBODY)).join(" ");
        for word in ["EPSV", "AUTH", "CWD", "RETR", "STOR"] {
            assert!(all.split(' ').any(|w| w == word), "{word} in {all}");
        }
        for word in ["MLSD", "XYZZY", "HASH"] {
            assert!(!all.split(' ').any(|w| w == word), "{word} in {all}");
        }
        let reader = Filter { read_only: true, ..Filter::default() };
        assert!(!text(&help(Some(&server), &reader, NOBODY)).join(" ").contains("STOR"));
        let looking = Filter { whole_files: true, ..Filter::default() };
        assert!(!text(&help(Some(&raw(502, &["No"])), &looking, NOBODY)).join(" ").contains("APPE"));
    }
}
