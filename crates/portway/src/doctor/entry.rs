//! Getting in: TLS, certificate, login; in the clear and under TLS.

mod encryption;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use portway_client::TlsChoice;
use portway_doctor::{
    Attempt, Command, Evidence, Family, Greeting, Login, NoTransfer, Outcome, Software, Tls,
};
use portway_proto::client::Features;

use self::encryption::look_at_tls;
use super::attempt::Tried;
use super::probe::Plan;
use super::talk::{Entry, Lost, Talk, shown};

/// How the control channel is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) tls: bool,
    /// PASV works there and EPSV does not.
    pub(super) pasv: bool,
}

impl Way {
    pub(super) const fn new(tls: bool) -> Self {
        Self { tls, pasv: false }
    }

    /// The passive command to use.
    pub(super) const fn passive(self) -> Command {
        if self.pasv { Command::Pasv } else { Command::Epsv }
    }
}

/// Which ways lead in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Access {
    pub(super) clear: bool,
    pub(super) tls: bool,
}

impl Access {
    pub(super) const fn any(self) -> bool {
        self.clear || self.tls
    }

    pub(super) const fn best(self) -> Way {
        Way::new(self.tls)
    }

    pub(super) fn ways(self) -> impl Iterator<Item = Way> {
        let clear = self.clear.then_some(Way::new(false));
        let tls = self.tls.then_some(Way::new(true));
        clear.into_iter().chain(tls)
    }
}

/// Why a session did not come about in the middle of the work.
#[derive(Clone, Debug)]
pub(super) enum NoEntry {
    /// The server has enough sessions of ours, or the connection failed: nothing about the data channel.
    Session,
    /// PROT P was refused.
    DataTls(String),
}

impl NoEntry {
    /// What it says about a way to a data connection, if anything.
    pub(super) fn into_attempt(self, to: SocketAddr, way: Way, command: Command) -> Option<Tried> {
        let Self::DataTls(text) = self else { return None };
        let attempt = Attempt {
            command,
            tls: way.tls,
            family: Family::of(to.ip()),
            outcome: Outcome::NoTransfer(NoTransfer::TlsRefused(text.clone())),
            announced: None,
            seconds: 0.0,
            detail: text,
        };
        Some(Tried { attempt, offered: None, dead: None, seen_as: None, listing: Vec::new(), alive: false })
    }
}

/// Looks at TLS, certificate and login, and learns what the server is.
pub(super) async fn scout(plan: &mut Plan, to: SocketAddr, seen: &mut Evidence) -> Access {
    let choice = plan.wish.settings.tls;
    let mut access = Access::default();
    let mut refused = None;
    if choice != TlsChoice::Off {
        seen.tls = look_at_tls(plan, to, seen).await;
        if seen.tls == Tls::Works {
            match log_in(plan, to, Way::new(true), seen).await {
                Ok(()) => access.tls = true,
                Err(login) => refused = Some(login),
            }
        }
    }
    let clear = choice != TlsChoice::Required && !plan.wish.target.implicit_tls;
    if clear && refused.is_none() {
        match log_in(plan, to, Way::new(false), seen).await {
            Ok(()) => access.clear = true,
            // Whoever is let in under TLS may be refused in the clear.
            Err(_) if access.tls => {}
            Err(login) => refused = Some(login),
        }
    }
    seen.login = match (access, refused) {
        (_, Some(login)) => login,
        (Access { clear: true, .. }, None) => Login::In,
        (Access { tls: true, .. }, None) => Login::InUnderTlsOnly,
        _ => Login::NotTried,
    };
    access
}

/// Connects and waits for the greeting, unless TLS comes first.
async fn greeted(plan: &Plan, to: SocketAddr, implicit: bool) -> Result<Talk, String> {
    let mut talk =
        Talk::connect(to, plan.mss, Duration::from_millis(2500)).await.map_err(|e| e.to_string())?;
    if !implicit {
        match talk.greeting(Duration::from_millis(3000)).await {
            Greeting::Ready => {}
            other => return Err(format!("{other:?}")),
        }
    }
    Ok(talk)
}

/// A greeted session under TLS; any certificate passes.
async fn under_tls(plan: &Plan, to: SocketAddr) -> Option<Talk> {
    let implicit = plan.wish.target.implicit_tls;
    let mut talk = greeted(plan, to, implicit).await.ok()?;
    if !implicit && !matches!(talk.ask_for_tls().await, Ok(None)) {
        return None;
    }
    let mut talk = talk.start_tls(plan.tls.as_ref()?, &plan.wish.target.host).await.ok()?;
    if implicit && talk.greeting(Duration::from_millis(3000)).await != Greeting::Ready {
        return None;
    }
    Some(talk)
}

async fn log_in(plan: &Plan, to: SocketAddr, way: Way, seen: &mut Evidence) -> Result<(), Login> {
    let talk = if way.tls { under_tls(plan, to).await } else { greeted(plan, to, false).await.ok() };
    let Some(mut talk) = talk else { return Err(Login::Lost("the session did not come about".to_owned())) };
    let entry = talk.log_in(&plan.wish.settings.credentials).await;
    if entry == Entry::In {
        if let Ok(reply) = talk.call(&portway_proto::Command::Feat).await {
            seen.names_epsv |= Features::read(&reply).has("EPSV");
        }
        if let Ok(reply) = talk.call(&portway_proto::Command::Stat(None)).await {
            seen.seen_as = seen.seen_as.or_else(|| our_address(&shown_all(&reply)));
        }
    }
    seen.local = Some(talk.local.ip());
    let software = Software::guess(&talk.said);
    if software != Software::Unknown {
        seen.software = software;
    }
    talk.quit().await;
    match entry {
        Entry::In => Ok(()),
        Entry::Refused(text) => Err(Login::Refused(text)),
        Entry::NeedsTls(text) => Err(Login::NeedsTls(text)),
        Entry::Lost(text) => Err(Login::Lost(text)),
    }
}

fn shown_all(reply: &portway_proto::RawReply) -> String {
    reply.lines.iter().map(|line| portway_proto::printable(line)).collect::<Vec<_>>().join("\n")
}

/// `Connected to 192.0.2.7` (vsftpd), `Connected from name (192.0.2.7)` (ProFTPD): we, as the server sees us.
fn our_address(stat: &str) -> Option<IpAddr> {
    let line = stat.lines().find(|line| line.contains("onnected to ") || line.contains("onnected from "))?;
    let part = |c: char| !(c.is_ascii_hexdigit() || c == '.' || c == ':');
    line.split(part).filter_map(|word| word.parse::<IpAddr>().ok()).map(|ip| ip.to_canonical()).next_back()
}

/// A session ready for transfers.
pub(super) async fn enter(plan: &Plan, to: SocketAddr, way: Way) -> Result<Talk, NoEntry> {
    let talk = if way.tls { under_tls(plan, to).await } else { greeted(plan, to, false).await.ok() };
    let mut talk = talk.ok_or(NoEntry::Session)?;
    if talk.log_in(&plan.wish.settings.credentials).await != Entry::In {
        return Err(NoEntry::Session);
    }
    let lost = |_: Lost| NoEntry::Session;
    if way.tls
        && let Some(reply) = talk.protect().await.map_err(lost)?
    {
        return Err(NoEntry::DataTls(shown(&reply)));
    }
    let target = &plan.wish.target;
    if target.directory && !target.path.is_empty() {
        talk.call(&portway_proto::Command::Cwd(&target.path)).await.map_err(lost)?;
    }
    talk.call(&portway_proto::Command::Type(portway_proto::Representation::Image)).await.map_err(lost)?;
    Ok(talk)
}

/// Our own address towards the server.
pub(super) async fn local_of(to: Option<SocketAddr>) -> Option<IpAddr> {
    let socket =
        tokio::net::UdpSocket::bind(if to?.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).await.ok()?;
    socket.connect(to?).await.ok()?;
    socket.local_addr().ok().map(|addr| addr.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_address_is_read_from_what_servers_say() {
        for (stat, want) in [
            (
                "FTP server status:\n     Connected to ::ffff:192.0.2.7\n     Logged in as ftp",
                Some("192.0.2.7"),
            ),
            ("Status of 'ProFTPD'\n Connected from client.example (192.0.2.7)", Some("192.0.2.7")),
            ("Nothing of the kind", None),
        ] {
            assert_eq!(our_address(stat), want.map(|ip| ip.parse().unwrap()), "{stat}");
        }
    }
}
