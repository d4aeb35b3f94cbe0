//! The listener and its three pages.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::metrics;
use crate::status::{Facts, Status};

/// Connections at a time: a scraper, a person and a health check leave room to spare.
const CONNECTIONS: usize = 16;
/// From the connection to the end of its last request.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why the pages cannot be shown there.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// The pages name users, files and addresses, and ask nobody who he is.
    #[error(
        "{0} is not a loopback address; the admin pages ask nobody who he is: use 127.0.0.1:PORT or [::1]:PORT"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be bound.
    #[error("cannot listen on {0}: {1}")]
    Listen(SocketAddr, #[source] io::Error),
}

/// The pages, bound to their address.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

impl Admin {
    /// Binds a loopback address; port 0 takes any.
    ///
    /// # Errors
    /// [`AdminError`].
    pub async fn bind(address: SocketAddr) -> Result<Self, AdminError> {
        if !address.ip().is_loopback() {
            return Err(AdminError::NotLoopback(address));
        }
        let failed = |error| AdminError::Listen(address, error);
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers for ever; dropping the future ends it.
    pub async fn serve(self, facts: Facts) {
        let facts = Arc::new(facts);
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            // The semaphore is never closed.
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let Ok((stream, _)) = self.listener.accept().await else {
                // Out of descriptors: others give some back.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            };
            let facts = Arc::clone(&facts);
            tokio::spawn(async move {
                let page = service_fn(move |request| {
                    let answer = answer(&request, &facts);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection = http1::Builder::new()
                    .timer(TokioTimer::new())
                    .header_read_timeout(Duration::from_secs(5))
                    .max_buf_size(16 * 1024)
                    .serve_connection(TokioIo::new(stream), page);
                let _ = tokio::time::timeout(PATIENCE, connection).await;
                drop(place);
            });
        }
    }
}

type Page = Response<Full<Bytes>>;

fn answer(request: &Request<Incoming>, facts: &Facts) -> Page {
    // A page in somebody's browser may resolve its own name to 127.0.0.1 and read what is told here.
    if !asks_for_this_machine(request.headers()) {
        return page(StatusCode::MISDIRECTED_REQUEST, "text/plain", "Ask by address, or as localhost.\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused =
            page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "These pages are for reading.\n");
        refused.headers_mut().insert(ALLOW, hyper::header::HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    match request.uri().path() {
        "/metrics" => page(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", metrics::text(facts)),
        "/status" => match serde_json::to_vec(&Status::of(facts)) {
            Ok(text) => page(StatusCode::OK, "application/json", text),
            Err(error) => page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", format!("{error}\n")),
        },
        "/health" if facts.drain_has_begun() => {
            page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "draining\n")
        }
        "/health" => page(StatusCode::OK, "text/plain", "ok\n"),
        "/" => page(StatusCode::OK, "text/plain", "/metrics\n/status\n/health\n"),
        _ => page(StatusCode::NOT_FOUND, "text/plain", "There are /metrics, /status and /health.\n"),
    }
}

fn asks_for_this_machine(headers: &HeaderMap) -> bool {
    let Some(host) = headers.get(HOST).and_then(|host| host.to_str().ok()) else {
        // HTTP/1.0 has none; a browser always sends one.
        return !headers.contains_key(HOST);
    };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn page(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Page {
    let mut page = Response::new(Full::new(body.into()));
    *page.status_mut() = status;
    page.headers_mut().insert(CONTENT_TYPE, hyper::header::HeaderValue::from_static(kind));
    page.headers_mut().insert(CACHE_CONTROL, hyper::header::HeaderValue::from_static("no-store"));
    page
}
