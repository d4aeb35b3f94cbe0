//! Looking into the files that pass, by a command or an ICAP server.

mod command;
mod icap;

use std::sync::Arc;
use std::time::Duration;

use tokio::io::AsyncWrite;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::leftovers::Leftovers;

pub use icap::IcapUrlError;

/// How long the verdict may take after the end of a file.
const VERDICT: Duration = Duration::from_secs(60);

/// Who says of each file whether it passes. Where nobody can be asked, or no verdict comes within 60 s of the end of the
/// file, nothing passes.
#[derive(Clone, Debug)]
pub struct Inspect {
    kind: Kind,
    leftovers: Leftovers,
}

#[derive(Clone, Debug)]
enum Kind {
    Command(Arc<str>),
    Icap(Arc<icap::Service>),
}

/// A file that is about to pass.
pub(crate) struct Subject<'a> {
    pub(crate) verb: &'a str,
    pub(crate) path: &'a [u8],
    pub(crate) user: &'a [u8],
    pub(crate) client: std::net::IpAddr,
    pub(crate) server: &'a str,
    pub(crate) upload: bool,
    /// As far as anybody has said.
    pub(crate) octets: Option<u64>,
}

/// A look into one file, which goes on beside the transfer and ends with this value.
pub(crate) struct Inspection {
    /// Takes the file.
    pub(crate) input: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    judging: JoinHandle<Result<(), String>>,
    agreed: bool,
}

impl Inspect {
    /// A command, given to `sh -c`; what clients choose stands in its environment, never in its text. It reads the
    /// file on its standard input, and its exit status 0 lets it pass; the first line it says is the reason if not.
    #[must_use]
    pub fn command(text: &str) -> Self {
        Self::by(Kind::Command(text.into()))
    }

    /// An ICAP server (RFC 3507), `icap://HOST[:PORT]/SERVICE`. It gets downloads as RESPMOD and uploads as REQMOD; if
    /// it serves only one of these, all as that one. A file that it would change does not pass.
    ///
    /// # Errors
    /// [`IcapUrlError`] if this is no such URL.
    pub fn icap(url: &str) -> Result<Self, IcapUrlError> {
        Ok(Self::by(Kind::Icap(Arc::new(url.parse()?))))
    }

    fn by(kind: Kind) -> Self {
        Self { kind, leftovers: Leftovers::default() }
    }

    /// Uploads that nobody could delete.
    pub(crate) fn leftovers(&self) -> &Leftovers {
        &self.leftovers
    }

    /// Whether it helps to know how long a file is.
    pub(crate) fn asks_for_size(&self) -> bool {
        matches!(self.kind, Kind::Icap(_))
    }

    /// Begins to look into a file. The error says why nobody can.
    pub(crate) async fn start(&self, subject: &Subject<'_>) -> Result<Inspection, String> {
        match &self.kind {
            Kind::Command(text) => command::start(text, subject).map_err(|error| error.to_string()),
            Kind::Icap(service) => icap::start(service, subject).await.map_err(|error| error.to_string()),
        }
    }
}

impl Inspection {
    fn new(
        input: impl AsyncWrite + Send + Unpin + 'static,
        judge: impl Future<Output = Result<(), String>> + Send + 'static,
    ) -> Self {
        Self { input: Some(Box::new(input)), judging: tokio::spawn(judge), agreed: false }
    }

    /// Waits for a refusal before all of the file has been seen; for ever if there is none. May be dropped.
    pub(crate) async fn refuses(&mut self) -> String {
        match self.judged().await {
            Err(reason) => reason,
            Ok(()) => std::future::pending().await,
        }
    }

    /// The verdict, now that the file has ended.
    ///
    /// # Errors
    /// Why it does not pass.
    pub(crate) async fn verdict(&mut self) -> Result<(), String> {
        self.input = None;
        let late = |_| Err(format!("no verdict within {} s", VERDICT.as_secs()));
        timeout(VERDICT, self.judged()).await.unwrap_or_else(late)
    }

    async fn judged(&mut self) -> Result<(), String> {
        if !self.agreed {
            let judged = (&mut self.judging).await;
            judged.unwrap_or_else(|_| Err("the inspection itself failed".to_owned()))?;
            self.agreed = true;
        }
        Ok(())
    }
}

impl Drop for Inspection {
    fn drop(&mut self) {
        self.judging.abort();
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    pub(super) const SUBJECT: Subject<'static> = Subject {
        verb: "STOR",
        path: b"a b; exit 3",
        user: b"ann",
        client: std::net::IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)),
        server: "ftp.example.org",
        upload: true,
        octets: None,
    };

    /// The verdict on this content.
    pub(super) async fn ask(inspect: &Inspect, content: &[u8]) -> Result<(), String> {
        let mut inspection = inspect.start(&SUBJECT).await?;
        let mut input = inspection.input.take().unwrap();
        let _ = input.write_all(content).await;
        drop(input);
        inspection.verdict().await
    }

    #[tokio::test]
    async fn the_exit_status_decides_and_the_first_line_is_the_reason() {
        let ask = async |command: &str, content: &[u8]| ask(&Inspect::command(command), content).await;
        assert_eq!(ask("cat >/dev/null", b"all right").await, Ok(()));
        let words =
            ask("echo \"found in $PORTWAY_PATH\"; echo more; ! grep -q evil", b"some evil words").await;
        assert_eq!(words, Err("found in a b; exit 3".to_owned()));
        assert_eq!(ask("exit 1", b"x").await, Err("no reason given".to_owned()));
        // Who has read enough may leave.
        assert_eq!(ask("exit 0", &[0; 300_000]).await, Ok(()));
    }

    #[tokio::test]
    async fn what_a_command_has_started_ends_when_the_transfer_does() {
        let folder = tempfile::tempdir().unwrap();
        let note = folder.path().join("pid");
        let text = format!("sh -c 'echo $$ >{0}.new; mv {0}.new {0}; sleep 600; :'; :", note.display());
        let inspection = Inspect::command(&text).start(&SUBJECT).await.unwrap();
        let deadline = std::time::Instant::now() + Duration::from_secs(20);
        let late = || assert!(std::time::Instant::now() < deadline, "not within 20 s");
        while !note.exists() {
            late();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let process = format!("/proc/{}", std::fs::read_to_string(&note).unwrap().trim());
        assert!(std::path::Path::new(&process).exists());
        drop(inspection);
        // A zombie that nobody has waited for has no command line any more.
        while std::fs::read(format!("{process}/cmdline")).is_ok_and(|line| !line.is_empty()) {
            late();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_never_comes_to_a_verdict_passes_nothing() {
        let mut inspection = Inspection::new(tokio::io::sink(), std::future::pending());
        assert_eq!(inspection.verdict().await, Err("no verdict within 60 s".to_owned()));
        let mut inspection = Inspection::new(tokio::io::sink(), async { panic!("of the judge") });
        assert!(inspection.verdict().await.is_err());
    }
}
