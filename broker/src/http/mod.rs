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
use prometheus::{Encoder, IntCounter, IntGauge, Registry, TextEncoder};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::{debug, warn};

pub use self::cleaner_collector::CleanerCollector;
pub use self::process_collector::ProcessCollector;

/// What clients of the port may hold.
const BOUNDS: Bounds = Bounds {
    connections: 64,
    head_time: Duration::from_secs(10),
};
/// How long to wait after a failure to accept.
const ACCEPT_BACKOFF: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
struct Bounds {
    /// Scrapers and probes at one time; others wait in the kernel.
    connections: usize,
    /// How long a client may take to send a request's head.
    head_time: Duration,
}

/// How the port's own bounds are met.
struct HttpMetrics {
    connections: IntGauge,
    connection_waits: IntCounter,
    slow_requests: IntCounter,
}

impl HttpMetrics {
    fn new(registry: &Registry) -> prometheus::Result<HttpMetrics> {
        let metrics = HttpMetrics {
            connections: IntGauge::new(
                "kafka_server_http_connections",
                "Open connections to the HTTP port.",
            )?,
            connection_waits: IntCounter::new(
                "kafka_server_http_connection_waits_total",
                "How often no connection to the HTTP port was accepted until one ended.",
            )?,
            slow_requests: IntCounter::new(
                "kafka_server_http_slow_requests_total",
                "Connections to the HTTP port that were closed because a request's head did not come in time.",
            )?,
        };
        registry.register(Box::new(metrics.connections.clone()))?;
        registry.register(Box::new(metrics.connection_waits.clone()))?;
        registry.register(Box::new(metrics.slow_requests.clone()))?;
        Ok(metrics)
    }
}

/// What the port shows.
pub struct HttpState {
    registry: Registry,
    metrics: HttpMetrics,
    is_ready: AtomicBool,
}

impl HttpState {
    /// A node that is not ready yet.
    ///
    /// # Errors
    /// The registry has metrics of these names.
    pub fn new(registry: Registry) -> prometheus::Result<Arc<HttpState>> {
        Ok(Arc::new(HttpState {
            metrics: HttpMetrics::new(&registry)?,
            registry,
            is_ready: AtomicBool::new(false),
        }))
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
pub async fn serve(listener: TcpListener, state: Arc<HttpState>, shutdown: watch::Receiver<bool>) {
    serve_within(BOUNDS, listener, state, shutdown).await;
}

async fn serve_within(
    bounds: Bounds,
    listener: TcpListener,
    state: Arc<HttpState>,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(bounds.connections));
    loop {
        let accepted = tokio::select! {
            _ = shutdown.wait_for(|stop| *stop) => return,
            accepted = accept(&listener, &places, &state.metrics) => accepted,
        };
        match accepted {
            Ok((stream, place)) => {
                let state = state.clone();
                let mut shutdown = shutdown.clone();
                tokio::spawn(async move {
                    state.metrics.connections.inc();
                    tokio::select! {
                        () = serve_connection(stream, &state, bounds.head_time) => {}
                        _ = shutdown.wait_for(|stop| *stop) => {}
                    }
                    state.metrics.connections.dec();
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
    metrics: &HttpMetrics,
) -> io::Result<(TcpStream, OwnedSemaphorePermit)> {
    let place = match places.clone().try_acquire_owned() {
        Ok(place) => place,
        Err(_) => {
            metrics.connection_waits.inc();
            places.clone().acquire_owned().await.map_err(io::Error::other)?
        }
    };
    let (stream, _) = listener.accept().await?;
    Ok((stream, place))
}

async fn serve_connection(stream: TcpStream, state: &Arc<HttpState>, head_time: Duration) {
    let answering = state.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let response = answering.respond(request.method(), request.uri().path());
        std::future::ready(Ok::<_, Infallible>(response))
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        if error.is_timeout() {
            state.metrics.slow_requests.inc();
        }
        debug!(%error, "an HTTP connection ended");
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[test]
    fn health_does_not_wait_for_readiness() {
        let registry = Registry::new();
        registry
            .register(Box::new(ProcessCollector::new().expect("a collector")))
            .expect("registered");
        let state = HttpState::new(registry).expect("metrics");
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

    #[tokio::test]
    async fn a_client_that_sends_no_request_is_closed_and_others_wait_for_its_place() {
        let state = HttpState::new(Registry::new()).expect("metrics");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let bounds = Bounds {
            connections: 1,
            head_time: Duration::from_millis(100),
        };
        let stop = watch::Sender::new(false);
        let served = tokio::spawn(serve_within(bounds, listener, state.clone(), stop.subscribe()));
        let mut silent = TcpStream::connect(address).await.expect("a connection");
        let mut other = TcpStream::connect(address).await.expect("a connection");
        let request = b"GET /healthz HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\r\n";
        other.write_all(request).await.expect("sent");
        let mut answer = String::new();
        other.read_to_string(&mut answer).await.expect("an answer");
        assert!(answer.ends_with("ok\n"), "{answer}");
        let mut rest = Vec::new();
        silent.read_to_end(&mut rest).await.expect("closed");
        assert_eq!(state.metrics.slow_requests.get(), 1);
        assert!(state.metrics.connection_waits.get() >= 1);
        stop.send_replace(true);
        served.await.expect("it ends");
    }
}
