//! The transfer itself: the data connection is made and read, and the control channel is listened to meanwhile.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use portway_data::{Channel, Failure, Options, Progress, receive_stream};
use portway_doctor::{Command, NoTransfer, Outcome};
use portway_net::ClientControlTls;
use portway_proto::{self as proto, ListArg, RawReply};

use super::{How, Load, Tried};
use crate::doctor::talk::{Lost, Talk, shown, words};

/// What the server gets to connect to us.
const ACCEPT: Duration = Duration::from_millis(2000);
/// Silence on a data connection that stands.
const STALL: Duration = Duration::from_millis(1500);
/// More of a listing than this proves nothing more.
const ENOUGH: usize = 256 * 1024;

/// How the data side ended.
enum End {
    Done(u64),
    /// Nobody connected to us.
    Nobody,
    Handshake(String),
    /// Nothing moved any more after so many octets.
    Stalled(u64),
    Broke(u64, String),
}

/// Sends the transfer command, makes the data connection, takes what comes, and listens to the control channel all
/// the while.
pub(super) async fn carry(
    talk: &mut Talk,
    command: Command,
    began: Instant,
    channel: Channel,
    load: &Load,
    how: &How,
) -> Tried {
    let path;
    let verb = match load {
        Load::Listing => proto::Command::List(ListArg { flags: None, path: None }),
        Load::File(name, _) => {
            path = name.clone();
            proto::Command::Retr(&path)
        }
    };
    if let Err(lost) = talk.send(&verb).await {
        let end = NoTransfer::ControlLost(lost.to_string());
        return Tried::new(talk, command, began, Outcome::NoTransfer(end), lost.to_string()).lost();
    }
    let enough = match load {
        Load::Listing => ENOUGH,
        Load::File(_, octets) => *octets,
    };
    let tls = talk.tls.clone().map(|tls| if how.fresh_tls { tls.without_resumption() } else { tls });
    let active = matches!(channel, Channel::Listening(_));
    let mut listing = Vec::new();
    let (end, last, lost) = {
        let data = data_side(channel, talk.peer, tls, enough, &mut listing);
        tokio::pin!(data);
        let (mut end, mut last, mut lost) = (None, None::<RawReply>, None::<Lost>);
        let mut deadline = tokio::time::Instant::now() + ACCEPT + STALL + STALL;
        while end.is_none() || last.is_none() && lost.is_none() {
            tokio::select! {
                reply = talk.next(deadline), if last.is_none() && lost.is_none() => match reply {
                    Ok(reply) if reply.code / 100 == 1 => {}
                    Ok(reply) => {
                        // A refusal is the end of the data side, too; consent leaves it time to finish.
                        let refused = reply.code >= 400;
                        last = Some(reply);
                        if refused && end.is_none() {
                            let grace = tokio::time::timeout(Duration::from_millis(150), &mut data);
                            end = grace.await.ok();
                            break;
                        }
                    }
                    Err(why) => lost = Some(why),
                },
                done = &mut data, if end.is_none() => {
                    let wait = match &done {
                        End::Done(octets) if *octets < enough as u64 => Duration::from_millis(1200),
                        End::Handshake(_) | End::Broke(..) => Duration::from_millis(600),
                        _ => Duration::from_millis(50),
                    };
                    deadline = tokio::time::Instant::now() + wait;
                    end = Some(done);
                }
            }
        }
        (end, last, lost)
    };
    let alive = lost.is_none() && last.is_some();
    let (outcome, detail) = judge(end, last.as_ref(), lost.as_ref(), active, talk.tls.is_some(), enough);
    let mut tried = Tried::new(talk, command, began, outcome, detail);
    tried.alive = alive;
    tried.listing = listing;
    tried
}

async fn data_side(
    channel: Channel,
    peer: SocketAddr,
    tls: Option<ClientControlTls>,
    enough: usize,
    taken: &mut Vec<u8>,
) -> End {
    let Ok(link) = channel.link(peer.ip(), ACCEPT).await else { return End::Nobody };
    let mut conn = match link.ready(tls.as_ref(), STALL).await {
        Ok(conn) => conn,
        Err(Failure::Stalled { .. }) => return End::Stalled(0),
        Err(error) => return End::Handshake(error.to_string()),
    };
    let progress = Progress::new();
    let options = Options { stall: STALL, ..Options::default() };
    let sink = |octets: &[u8]| {
        taken.extend_from_slice(octets);
        if taken.len() >= enough { Err(std::io::Error::other("enough")) } else { Ok(()) }
    };
    match receive_stream(&mut conn, sink, options, &progress).await {
        Ok(received) => {
            conn.finish().await.ok();
            End::Done(received.octets)
        }
        Err(_) if taken.len() >= enough => End::Done(taken.len() as u64),
        Err(Failure::Stalled { .. }) => End::Stalled(progress.octets()),
        Err(error) => End::Broke(progress.octets(), error.to_string()),
    }
}

fn judge(
    end: Option<End>,
    last: Option<&RawReply>,
    lost: Option<&Lost>,
    active: bool,
    tls: bool,
    enough: usize,
) -> (Outcome, String) {
    if let Some(reply) = last.filter(|reply| reply.code >= 400) {
        let (code, text) = (reply.code, words(reply));
        let low = text.to_ascii_lowercase();
        let says = |some: &[&str]| some.iter().any(|word| low.contains(word));
        let connected =
            matches!(end, Some(End::Done(_) | End::Handshake(_) | End::Broke(..) | End::Stalled(_)));
        let outcome = match () {
            () if tls && says(&["reuse", "resum"]) => {
                Outcome::NoTransfer(NoTransfer::NotResumed(shown(reply)))
            }
            () if tls && says(&["not permitted"]) && code != 550 => {
                Outcome::NoTransfer(NoTransfer::NotResumed(shown(reply)))
            }
            () if matches!(code, 521 | 522 | 534..=536 | 431)
                || tls && connected && matches!(code, 425 | 426 | 450) =>
            {
                Outcome::NoTransfer(NoTransfer::TlsRefused(shown(reply)))
            }
            () if active && !connected && matches!(code, 425 | 426 | 450 | 500) => {
                Outcome::ServerCouldNot { code, text }
            }
            () if code == 421 => Outcome::NoTransfer(NoTransfer::ControlLost(shown(reply))),
            () => Outcome::NoTransfer(NoTransfer::Refused { code, text }),
        };
        return (outcome, shown(reply));
    }
    match end {
        Some(End::Done(octets)) if last.is_some() || octets >= enough as u64 => {
            (Outcome::Works, format!("{octets} octets came through"))
        }
        Some(End::Done(octets)) => {
            let why = lost.map_or_else(|| "no final reply".to_owned(), ToString::to_string);
            let detail = format!("{octets} octets came through, and then: {why}");
            (Outcome::NoTransfer(NoTransfer::ControlLost(why)), detail)
        }
        None | Some(End::Nobody) if active => {
            (Outcome::NobodyCame, format!("no connection came within {} s", ACCEPT.as_secs()))
        }
        None | Some(End::Nobody | End::Stalled(0)) => {
            (Outcome::NoTransfer(NoTransfer::NoOctets), "connected, and not one octet came".to_owned())
        }
        Some(End::Stalled(octets)) => {
            (Outcome::NoTransfer(NoTransfer::Stalled(octets)), format!("stood still after {octets} octets"))
        }
        Some(End::Handshake(why)) => (Outcome::NoTransfer(NoTransfer::TlsRefused(why.clone())), why),
        Some(End::Broke(octets, why)) => {
            let detail = format!("broke after {octets} octets: {why}");
            (Outcome::NoTransfer(NoTransfer::Stalled(octets)), detail)
        }
    }
}
