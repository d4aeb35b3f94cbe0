//! A client of ICAP (RFC 3507), as far as a file has to be judged: the server's word counts, never its octets.

mod reply;
mod talk;
mod url;

use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use portway_proto::printable;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::{Inspection, Subject};
use reply::{Head, Malformed};
use talk::Incoming;
pub use url::IcapUrlError;

/// How long the server may take to accept a connection, and to answer OPTIONS.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the answer to OPTIONS holds at most, whatever the server says.
const LONGEST_TTL: Duration = Duration::from_secs(600);

/// A larger preview is not sent, whatever the server asks for.
const LARGEST_PREVIEW: usize = 64 * 1024;

/// Octets of a file on their way from the transfer to the server.
const BETWEEN: usize = 64 * 1024;

/// A service of an ICAP server.
#[derive(Debug)]
pub(super) struct Service {
    /// As in the URL, brackets included.
    authority: String,
    host: String,
    port: u16,
    path: String,
    offered: Mutex<Option<(Offered, Instant)>>,
}

/// What the server said to OPTIONS (RFC 3507 §4.10).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Offered {
    preview: Option<usize>,
    respmod: bool,
    reqmod: bool,
}

/// Why the server gives no verdict.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    #[error("the ICAP server {to} cannot be reached ({source})")]
    Unreachable { to: String, source: io::Error },
    #[error("the ICAP server does not answer")]
    Silent,
    #[error("the connection to the ICAP server broke ({0})")]
    Broken(#[from] io::Error),
    #[error("the ICAP server closed the connection without a verdict")]
    Closed,
    #[error("the ICAP server sent {0}")]
    Malformed(#[from] Malformed),
    #[error("the ICAP server said {status} {words}")]
    Refused { status: u16, words: String },
}

/// Connects, so that a server that is away is noticed before anything moves.
pub(super) async fn start(
    service: &std::sync::Arc<Service>,
    subject: &Subject<'_>,
) -> Result<Inspection, Trouble> {
    let offered = service.offered().await?;
    let stream = service.connect().await?;
    let upload = (subject.upload && offered.reqmod) || !offered.respmod;
    let request = service.request(subject, upload, offered);
    let (input, file) = tokio::io::duplex(BETWEEN);
    let told = subject.octets;
    let service = std::sync::Arc::clone(service);
    Ok(Inspection::new(input, async move {
        let verdict = talk::ask(stream, &request, offered.preview, (file, told), upload).await;
        verdict.unwrap_or_else(|trouble| {
            // It may have changed its mind about what it offers.
            service.forget();
            Err(trouble.to_string())
        })
    }))
}

impl Service {
    async fn connect(&self) -> Result<TcpStream, Trouble> {
        let connecting = TcpStream::connect((self.host.as_str(), self.port));
        let late = |_| Err(io::ErrorKind::TimedOut.into());
        let connected = timeout(PATIENCE, connecting).await.unwrap_or_else(late);
        connected.map_err(|source| Trouble::Unreachable { to: self.authority.clone(), source })
    }

    async fn offered(&self) -> Result<Offered, Trouble> {
        let known = *self.offered.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((offered, until)) = known
            && Instant::now() < until
        {
            return Ok(offered);
        }
        let mut stream = self.connect().await?;
        let asked = timeout(PATIENCE, async {
            let text = format!("{}Encapsulated: null-body=0\r\n\r\n", self.opening("OPTIONS"));
            stream.write_all(text.as_bytes()).await?;
            Incoming::new(&mut stream).head().await
        });
        let head = asked.await.map_err(|_| Trouble::Silent)??;
        if head.status != 200 {
            return Err(Trouble::Refused { status: head.status, words: head.words });
        }
        let (offered, ttl) = read_offer(&head);
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = Some((offered, Instant::now() + ttl));
        Ok(offered)
    }

    fn forget(&self) {
        *self.offered.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn opening(&self, method: &str) -> String {
        let Self { authority, path, .. } = self;
        format!(
            "{method} icap://{authority}{path} ICAP/1.0\r\nHost: {authority}\r\nUser-Agent: portway\r\nConnection: close\r\n"
        )
    }

    /// Everything before the body. The file goes as HTTP would carry it: a GET and its response, or a PUT.
    fn request(&self, subject: &Subject<'_>, upload: bool, offered: Offered) -> Vec<u8> {
        let server = subject.server;
        let server = if server.contains(':') { format!("[{server}]") } else { server.to_owned() };
        let path =
            String::from_utf8_lossy(subject.path.strip_prefix(b"/").unwrap_or(subject.path)).into_owned();
        let url = format!("ftp://{server}/{}", url::encoded(path.as_bytes()));
        let verb = if subject.upload { "PUT" } else { "GET" };
        let asked = format!("{verb} {url} HTTP/1.1\r\nHost: {server}\r\n\r\n");
        // Some services pass what has no length unseen.
        let length = subject.octets.map(|octets| format!("Content-Length: {octets}\r\n")).unwrap_or_default();
        let kind = format!("Content-Type: application/octet-stream\r\n{length}");
        let (method, heads, encapsulated) = if upload {
            let asked = asked.replacen("\r\n\r\n", &format!("\r\n{kind}\r\n"), 1);
            let encapsulated = format!("req-hdr=0, req-body={}", asked.len());
            ("REQMOD", asked, encapsulated)
        } else {
            let answered = format!("HTTP/1.1 200 OK\r\n{kind}\r\n");
            let body = asked.len() + answered.len();
            let encapsulated = format!("req-hdr=0, res-hdr={}, res-body={body}", asked.len());
            ("RESPMOD", asked + &answered, encapsulated)
        };
        let preview = offered.preview.map(|octets| format!("Preview: {octets}\r\n")).unwrap_or_default();
        let user: String = printable(subject.user).chars().filter(char::is_ascii_graphic).collect();
        format!(
            "{}Allow: 204\r\n{preview}X-Client-IP: {}\r\nX-Client-Username: {user}\r\nEncapsulated: {encapsulated}\r\n\r\n{heads}",
            self.opening(method),
            subject.client,
        )
        .into_bytes()
    }
}

/// What an answer to OPTIONS offers, and for how long.
fn read_offer(head: &Head) -> (Offered, Duration) {
    let number = |name: &str| head.field(name).and_then(|text| text.parse::<u64>().ok());
    let methods = head.field("Methods").unwrap_or_default().to_ascii_uppercase();
    let preview = number("Preview").map(|octets| octets.min(LARGEST_PREVIEW as u64) as usize);
    let has = |method: &str| methods.split([',', ' ']).any(|word| word == method);
    // Who names none is asked for what fits.
    let none = !has("RESPMOD") && !has("REQMOD");
    let offered = Offered { preview, respmod: none || has("RESPMOD"), reqmod: none || has("REQMOD") };
    let ttl = number("Options-TTL").map_or(LONGEST_TTL, Duration::from_secs);
    (offered, ttl.min(LONGEST_TTL))
}

#[cfg(test)]
mod tests;
