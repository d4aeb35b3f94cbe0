//! One control connection of the doctor: every step reports what it saw in place of an error.

use std::net::SocketAddr;
use std::time::Duration;

use portway_doctor::Greeting;
use portway_net::{
    ClientControlTls, ClientTls, Control, TlsError, connect_from, connect_small, prepare_control,
};
use portway_proto::client::{ClientSession, Credentials, Event, Login, LoginError, LoginStep};
use portway_proto::{Command, Mechanism, Protection, RawReply, printable};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// How long a reply may take.
pub(super) const PATIENCE: Duration = Duration::from_millis(2500);

/// A control connection.
#[derive(Debug)]
pub(super) struct Talk {
    control: Control,
    session: ClientSession,
    pub(super) tls: Option<ClientControlTls>,
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// Everything the server said, for guessing what it is.
    pub(super) said: String,
}

/// Why there is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Lost {
    /// Nothing came in time.
    Silent,
    /// The connection ended; what the server said last, if anything.
    Closed(String),
    /// What came is no FTP.
    Foreign(String),
}

impl std::fmt::Display for Lost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Silent => f.write_str("no reply"),
            Self::Closed(text) if text.is_empty() => f.write_str("the control connection ended"),
            Self::Closed(text) => write!(f, "the control connection ended: {text}"),
            Self::Foreign(text) => write!(f, "no FTP: {text}"),
        }
    }
}

/// How a login ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Entry {
    In,
    Refused(String),
    NeedsTls(String),
    Lost(String),
}

impl Talk {
    /// Connects; `Err` says how the network answered.
    pub(super) async fn connect(to: SocketAddr, mss: Option<u16>, within: Duration) -> std::io::Result<Self> {
        let stream = match mss {
            None => timeout(within, connect_from(None, to)).await,
            Some(mss) => timeout(within, connect_small(to, mss)).await,
        };
        let stream = stream.map_err(|_| std::io::Error::from(std::io::ErrorKind::TimedOut))??;
        prepare_control(&stream)?;
        let (peer, local) = (stream.peer_addr()?, stream.local_addr()?);
        let control = Control::from(stream);
        Ok(Self { control, session: ClientSession::new(), tls: None, peer, local, said: String::new() })
    }

    /// Waits for 220.
    pub(super) async fn greeting(&mut self, within: Duration) -> Greeting {
        let deadline = Instant::now() + within;
        loop {
            match self.next(deadline).await {
                Ok(reply) if reply.code == 120 => {}
                Ok(reply) if reply.code / 100 == 2 => return Greeting::Ready,
                Ok(reply) => return Greeting::Busy(shown(&reply)),
                Err(Lost::Silent) => return Greeting::Silent,
                Err(Lost::Closed(_)) => return Greeting::Closed,
                Err(Lost::Foreign(text)) => return Greeting::Foreign(text),
            }
        }
    }

    /// AUTH TLS (RFC 4217 §4); the reply, if it is no consent.
    pub(super) async fn ask_for_tls(&mut self) -> Result<Option<RawReply>, Lost> {
        let reply = self.call(&Command::Auth(Mechanism::Tls)).await?;
        Ok((reply.code != 234 && reply.code != 334).then_some(reply))
    }

    /// The TLS handshake.
    pub(super) async fn start_tls(mut self, rules: &ClientTls, host: &str) -> Result<Self, TlsError> {
        let tls = rules.control(host)?;
        self.session.tls_started();
        let shaken = timeout(PATIENCE, self.control.connect_tls(&tls)).await;
        let silent = || TlsError::Io(std::io::ErrorKind::TimedOut.into());
        self.control = shaken.map_err(|_| silent())??;
        self.tls = Some(tls);
        Ok(self)
    }

    pub(super) async fn log_in(&mut self, credentials: &Credentials) -> Entry {
        let mut login = Login::new(credentials.clone());
        let mut reply = match self.call(&login.first()).await {
            Ok(reply) => reply,
            Err(lost) => return entry_of(&lost),
        };
        loop {
            reply = match login.step(&reply) {
                LoginStep::Send(command) => match self.call(&command).await {
                    Ok(reply) => reply,
                    Err(lost) => return entry_of(&lost),
                },
                LoginStep::LoggedIn => return Entry::In,
                LoginStep::Failed(LoginError::NeedsTls { text }) => return Entry::NeedsTls(text),
                LoginStep::Failed(LoginError::Busy { text }) => return Entry::Lost(text),
                LoginStep::Failed(error) => {
                    // 530 Anonymous sessions may not use encryption, 530 Non-anonymous must: said in many words.
                    let text = shown(&reply);
                    let low = text.to_ascii_lowercase();
                    let wants = ["must use", "required", "requires", "encryption", "tls", "ssl"];
                    let plain = self.tls.is_none();
                    if plain && wants.iter().filter(|word| low.contains(**word)).count() >= 2 {
                        return Entry::NeedsTls(text);
                    }
                    let _ = error;
                    return Entry::Refused(text);
                }
            };
        }
    }

    /// PBSZ and PROT P; the refusal, if there is one.
    pub(super) async fn protect(&mut self) -> Result<Option<RawReply>, Lost> {
        self.call(&Command::Pbsz(0)).await?;
        let reply = self.call(&Command::Prot(Protection::Private)).await?;
        Ok((reply.code / 100 != 2).then_some(reply))
    }

    /// Sends a command and waits for its final reply.
    pub(super) async fn call(&mut self, command: &Command<'_>) -> Result<RawReply, Lost> {
        self.send(command).await?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let reply = self.next(deadline).await?;
            if reply.code / 100 != 1 {
                return Ok(reply);
            }
        }
    }

    pub(super) async fn send(&mut self, command: &Command<'_>) -> Result<(), Lost> {
        if self.session.send(command).is_err() {
            return Err(Lost::Closed("a name that cannot be sent".to_owned()));
        }
        let octets = self.session.take_output();
        let written = timeout(PATIENCE, async {
            self.control.write_all(&octets).await?;
            self.control.flush().await
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Lost::Closed(error.to_string())),
            Err(_) => Err(Lost::Silent),
        }
    }

    /// The next reply, whatever it answers. May be dropped and called again.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<RawReply, Lost> {
        loop {
            if let Some(event) = self.session.next_event() {
                return match event {
                    Ok(Event::Answer(answer)) => Ok(self.heard(answer.reply)),
                    Ok(Event::Surplus(reply) | Event::Unsolicited(reply)) => Ok(self.heard(reply)),
                    Err(error) => Err(Lost::Foreign(error.to_string())),
                };
            }
            let mut buf = [0_u8; 4096];
            match timeout_at(deadline, self.control.read(&mut buf)).await {
                Err(_) => return Err(Lost::Silent),
                Ok(Ok(0)) => {
                    return match self.session.next_event_at_end() {
                        Some(Ok(Event::Answer(answer))) => Ok(self.heard(answer.reply)),
                        Some(Err(error)) => Err(Lost::Foreign(error.to_string())),
                        _ => Err(Lost::Closed(String::new())),
                    };
                }
                Ok(Ok(n)) => self.session.feed(buf.get(..n).unwrap_or_default()),
                Ok(Err(error)) => return Err(Lost::Closed(error.to_string())),
            }
        }
    }

    fn heard(&mut self, reply: RawReply) -> RawReply {
        for line in &reply.lines {
            if self.said.len() < 16 * 1024 {
                self.said.push_str(&printable(line));
                self.said.push('\n');
            }
        }
        reply
    }

    /// Says goodbye without waiting for the answer.
    pub(super) async fn quit(mut self) {
        if self.send(&Command::Quit).await.is_ok() {
            let _ = self.next(Instant::now() + Duration::from_millis(150)).await;
        }
        let _ = timeout(Duration::from_millis(50), self.control.shutdown()).await;
    }
}

fn entry_of(lost: &Lost) -> Entry {
    Entry::Lost(lost.to_string())
}

/// A reply as one line.
pub(super) fn shown(reply: &RawReply) -> String {
    let words: Vec<String> = reply.lines.iter().map(|line| printable(line.trim_ascii())).collect();
    let text = format!("{} {}", reply.code, words.join(" / "));
    text.chars().take(200).collect()
}

/// Its words without the code.
pub(super) fn words(reply: &RawReply) -> String {
    let words: Vec<String> = reply.lines.iter().map(|line| printable(line.trim_ascii())).collect();
    words.join(" / ").chars().take(200).collect()
}
