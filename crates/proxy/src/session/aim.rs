//! From a destination or a route to a server that is connected.

use std::io;
use std::net::SocketAddr;

use portway_net::Forwarded;
use portway_ops::{Shown, UpstreamFailed, UpstreamOpened};
use portway_proto::Code;
use tokio::time::{Instant, timeout};

use portway_interpreter::End;

use super::{Server, Session};
use crate::quota::Allowance;
use crate::routes::{Caller, Place, Scheme};
use crate::upstream::{Goal, Lost, NoServer, Upstream, Wanted};
use crate::{Allow, Denied, Destination, Kind, ServerTlsChoice};

/// Addresses of one name that are tried.
const MOST: usize = 16;

/// Connections to servers that one client has made without logging in. Each costs a server more than its USER or OPEN
/// costs the client: ProFTPD and others start a process.
const CALLS: u32 = 20;

impl Session {
    /// Connects to where the client of a forward proxy wants to go.
    pub(super) async fn connect_to(&mut self, to: &Destination) -> Result<Result<(), NoServer>, End> {
        self.leave_server();
        let Kind::Forward(allow) = &self.config.kind else { return Ok(Err(NoServer::NoneLeft)) };
        let own = &self.config.own_listeners;
        let (home, limit) = (self.client.local.ip(), self.config.leg.timeouts.connect);
        let judged = async {
            let addresses = timeout(limit, resolve(&to.host, to.port))
                .await
                .map_err(|_| NoServer::Lost(Lost::Silent(limit)))??;
            judge(allow, own, home, &to.host, addresses)
        };
        let addresses = match self.client.control.attend(judged).await? {
            Ok(addresses) => addresses,
            Err(error) => return Ok(Err(self.no_server(&to.host, error))),
        };
        let scheme = if to.implicit_tls() { Scheme::Ftps } else { Scheme::Ftp };
        self.reach(self.goal(to.host.clone(), addresses, scheme), None).await
    }

    /// Connects to where the client's connection was on its way to.
    async fn connect_as_called(&mut self, allow: &Allow) -> Result<Result<(), NoServer>, End> {
        let to = self.called;
        let own = &self.config.own_listeners;
        let judged = match own.leads_here(to, self.client.local.ip()) {
            true => Err(Denied::Ourselves(to)),
            false => allow.judge_called(to),
        };
        // What the client called, also where it is translated on the way: that is whom it trusts.
        let host = self.client.reached.unwrap_or(to).ip().to_canonical().to_string();
        if let Err(denied) = judged {
            return Ok(Err(self.no_server(&host, denied.into())));
        }
        let implicit = match &self.takeover {
            Some(taken) => taken.implicit,
            None => to.port() == crate::destination::FTPS,
        };
        let scheme = if implicit { Scheme::Ftps } else { Scheme::Ftp };
        // Who calls by name and shows it under TLS has the certificate checked against that name.
        let named = self.client.control.tls_info().and_then(|tls| tls.sni.clone());
        self.reach(self.goal(named.unwrap_or(host), vec![to], scheme), None).await
    }

    /// Connects to the server that the routes choose for this user, or to the next one that is alive.
    pub(super) async fn connect_for(&mut self, user: &[u8]) -> Result<Result<(), NoServer>, End> {
        self.leave_server();
        let config = std::sync::Arc::clone(&self.config);
        let routes = match &config.kind {
            Kind::Reverse(routes) => routes,
            Kind::Transparent(allow) => return self.connect_as_called(allow).await,
            Kind::Forward(_) => return Ok(Err(NoServer::NoneLeft)),
        };
        let sni = self.client.control.tls_info().and_then(|tls| tls.sni.clone());
        let caller = Caller {
            user,
            host: self.host.as_deref(),
            sni: sni.as_deref(),
            client: self.client.peer.ip().to_canonical(),
        };
        let Some(route) = routes.choose(caller) else { return Ok(Err(NoServer::NoneLeft)) };
        let filter = route.filter.clone();
        let servers = route.group.order(Instant::now().into_std());
        let mut last = NoServer::NoneLeft;
        for server in servers {
            let target = server.target.clone();
            let addresses = match self.client.control.attend(resolve(&target.host, target.port)).await? {
                Ok(addresses) => addresses,
                Err(error) => {
                    last = self.no_server(&target.host, error);
                    server.has_failed(Instant::now().into_std());
                    continue;
                }
            };
            let goal = self.goal(target.host.clone(), addresses, target.scheme);
            match self.reach(goal, Some(server.enter())).await? {
                Ok(()) => {
                    server.is_found(true);
                    if let Some(filter) = filter {
                        self.filter = filter;
                    }
                    return Ok(Ok(()));
                }
                Err(error) => {
                    server.has_failed(Instant::now().into_std());
                    last = error;
                }
            }
        }
        Ok(Err(last))
    }

    fn goal(&self, host: String, addresses: Vec<SocketAddr>, scheme: Scheme) -> Goal {
        let client =
            Some(Forwarded { client: self.client.peer, reached: self.client.reached.unwrap_or(self.called) });
        let bears = self.takeover.as_ref().map(|_| self.client.peer);
        Goal { host, addresses, tls: self.wanted(scheme), client, bears }
    }

    async fn reach(&mut self, goal: Goal, place: Option<Place>) -> Result<Result<(), NoServer>, End> {
        if self.calls >= CALLS {
            self.client.say(Code::UNAVAILABLE, "Too many servers called without a login; closing.");
            return Err(End::REFUSED);
        }
        let config = std::sync::Arc::clone(&self.config);
        let opening = Upstream::open(&goal, &config.leg);
        let leg = match self.client.control.attend(opening).await? {
            Ok(leg) => leg,
            Err(error) => return Ok(Err(self.no_server(&goal.host, error))),
        };
        self.calls += 1;
        // Another address of this machine's: nothing told so before the kernel gave us the same one.
        if config.own_listeners.leads_here(leg.peer(), leg.local().ip()) {
            return Ok(Err(self.no_server(&goal.host, Denied::Ourselves(leg.peer()).into())));
        }
        self.client.record(UpstreamOpened {
            session: self.client.entry.id(),
            server: leg.peer(),
            host: Shown::from(leg.host()),
            from: leg.local(),
            tls: leg.tls_version(),
        });
        self.upstream = Some(Box::new(Server {
            leg,
            user: Vec::new(),
            features: None,
            accepted: Vec::new(),
            wants_account: false,
            directory: None,
            _place: place,
            allowance: Allowance::default(),
        }));
        Ok(Ok(()))
    }

    /// Whether the leg begins TLS; never less than the client has, unless the administrator says so.
    fn wanted(&self, scheme: Scheme) -> Wanted {
        let leg = &self.config.leg;
        match (scheme, leg.tls) {
            (Scheme::Ftps, _) => Wanted::Implicit,
            (Scheme::Ftpes, _) | (_, ServerTlsChoice::Required) => Wanted::Explicit,
            (Scheme::Ftp, ServerTlsChoice::Off) => Wanted::Nothing,
            (Scheme::Ftp, ServerTlsChoice::Auto) if self.client.dialogue.is_secure() => Wanted::Explicit,
            (Scheme::Ftp, ServerTlsChoice::Auto) if leg.named_authority => Wanted::IfOffered,
            (Scheme::Ftp, ServerTlsChoice::Auto) => Wanted::Nothing,
        }
    }

    fn no_server(&self, host: &str, error: NoServer) -> NoServer {
        let server = match &error {
            NoServer::Unreachable { to, .. } => Some(*to),
            _ => None,
        };
        self.client.record(UpstreamFailed {
            session: self.client.entry.id(),
            host: Shown::from(host),
            server,
            cause: error.cause(),
            detail: Shown::from(error.to_string()),
        });
        error
    }
}

async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, NoServer> {
    let unknown = |source: io::Error| NoServer::UnknownHost { host: host.to_owned(), source };
    let found: Vec<SocketAddr> =
        tokio::net::lookup_host((host, port)).await.map_err(unknown)?.take(MOST).collect();
    if found.is_empty() { Err(unknown(io::ErrorKind::NotFound.into())) } else { Ok(found) }
}

/// The addresses that may be dialled; these and no others are, so that the name cannot change its mind.
fn judge(
    allow: &Allow,
    own: &portway_data::OwnListeners,
    home: std::net::IpAddr,
    host: &str,
    addresses: Vec<SocketAddr>,
) -> Result<Vec<SocketAddr>, NoServer> {
    let mut denied = None;
    let mut good = Vec::new();
    for to in addresses {
        // Where no route leads, nobody is reached.
        let here = portway_nft::is_local(to.ip()).unwrap_or_default();
        match allow.judge(host, to, here) {
            Ok(()) if own.leads_here(to, home) => denied = Some(Denied::Ourselves(to)),
            Ok(()) => good.push(to),
            Err(why) => denied = Some(why),
        }
    }
    match (good.is_empty(), denied) {
        (true, Some(why)) => Err(why.into()),
        (true, None) => Err(NoServer::NoneLeft),
        (false, _) => Ok(good),
    }
}
