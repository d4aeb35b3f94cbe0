//! `--proxy` and the environment; what opens the way for the server in active mode.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::Args;
use portway_client::{Reach, Target};
use portway_net::Proxy;

use crate::serve::{PinholesArg, start_pinholes};
use crate::service::duration;

/// The ways between here and the server.
#[derive(Debug, Args)]
pub(crate) struct ReachArgs {
    /// Go through this proxy: socks5://, socks5h:// (it looks names up), http:// (CONNECT) or ftp://, with
    /// USER:PASSWORD@ if need be; '' for none [default: $ftp_proxy or $all_proxy, unless $no_proxy names the host]
    #[arg(long, value_name = "URL")]
    proxy: Option<String>,
    /// In active mode, open this host's packet filter for the server's connection alone: none, nft or nft:SOCKET
    #[arg(long, value_name = "HOW", default_value = "none")]
    pinholes: PinholesArg,
    /// Send NOOP this often while a transfer runs, as 30s or 5m [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    keep_alive: Option<Duration>,
    /// What all connections share.
    #[arg(skip)]
    shared: OnceLock<Reach>,
}

impl ReachArgs {
    /// For one server: `no_proxy` may except it.
    pub(crate) fn reach(&self, target: &Target) -> Result<Reach> {
        let shared = match self.shared.get() {
            Some(shared) => shared,
            None => {
                let made = self.make()?;
                self.shared.get_or_init(|| made)
            }
        };
        let env = |name: &str| std::env::var(name).ok();
        let proxy = match &self.proxy {
            Some(url) => Some(url.clone()).filter(|url| !url.is_empty()),
            None => of_environment(target, env),
        };
        // The message must not repeat the URL: it may hold a password.
        let proxy =
            proxy.map(|url| Proxy::parse(&url).context("--proxy, ftp_proxy or all_proxy")).transpose()?;
        Ok(Reach { proxy: proxy.map(Arc::new), ..shared.clone() })
    }

    fn make(&self) -> Result<Reach> {
        ensure!(
            !matches!(self.pinholes, PinholesArg::Agent(_)),
            "a client opens the packet filter of its own host: --pinholes none, nft or nft:SOCKET"
        );
        ensure!(
            self.keep_alive.is_none_or(|every| every >= Duration::from_secs(1)),
            "--keep-alive: 1s or more"
        );
        let filters = self.pinholes != PinholesArg::None;
        let pinholes = start_pinholes(&self.pinholes, None)?.pinholes;
        Ok(Reach { pinholes, filters, keep_alive: self.keep_alive, ..Reach::default() })
    }
}

/// The proxy that the environment names for this server, as curl's manual has it: `ftp_proxy` (`ftps_proxy`
/// before it for implicit TLS), then `all_proxy`, each in lower case before upper case; an empty one ends the
/// search. `no_proxy` makes exceptions.
fn of_environment(target: &Target, env: impl Fn(&str) -> Option<String>) -> Option<String> {
    let either = |name: &str| env(name).or_else(|| env(&name.to_ascii_uppercase()));
    let first = if target.implicit_tls { either("ftps_proxy") } else { None };
    let url = first.or_else(|| either("ftp_proxy")).or_else(|| either("all_proxy"))?;
    let excepted = either("no_proxy").is_some_and(|list| is_excepted(&target.host, &list));
    (!url.is_empty() && !excepted).then_some(url)
}

/// Whether a list such as `localhost,.example.com,10.0.0.0/8` names the host; `*` names all.
fn is_excepted(host: &str, list: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    let ip: Option<IpAddr> = host.parse().ok();
    list.split([',', ' ']).map(|entry| entry.trim().to_ascii_lowercase()).any(|entry| {
        let entry = entry.trim_matches('.').trim_start_matches('[').trim_end_matches(']');
        match ip {
            _ if entry == "*" => true,
            _ if entry.is_empty() => false,
            Some(ip) => entry.split_once('/').map_or(entry.parse() == Ok(ip), |(net, bits)| {
                matches!((net.parse(), bits.parse()), (Ok(net), Ok(bits)) if is_within(ip, net, bits))
            }),
            None => host.strip_suffix(entry).is_some_and(|front| front.is_empty() || front.ends_with('.')),
        }
    })
}

fn is_within(ip: IpAddr, net: IpAddr, bits: u32) -> bool {
    let same = |a: u128, b: u128, width: u32| {
        bits <= width && (bits == 0 || (a ^ b).checked_shr(width - bits).is_none_or(|rest| rest == 0))
    };
    match (ip, net) {
        (IpAddr::V4(ip), IpAddr::V4(net)) => same(ip.to_bits().into(), net.to_bits().into(), 32),
        (IpAddr::V6(ip), IpAddr::V6(net)) => same(ip.to_bits(), net.to_bits(), 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(url: &str, env: &[(&str, &str)]) -> Option<String> {
        let target = Target::parse(url).unwrap();
        let value = |name: &str| env.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_owned());
        of_environment(&target, value)
    }

    #[test]
    fn the_environment_names_proxies_in_the_order_of_curl() {
        let all = ("ALL_PROXY", "socks5://all");
        assert_eq!(found("ftp://h/", &[]), None);
        assert_eq!(found("ftp://h/", &[all]).as_deref(), Some("socks5://all"));
        assert_eq!(found("ftp://h/", &[all, ("ftp_proxy", "http://f")]).as_deref(), Some("http://f"));
        assert_eq!(found("ftp://h/", &[("FTP_PROXY", "u"), ("ftp_proxy", "l")]).as_deref(), Some("l"));
        assert_eq!(found("ftp://h/", &[all, ("ftp_proxy", "")]), None, "empty means none");
        assert_eq!(found("ftps://h/", &[("ftp_proxy", "f"), ("ftps_proxy", "s")]).as_deref(), Some("s"));
        assert_eq!(found("ftp://h/", &[("http_proxy", "http://web")]), None);
    }

    #[test]
    fn no_proxy_names_hosts_domains_and_networks() {
        for (host, list, excepted) in [
            ("a.example.com", "example.com", true),
            ("a.example.com", ".example.com", true),
            ("example.com", ".example.com", true),
            ("anexample.com", "example.com", false),
            ("A.Example.com.", "b, a.example.COM", true),
            ("h", "*", true),
            ("h", "", false),
            ("h", ",", false),
            ("192.0.2.7", "192.0.2.7", true),
            ("192.0.2.7", "192.0.2.0/24", true),
            ("192.0.3.7", "192.0.2.0/24", false),
            ("192.0.2.7", "0.0.0.0/0", true),
            ("192.0.2.7", "192.0.2.0/33", false),
            ("192.0.2.7", "2.7", false),
            ("2001:db8::1", "[2001:db8::1]", true),
            ("2001:db8::1", "2001:db8::/32", true),
            ("2001:db9::1", "2001:db8::/32", false),
        ] {
            assert_eq!(is_excepted(host, list), excepted, "{host} in {list:?}");
        }
    }
}
