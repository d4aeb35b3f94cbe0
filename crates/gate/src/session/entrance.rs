//! Who gets a session: judged, connected to the server, and written into the book.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use portway_interpreter::forwarded;
use portway_nft::Interfaces;
use portway_ops::Ticket;
use portway_proto::watch::Watch;
use portway_proto::{Code, LineReader, Reply, ReplyReader};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Entry, Session, linger};
use crate::gate::Shared;
use crate::records::Records;
use crate::rows::SessionRow;
use crate::socket::{connect_as, translated_from};

/// Relays one accepted connection until it ends.
pub(crate) async fn run(shared: Arc<Shared>, mut client: TcpStream, neighbour: SocketAddr) -> io::Result<()> {
    let server_addr = client.local_addr()?;
    let implicit = shared.config.implicit_ports.contains(&server_addr.port());
    if !implicit && !shared.config.ports.contains(&server_addr.port()) {
        // Not brought here by our rules: somebody on this host knocks at the listener.
        return Ok(());
    }
    portway_net::prepare_control(&client)?;
    let (client_addr, _place, server) = match admit(&shared, &mut client, neighbour, server_addr).await {
        Ok(admitted) => admitted,
        Err(TurnedAway { who, why, said }) => {
            shared.ledger.turn_away(who, why);
            return match said {
                Some(said) => farewell(&mut client, implicit, said).await,
                None => Ok(()),
            };
        }
    };
    let session = begin(shared, (client, client_addr), (server, server_addr), implicit)?;
    if implicit && session.shared.bridge.is_some() {
        session.hand_over().await
    } else {
        session.relay().await
    }
}

/// Why there is no session.
struct TurnedAway {
    who: IpAddr,
    /// For the log.
    why: String,
    /// For the client, where it may still expect FTP.
    said: Option<String>,
}

impl TurnedAway {
    fn new(who: IpAddr, why: impl fmt::Display, said: String) -> Self {
        Self { who, why: why.to_string(), said: Some(said) }
    }
}

/// Finds out who calls, whether he may, and connects to the server in his name.
async fn admit(
    shared: &Shared,
    client: &mut TcpStream,
    neighbour: SocketAddr,
    server: SocketAddr,
) -> Result<(SocketAddr, Ticket, TcpStream), TurnedAway> {
    let client_addr = on_behalf_of(shared, client, neighbour, server).await.map_err(|error| TurnedAway {
        who: neighbour.ip(),
        why: format!("no PROXY header that counts, and the connection was closed: {error}"),
        said: None,
    })?;
    let ip = client_addr.ip();
    let place = shared.limits.admit(ip).map_err(|refusal| {
        let said = format!("The firewall has {refusal}.");
        TurnedAway::new(ip, refusal, said)
    })?;
    if !shared.ledger.may_log_in(ip) {
        let why = "too many failed logins from your address; try again in some minutes";
        return Err(TurnedAway::new(ip, why, format!("The firewall has seen {why}.")));
    }
    let connecting = timeout(shared.config.connect_within, connect_as(client_addr, server)).await;
    let connected = connecting.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(|error| {
        let why = format!("{server} is not reached: {error}");
        TurnedAway::new(ip, why, format!("The server cannot be reached: {error}."))
    })?;
    Ok((client_addr, place, connected))
}

/// Writes the session down.
fn begin(
    shared: Arc<Shared>,
    (client, client_addr): (TcpStream, SocketAddr),
    (server, server_addr): (TcpStream, SocketAddr),
    implicit: bool,
) -> io::Result<Session> {
    let server_seen_as = translated_from(&client, server_addr);
    let mut policy = shared.config.watch.clone();
    policy.own.extend(Interfaces::read()?.own);
    policy.server_is_also.extend(server_seen_as.map(|seen| seen.ip().to_canonical()));
    let our_end = server.local_addr()?;
    let known_as = shared.ledger.answered_to(our_end, server_addr).unwrap_or(our_end);
    let client_seen_as = Some(known_as.ip()).filter(|seen| *seen != client_addr.ip());
    let row = SessionRow {
        session: 0,
        client: client_addr,
        server: server_addr,
        server_seen_as,
        client_seen_as,
        user: None,
        opaque: implicit,
    };
    let number = shared.ledger.begin(|session| SessionRow { session, ..row.clone() });
    shared.ledger.known_as(number, known_as);
    let records = || implicit.then(Records::default);
    Ok(Session {
        watch: Watch::new(client_addr.ip(), server_addr.ip(), policy),
        entry: Entry(Arc::clone(&shared.ledger), number),
        shared,
        number,
        row,
        shown: None,
        client_addr,
        client,
        server,
        lines: LineReader::new().strict(),
        replies: ReplyReader::new().strict(),
        interrupted: false,
        tls: [records(), records()],
        implicit,
        hole: None,
        client_ended: false,
        over: false,
        bridged: false,
    })
}

/// Whose connection it is: the neighbour's own, unless he is listed and names another.
async fn on_behalf_of(
    shared: &Shared,
    stream: &mut TcpStream,
    neighbour: SocketAddr,
    server: SocketAddr,
) -> io::Result<SocketAddr> {
    let Some(told) = forwarded(&shared.config.balancers, stream, neighbour).await? else {
        return Ok(neighbour);
    };
    let client = SocketAddr::new(told.client.ip().to_canonical(), told.client.port());
    // The server is called from this address, and holes join the two.
    if client.is_ipv4() != server.ip().to_canonical().is_ipv4() {
        let why = format!("it names {}, and the server {} is of the other family", client.ip(), server.ip());
        return Err(io::Error::new(io::ErrorKind::InvalidData, why));
    }
    Ok(client)
}

/// Says 421 and closes; under implicit TLS there is nobody to say it to.
async fn farewell(client: &mut TcpStream, implicit: bool, why: String) -> io::Result<()> {
    if implicit {
        return Ok(());
    }
    let mut line = Vec::new();
    Reply::new(Code::UNAVAILABLE, why).emit(&mut line);
    client.write_all(&line).await?;
    linger(client).await;
    Ok(())
}
