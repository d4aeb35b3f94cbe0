//! How connections leave and come in: straight or through a proxy, by a port of ours or of the proxy's.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portway_data::{Link, LinkError, Through};
use portway_net::{Destination, ProxyError, ProxyKind, connect_first};
use portway_proto::Vetted;
use portway_proto::client::Credentials;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::Connection;
use crate::trace::micros;
use crate::{Cause, Error, Phase, Seen, Settings, Target, Trace};

/// A TCP connection that ends at the server.
pub(super) struct Reached {
    pub(super) stream: TcpStream,
    /// The server, or the proxy where only that knows its address.
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    pub(super) round_trip: Duration,
    pub(super) through: Option<Through>,
}

/// Connects to the server of `target`, by the proxy if there is one.
pub(super) async fn reach(target: &Target, settings: &Settings, trace: &Trace) -> Result<Reached, Error> {
    let Some(proxy) = &settings.reach.proxy else {
        let (stream, peer, round_trip) = race(&target.host, target.port, settings).await?;
        return arrived(stream, peer, round_trip, None, trace);
    };
    let began = Instant::now();
    let (stream, at, _) =
        race(&proxy.host, proxy.port, settings).await.map_err(|error| match error.cause {
            Cause::NoConnection { source, .. } => Error::new(error.phase, ProxyError::NoConnection(source)),
            _ => error,
        })?;
    trace.note(format_args!("through the proxy {proxy}"));
    if proxy.kind == ProxyKind::Ftp {
        return arrived(stream, at, began.elapsed(), None, trace);
    }
    let server = match (proxy.kind, Destination::named(&target.host, target.port)) {
        (ProxyKind::Socks5 { names: false }, Destination::Name(name, port)) => {
            let addresses = lookup(&name, port, settings).await?;
            Destination::Addr(addresses.first().copied().ok_or_else(|| unknown(&name, not_found()))?)
        }
        (_, named) => named,
    };
    let limit = settings.timeouts.connect;
    let asked = Instant::now();
    let stream = match timeout(limit, proxy.connect(stream, &server)).await {
        Err(_) => return Err(Error::new(Phase::Connect, Cause::Silence(limit))),
        Ok(stream) => stream.map_err(|error| Error::new(Phase::Connect, error))?,
    };
    let peer = server.ip().map_or(at, |ip| SocketAddr::new(ip, target.port));
    let through = Through { proxy: Arc::clone(proxy), at, server, peer: peer.ip() };
    arrived(stream, peer, asked.elapsed(), Some(through), trace)
}

fn arrived(
    stream: TcpStream,
    peer: SocketAddr,
    round_trip: Duration,
    through: Option<Through>,
    trace: &Trace,
) -> Result<Reached, Error> {
    let local = stream.local_addr().map_err(|error| Error::new(Phase::Connect, Cause::Control(error)))?;
    trace.record(|| Seen::Connected { local, peer, round_trip_us: micros(round_trip) });
    Ok(Reached { stream, peer, local, round_trip, through })
}

/// The logins that lead to the server, in order. At an FTP proxy: its own, if it has one, and then
/// `user@host`, which every kind of them knows.
pub(super) fn logins(target: &Target, settings: &Settings) -> Vec<Credentials> {
    let Some(proxy) = settings.reach.proxy.as_deref().filter(|proxy| proxy.kind == ProxyKind::Ftp) else {
        return vec![settings.credentials.clone()];
    };
    let own = proxy.login.as_ref().map(|(user, password)| Credentials {
        user: user.clone(),
        password: password.to_vec(),
        account: None,
    });
    let mut server = settings.credentials.clone();
    let authority = target.authority();
    let place = if target.port == 21 { authority.trim_end_matches(":21") } else { &authority };
    server.user = [&server.user, &b"@"[..], place.as_bytes()].concat();
    own.into_iter().chain([server]).collect()
}

impl Connection {
    /// Opens a data connection to a passive port, the way the control connection went.
    pub(crate) async fn dial(&self, to: Vetted, within: Duration) -> Result<Link, LinkError> {
        match &self.through {
            None => Link::connect(to, None, within).await,
            Some(through) => Link::connect_through(through, to, within).await,
        }
    }
}

async fn lookup(host: &str, port: u16, settings: &Settings) -> Result<Vec<SocketAddr>, Error> {
    let lookup = tokio::net::lookup_host((host, port));
    match timeout(settings.timeouts.resolve, lookup).await {
        Err(_) => Err(Error::new(Phase::Resolve, Cause::Silence(settings.timeouts.resolve))),
        Ok(Err(error)) => Err(unknown(host, error)),
        Ok(Ok(addresses)) => Ok(addresses.take(16).collect()),
    }
}

/// TCP to the first address that answers, and how long its handshake took.
async fn race(
    host: &str,
    port: u16,
    settings: &Settings,
) -> Result<(TcpStream, SocketAddr, Duration), Error> {
    let addresses = lookup(host, port, settings).await?;
    match connect_first(&addresses, settings.timeouts.connect).await {
        Ok((stream, to, took)) => Ok((stream, to, took)),
        Err(None) => Err(unknown(host, not_found())),
        Err(Some((to, source))) => Err(Error::new(Phase::Connect, Cause::NoConnection { to, source })),
    }
}

fn unknown(host: &str, source: io::Error) -> Error {
    Error::new(Phase::Resolve, Cause::Unknown { host: host.to_owned(), source })
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

/// The name under which a server is remembered: what works through a proxy says nothing about the straight way.
pub(super) fn remembered(target: &Target, settings: &Settings) -> String {
    match &settings.reach.proxy {
        None => target.host.clone(),
        Some(proxy) => format!("{} by {proxy}", target.host),
    }
}

#[cfg(test)]
mod tests {
    use portway_net::Proxy;

    use super::*;
    use crate::Reach;

    fn settings(proxy: &str) -> Settings {
        let reach = Reach { proxy: Some(Arc::new(Proxy::parse(proxy).unwrap())), ..Reach::default() };
        let credentials = Credentials { user: b"u".to_vec(), password: b"p".to_vec(), account: None };
        Settings { reach, credentials, ..Settings::default() }
    }

    #[test]
    fn an_ftp_proxy_is_logged_in_to_before_the_server() {
        let shown = |url: &str, proxy: &str| -> Vec<String> {
            let logins = logins(&Target::parse(url).unwrap(), &settings(proxy));
            logins
                .iter()
                .map(|l| String::from_utf8([&l.user, &b" "[..], &l.password].concat()).unwrap())
                .collect()
        };
        assert_eq!(shown("ftp://h/", "ftp://p"), ["u@h p"]);
        assert_eq!(shown("ftp://h:2121/", "ftp://a:b@p"), ["a b", "u@h:2121 p"]);
        assert_eq!(shown("ftp://[::1]:2121/", "ftp://p"), ["u@[::1]:2121 p"]);
        assert_eq!(shown("ftp://h/", "socks5://a:b@p"), ["u p"]);
    }
}
