//! The course of a session, from the greeting to the end.

use portway_net::Received;
use zeroize::Zeroize;

use crate::{ControlConnection, End};

/// What a role makes of a control connection.
///
/// Each wait of an idle session is the size of its task, so all that it does not need then is boxed.
pub trait Session: Send {
    /// The control connection.
    fn client(&mut self) -> &mut ControlConnection;

    /// What comes before the first line: TLS if it is implicit, and the greeting.
    fn greet(&mut self) -> impl Future<Output = Result<(), End>> + Send;

    /// Serves one line.
    fn line(&mut self, line: &[u8]) -> impl Future<Output = Result<(), End>> + Send;

    /// Waits for octets from the client, see [`ControlConnection::wait`].
    fn wait(&mut self) -> impl Future<Output = Result<(), End>> + Send;

    /// Says goodbye.
    fn close(&mut self, end: End) -> impl Future<Output = ()> + Send;

    /// Serves until the end.
    fn run(&mut self) -> impl Future<Output = ()> + Send
    where
        Self: Sized,
    {
        async move {
            let end = match Box::pin(self.greet()).await {
                Ok(()) => serve(self).await,
                Err(end) => end,
            };
            Box::pin(self.close(end)).await;
        }
    }
}

async fn serve(session: &mut impl Session) -> End {
    loop {
        if let Err(end) = Box::pin(serve_what_is_here(session)).await {
            return end;
        }
        if let Err(end) = session.wait().await {
            return end;
        }
    }
}

/// Serves the lines that have been read, replies queued, so that a client that sends many at once gets its replies
/// in few segments.
async fn serve_what_is_here(session: &mut impl Session) -> Result<(), End> {
    while let Some(received) = session.client().control.take_line() {
        session.client().in_time()?;
        match received {
            Received::Line(mut line) => {
                let done = session.line(&line).await;
                if bears_secret(&line) {
                    line.zeroize();
                }
                done?;
            }
            Received::Bad(error) => session.client().bad_line(error)?,
        }
        if session.client().control.must_flush() {
            session.client().flush().await?;
        }
    }
    session.client().flush().await
}

/// PASS and ACCT, whatever is behind them.
fn bears_secret(line: &[u8]) -> bool {
    let verb = line.trim_ascii_start();
    verb.get(..4).is_some_and(|verb| verb.eq_ignore_ascii_case(b"PASS") || verb.eq_ignore_ascii_case(b"ACCT"))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use portway_data::{Broker, BrokerConfig};
    use portway_ops::{Limits, Log, LogFormat, Registry, Sink};
    use portway_proto::{Code, Policy};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};
    use tokio::time::{Instant, sleep, timeout};

    use super::*;
    use crate::{Acceptor, Parts, Timeouts};

    /// As a proxy: each line takes a moment, in which more of them come.
    struct Slow(ControlConnection);

    impl Session for Slow {
        fn client(&mut self) -> &mut ControlConnection {
            &mut self.0
        }

        async fn greet(&mut self) -> Result<(), End> {
            Ok(())
        }

        async fn line(&mut self, _: &[u8]) -> Result<(), End> {
            self.0.control.attend(sleep(Duration::from_millis(5))).await?;
            self.0.say(Code::OK, "Fine.");
            Ok(())
        }

        async fn wait(&mut self) -> Result<(), End> {
            self.0.wait(std::future::pending::<()>()).await.map(drop)
        }

        async fn close(&mut self, end: End) {
            self.0.close(None, end).await;
        }
    }

    #[tokio::test]
    async fn who_chatters_without_pause_has_no_longer_to_log_in_than_others() {
        let parts = Parts {
            policy: Arc::new(Policy::default()),
            broker: Broker::new(BrokerConfig::default()).unwrap(),
            tls: None,
            balancers: Vec::new(),
            limits: Limits::new(0, 0),
            registry: Registry::default(),
            log: Log::new(LogFormat::Text, Sink::writer(std::io::sink())).unwrap(),
            timeouts: Timeouts { login: Duration::from_millis(300), ..Timeouts::default() },
        };
        let acceptor = Acceptor::new(parts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let arrival = acceptor.take_over(stream, peer, None, false).unwrap();
        let mut session = Slow(ControlConnection::open(arrival).unwrap());
        let served = tokio::spawn(async move { session.run().await });
        let (mut replies, mut lines) = client.split();
        let mut heard = Vec::new();
        let began = Instant::now();
        let chatter = async {
            while began.elapsed() < Duration::from_secs(20) && lines.write_all(b"NOOP\r\n").await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let (_, _) = tokio::join!(chatter, replies.read_to_end(&mut heard));
        assert!(began.elapsed() < Duration::from_secs(20), "it went on for ever");
        let heard = String::from_utf8_lossy(&heard);
        assert!(heard.contains("421 No login for too long"), "{heard}");
        timeout(Duration::from_secs(10), served).await.unwrap().unwrap();
    }
}
