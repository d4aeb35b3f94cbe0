//! The command line, read by hand: the helper links as little as it can.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use portway_nft::{Layout, LocalRoutes, Policy, Reach, wire};

const HELP: &str = "\
Opens single holes in the packet filter for portway, so that portway itself needs no privilege.

Usage: portway-holed [OPTIONS]

  --socket PATH       where to listen (default /run/portway/holed.sock)
  --allow UID         a user who may ask, by number; repeatable (default: root and --user)
  --user UID          run as this user, who also may ask; CAP_NET_ADMIN is kept
  --reach host|forward|both
                      host: one end of each hole is this host (default)
                      forward: neither end is, for a gate between others
                      both: either, for a gate that watches over its own host, too
  --deny-port PORT    a port no hole leads to, besides those below 1024 and the usual
                      services; repeatable
  --longest SECONDS   longest lifetime of a hole, 1 to 60 (default 60)
  --per-pair N        open holes between the same two hosts (default 128)
  --total N           open holes in all (default 4096)
  --guard FIRST-LAST  shut these ports of this host for all connections without a hole
  --mark BITS         conntrack mark of connections that came through (default 0x100000)
  --help, --version

A gate starts its own helper, with these:
  --gate VERSION      serve the socket that is standard input, and end with it
  --routes MARK:TABLE the gate's routes, which are removed when it ends in order
  --queue N           hold packets of this queue for the verdicts of the socket that is standard output
";

/// What the administrator asked for.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) socket: PathBuf,
    pub(crate) allow: BTreeSet<u32>,
    pub(crate) user: Option<u32>,
    pub(crate) policy: Policy,
    pub(crate) layout: Layout,
    /// Instead of listening: serve the gate that started us.
    pub(crate) gate: Option<Gate>,
}

/// What a gate says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Gate {
    pub(crate) version: String,
    pub(crate) routes: Option<LocalRoutes>,
    pub(crate) queue: Option<u16>,
}

/// What to do.
#[derive(Debug)]
pub(crate) enum Start {
    Serve(Box<Options>),
    Say(String),
}

/// A command line that makes no sense.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("unknown option {0}")]
    Unknown(String),
    #[error("{0} needs a value")]
    NoValue(String),
    #[error("{option}: {value:?} is not {wanted}")]
    BadValue { option: String, value: String, wanted: &'static str },
}

impl Options {
    pub(crate) fn read(args: impl Iterator<Item = OsString>) -> Result<Start, OptionError> {
        let mut options = Self {
            socket: wire::DEFAULT_SOCKET.into(),
            allow: BTreeSet::new(),
            user: None,
            policy: Policy::default(),
            layout: Layout::default(),
            gate: None,
        };
        let mut args = args.map(|arg| arg.to_string_lossy().into_owned());
        while let Some(arg) = args.next() {
            // Both `--option value` and `--option=value`.
            let (option, mut value) = match arg.split_once('=') {
                Some((option, value)) => (option.to_owned(), Some(value.to_owned())),
                None => (arg, None),
            };
            if matches!(option.as_str(), "--help" | "-h") {
                return Ok(Start::Say(HELP.to_owned()));
            }
            if matches!(option.as_str(), "--version" | "-V") {
                return Ok(Start::Say(format!("portway-holed {}\n", env!("CARGO_PKG_VERSION"))));
            }
            if !HELP.contains(&format!("  {option} ")) {
                return Err(OptionError::Unknown(option));
            }
            let value = value.take().or_else(|| args.next());
            options.set(&option, &value.ok_or_else(|| OptionError::NoValue(option.clone()))?)?;
        }
        if options.allow.is_empty() {
            options.allow.insert(0);
        }
        options.allow.extend(options.user);
        Ok(Start::Serve(Box::new(options)))
    }

    fn gate(&mut self) -> &mut Gate {
        self.gate.get_or_insert_default()
    }

    fn set(&mut self, option: &str, value: &str) -> Result<(), OptionError> {
        let bad = |wanted| OptionError::BadValue { option: option.into(), value: value.into(), wanted };
        match option {
            "--socket" => self.socket = value.into(),
            "--allow" => {
                self.allow.insert(read(value).ok_or(bad("the number of a user"))?);
            }
            "--user" => self.user = Some(read(value).ok_or(bad("the number of a user"))?),
            "--reach" => {
                self.policy.reach = match value {
                    "host" => Reach::Host,
                    "forward" => Reach::Forward,
                    "both" => Reach::Both,
                    _ => return Err(bad("host, forward or both")),
                }
            }
            "--deny-port" => {
                self.policy.denied_ports.insert(read(value).ok_or(bad("a port"))?);
            }
            "--longest" => {
                let seconds =
                    read(value).filter(|s| (1..=60).contains(s)).ok_or(bad("a number from 1 to 60"))?;
                self.policy.longest = Duration::from_secs(seconds);
            }
            "--per-pair" => self.policy.per_pair = read(value).ok_or(bad("a number"))?,
            "--total" => {
                let total = read(value).filter(|n| (1..=1 << 20).contains(n)).ok_or(bad("1 to 1048576"))?;
                self.policy.total = total;
                // Elements of holes that ended in this very moment may still be there.
                self.layout.size = u32::try_from(total).unwrap_or(u32::MAX).saturating_add(64);
            }
            "--guard" => self.layout.guard = Some(range(value).ok_or(bad("FIRST-LAST, from 1024 on"))?),
            "--mark" => {
                let bits = value.strip_prefix("0x").and_then(|hex| u32::from_str_radix(hex, 16).ok());
                self.layout.mark = bits.or_else(|| read(value)).filter(|&m| m != 0).ok_or(bad("a mark"))?;
            }
            "--gate" => self.gate().version = value.into(),
            "--routes" => {
                let parts = value.split_once(':').and_then(|(mark, table)| Some((read(mark)?, read(table)?)));
                let (mark, table) = parts.filter(|(mark, _)| *mark != 0).ok_or(bad("MARK:TABLE"))?;
                self.gate().routes = Some(LocalRoutes { mark, table });
            }
            "--queue" => self.gate().queue = Some(read(value).ok_or(bad("the number of a queue"))?),
            _ => return Err(OptionError::Unknown(option.to_owned())),
        }
        Ok(())
    }
}

fn read<T: FromStr>(value: &str) -> Option<T> {
    value.parse().ok()
}

fn range(value: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = value.split_once('-')?;
    let (first, last) = (read(first)?, read(last)?);
    (first >= 1024 && first <= last).then_some(first..=last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Options, OptionError> {
        match Options::read(line.split_whitespace().map(OsString::from))? {
            Start::Serve(options) => Ok(*options),
            Start::Say(text) => panic!("{text}"),
        }
    }

    #[test]
    fn without_options_only_root_may_ask() {
        let options = read("").unwrap();
        assert_eq!(options.allow, [0].into());
        assert_eq!(options.policy, Policy::default());
    }

    #[test]
    fn every_option_of_the_help_is_understood() {
        let line = "--socket /x --allow 7 --user=8 --reach forward --deny-port 9999 --longest 30 --per-pair 4 \
                    --total 9 --guard 5000-5009 --mark 0x40 --gate 1.2 --routes 64:65 --queue 66";
        let options = read(line).unwrap();
        assert_eq!(options.allow, [7, 8].into());
        assert_eq!(options.layout.guard, Some(5000..=5009));
        assert_eq!((options.layout.mark, options.policy.total), (0x40, 9));
        let routes = Some(LocalRoutes { mark: 64, table: 65 });
        assert_eq!(options.gate, Some(Gate { version: "1.2".into(), routes, queue: Some(66) }));
        for word in HELP.split_whitespace().filter(|word| word.starts_with("--")) {
            let word = word.trim_end_matches([',', ')']);
            let known = line.contains(word) || matches!(word, "--help" | "--version");
            assert!(known, "{word} is in the help and not in this test");
        }
    }

    #[test]
    fn nonsense_is_refused_with_its_name() {
        for line in [
            "--sock x",
            "--allow",
            "--allow root",
            "--longest 61",
            "--guard 80-90",
            "--mark 0",
            "x",
            "--routes 7",
        ] {
            let error = read(line).unwrap_err().to_string();
            assert!(error.contains(line.split_whitespace().next().unwrap()), "{error}");
        }
    }
}
