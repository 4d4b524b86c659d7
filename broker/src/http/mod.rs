//! The HTTP port: `/metrics` for Prometheus, `/healthz` (the process answers), `/readyz` (every partition is recovered).
//!
//! Reads only, and only these paths. What is measured is for the components; they register with the registry.

mod cleaner_collector;
mod process_collector;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus::{Encoder, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tracing::{debug, warn};

pub use self::cleaner_collector::CleanerCollector;
pub use self::process_collector::ProcessCollector;

/// Scrapers and probes at one time; others wait in the kernel.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a request's head.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long to wait after a failure to accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

/// What the port shows.
pub struct HttpState {
    registry: Registry,
    is_ready: AtomicBool,
}

impl HttpState {
    /// A node that is not ready yet.
    pub fn new(registry: Registry) -> Arc<HttpState> {
        Arc::new(HttpState {
            registry,
            is_ready: AtomicBool::new(false),
        })
    }

    /// Whether `/readyz` says yes.
    pub fn set_ready(&self, is_ready: bool) {
        self.is_ready.store(is_ready, Ordering::Release);
    }

    fn respond(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return text(StatusCode::METHOD_NOT_ALLOWED, "only GET\n");
        }
        match path {
            "/healthz" => text(StatusCode::OK, "ok\n"),
            "/readyz" if self.is_ready.load(Ordering::Acquire) => text(StatusCode::OK, "ready\n"),
            "/readyz" => text(
                StatusCode::SERVICE_UNAVAILABLE,
                "partitions are being recovered\n",
            ),
            "/metrics" => self.metrics(),
            _ => text(StatusCode::NOT_FOUND, "try /metrics, /healthz or /readyz\n"),
        }
    }

    fn metrics(&self) -> Response<Full<Bytes>> {
        let mut body = Vec::new();
        let encoder = TextEncoder::new();
        match encoder.encode(&self.registry.gather(), &mut body) {
            Ok(()) => {
                let mut response = Response::new(Full::new(Bytes::from(body)));
                if let Ok(content_type) = encoder.format_type().parse() {
                    response.headers_mut().insert(CONTENT_TYPE, content_type);
                }
                response
            }
            Err(error) => {
                warn!(%error, "could not write the metrics");
                text(StatusCode::INTERNAL_SERVER_ERROR, "could not write the metrics\n")
            }
        }
    }
}

fn text(status: StatusCode, body: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Serves until `shutdown` becomes true.
pub async fn serve(listener: TcpListener, state: Arc<HttpState>, mut shutdown: watch::Receiver<bool>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return,
            accepted = accept(&listener, &places) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let state = state.clone();
                let mut shutdown = shutdown.clone();
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve_connection(stream, state) => {}
                        _ = shutdown.wait_for(|stop| *stop) => {}
                    }
                    drop(place);
                });
            }
            Err(error) => {
                warn!(%error, "could not accept an HTTP connection");
                tokio::time::sleep(ACCEPT_BACKOFF).await;
            }
        }
    }
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_connection(stream: TcpStream, state: Arc<HttpState>) {
    let service = service_fn(move |request: Request<Incoming>| {
        let response = state.respond(request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        debug!(%error, "an HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn health_does_not_wait_for_readiness() {
        let registry = Registry::new();
        registry
            .register(Box::new(ProcessCollector::new().expect("a collector")))
            .expect("registered");
        let state = HttpState::new(registry);
        let status = |path| state.respond(&Method::GET, path).status();
        assert_eq!(status("/healthz"), StatusCode::OK);
        assert_eq!(status("/readyz"), StatusCode::SERVICE_UNAVAILABLE);
        state.set_ready(true);
        assert_eq!(status("/readyz"), StatusCode::OK);
        assert_eq!(status("/metrics"), StatusCode::OK);
        assert_eq!(status("/"), StatusCode::NOT_FOUND);
        assert_eq!(
            state.respond(&Method::POST, "/metrics").status(),
            StatusCode::METHOD_NOT_ALLOWED
        );
    }
}
