//! Looking into the files that pass, by a command.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::process::Stdio;
use std::time::Duration;

use portway_proto::printable;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, ChildStdin, Command};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the command may think about the end of a file.
const VERDICT: Duration = Duration::from_secs(60);
/// What a client is told of the command's words.
const MOST_WORDS: u64 = 200;

/// A command that says of each file whether it passes. It is given to `sh -c`; what clients choose stands in its
/// environment, never in its text. A command that cannot be run, or does not come to an end within 60 s of the end
/// of the file, passes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspect(String);

/// A file that is about to pass.
pub(crate) struct Subject<'a> {
    pub(crate) verb: &'a str,
    pub(crate) path: &'a [u8],
    pub(crate) user: &'a [u8],
    pub(crate) client: std::net::IpAddr,
    pub(crate) server: &'a str,
}

/// A command that reads a file as it passes; ended with this value.
#[derive(Debug)]
pub(crate) struct Inspection {
    child: Child,
    pub(crate) input: Option<ChildStdin>,
    words: Option<JoinHandle<Vec<u8>>>,
}

impl Inspect {
    /// This command.
    #[must_use]
    pub fn new(command: String) -> Self {
        Self(command)
    }

    pub(crate) fn start(&self, subject: &Subject<'_>) -> io::Result<Inspection> {
        let mut command = Command::new("sh");
        command.arg("-c").arg(&self.0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.env("PORTWAY_VERB", subject.verb);
        command.env("PORTWAY_PATH", OsStr::from_bytes(subject.path));
        command.env("PORTWAY_USER", OsStr::from_bytes(subject.user));
        command.env("PORTWAY_CLIENT", subject.client.to_string());
        command.env("PORTWAY_SERVER", subject.server);
        let mut child = command.spawn()?;
        let words = child.stdout.take().map(|mut stdout| {
            tokio::spawn(async move {
                let mut words = Vec::new();
                let _ = (&mut stdout).take(MOST_WORDS).read_to_end(&mut words).await;
                // It may go on talking.
                let mut rest = [0; 512];
                while stdout.read(&mut rest).await.is_ok_and(|octets| octets > 0) {}
                words
            })
        });
        Ok(Inspection { input: child.stdin.take(), child, words })
    }
}

impl Inspection {
    /// Waits for a command that refuses a file before it has seen all of it; for ever if it does not. May be
    /// dropped.
    pub(crate) async fn refuses(&mut self) -> String {
        match self.child.wait().await {
            Ok(status) if status.success() => std::future::pending().await,
            _ => self.reason().await,
        }
    }

    /// The verdict, now that the file has ended.
    ///
    /// # Errors
    /// Why it does not pass.
    pub(crate) async fn verdict(&mut self) -> Result<(), String> {
        self.input = None;
        match timeout(VERDICT, self.child.wait()).await {
            Ok(Ok(status)) if status.success() => Ok(()),
            Ok(Ok(_)) => Err(self.reason().await),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_late) => Err(format!("no verdict within {} s", VERDICT.as_secs())),
        }
    }

    async fn reason(&mut self) -> String {
        let Some(words) = &mut self.words else { return "no reason given".to_owned() };
        // A grandchild may hold the pipe.
        let words = timeout(Duration::from_millis(500), words).await;
        self.words = None;
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        let line = words.split(|&octet| octet == b'\n').next().unwrap_or_default().trim_ascii();
        if line.is_empty() { "no reason given".to_owned() } else { printable(line) }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn ask(command: &str, content: &[u8]) -> Result<(), String> {
        let subject = Subject {
            verb: "STOR",
            path: b"a b; exit 3",
            user: b"ann",
            client: std::net::IpAddr::from([192, 0, 2, 7]),
            server: "ftp.example.org",
        };
        let mut inspection = Inspect::new(command.to_owned()).start(&subject).unwrap();
        let mut input = inspection.input.take().unwrap();
        let _ = input.write_all(content).await;
        drop(input);
        inspection.verdict().await
    }

    #[tokio::test]
    async fn the_exit_status_decides_and_the_first_line_is_the_reason() {
        assert_eq!(ask("cat >/dev/null", b"all right").await, Ok(()));
        let words =
            ask("echo \"found in $PORTWAY_PATH\"; echo more; ! grep -q evil", b"some evil words").await;
        assert_eq!(words, Err("found in a b; exit 3".to_owned()));
        assert_eq!(ask("exit 1", b"x").await, Err("no reason given".to_owned()));
        // Who has read enough may leave.
        assert_eq!(ask("exit 0", &[0; 300_000]).await, Ok(()));
    }
}
