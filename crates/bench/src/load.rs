//! A client that costs as little as it can: what is measured shares the machine with it.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use portway_e2e::{Control, Data};
use rustix::net::RecvFlags;

const PIECE: usize = 1 << 20;

/// Downloads and throws away; returns the octets. In clear the kernel throws them away.
///
/// # Errors
/// When the transfer fails.
pub(crate) fn download(control: &mut Control, name: &str) -> Result<u64> {
    let mut data = control.begin(format!("RETR {name}"))?;
    let mut sum = 0;
    match &mut data {
        Data::Plain(stream) => sum = discard(stream)?,
        Data::Tls(stream) => {
            let mut room = vec![0; PIECE];
            loop {
                match stream.read(&mut room)? {
                    0 => break,
                    n => sum += n as u64,
                }
            }
        }
    }
    if let Data::Tls(stream) = &mut data {
        stream.conn.send_close_notify();
        // The server may be gone already.
        let _ = stream.conn.complete_io(&mut stream.sock);
    }
    drop(data);
    control.end()?;
    Ok(sum)
}

/// Has the kernel throw away what comes, and counts it.
///
/// # Errors
/// When the connection breaks.
pub(crate) fn discard(stream: &TcpStream) -> Result<u64> {
    let (mut room, mut sum) = (vec![0; PIECE], 0);
    loop {
        // TRUNC on TCP counts octets without copying them; see tcp(7).
        match rustix::net::recv(stream, room.as_mut_slice(), RecvFlags::TRUNC)?.1 {
            0 => return Ok(sum),
            n => sum += n as u64,
        }
    }
}

/// Uploads a file by `command` (STOR or APPE, and a name); returns the octets. In clear the kernel sends it.
///
/// # Errors
/// When the transfer fails.
pub(crate) fn upload(control: &mut Control, file: &File, command: &str) -> Result<u64> {
    let length = file.metadata()?.len();
    let mut data = control.begin(command)?;
    let mut at = 0;
    match &mut data {
        Data::Plain(stream) => {
            while at < length {
                ensure!(rustix::fs::sendfile(&*stream, file, Some(&mut at), PIECE)? > 0, "the file shrank");
            }
        }
        Data::Tls(stream) => {
            let mut room = vec![0; 1 << 18];
            while at < length {
                let n = std::os::unix::fs::FileExt::read_at(file, &mut room, at)?;
                stream.write_all(room.get(..n).context("a read fits its room")?)?;
                at += n as u64;
            }
        }
    }
    data.finish()?;
    control.end()?;
    Ok(at)
}

/// Downloads a small file up to `count` times in one session, for at most so long, and returns how often it came, and how
/// many data connections resumed a TLS session.
///
/// # Errors
/// When a transfer fails, or brings something else than 1 KiB.
pub(crate) fn small_files(
    control: &mut Control,
    name: &str,
    count: usize,
    limit: Duration,
) -> Result<(usize, usize)> {
    let (begun, mut fetched, mut resumed) = (Instant::now(), 0, 0);
    while fetched < count && (fetched == 0 || begun.elapsed() < limit) {
        let mut data = control.begin(format!("RETR {name}"))?;
        ensure!(data.read_all()?.len() == 1024);
        resumed += usize::from(data.resumed()?);
        drop(data);
        control.end()?;
        fetched += 1;
    }
    Ok((fetched, resumed))
}

/// From the command of a listing to its 150 and first octet, whichever comes last: most clients read
/// no data before they have the reply.
///
/// # Errors
/// When the listing fails.
pub(crate) fn first_octet(control: &mut Control, command: &str) -> Result<Duration> {
    let to = control.epsv()?;
    let mut data = control.join(to)?;
    let begun = Instant::now();
    let reply = control.say(command)?;
    ensure!(matches!(reply.code, 125 | 150), "«{reply}», not 150");
    data.read_exact(&mut [0; 1])?;
    let waited = begun.elapsed();
    data.read_all()?;
    drop(data);
    control.end()?;
    Ok(waited)
}
