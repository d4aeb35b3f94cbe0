//! Which server a reverse proxy chooses.

use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use portway_data::Network;

use crate::destination::FTPS;
use crate::{Destination, Filter};

/// How long a server that could not be reached is left out, unless a health check says otherwise.
const PENALTY: Duration = Duration::from_secs(10);

/// A server behind the proxy, from a URL.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// How TLS begins there.
    pub scheme: Scheme,
    /// A name in lower case, or an address.
    pub host: String,
    /// The control port.
    pub port: u16,
}

/// How TLS begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `ftp://`: as the settings of the leg say.
    Ftp,
    /// `ftpes://`: AUTH TLS, whatever the settings say.
    Ftpes,
    /// `ftps://`: TLS from the first octet, port 990 by default.
    Ftps,
}

/// Why a text is no URL of a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no server: expected ftp://host, ftpes://host or ftps://host, with :port if need be")]
pub struct TargetError(String);

impl std::str::FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let wrong = || TargetError(text.to_owned());
        let (scheme, place) = text.split_once("://").unwrap_or(("ftp", text));
        let scheme = match scheme.to_ascii_lowercase().as_str() {
            "ftp" => Scheme::Ftp,
            "ftpes" => Scheme::Ftpes,
            "ftps" => Scheme::Ftps,
            _ => return Err(wrong()),
        };
        let place = place.strip_suffix('/').unwrap_or(place);
        let named = Destination::parse(place.as_bytes()).map_err(|_| wrong())?;
        // A bare port number is in the text only if somebody wrote it there.
        let explicit =
            place.rsplit(']').next().unwrap_or(place).contains(':') && place.parse::<IpAddr>().is_err();
        let port = if scheme == Scheme::Ftps && !explicit { FTPS } else { named.port };
        Ok(Self { scheme, host: named.host, port })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.scheme {
            Scheme::Ftp => "ftp",
            Scheme::Ftpes => "ftpes",
            Scheme::Ftps => "ftps",
        };
        write!(f, "{scheme}://{}", Destination { host: self.host.clone(), port: self.port })
    }
}

/// How sessions are spread over the servers of a group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    #[default]
    RoundRobin,
    /// To the one with the fewest sessions of ours.
    LeastConnections,
}

/// Servers that stand for one another.
#[derive(Debug)]
pub struct Group {
    servers: Vec<Arc<Server>>,
    balance: Balance,
    turn: AtomicUsize,
    /// What a server of the group last said to FEAT, for clients that ask before they log in.
    features: Mutex<Option<portway_proto::RawReply>>,
}

#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) target: Target,
    sessions: AtomicUsize,
    healthy: AtomicBool,
    failed: Mutex<Option<Instant>>,
}

/// A session's place at a server; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(Arc<Server>);

impl Group {
    /// These servers.
    #[must_use]
    pub fn new(targets: Vec<Target>, balance: Balance) -> Self {
        let server = |target| {
            Arc::new(Server {
                target,
                sessions: AtomicUsize::new(0),
                healthy: AtomicBool::new(true),
                failed: Mutex::default(),
            })
        };
        let servers = targets.into_iter().map(server).collect();
        Self { servers, balance, turn: AtomicUsize::new(0), features: Mutex::default() }
    }

    /// The servers in the order in which a new session tries them: the good ones by balance, then those that
    /// failed of late, since a late server is better than none.
    pub(crate) fn order(&self, now: Instant) -> Vec<Arc<Server>> {
        let mut servers = self.servers.clone();
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        servers.rotate_left(turn.checked_rem(self.servers.len()).unwrap_or(0));
        if self.balance == Balance::LeastConnections {
            servers.sort_by_key(|server| server.sessions.load(Ordering::Relaxed));
        }
        servers.sort_by_key(|server| !server.is_up(now));
        servers
    }

    pub(crate) fn servers(&self) -> &[Arc<Server>] {
        &self.servers
    }

    pub(crate) fn features(&self) -> Option<portway_proto::RawReply> {
        self.features.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn has_features(&self, reply: &portway_proto::RawReply) {
        *self.features.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply.clone());
    }
}

impl Server {
    pub(crate) fn enter(self: &Arc<Self>) -> Place {
        self.sessions.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }

    fn is_up(&self, now: Instant) -> bool {
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        self.healthy.load(Ordering::Relaxed) && failed.is_none_or(|at| now.duration_since(at) > PENALTY)
    }

    /// A session could not be opened.
    pub(crate) fn has_failed(&self, now: Instant) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// A check or a session says how it is; true if that is news.
    pub(crate) fn is_found(&self, healthy: bool) -> bool {
        if healthy {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        self.healthy.swap(healthy, Ordering::Relaxed) != healthy
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.sessions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a route is chosen by; what is left out fits everybody. Names are compared without regard to case, and
/// `*` in them stands for any octets.
#[derive(Clone, Debug, Default)]
pub struct Match {
    /// The name given to USER.
    pub users: Vec<String>,
    /// The name given to HOST (RFC 7151).
    pub hosts: Vec<String>,
    /// The name in the client's TLS handshake (RFC 6066 §3).
    pub sni: Vec<String>,
    /// Where the client comes from.
    pub clients: Vec<Network>,
}

/// What is known about a client when its server is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller<'a> {
    pub(crate) user: &'a [u8],
    pub(crate) host: Option<&'a [u8]>,
    pub(crate) sni: Option<&'a str>,
    pub(crate) client: IpAddr,
}

impl Match {
    fn fits(&self, caller: Caller<'_>) -> bool {
        let one = |patterns: &[String], text: Option<&[u8]>| {
            patterns.is_empty()
                || text.is_some_and(|text| patterns.iter().any(|pattern| like(pattern.as_bytes(), text)))
        };
        let by_name = |user| one(&self.users, Some(user));
        (by_name(caller.user) || crate::rules::other_name(caller.user).is_some_and(by_name))
            && one(&self.hosts, caller.host)
            && one(&self.sni, caller.sni.map(str::as_bytes))
            && (self.clients.is_empty() || self.clients.iter().any(|net| net.contains(caller.client)))
    }
}

/// Whether the text has the form of the pattern, in any letter case.
fn like(pattern: &[u8], text: &[u8]) -> bool {
    crate::rules::glob(pattern, text, true)
}

/// One row of the table of routes.
#[derive(Debug)]
pub struct Route {
    /// Whom it is for.
    pub when: Match,
    /// Where it leads.
    pub group: Arc<Group>,
    /// What passes; `None`: what passes everywhere.
    pub filter: Option<Filter>,
}

/// The table of routes; the first row that fits decides.
#[derive(Debug, Default)]
pub struct Routes(Vec<Route>);

impl Routes {
    /// These rows, in this order.
    #[must_use]
    pub fn new(rows: Vec<Route>) -> Self {
        Self(rows)
    }

    pub(crate) fn choose(&self, caller: Caller<'_>) -> Option<&Route> {
        self.0.iter().find(|route| route.when.fits(caller))
    }

    /// What is known of the servers' features before anybody has logged in: only where all routes lead to one
    /// group.
    pub(crate) fn only_group(&self) -> Option<&Arc<Group>> {
        let first = &self.0.first()?.group;
        self.0.iter().all(|route| Arc::ptr_eq(&route.group, first)).then_some(first)
    }

    /// Every server once.
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        let mut seen = HashSet::new();
        let all = self.0.iter().flat_map(|route| route.group.servers());
        all.filter(|server| seen.insert(Arc::as_ptr(server))).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(names: &[&str], balance: Balance) -> Group {
        Group::new(names.iter().map(|name| name.parse().unwrap()).collect(), balance)
    }

    fn first(group: &Group, now: Instant) -> String {
        group.order(now).first().unwrap().target.host.clone()
    }

    #[test]
    fn urls_say_where_and_how_tls_begins() {
        for (text, scheme, host, port) in [
            ("ftp://h", Scheme::Ftp, "h", 21),
            ("ftp://h:2121/", Scheme::Ftp, "h", 2121),
            ("h:2121", Scheme::Ftp, "h", 2121),
            ("ftpes://h", Scheme::Ftpes, "h", 21),
            ("ftps://h", Scheme::Ftps, "h", 990),
            ("ftps://h:2121", Scheme::Ftps, "h", 2121),
            ("FTPS://[2001:db8::1]", Scheme::Ftps, "2001:db8::1", 990),
            ("ftp://[2001:db8::1]:2121", Scheme::Ftp, "2001:db8::1", 2121),
        ] {
            let read: Target = text.parse().unwrap();
            assert_eq!((read.scheme, read.host.as_str(), read.port), (scheme, host, port), "{text}");
            assert_eq!(read.to_string().parse(), Ok(read), "{text}");
        }
        for text in ["", "http://h", "ftp://", "ftp://a:b@h", "ftp://h/path"] {
            assert!(text.parse::<Target>().is_err(), "{text}");
        }
    }

    #[test]
    fn sessions_are_spread_and_a_failed_server_is_left_out_for_a_while() {
        let now = Instant::now();
        let turns = group(&["a", "b", "c"], Balance::RoundRobin);
        let order: Vec<String> = (0..4).map(|_| first(&turns, now)).collect();
        assert_eq!(order, ["a", "b", "c", "a"]);
        let b = Arc::clone(&turns.servers()[1]);
        b.has_failed(now);
        assert!((0..6).all(|_| first(&turns, now) != "b"));
        assert_eq!(turns.order(now).len(), 3, "it is tried after the others");
        let later = now + PENALTY + Duration::from_secs(1);
        assert!((0..3).any(|_| first(&turns, later) == "b"));
        assert!(b.is_found(false), "news");
        assert!((0..3).all(|_| first(&turns, later) != "b"));
        assert!(b.is_found(true) && !b.is_found(true));
        assert!((0..3).any(|_| first(&turns, now) == "b"));
    }

    #[test]
    fn the_server_with_the_fewest_sessions_comes_first() {
        let now = Instant::now();
        let least = group(&["a", "b"], Balance::LeastConnections);
        let place = least.servers()[0].enter();
        assert!((0..4).all(|_| first(&least, now) == "b"));
        let others = [least.servers()[1].enter(), least.servers()[1].enter()];
        assert!((0..4).all(|_| first(&least, now) == "a"));
        drop((place, others));
    }

    #[test]
    fn the_first_row_that_fits_decides() {
        let to = |name: &str| Arc::new(group(&[name], Balance::default()));
        let row = |when, name: &str| Route { when, group: to(name), filter: None };
        let text = |text: &str| vec![text.to_owned()];
        let routes = Routes::new(vec![
            row(
                Match {
                    users: text("ann*"),
                    clients: vec!["192.0.2.0/24".parse().unwrap()],
                    ..Match::default()
                },
                "a",
            ),
            row(Match { hosts: text("*.example.org"), ..Match::default() }, "b"),
            row(Match { sni: text("files.example.net"), ..Match::default() }, "c"),
            row(Match { users: text("*"), ..Match::default() }, "d"),
        ]);
        for (user, host, sni, client, wanted) in [
            ("Anna", None, None, "192.0.2.7", "a"),
            ("anna", None, None, "198.51.100.7", "d"),
            ("bob", Some("FTP.example.ORG"), None, "192.0.2.7", "b"),
            ("bob", Some("example.org"), None, "192.0.2.7", "d"),
            ("bob", None, Some("files.example.net"), "192.0.2.7", "c"),
            ("bob", None, None, "2001:db8::1", "d"),
        ] {
            let caller = Caller {
                user: user.as_bytes(),
                host: host.map(str::as_bytes),
                sni,
                client: client.parse().unwrap(),
            };
            let route = routes.choose(caller).unwrap();
            assert_eq!(route.group.servers()[0].target.host, wanted, "{user} {host:?} {sni:?} {client}");
        }
    }

    #[test]
    fn a_star_stands_for_anything_also_for_nothing() {
        for (pattern, text, wanted) in [
            ("*", "", true),
            ("a*b*c", "aXXbYYc", true),
            ("a*b*c", "abc", true),
            ("a*b*c", "ab", false),
            ("*.org", "x.ORG", true),
            ("", "x", false),
            ("**", "x", true),
            ("*ab", "aab", true),
        ] {
            assert_eq!(like(pattern.as_bytes(), text.as_bytes()), wanted, "{pattern} {text}");
        }
    }
}
