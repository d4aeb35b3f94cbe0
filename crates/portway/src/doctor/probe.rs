//! Gathers the evidence: every mode, in sessions side by side, within ten seconds.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use portway_client::{Settings, Target};
use portway_doctor::{
    Attempt, Bulk, Command, Evidence, Family, Greeting, Idle, Lookup, Mode, NoTransfer, Offered, Outcome,
    Reach, Road, Software,
};
use portway_net::ClientTls;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::attempt::{How, Load, Tried, attempt, offers};
use super::entry::{self, Access, Way};
use super::talk::Talk;
use super::{bulk, way};

/// Sessions at a time; servers that allow few from one address allow this many.
const SESSIONS: usize = 6;

/// What is asked of the doctor.
#[derive(Clone, Debug)]
pub(super) struct Wish {
    pub(super) target: Target,
    pub(super) settings: Arc<Settings>,
    /// How long a session stays silent before it is asked whether it lives.
    pub(super) idle: Duration,
    /// This machine's own rules, unless they cannot be read.
    pub(super) firewall: Option<portway_doctor::firewall::Ruleset>,
}

/// What all tracks share.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) wish: Wish,
    /// The rules for TLS that any certificate passes: whether it is good has been looked at before.
    pub(super) tls: Option<ClientTls>,
    /// Largest segment with which the control channel works, if the usual one does not.
    pub(super) mss: Option<u16>,
    pub(super) places: Semaphore,
    pub(super) began: Instant,
}

/// Looks at a server from all sides.
pub(super) async fn probe(wish: Wish) -> Evidence {
    let began = Instant::now();
    let target = wish.target.clone();
    let mut seen = Evidence {
        url: target.to_string(),
        host: target.host.clone(),
        port: target.port,
        implicit_tls: target.implicit_tls,
        ..Evidence::default()
    };
    let addresses = match look_up(&target).await {
        Ok(addresses) => addresses,
        Err(lookup) => {
            seen.lookup = lookup;
            seen.seconds = began.elapsed().as_secs_f64();
            return seen;
        }
    };
    seen.roads = roads(&addresses, target.implicit_tls).await;
    if let Some(Greeting::Busy(said)) = seen.roads.iter().map(|road| &road.greeting).next() {
        seen.software = Software::guess(said);
    }
    let ready: Vec<SocketAddr> = best_of_each_family(&seen.roads);
    let Some(first) = ready.first().copied() else {
        seen.control_trace = match seen.roads.first() {
            Some(road) if road.reach == Reach::Reset => Some(way::trace(road.to, 4).await),
            _ => None,
        };
        seen.seconds = began.elapsed().as_secs_f64();
        return seen;
    };
    let mut plan = Plan { wish, tls: None, mss: None, places: Semaphore::new(SESSIONS), began };
    let access = entry::scout(&mut plan, first, &mut seen).await;
    if access.any() {
        let plan = Arc::new(plan);
        data(&plan, &ready, &access, &mut seen).await;
    }
    seen.seconds = began.elapsed().as_secs_f64();
    seen
}

async fn look_up(target: &Target) -> Result<Vec<SocketAddr>, Lookup> {
    let lookup = tokio::net::lookup_host((target.host.as_str(), target.port));
    match tokio::time::timeout(Duration::from_millis(4000), lookup).await {
        Err(_) => Err(Lookup::Silent),
        Ok(Err(error)) => Err(Lookup::NotFound(error.to_string())),
        Ok(Ok(addresses)) => {
            let mut found: Vec<SocketAddr> = Vec::new();
            for address in addresses {
                if !found.contains(&address) && found.len() < 8 {
                    found.push(address);
                }
            }
            if found.is_empty() { Err(Lookup::NotFound("no address".to_owned())) } else { Ok(found) }
        }
    }
}

/// Connects to every address at once.
async fn roads(addresses: &[SocketAddr], implicit_tls: bool) -> Vec<Road> {
    let mut tries = JoinSet::new();
    for (at, &to) in addresses.iter().enumerate() {
        tries.spawn(async move { (at, road(to, implicit_tls).await) });
    }
    let mut roads = BTreeMap::new();
    while let Some(done) = tries.join_next().await {
        if let Ok((at, road)) = done {
            roads.insert(at, road);
        }
    }
    roads.into_values().collect()
}

async fn road(to: SocketAddr, implicit_tls: bool) -> Road {
    let began = Instant::now();
    let mut road = Road { to, reach: Reach::Open, round_trip: None, greeting: Greeting::None };
    match Talk::connect(to, None, Duration::from_millis(3200)).await {
        Ok(mut talk) => {
            road.round_trip = Some(began.elapsed().as_secs_f64());
            // Under implicit TLS the server waits for us.
            road.greeting = match implicit_tls {
                true => Greeting::Ready,
                false => talk.greeting(Duration::from_millis(3000)).await,
            };
            talk.quit().await;
        }
        Err(error) if error.kind() == std::io::ErrorKind::TimedOut => road.reach = Reach::Silent,
        Err(_) => {
            let options = portway_net::TouchOptions::default();
            road.reach = super::attempt::feel(to, options, Duration::from_millis(800)).await;
            if road.reach == Reach::Open {
                road.reach = Reach::Reset;
            }
        }
    }
    road
}

/// The fastest address of each family that greets, the faster family first.
fn best_of_each_family(roads: &[Road]) -> Vec<SocketAddr> {
    let best = |family: Family| {
        let of = roads.iter().filter(|r| Family::of(r.to.ip()) == family && r.greeting == Greeting::Ready);
        of.min_by(|a, b| a.round_trip.partial_cmp(&b.round_trip).unwrap_or(std::cmp::Ordering::Equal))
    };
    let found = [best(Family::Ipv4), best(Family::Ipv6)];
    found.into_iter().flatten().map(|road| road.to).collect()
}

/// What one session tries, one after the other.
#[derive(Clone, Copy, Debug)]
struct Track {
    to: SocketAddr,
    way: Way,
    commands: &'static [Command],
}

/// Everything about the data channel.
async fn data(plan: &Arc<Plan>, ready: &[SocketAddr], access: &Access, seen: &mut Evidence) {
    let first = ready.first().copied();
    let idle = first.map(|to| tokio::spawn(sleeper(Arc::clone(plan), to, access.best())));
    let mut tracks = Vec::new();
    for &to in ready {
        for way in access.ways() {
            let v4 = to.is_ipv4();
            let passive: &[Command] = if v4 { &[Command::Epsv, Command::Pasv] } else { &[Command::Epsv] };
            tracks.push(Track { to, way, commands: passive });
            if v4 {
                tracks.push(Track { to, way, commands: &[Command::Port] });
            }
            tracks.push(Track { to, way, commands: &[Command::Eprt] });
        }
    }
    let mut running = JoinSet::new();
    for (at, track) in tracks.into_iter().enumerate() {
        let plan = Arc::clone(plan);
        running.spawn(async move { (at, follow(&plan, track).await) });
    }
    let mut found: BTreeMap<usize, Vec<Tried>> = BTreeMap::new();
    while let Some(done) = running.join_next().await {
        if let Ok((at, tried)) = done {
            found.insert(at, tried);
        }
    }
    let mut tried: Vec<Tried> = found.into_values().flatten().collect();
    again_alone(plan, first, &mut tried).await;
    let dead = tried.iter().find_map(|t| t.dead);
    let listing = tried.iter().map(|t| &t.listing).max_by_key(|l| l.len()).cloned().unwrap_or_default();
    for one in tried {
        seen.offers.extend(one.offered);
        seen.seen_as = seen.seen_as.or(one.seen_as);
        seen.attempts.push(one.attempt);
    }
    seen.local = entry::local_of(first).await.or(seen.local);
    if let Some(to) = first {
        closer(plan, to, access, dead, &listing, seen).await;
    }
    if let Some(idle) = idle {
        seen.idle = idle.await.ok().flatten();
    }
}

/// Tries some ways in one session, or in several if one of them breaks it.
async fn follow(plan: &Arc<Plan>, track: Track) -> Vec<Tried> {
    let Ok(_place) = plan.places.acquire().await else { return Vec::new() };
    let mut out = Vec::new();
    let mut session = None;
    for &command in track.commands {
        let mut talk = match session.take() {
            Some(talk) => talk,
            None => match entry::enter(plan, track.to, track.way).await {
                Ok(talk) => talk,
                Err(refused) => {
                    out.extend(refused.into_attempt(track.to, track.way, command));
                    break;
                }
            },
        };
        let how = How { mss: plan.mss, ..How::default() };
        let tried = attempt(&mut talk, command, &Load::Listing, &how).await;
        let alive = tried.alive;
        out.push(tried);
        if alive {
            session = Some(talk);
        }
    }
    if let Some(talk) = session {
        talk.quit().await;
    }
    out
}

/// Our own sessions may have used up what the server has; what was refused for want of a port is tried once more
/// when nobody else asks.
async fn again_alone(plan: &Arc<Plan>, to: Option<SocketAddr>, tried: &mut [Tried]) {
    let Some(to) = to else { return };
    for one in tried.iter_mut().filter(|t| matches!(t.attempt.outcome, Outcome::Full { .. })) {
        if plan.began.elapsed() > Duration::from_millis(6500) {
            return;
        }
        let way = Way::new(one.attempt.tls);
        if let Ok(mut talk) = entry::enter(plan, to, way).await {
            let how = How { mss: plan.mss, ..How::default() };
            let next = attempt(&mut talk, one.attempt.command, &Load::Listing, &how).await;
            talk.quit().await;
            let works = next.attempt.outcome == Outcome::Works;
            *one = next;
            if !works {
                // What one has said will be said to the next.
                return;
            }
        }
    }
}

/// Looks closer where something failed, and at what listings do not show where nothing did.
async fn closer(
    plan: &Arc<Plan>,
    to: SocketAddr,
    access: &Access,
    dead: Option<SocketAddr>,
    listing: &[u8],
    seen: &mut Evidence,
) {
    let works =
        |mode: Mode| seen.attempts.iter().any(|a| a.command.mode() == mode && a.outcome == Outcome::Works);
    let no_active =
        seen.attempts.iter().any(|a| a.command.mode() == Mode::Active && a.outcome.no_connection())
            && !works(Mode::Active);
    let best = access.best();
    let passive_way = way_that_works(&seen.attempts, Mode::Passive);
    let empty = !works(Mode::Passive)
        && seen
            .attempts
            .iter()
            .any(|a| matches!(a.outcome, Outcome::NoTransfer(NoTransfer::NoOctets | NoTransfer::Stalled(_))));
    let ask = no_active && seen.software == Software::Portway;
    let route = async {
        match dead {
            None if ask => (Some(way::trace(to, 6).await), None),
            None => (None, None),
            Some(dead) => {
                let (control, data) = tokio::join!(way::trace(to, 6), way::trace(dead, 6));
                (Some(control), Some(data))
            }
        }
    };
    let active = async {
        match no_active {
            false => (None, None),
            true => tokio::join!(way::punch(plan, to, best), way::port_20(to)),
        }
    };
    let sampled = async {
        match (passive_way, empty) {
            (_, true) => Vec::new(),
            (Some(way), false) => sample(plan, to, way, to.is_ipv4()).await,
            (None, false) => sample(plan, to, best, false).await,
        }
    };
    let resumption = async {
        match passive_way {
            Some(way) if way.tls => bulk::resumption(plan, to, way).await,
            _ => None,
        }
    };
    let large = async {
        match (passive_way, empty) {
            (Some(way), _) => bulk::large(plan, to, way, listing).await,
            (None, true) => bulk::small_segments(plan, to, best).await,
            (None, false) => None,
        }
    };
    let far = async {
        match ask {
            true => super::far::far_side(plan, to, best).await,
            false => (Vec::new(), None),
        }
    };
    let (route, active, offered, resumption, large, far) =
        tokio::join!(route, active, sampled, resumption, large, far);
    (seen.control_trace, seen.data_trace) = route;
    (seen.punch, seen.port_20) = active;
    seen.offers.extend(offered);
    seen.resumption_required = resumption;
    seen.local_rules =
        seen.local.and_then(|local| super::local::findings(local, to.ip(), plan.wish.firewall.as_ref()));
    seen.bulk = large.or(plan.mss.map(|mss| Bulk::Stalled { after: 0, works_with_mss: Some(mss) }));
    (seen.far_side, seen.far_trace) = far;
}

/// Passive announcements of several sessions, by `both` commands or by EPSV alone. Where passive mode has not worked, each
/// port that does not answer takes a second, and more sessions look for one that does.
async fn sample(plan: &Arc<Plan>, to: SocketAddr, way: Way, both: bool) -> Vec<Offered> {
    let until = Instant::now() + Duration::from_millis(2400);
    let one = |command: Command| async move {
        let Ok(mut talk) = entry::enter(plan, to, way).await else { return Vec::new() };
        let seen = offers(&mut talk, command, 10, until).await;
        talk.quit().await;
        seen
    };
    if both {
        let (epsv, pasv) = tokio::join!(one(Command::Epsv), one(Command::Pasv));
        return [epsv, pasv].concat();
    }
    let epsv = || one(Command::Epsv);
    let (a, b, c, d) = tokio::join!(epsv(), epsv(), epsv(), epsv());
    [a, b, c, d].concat()
}

fn way_that_works(attempts: &[Attempt], mode: Mode) -> Option<Way> {
    let works = |tls: bool, command: Option<Command>| {
        attempts.iter().any(|a| {
            a.tls == tls
                && a.outcome == Outcome::Works
                && command.map_or(a.command.mode() == mode, |command| a.command == command)
        })
    };
    let tls = [true, false].into_iter().find(|tls| works(*tls, None))?;
    Some(Way { tls, pasv: mode == Mode::Passive && !works(tls, Some(Command::Epsv)) })
}

/// Logs in, says nothing for a while, and then asks whether anybody is there.
async fn sleeper(plan: Arc<Plan>, to: SocketAddr, way: Way) -> Option<Idle> {
    let mut talk = entry::enter(&plan, to, way).await.ok()?;
    let silent = Instant::now();
    tokio::time::sleep(plan.wish.idle).await;
    let after = silent.elapsed().as_secs_f64();
    let verdict = match talk.call(&portway_proto::Command::Noop).await {
        Ok(reply) if reply.code == 421 => Idle::ServerClosed(after),
        Ok(_) => Idle::Works(after),
        Err(super::talk::Lost::Closed(text)) if text.contains("421") => Idle::ServerClosed(after),
        Err(_) => Idle::Dead(after),
    };
    if matches!(verdict, Idle::Works(_)) {
        talk.quit().await;
    }
    Some(verdict)
}
