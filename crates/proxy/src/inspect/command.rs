//! A command of the shell that looks into a file.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use portway_proto::printable;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Inspection, Subject};

/// What a client is told of the command's words.
const MOST_WORDS: u64 = 200;

/// Runs the command beside the transfer.
pub(super) fn start(text: &str, subject: &Subject<'_>) -> io::Result<Inspection> {
    let mut command = Command::new("sh");
    command.arg("-c").arg(text).kill_on_drop(true);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("PORTWAY_VERB", subject.verb);
    command.env("PORTWAY_PATH", OsStr::from_bytes(subject.path));
    command.env("PORTWAY_USER", OsStr::from_bytes(subject.user));
    command.env("PORTWAY_CLIENT", subject.client.to_string());
    command.env("PORTWAY_SERVER", subject.server);
    let mut child = command.spawn()?;
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let (input, output) = (child.stdin.take().ok_or_else(broken)?, child.stdout.take().ok_or_else(broken)?);
    Ok(Inspection::new(input, judge(child, output)))
}

/// What the exit status says.
async fn judge(mut child: Child, output: ChildStdout) -> Result<(), String> {
    let words = tokio::spawn(listen(output));
    match child.wait().await {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(reason(words).await),
        Err(error) => Err(error.to_string()),
    }
}

async fn listen(mut output: ChildStdout) -> Vec<u8> {
    let mut words = Vec::new();
    let _ = (&mut output).take(MOST_WORDS).read_to_end(&mut words).await;
    // It may go on talking.
    let mut rest = [0; 512];
    while output.read(&mut rest).await.is_ok_and(|octets| octets > 0) {}
    words
}

async fn reason(words: JoinHandle<Vec<u8>>) -> String {
    // A grandchild may hold the pipe.
    let words = timeout(Duration::from_millis(500), words).await;
    let words = words.ok().and_then(Result::ok).unwrap_or_default();
    let line = words.split(|&octet| octet == b'\n').next().unwrap_or_default().trim_ascii();
    if line.is_empty() { "no reason given".to_owned() } else { printable(line) }
}
