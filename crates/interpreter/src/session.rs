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
