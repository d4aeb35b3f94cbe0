//! Urgent octets on a control connection: Telnet's Synch before ABOR and STAT (RFC 959 §4.1.3, RFC 854).

use std::io;

use rustix::net::RecvFlags;
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

/// What lies behind the octets that a read has just brought, if the read ended before an urgent octet; 0 if nothing does.
/// For who reads by `AsyncRead`, which would wait; see [`read_past_urgent`].
pub(crate) fn read_behind_urgent(stream: &TcpStream, buffer: &mut [u8]) -> usize {
    // The end is there for the next read, too; a reset looks like one then.
    rustix::net::recv(stream, buffer, RecvFlags::DONTWAIT).map_or(0, |(octets, _)| octets)
}

/// Reads what is there, 0 being the end, from a connection that [`prepare_control`](crate::prepare_control) has set up.
/// Safe to drop while it waits.
///
/// A read ends before an urgent octet, whatever lies behind it. `AsyncRead` takes a read that did not fill the buffer for
/// the last one and waits for the next segment; so the command behind a Synch would stay in the kernel.
///
/// # Errors
/// As `read(2)`.
pub async fn read_past_urgent(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        stream.readable().await?;
        match stream.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            read => return read,
        }
    }
}

/// Sends these octets; the last one is urgent.
///
/// # Errors
/// As `send(2)`.
pub async fn send_urgent(stream: &TcpStream, mut octets: &[u8]) -> io::Result<()> {
    while !octets.is_empty() {
        stream.writable().await?;
        match stream.try_io(Interest::WRITABLE, || SockRef::from(stream).send_out_of_band(octets)) {
            Ok(sent) => octets = octets.get(sent..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{connect_from, listen, prepare_control};

    #[tokio::test]
    async fn what_lies_behind_an_urgent_octet_is_read_without_another_segment() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let addr = listener.local_addr().unwrap();
        let (accepted, theirs) = tokio::join!(listener.accept(), connect_from(None, addr));
        let (ours, theirs) = (accepted.unwrap().0, theirs.unwrap());
        prepare_control(&ours).unwrap();
        send_urgent(&theirs, b"\xff\xf4\xff").await.unwrap();
        theirs.try_write(b"\xf2ABOR\r\n").unwrap();
        let (mut got, mut buffer) = (Vec::new(), [0; 64]);
        while !got.ends_with(b"\r\n") {
            let read = read_past_urgent(&ours, &mut buffer);
            let octets = tokio::time::timeout(std::time::Duration::from_secs(20), read).await;
            got.extend_from_slice(&buffer[..octets.expect("all of it is here").unwrap()]);
        }
        assert_eq!(got, b"\xff\xf4\xff\xf2ABOR\r\n");
    }
}
