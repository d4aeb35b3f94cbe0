//! The loop: one thread, one wait, no state but the book and the list of clients.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Instant;

use portway_nft::wire::{Answer, Ask, Outcome, REQUEST, Request};
use portway_nft::{Filter, FilterError, Holes, Kept, OpenError, Refusal};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::clients::{Client, Clients};
use crate::options::Options;
use crate::report;
use crate::signals::Signals;
use crate::socket::{Listener, answer, receive};

/// Serves until a signal says to end, and writes the guarded table again when it is taken away; then closes and logs what is open.
pub(crate) fn serve(
    listener: &Listener,
    signals: &Signals,
    mut holes: Holes<Filter>,
    mut guarded: Option<Kept>,
    options: &Options,
) -> io::Result<()> {
    let mut clients = Clients::default();
    loop {
        let (ready, ids) = wait(listener, signals, guarded.as_ref(), &clients, holes.next_sweep())?;
        let [ended, knocked, changed, talking @ ..] = ready.as_slice() else { continue };
        let now = Instant::now();
        if *changed && let Some(guarded) = &mut guarded {
            report::mended(guarded.mend());
        }
        for hole in holes.sweep(now) {
            report::ended(&hole, clients.peer(hole.holder));
        }
        if *ended {
            break;
        }
        for (id, _) in ids.iter().zip(talking).filter(|(_, ready)| **ready) {
            if let Err(why) = one_request(*id, &clients, &mut holes, now) {
                for hole in holes.release(*id, now) {
                    report::ended(&hole, clients.peer(hole.holder));
                }
                if let (Some(peer), Some(why)) = (clients.peer(*id), why) {
                    report::client(peer, why);
                }
                clients.remove(*id);
            }
        }
        if *knocked {
            admit(listener, &mut clients, options);
        }
    }
    let all: Vec<u64> = clients.iter().map(|client| client.0).collect();
    for id in all {
        for hole in holes.release(id, Instant::now()) {
            report::ended(&hole, clients.peer(id));
        }
    }
    Ok(())
}

/// Waits for a signal, a new client, a change of the ruleset, a request or the end of a hole; says which of them are ready.
fn wait(
    listener: &Listener,
    signals: &Signals,
    guarded: Option<&Kept>,
    clients: &Clients,
    until: Option<Instant>,
) -> io::Result<(Vec<bool>, Vec<u64>)> {
    let mut all = vec![
        PollFd::from_borrowed_fd(signals.as_fd(), PollFlags::IN),
        PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::IN),
        // What is not watched is never ready.
        guarded.map_or_else(
            || PollFd::from_borrowed_fd(listener.as_fd(), PollFlags::empty()),
            |kept| PollFd::from_borrowed_fd(kept.as_fd(), PollFlags::IN),
        ),
    ];
    all.extend(clients.iter().map(|(_, client)| PollFd::new(&client.socket, PollFlags::IN)));
    let left = until.map(|until| until.saturating_duration_since(Instant::now()));
    let left = left.and_then(|left| Timespec::try_from(left).ok());
    match poll(&mut all, left.as_ref()) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let ready = all.iter().map(|fd| !fd.revents().is_empty()).collect();
    Ok((ready, clients.iter().map(|client| client.0).collect()))
}

fn admit(listener: &Listener, clients: &mut Clients, options: &Options) {
    let Ok((socket, peer)) = listener.accept() else { return };
    let refuse = |socket: &_, why: &str| {
        report::client(peer, why);
        let _ = answer(socket, &Answer { tag: 0, result: Outcome::Refused(why.to_owned()) }.emit());
    };
    if !options.allow.contains(&peer.uid) {
        return refuse(&socket, &format!("user {} may not ask this helper", peer.uid));
    }
    if let Err(client) = clients.add(Client { socket, peer }) {
        refuse(&client.socket, "too many clients are connected");
    }
}

/// Serves one request; an error ends the client, with a reason unless he left by himself.
fn one_request(
    id: u64,
    clients: &Clients,
    holes: &mut Holes<Filter>,
    now: Instant,
) -> Result<(), Option<&'static str>> {
    let Some((_, client)) = clients.iter().find(|client| client.0 == id) else { return Ok(()) };
    let mut room = [0; REQUEST + 1];
    let record = match receive(&client.socket, &mut room) {
        Ok(Some(record)) => record,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
        Ok(None) | Err(_) => return Err(None),
    };
    let request = Request::parse(record).ok_or(Some("sent a record that is no request"))?;
    let result = match request.ask {
        Ask::Open(want) => match holes.open(&want, id, now) {
            Ok(hole) => Outcome::Opened(hole),
            Err(error) => {
                report::refused(&want, client.peer, &error);
                outcome(&error)
            }
        },
        Ask::Close(hole) => {
            let ended = holes.close(hole, id, now);
            if let Some(ended) = &ended {
                report::ended(ended, Some(client.peer));
            }
            Outcome::Closed(ended.map(|ended| ended.how))
        }
        _ => return Err(Some("asked for what only the gate that started its own helper may")),
    };
    answer(&client.socket, &Answer { tag: request.tag, result }.emit())
        .map_err(|_| Some("does not read answers"))
}

/// What a client is told.
pub(crate) fn outcome(error: &OpenError) -> Outcome {
    match error {
        OpenError::Refused(Refusal::PerPair(limit) | Refusal::Total(limit)) => {
            Outcome::Full(u32::try_from(*limit).unwrap_or(u32::MAX))
        }
        OpenError::Refused(refusal) => Outcome::Refused(refusal.to_string()),
        OpenError::Filter(FilterError::Kernel(why) | FilterError::Missing(why))
        | OpenError::Addresses(why) => Outcome::Failed(why.raw_os_error().unwrap_or(0), error.to_string()),
        other => Outcome::Failed(0, other.to_string()),
    }
}
