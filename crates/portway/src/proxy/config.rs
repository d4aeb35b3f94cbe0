//! Settings of a proxy: the configuration file, overruled by flags, filled up with defaults.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use portway_data::{Network, PassivePorts, Proof};
use portway_proxy::{Allow, Balance, Filter, Group, Kind, Match, Route, Routes, Rule, Target};
use serde::Deserialize;

use super::args::{BalanceArg, HeaderArg, ProxyArgs, UpstreamMode, UpstreamTls};
use super::commands::{self, CommandEntry};
use crate::serve::{LogFormatArg, PortRange, ProofArg, TlsMode, UserArg, duration};

/// Everything `proxy` needs to know.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) kind: Kind,
    pub(crate) listen: Vec<SocketAddr>,
    pub(crate) implicit: Vec<SocketAddr>,
    pub(crate) users: Vec<UserArg>,
    pub(crate) inspect_command: Option<String>,
    pub(crate) filter: Filter,
    pub(crate) upstream_tls: UpstreamTls,
    pub(crate) upstream_ca: Option<PathBuf>,
    pub(crate) upstream_mode: UpstreamMode,
    pub(crate) upstream_active_ports: Option<std::ops::RangeInclusive<u16>>,
    pub(crate) tls: TlsMode,
    pub(crate) cert: Option<(PathBuf, PathBuf)>,
    pub(crate) ca_dir: Option<PathBuf>,
    pub(crate) upstream_header: Option<HeaderArg>,
    pub(crate) balancers: Vec<Network>,
    pub(crate) proof: Proof,
    pub(crate) ports: PassivePorts,
    pub(crate) announce: Option<IpAddr>,
    pub(crate) idle_timeout: Duration,
    pub(crate) data_timeout: Duration,
    pub(crate) max_sessions: usize,
    pub(crate) max_sessions_per_address: usize,
    pub(crate) log_format: LogFormatArg,
}

/// The file: the flags' names with underscores. Unknown keys are refused, so that a typo is no setting.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    listen: Vec<SocketAddr>,
    implicit: Vec<SocketAddr>,
    forward: bool,
    allow: Vec<String>,
    reverse: Vec<String>,
    balance: Option<BalanceArg>,
    transparent: bool,
    users: Vec<String>,
    read_only: bool,
    inspect_command: Option<String>,
    pass_unknown: bool,
    upstream_tls: Option<UpstreamTls>,
    upstream_ca: Option<PathBuf>,
    upstream_mode: Option<UpstreamMode>,
    upstream_active_ports: Option<String>,
    tls: Option<TlsMode>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    ca_dir: Option<PathBuf>,
    upstream_proxy_header: Option<HeaderArg>,
    proxy_protocol: Vec<String>,
    data_proof: Option<ProofArg>,
    passive_ports: Option<String>,
    passive_address: Option<String>,
    idle_timeout: Option<String>,
    data_timeout: Option<String>,
    max_sessions: Option<usize>,
    max_sessions_per_address: Option<usize>,
    log_format: Option<LogFormatArg>,
    /// Rules about single commands; the first row that decides wins.
    commands: Vec<CommandEntry>,
    /// Reverse: groups of servers by name.
    servers: BTreeMap<String, ServersEntry>,
    /// Reverse: whom each group serves; the first row that fits decides.
    routes: Vec<RouteEntry>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ServersEntry {
    urls: Vec<String>,
    balance: Option<BalanceArg>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RouteEntry {
    users: Vec<String>,
    hosts: Vec<String>,
    sni: Vec<String>,
    clients: Vec<String>,
    /// The name of a group.
    to: String,
    read_only: bool,
    /// Rules about single commands, judged before those of all routes.
    commands: Vec<CommandEntry>,
}

impl Settings {
    /// Reads the file, if one is named, and puts the flags over it.
    pub(crate) fn gather(args: ProxyArgs) -> Result<Self> {
        let file = args.config.as_deref().map(read).transpose()?.unwrap_or_default();
        let filter = Filter {
            read_only: args.read_only || file.read_only,
            unknown: file.pass_unknown,
            whole_files: args.inspect_command.is_some() || file.inspect_command.is_some(),
            rules: commands::rules(&args.deny, &[&file.commands])?.into(),
        };
        let kind = kind(&args, &file, &filter)?;
        let either = |flags: Vec<SocketAddr>, file| if flags.is_empty() { file } else { flags };
        let listen = either(args.listen, file.listen);
        let implicit = either(args.implicit, file.implicit);
        let listen = match (listen.is_empty(), implicit.is_empty()) {
            (true, true) => vec![SocketAddr::from(([127, 0, 0, 1], 2121))],
            _ => listen,
        };
        let parsed = |text: &String| text.parse::<PortRange>().map_err(anyhow::Error::msg);
        let ports = match args.passive_ports {
            Some(range) => Some(range),
            None => file.passive_ports.as_ref().map(parsed).transpose().context("passive_ports")?,
        };
        let active = match args.upstream_active_ports {
            Some(range) => Some(range),
            None => file
                .upstream_active_ports
                .as_ref()
                .map(parsed)
                .transpose()
                .context("upstream_active_ports")?,
        };
        let announce = match (args.passive_address, file.passive_address.as_deref()) {
            (Some(address), _) => address.0,
            (None, None | Some("auto")) => None,
            (None, Some(text)) => Some(text.parse().with_context(|| format!("passive_address {text:?}"))?),
        };
        let users = match args.users.is_empty() {
            false => args.users,
            true => file
                .users
                .iter()
                .map(|text| text.parse().map_err(anyhow::Error::msg))
                .collect::<Result<_>>()
                .context("users")?,
        };
        if !users.is_empty() && !matches!(kind, Kind::Forward(_)) {
            bail!(
                "accounts of the proxy itself (--user) are for --forward: otherwise the server checks who may"
            );
        }
        let cert = match (args.cert.or(file.cert), args.key.or(file.key)) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => bail!("a certificate needs its key: give both"),
        };
        let time = |flag: Option<Duration>, text: Option<String>, otherwise: u64| match (flag, text) {
            (Some(flag), _) => Ok(flag),
            (None, Some(text)) => duration(&text).map_err(anyhow::Error::msg),
            (None, None) => Ok(Duration::from_secs(otherwise)),
        };
        Ok(Self {
            kind,
            listen,
            implicit,
            users,
            inspect_command: args.inspect_command.or(file.inspect_command),
            filter,
            upstream_tls: args.upstream_tls.or(file.upstream_tls).unwrap_or_default(),
            upstream_ca: args.upstream_ca.or(file.upstream_ca),
            upstream_mode: args.upstream_mode.or(file.upstream_mode).unwrap_or_default(),
            upstream_active_ports: active.map(|range| range.0),
            tls: args.tls.or(file.tls).unwrap_or_default(),
            cert,
            ca_dir: args.ca_dir.or(file.ca_dir),
            upstream_header: args.upstream_proxy_header.or(file.upstream_proxy_header),
            balancers: match args.proxy_protocol.is_empty() {
                true => {
                    let listed = file.proxy_protocol.iter().map(|text| text.parse());
                    listed.collect::<Result<_, _>>().context("proxy_protocol")?
                }
                false => args.proxy_protocol,
            },
            proof: match args.data_proof.or(file.data_proof).unwrap_or_default() {
                ProofArg::Auto => Proof::Auto,
                ProofArg::Required => Proof::Required,
                ProofArg::Off => Proof::Off,
            },
            ports: ports.map_or(PassivePorts::Auto, |range| PassivePorts::Range(range.0)),
            announce,
            idle_timeout: time(args.idle_timeout, file.idle_timeout, 300).context("idle_timeout")?,
            data_timeout: time(args.data_timeout, file.data_timeout, 30).context("data_timeout")?,
            max_sessions: args.max_sessions.or(file.max_sessions).unwrap_or(10_000),
            max_sessions_per_address: args
                .max_sessions_per_address
                .or(file.max_sessions_per_address)
                .unwrap_or(0),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
        })
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
        false => targets(&file.reverse)?,
    };
    let reverse = !urls.is_empty() || (!by_flag && !file.routes.is_empty());
    match (forward, reverse, transparent) {
        (true, false, false) => Ok(Kind::Forward(Allow::new(rules(args, file)?))),
        (false, true, false) => Ok(Kind::Reverse(routes(urls, args, file, filter)?)),
        (false, false, true) => Ok(Kind::Transparent(Allow::new(rules(args, file)?))),
        (false, false, false) => {
            bail!("say what the proxy is to do: --forward, --reverse URL or --transparent")
        }
        _ => bail!("a proxy is one of forward, reverse and transparent, not several"),
    }
}

fn rules(args: &ProxyArgs, file: &File) -> Result<Vec<Rule>> {
    match args.allow.is_empty() {
        true => file.allow.iter().map(|text| text.parse()).collect::<Result<_, _>>().context("allow"),
        false => Ok(args.allow.clone()),
    }
}

fn routes(urls: Vec<Target>, args: &ProxyArgs, file: &File, filter: &Filter) -> Result<Routes> {
    let balance = args.balance.or(file.balance).unwrap_or_default();
    let mut groups = BTreeMap::new();
    for (name, entry) in &file.servers {
        if entry.urls.is_empty() {
            bail!("servers.{name} has no urls");
        }
        let balance = entry.balance.unwrap_or(balance);
        let urls = targets(&entry.urls).with_context(|| format!("servers.{name}"))?;
        groups.insert(name.as_str(), Arc::new(Group::new(urls, balance.into())));
    }
    let mut rows = Vec::new();
    for entry in &file.routes {
        let group = groups.get(entry.to.as_str());
        let group = group
            .with_context(|| format!("a route leads to {:?}, and there are no such servers", entry.to))?;
        let clients = entry.clients.iter().map(|text| text.parse::<Network>());
        let when = Match {
            users: entry.users.clone(),
            hosts: entry.hosts.clone(),
            sni: entry.sni.clone(),
            clients: clients.collect::<Result<_, _>>().context("clients of a route")?,
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

fn targets(texts: &[String]) -> Result<Vec<Target>> {
    texts.iter().map(|text| text.parse().map_err(anyhow::Error::from)).collect()
}

fn read(path: &Path) -> Result<File> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("in {}", path.display()))
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
