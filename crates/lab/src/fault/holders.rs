//! Somebody else's clients, which ask for passive ports and keep them.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use crate::error::LabError;
use crate::space::Host;

/// How long the server may take for a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Starts `count` of them on a machine, and waits until each has its port. They come again after a restart.
///
/// # Errors
/// [`LabError::Inside`] if the server gives them no port.
pub(super) fn start(host: &Host, server: IpAddr, count: u16) -> Result<(), LabError> {
    host.run(move || {
        let (got, heard) = mpsc::channel();
        for _ in 0..count {
            let got = got.clone();
            std::thread::spawn(move || {
                loop {
                    // A server that is being restarted refuses; try again.
                    if hold(server, &got).is_err() {
                        std::thread::sleep(Duration::from_millis(20));
                    }
                }
            });
        }
        for _ in 0..count {
            heard
                .recv_timeout(PATIENCE)
                .map_err(|_| LabError::Inside("the passive ports could not be used up".to_owned()))?;
        }
        Ok(())
    })?
}

/// Takes one port and keeps it until the server hangs up.
fn hold(server: IpAddr, got: &mpsc::Sender<()>) -> std::io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::new(server, 21), PATIENCE)?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    // The code of the next reply.
    let mut reply = || -> std::io::Result<String> {
        for line in lines.by_ref() {
            let line = line?;
            // The last line of a reply: three digits and a blank (RFC 959 §4.2).
            if let Some((code, _)) = line.split_once(' ').filter(|(code, _)| code.len() == 3) {
                return Ok(code.to_owned());
            }
        }
        Err(std::io::ErrorKind::UnexpectedEof.into())
    };
    reply()?;
    stream.write_all(b"USER anonymous\r\n")?;
    // Some want no password of anonymous users.
    if reply()? == "331" {
        stream.write_all(b"PASS guest@\r\n")?;
        reply()?;
    }
    stream.write_all(b"PASV\r\n")?;
    if reply()? != "227" {
        return Err(std::io::ErrorKind::ConnectionRefused.into());
    }
    // Nobody listens once all have theirs.
    let _ = got.send(());
    // Until the server ends the session.
    reply().map(|_| ())
}
