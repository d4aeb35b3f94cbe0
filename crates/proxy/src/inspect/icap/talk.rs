//! One request: the file goes there in chunks, and the answer is read at the same time, since a server may begin with
//! it at any moment.

use std::pin::pin;

use portway_proto::printable;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;

use super::Trouble;
use super::reply::{Chunks, Encapsulated, Head, Malformed, http_status};

/// The file as far as it is known: what was sent, or what came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Content {
    hash: [u8; 32],
    octets: u64,
}

/// What the answer comes to.
enum Answer {
    /// 100: go on behind the preview.
    Continue,
    /// 204.
    Unchanged,
    /// 200, and nothing says that it is blocked: the file comes back.
    Back(Content),
    Blocked(String),
}

/// Shows the file to the server. The inner error is its refusal.
pub(super) async fn ask(
    mut stream: TcpStream,
    request: &[u8],
    preview: Option<usize>,
    (file, told): (DuplexStream, Option<u64>),
    upload: bool,
) -> Result<Result<(), String>, Trouble> {
    let (reading, mut writing) = stream.split();
    let mut incoming = Incoming::new(reading);
    let mut outgoing = Outgoing { file, hash: Sha256::new(), octets: 0, ahead: Vec::new() };
    writing.write_all(request).await?;
    if let Some(preview) = preview {
        let whole = outgoing.send_preview(&mut writing, preview).await?;
        match incoming.answer(upload).await? {
            Answer::Continue if !whole => {}
            Answer::Continue => {
                return Err(Trouble::Refused { status: 100, words: "behind the end".to_owned() });
            }
            Answer::Unchanged => return Ok(as_told(&outgoing.rest_of_it().await, told)),
            Answer::Blocked(reason) => return Ok(Err(reason)),
            Answer::Back(content) => {
                let sent = outgoing.rest_of_it().await;
                return Ok(as_told(&sent, told).and_then(|()| compare(&sent, &content)));
            }
        }
    }
    let mut sending = pin!(outgoing.send_rest(&mut writing));
    let mut answering = pin!(incoming.answer(upload));
    let mut sent = None;
    loop {
        tokio::select! {
            content = &mut sending, if sent.is_none() => sent = Some(content),
            answer = &mut answering => {
                let back = match answer? {
                    Answer::Continue => return Err(Trouble::Refused { status: 100, words: "twice".to_owned() }),
                    Answer::Blocked(reason) => return Ok(Err(reason)),
                    Answer::Unchanged => None,
                    Answer::Back(content) => Some(content),
                };
                let sent = match sent {
                    Some(sent) => sent,
                    None => sending.await,
                };
                return Ok(as_told(&sent, told).and_then(|()| back.map_or(Ok(()), |back| compare(&sent, &back))));
            }
        }
    }
}

/// A length that was wrong may have kept the server from looking at all of it.
fn as_told(sent: &Content, told: Option<u64>) -> Result<(), String> {
    match told {
        Some(told) if told != sent.octets => {
            Err(format!("it has {} octets, and the server that has it said {told}", sent.octets))
        }
        _ => Ok(()),
    }
}

/// Files pass as they are or not at all.
fn compare(sent: &Content, back: &Content) -> Result<(), String> {
    if sent == back {
        Ok(())
    } else {
        Err("the ICAP server would change it, and files pass unchanged only".to_owned())
    }
}

/// The file on its way out.
struct Outgoing {
    file: DuplexStream,
    hash: Sha256,
    octets: u64,
    /// What was read to see whether the preview is all of it.
    ahead: Vec<u8>,
}

impl Outgoing {
    /// The beginning of the file (RFC 3507 §4.5); true if that was all of it.
    async fn send_preview(
        &mut self,
        to: &mut (impl AsyncWrite + Unpin),
        most: usize,
    ) -> Result<bool, Trouble> {
        let mut first = Vec::new();
        // One more, which tells whether there is more.
        (&mut self.file).take(most as u64 + 1).read_to_end(&mut first).await?;
        let whole = first.len() <= most;
        self.ahead = first.split_off(first.len().min(most));
        self.saw(&first);
        chunk(to, &first).await?;
        to.write_all(if whole { b"0; ieof\r\n\r\n" } else { b"0\r\n\r\n" }).await?;
        Ok(whole)
    }

    /// All that is left. A server that takes no more may have answered already: its word decides, and the file is
    /// still counted.
    async fn send_rest(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> Content {
        let ahead = std::mem::take(&mut self.ahead);
        self.saw(&ahead);
        let mut open = chunk(to, &ahead).await.is_ok();
        let mut buf = vec![0; 32 * 1024];
        while let Ok(octets @ 1..) = self.file.read(&mut buf).await {
            let part = buf.get(..octets).unwrap_or_default();
            self.saw(part);
            open = open && chunk(to, part).await.is_ok();
        }
        if open {
            let _ = to.write_all(b"0\r\n\r\n").await;
        }
        self.content()
    }

    async fn rest_of_it(&mut self) -> Content {
        self.send_rest(&mut tokio::io::sink()).await
    }

    fn saw(&mut self, octets: &[u8]) {
        self.hash.update(octets);
        self.octets += octets.len() as u64;
    }

    fn content(&self) -> Content {
        Content { hash: self.hash.clone().finalize().into(), octets: self.octets }
    }
}

async fn chunk(to: &mut (impl AsyncWrite + Unpin), octets: &[u8]) -> std::io::Result<()> {
    if octets.is_empty() {
        return Ok(());
    }
    to.write_all(format!("{:x}\r\n", octets.len()).as_bytes()).await?;
    to.write_all(octets).await?;
    to.write_all(b"\r\n").await
}

/// What the server says.
pub(super) struct Incoming<R> {
    from: R,
    buf: Vec<u8>,
}

impl<R: AsyncRead + Unpin> Incoming<R> {
    pub(super) fn new(from: R) -> Self {
        Self { from, buf: Vec::new() }
    }

    /// The next head.
    pub(super) async fn head(&mut self) -> Result<Head, Trouble> {
        loop {
            if let Some((head, length)) = Head::read(&self.buf)? {
                self.buf.drain(..length);
                return Ok(head);
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> Result<(), Trouble> {
        let mut part = [0; 8192];
        let octets = self.from.read(&mut part).await?;
        self.buf.extend_from_slice(part.get(..octets).unwrap_or_default());
        if octets == 0 { Err(Trouble::Closed) } else { Ok(()) }
    }

    async fn answer(&mut self, upload: bool) -> Result<Answer, Trouble> {
        let head = self.head().await?;
        if let Some(found) = infection(&head) {
            return Ok(Answer::Blocked(found));
        }
        match head.status {
            100 => return Ok(Answer::Continue),
            204 => return Ok(Answer::Unchanged),
            200 => {}
            status => return Err(Trouble::Refused { status, words: head.words }),
        }
        let Encapsulated { response, heads, body } = head.encapsulated()?;
        while self.buf.len() < heads {
            self.more().await?;
        }
        let http: Vec<u8> = self.buf.drain(..heads).collect();
        if let Some(at) = response {
            let (status, words) = http_status(http.get(at..).unwrap_or_default()).ok_or(Malformed::Status)?;
            if upload || status != 200 {
                let why = head.field("X-Response-Desc").map(|why| format!(" ({why})")).unwrap_or_default();
                return Ok(Answer::Blocked(format!("the ICAP server answers {status} {words}{why}")));
            }
        } else if !upload {
            return Err(Malformed::Encapsulated.into());
        }
        let mut content = (Sha256::new(), 0);
        let mut chunks = Chunks::default();
        let mut ended = !body;
        while !ended {
            ended = chunks.feed(&self.buf, |part| {
                content.0.update(part);
                content.1 += part.len() as u64;
            })?;
            self.buf.clear();
            if !ended {
                self.more().await?;
            }
        }
        Ok(Answer::Back(Content { hash: content.0.finalize().into(), octets: content.1 }))
    }
}

/// What scanners call what they have found: `X-Virus-ID`, or `Threat=` in `X-Infection-Found`.
fn infection(head: &Head) -> Option<String> {
    let named = head.field("X-Virus-ID").filter(|name| !name.eq_ignore_ascii_case("no threats"));
    let threat = head.field("X-Infection-Found").map(|field| {
        let threat = field.split(';').find_map(|part| part.trim().strip_prefix("Threat="));
        threat.unwrap_or("an infection")
    });
    let name: String = printable(named.or(threat)?.as_bytes()).chars().take(200).collect();
    Some(format!("found {name}"))
}
