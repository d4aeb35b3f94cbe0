//! What can be typed: the names of the verbs, their arguments, and what help says of them.

/// One verb: its names (the first one is ours), its arguments, what it does.
struct Verb(&'static [&'static str], &'static str, &'static str);

#[rustfmt::skip]
const VERBS: &[Verb] = &[
    Verb(&["open", "connect"],             "URL | HOST [PORT]",  "go to a server"),
    Verb(&["user", "login"],               "NAME [PASSWORD]",    "log in as somebody else"),
    Verb(&["close", "disconnect"],         "",                   "leave the server"),
    Verb(&["ls", "dir"],                   "[DIR | PATTERN]…",   "list, with sizes and times"),
    Verb(&["nlist", "nls", "cls"],         "[DIR | PATTERN]…",   "list names alone"),
    Verb(&["cd", "chdir"],                 "[DIR]",              "go to a directory"),
    Verb(&["cdup"],                        "",                   "go to the directory above"),
    Verb(&["pwd"],                         "",                   "say where we are"),
    Verb(&["lcd"],                         "[DIR]",              "go to a directory of this machine"),
    Verb(&["lpwd"],                        "",                   "say where we are on this machine"),
    Verb(&["lls", "ldir"],                 "[ARGS]",             "list a directory of this machine"),
    Verb(&["get", "recv"],                 "[-c] FILE [NAME]",   "fetch a file; -c goes on with a part of it"),
    Verb(&["reget"],                       "FILE [NAME]",        "the same as get -c"),
    Verb(&["mget"],                        "[-c] PATTERN…",      "fetch many files"),
    Verb(&["put", "send"],                 "[-c] FILE [NAME]",   "store a file; -c goes on with a part of it"),
    Verb(&["reput"],                       "FILE [NAME]",        "the same as put -c"),
    Verb(&["mput"],                        "[-c] PATTERN…",      "store many files"),
    Verb(&["append"],                      "FILE NAME",          "add a file to the end of one at the server"),
    Verb(&["cat", "more", "less"],         "FILE…",              "show a file"),
    Verb(&["mirror"],                      "[-R] [-e] [-n] [-c] [-P N] [-X GLOB] [-I GLOB] [--dry-run] [FROM [TO]]",
         "make a tree here like one there; -R the other way, -e removes extras"),
    Verb(&["mkdir", "md"],                 "DIR…",               "make directories"),
    Verb(&["rmdir", "rd"],                 "DIR…",               "remove empty directories"),
    Verb(&["rm", "delete", "mdelete", "mrm"], "[-r] PATTERN…",   "remove files; -r directories with all in them"),
    Verb(&["rename", "mv"],                "OLD NEW",            "rename"),
    Verb(&["chmod"],                       "MODE FILE…",         "set permission bits, in octal"),
    Verb(&["size"],                        "FILE…",              "say how large a file is"),
    Verb(&["modtime"],                     "FILE…",              "say when a file changed (UTC)"),
    Verb(&["binary", "image"],             "",                   "move files as they are"),
    Verb(&["ascii"],                       "",                   "move text, with line ends changed"),
    Verb(&["type"],                        "[binary | ascii]",   "say or set that"),
    Verb(&["passive"],                     "[on | off | auto]",  "who opens data connections: on, we; off, the server"),
    Verb(&["mode"],                        "[auto | passive | active]", "the same in other words"),
    Verb(&["explain"],                     "[FILE]",             "draw both channels of a listing or a download"),
    Verb(&["quote", "literal"],            "COMMAND",            "send a command as it is"),
    Verb(&["site"],                        "ARGS",               "send SITE ARGS"),
    Verb(&["status"],                      "",                   "say how things stand"),
    Verb(&["jobs"],                        "",                   "list what runs in the background (LINE &)"),
    Verb(&["wait"],                        "[N]",                "wait for a job, or for all"),
    Verb(&["kill"],                        "N | all",            "end a job"),
    Verb(&["help", "?"],                   "[VERB]",             "this text"),
    Verb(&["quit", "bye", "exit"],         "",                   "end"),
];

/// Every name of every verb, for the completion.
pub(super) fn names() -> Vec<&'static str> {
    let mut names: Vec<_> =
        VERBS.iter().flat_map(|verb| verb.0).copied().filter(|name| *name != "?").collect();
    names.sort_unstable();
    names
}

/// Whether the arguments are names on this machine.
pub(super) fn takes_local_names(verb: &str) -> bool {
    matches!(named(verb), Ok("lcd" | "lls" | "put" | "reput" | "mput" | "append"))
}

/// Whether doing it twice does no harm.
pub(super) fn may_be_repeated(verb: &str) -> bool {
    matches!(
        named(verb),
        Ok("ls"
            | "nlist"
            | "cd"
            | "cdup"
            | "pwd"
            | "size"
            | "modtime"
            | "mget"
            | "get"
            | "put"
            | "mput"
            | "reget"
            | "reput")
    )
}

/// The verb that a word means: one of its names, or a beginning that only one verb has.
pub(super) fn named(word: &str) -> Result<&'static str, String> {
    let first = |verb: &Verb| verb.0.first().copied().unwrap_or_default();
    if let Some(verb) = VERBS.iter().find(|verb| verb.0.contains(&word)) {
        return Ok(first(verb));
    }
    let begins = |verb: &&Verb| verb.0.iter().any(|name| name.starts_with(word));
    let found: Vec<&str> = VERBS.iter().filter(begins).map(first).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => Err(format!("{word}: no such command; help shows them")),
        many => Err(format!("{word} could be {}", many.join(", "))),
    }
}

/// A line for a verb, or for each.
pub(super) fn help(verb: Option<&str>) -> Result<String, String> {
    let line = |Verb(names, args, what): &Verb| {
        let head = format!("{} {args}", names.join(", "));
        if head.chars().count() > 38 {
            format!("{head}\n{:39}{what}\n", "")
        } else {
            format!("{head:38} {what}\n")
        }
    };
    match verb {
        Some(word) => {
            let name = named(word)?;
            Ok(VERBS.iter().filter(|verb| verb.0.contains(&name)).map(line).collect())
        }
        None => {
            let all: String = VERBS.iter().map(line).collect();
            Ok(format!(
                "{all}A line that begins with ! is for the shell of this machine; one that ends with & (get, put, mget, mput,\n\
                 mirror) runs in the background. Blanks in names stand in quotes or behind \\. Verbs may be cut short.\n"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_means_one_verb_and_so_does_a_beginning_of_its_own() {
        let names = names();
        let unique: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(unique.len(), names.len());
        for (word, verb) in [
            ("bin", "binary"),
            ("bye", "quit"),
            ("delete", "rm"),
            ("mv", "rename"),
            ("stat", "status"),
            ("?", "help"),
        ] {
            assert_eq!(named(word), Ok(verb), "{word}");
        }
        assert!(named("m").unwrap_err().contains("could be"));
        assert!(named("frob").unwrap_err().contains("no such command"));
    }

    #[test]
    fn help_names_every_verb_and_fits_a_terminal() {
        let text = help(None).unwrap();
        assert!(text.lines().all(|line| line.chars().count() <= 110), "{text}");
        assert!(VERBS.iter().all(|Verb(names, ..)| text.contains(names[0])));
    }
}
