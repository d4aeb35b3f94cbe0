//! Settings of a proxy: the configuration file, overruled by flags, filled up with defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use portway_data::Network;
use portway_proxy::{
    Allow, Balance, Filter, Group, Inspect, Kind, Match, Route, Routes, Rule, Target, UserLimit,
};
use serde::Deserialize;

use super::args::{BalanceArg, HeaderArg, ProxyArgs, UpstreamMode, UpstreamTls};
use super::commands::{self, CommandEntry};
use crate::client::Rate;
use crate::serve::UserArg;
use crate::service::{PortRange, Service, either, read, text, texts};

/// Everything `proxy` needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) service: Service,
    pub(crate) users: Vec<UserArg>,
    pub(crate) inspect: Option<Inspect>,
    pub(crate) user_limits: Vec<UserLimit>,
    pub(crate) filter: Filter,
    pub(crate) upstream_tls: UpstreamTls,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) upstream_mode: UpstreamMode,
    pub(crate) upstream_active_ports: Option<std::ops::RangeInclusive<u16>>,
    pub(crate) ca_dir: Option<PathBuf>,
    pub(crate) upstream_header: Option<HeaderArg>,
}

/// The file, less what is common: the flags' names with underscores.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    forward: bool,
    #[serde(deserialize_with = "texts")]
    allow: Vec<Rule>,
    #[serde(deserialize_with = "texts")]
    reverse: Vec<Target>,
    balance: Option<BalanceArg>,
    transparent: bool,
    #[serde(deserialize_with = "texts")]
    users: Vec<UserArg>,
    read_only: bool,
    inspect_command: Option<String>,
    inspect_icap: Option<String>,
    pass_unknown: bool,
    upstream_tls: Option<UpstreamTls>,
    upstream_ca: Option<PathBuf>,
    upstream_mode: Option<UpstreamMode>,
    #[serde(deserialize_with = "text")]
    upstream_active_ports: Option<PortRange>,
    ca_dir: Option<PathBuf>,
    upstream_proxy_header: Option<HeaderArg>,
    max_sessions_per_user: Option<usize>,
    #[serde(deserialize_with = "text")]
    limit_rate: Option<Rate>,
    /// Limits of certain users; the first row about a user decides, and without one, what holds for all.
    limits: Vec<LimitEntry>,
    /// Rules about single commands; the first row that decides wins.
    commands: Vec<CommandEntry>,
    /// Reverse: groups of servers by name.
    servers: BTreeMap<String, ServersEntry>,
    /// Reverse: whom each group serves; the first row that fits decides.
    routes: Vec<RouteEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct LimitEntry {
    users: Vec<String>,
    sessions: Option<usize>,
    #[serde(deserialize_with = "text")]
    rate: Option<Rate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ServersEntry {
    #[serde(deserialize_with = "texts")]
    urls: Vec<Target>,
    balance: Option<BalanceArg>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RouteEntry {
    users: Vec<String>,
    hosts: Vec<String>,
    sni: Vec<String>,
    #[serde(deserialize_with = "texts")]
    clients: Vec<Network>,
    /// The name of a group.
    to: String,
    read_only: bool,
    /// Rules about single commands, judged before those of all routes.
    commands: Vec<CommandEntry>,
}

impl Settings {
    /// Reads the file, if one is named, and puts the flags over it.
    pub(crate) fn gather(args: ProxyArgs) -> Result<Self> {
        let (common, file) = args.config.as_deref().map(read::<File>).transpose()?.unwrap_or_default();
        let inspect = inspect(&args, &file)?;
        let filter = Filter {
            read_only: args.read_only || file.read_only,
            unknown: file.pass_unknown,
            whole_files: inspect.is_some(),
            rules: commands::rules(&args.deny, &[&file.commands])?.into(),
        };
        let kind = kind(&args, &file, &filter)?;
        let user_limits = user_limits(&args, &file);
        let users = either(args.users, file.users);
        if !users.is_empty() && !matches!(kind, Kind::Forward(_)) {
            bail!(
                "accounts of the proxy itself (--user) are for --forward: otherwise the server checks who may"
            );
        }
        Ok(Self {
            kind,
            service: args.service.over(common)?,
            users,
            inspect,
            user_limits,
            filter,
            upstream_tls: args.upstream_tls.or(file.upstream_tls).unwrap_or_default(),
            upstream_ca: args.upstream_ca.or(file.upstream_ca),
            upstream_mode: args.upstream_mode.or(file.upstream_mode).unwrap_or_default(),
            upstream_active_ports: args
                .upstream_active_ports
                .or(file.upstream_active_ports)
                .map(|range| range.0),
            ca_dir: args.ca_dir.or(file.ca_dir),
            upstream_header: args.upstream_proxy_header.or(file.upstream_proxy_header),
        })
    }
}

/// The rows of the file, and last what holds for everybody. What a row leaves out is as for everybody.
fn user_limits(args: &ProxyArgs, file: &File) -> Vec<UserLimit> {
    let sessions = args.max_sessions_per_user.or(file.max_sessions_per_user).unwrap_or_default();
    let rate = args.limit_rate.or(file.limit_rate).map(|rate| rate.0);
    let row = |entry: &LimitEntry| UserLimit {
        users: entry.users.clone(),
        sessions: entry.sessions.unwrap_or(sessions),
        rate: entry.rate.map(|rate| rate.0).or(rate),
    };
    let rows = file.limits.iter().map(row);
    rows.chain([UserLimit { users: Vec::new(), sessions, rate }]).collect()
}

/// Who looks into files. A flag overrules the file.
fn inspect(args: &ProxyArgs, file: &File) -> Result<Option<Inspect>> {
    let by_flag = args.inspect_command.is_some() || args.inspect_icap.is_some();
    let (command, icap) = match by_flag {
        true => (&args.inspect_command, &args.inspect_icap),
        false => (&file.inspect_command, &file.inspect_icap),
    };
    match (command, icap) {
        (None, None) => Ok(None),
        (Some(command), None) => Ok(Some(Inspect::command(command))),
        (None, Some(url)) => Ok(Some(Inspect::icap(url).with_context(|| format!("--inspect-icap {url}"))?)),
        (Some(_), Some(_)) => bail!("files are looked into by a command or by an ICAP server, not both"),
    }
}

/// Whose proxy it is. A kind on the command line overrules the file's.
fn kind(args: &ProxyArgs, file: &File, filter: &Filter) -> Result<Kind> {
    let by_flag = args.forward || args.transparent || !args.reverse.is_empty();
    let (forward, transparent) = match by_flag {
        true => (args.forward, args.transparent),
        false => (file.forward, file.transparent),
    };
    let urls = match by_flag {
        true => args.reverse.clone(),
        false => file.reverse.clone(),
    };
    let reverse = !urls.is_empty() || (!by_flag && !file.routes.is_empty());
    match (forward, reverse, transparent) {
        (true, false, false) => Ok(Kind::Forward(Allow::new(rules(args, file)))),
        (false, true, false) => Ok(Kind::Reverse(routes(urls, args, file, filter)?)),
        (false, false, true) => Ok(Kind::Transparent(Allow::new(rules(args, file)))),
        (false, false, false) => {
            bail!("say what the proxy is to do: --forward, --reverse URL or --transparent")
        }
        _ => bail!("a proxy is one of forward, reverse and transparent, not several"),
    }
}

fn rules(args: &ProxyArgs, file: &File) -> Vec<Rule> {
    either(args.allow.clone(), file.allow.clone())
}

fn routes(urls: Vec<Target>, args: &ProxyArgs, file: &File, filter: &Filter) -> Result<Routes> {
    let balance = args.balance.or(file.balance).unwrap_or_default();
    let mut groups = BTreeMap::new();
    for (name, entry) in &file.servers {
        if entry.urls.is_empty() {
            bail!("servers.{name} has no urls");
        }
        let balance = entry.balance.unwrap_or(balance);
        groups.insert(name.as_str(), Arc::new(Group::new(entry.urls.clone(), balance.into())));
    }
    let mut rows = Vec::new();
    for entry in &file.routes {
        let group = groups.get(entry.to.as_str());
        let group = group
            .with_context(|| format!("a route leads to {:?}, and there are no such servers", entry.to))?;
        let when = Match {
            users: entry.users.clone(),
            hosts: entry.hosts.clone(),
            sni: entry.sni.clone(),
            clients: entry.clients.clone(),
        };
        let filter = Filter {
            read_only: entry.read_only || filter.read_only,
            unknown: filter.unknown,
            whole_files: filter.whole_files,
            rules: commands::rules(&args.deny, &[&entry.commands, &file.commands])?.into(),
        };
        rows.push(Route { when, group: Arc::clone(group), filter: Some(filter) });
    }
    if !urls.is_empty() {
        let group = Arc::new(Group::new(urls, Balance::from(balance)));
        rows.push(Route { when: Match::default(), group, filter: None });
    }
    Ok(Routes::new(rows))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: ProxyArgs,
    }

    fn gather(line: &[&str]) -> Result<Settings> {
        let line = Line::try_parse_from(std::iter::once(&"proxy").chain(line))?;
        Settings::gather(line.args)
    }

    #[test]
    fn exactly_one_kind_is_wanted() {
        assert!(matches!(gather(&["--forward"]).expect("forward").kind, Kind::Forward(_)));
        assert!(matches!(gather(&["--reverse", "ftp://h"]).expect("reverse").kind, Kind::Reverse(_)));
        assert!(gather(&[]).is_err());
        assert!(gather(&["--forward", "--reverse", "ftp://h"]).is_err());
        assert!(gather(&["--reverse", "http://h"]).is_err());
        assert!(gather(&["--reverse", "ftp://h", "--user", "a:b"]).is_err());
        assert!(gather(&["--reverse", "ftp://h", "--allow", "10.0.0.0/8"]).is_err());
    }

    #[test]
    fn routes_of_a_file_lead_to_servers_of_the_file() {
        let read = |file: File| {
            let line = Line::try_parse_from(["proxy"]).expect("no flags");
            kind(&line.args, &file, &Filter::default())
        };
        let file: File = toml::from_str(
            r#"
            upstream_tls = "required"
            [servers.old]
            urls = ["ftp://192.0.2.1", "ftp://192.0.2.2"]
            balance = "least-connections"
            [[routes]]
            users = ["ann*"]
            clients = ["198.51.100.0/24"]
            to = "old"
            read_only = true
            "#,
        )
        .expect("a file");
        assert!(read(file).is_ok());
        let lost: File = toml::from_str("[[routes]]\nto = \"nowhere\"").expect("a file");
        assert!(read(lost).is_err());
        assert!(toml::from_str::<File>("revers = []").is_err());
    }
}
