//! A command of the shell that looks into a file.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use portway_proto::printable;
use rustix::process::{Pid, Signal, kill_process_group};
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
    // In a group of its own, so that what it starts ends with it.
    command.arg("-c").arg(text).kill_on_drop(true).process_group(0);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    command.env("PORTWAY_VERB", subject.verb);
    command.env("PORTWAY_PATH", OsStr::from_bytes(subject.path));
    command.env("PORTWAY_USER", OsStr::from_bytes(subject.user));
    command.env("PORTWAY_CLIENT", subject.client.to_string());
    command.env("PORTWAY_SERVER", subject.server);
    let mut child = command.spawn()?;
    let broken = || io::Error::from(io::ErrorKind::BrokenPipe);
    let (input, output) = (child.stdin.take().ok_or_else(broken)?, child.stdout.take().ok_or_else(broken)?);
    let group = Group(child.id().and_then(|id| Pid::from_raw(id.try_into().ok()?)));
    Ok(Inspection::new(input, judge(child, group, output)))
}

/// The processes of a command that has not come to an end; killed when this is dropped.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.0 {
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// What the exit status says.
async fn judge(mut child: Child, mut group: Group, output: ChildStdout) -> Result<(), String> {
    let words = tokio::spawn(listen(output));
    let status = child.wait().await;
    // From here on the number may be somebody else's, and what the command has left behind is its own affair.
    group.0 = None;
    match status {
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
