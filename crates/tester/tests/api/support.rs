//! A tester and a service that it tests, on free ports of the loopback.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use serde_json::{Value, json};
use slipway_tester::wire::{Answer, Authorities, Certificate, Network, Protocol, Request, Wire};
use slipway_tester::{Settings, serve};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A tester that serves.
pub(crate) struct Tester {
    pub(crate) url: String,
    pub(crate) shutdown: CancellationToken,
    pub(crate) serving: JoinHandle<()>,
    network: Network,
}

impl Tester {
    pub(crate) async fn start(settings: Settings) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = CancellationToken::new();
        let stop = shutdown.clone();
        let serving = tokio::spawn(async move { serve(listener, settings, stop).await.unwrap() });
        Self {
            url,
            shutdown,
            serving,
            network: Network::new(Authorities::default()),
        }
    }

    /// Status and body.
    pub(crate) async fn send(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> (u16, String) {
        let pairs = headers.iter().map(|(name, value)| {
            let name: HeaderName = name.parse().unwrap();
            (name, value.parse().unwrap())
        });
        let request = request(&format!("{}{path}", self.url), pairs.collect(), body);
        let answer = self.network.send(request).await.unwrap();
        let Answer { status, body, .. } = answer;
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    pub(crate) async fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.send(path, &[], body).await
    }

    /// A hook of test/podinfo with that metadata.
    pub(crate) async fn hook(&self, metadata: &[(&str, &str)]) -> (u16, String) {
        let metadata: BTreeMap<_, _> = metadata.iter().copied().collect();
        self.post("/", &payload("test", &json!(metadata)).to_string())
            .await
    }
}

pub(crate) fn payload(namespace: &str, metadata: &Value) -> Value {
    json!({
        "name": "podinfo", "namespace": namespace, "phase": "Progressing", "checksum": "1", "metadata": metadata,
    })
}

fn request(url: &str, headers: HeaderMap, body: &str) -> Request {
    Request {
        method: Method::POST,
        url: url.parse().unwrap(),
        headers,
        body: body.to_owned().into(),
        protocol: Protocol::Auto,
        certificate: Certificate::Verified,
        timeout: Duration::from_mins(1),
    }
}

/// What the service has seen.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) http2: AtomicU32,
    pub(crate) requests: AtomicU32,
    pub(crate) tries: AtomicU32,
    /// Told with each request.
    pub(crate) asked: Notify,
}

/// A service as podinfo is one.
pub(crate) async fn service() -> (String, Arc<Seen>) {
    let (app, seen) = application();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, seen)
}

/// What the service answers with, and what it has seen.
pub(crate) fn application() -> (Router, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let app = Router::new()
        .route("/token", post(token))
        .route(
            "/version",
            get(|| async {
                axum::Json(json!({"version": "6.9.1", "items": [{"n": 1}, {"n": 2}]}))
            }),
        )
        .route("/flaky", any(flaky))
        .route(
            "/down",
            any(|| async { (StatusCode::SERVICE_UNAVAILABLE, "no\nbackend") }),
        )
        .route(
            "/moved",
            any(|| async { (StatusCode::FOUND, [("location", "/version")]) }),
        )
        .route("/big", any(|| async { Body::from(vec![b'x'; 3 << 20]) }))
        .route("/count", any(count))
        .route("/grpc.health.v1.Health/Check", post(health))
        .with_state(Arc::clone(&seen));
    (app, seen)
}

async fn token(headers: HeaderMap, body: String) -> Response {
    if body != "test" {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let agent = headers.get("user-agent").cloned();
    let agent = agent.map(|it| it.to_str().unwrap().to_owned());
    axum::Json(json!({"token": "eyJhbGciOi", "agent": agent})).into_response()
}

/// Fails twice, then serves.
async fn flaky(State(seen): State<Arc<Seen>>) -> StatusCode {
    match seen.tries.fetch_add(1, Ordering::SeqCst) {
        0 | 1 => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::OK,
    }
}

async fn count(State(seen): State<Arc<Seen>>, request: axum::extract::Request) -> &'static str {
    if request.version() == Version::HTTP_2 {
        seen.http2.fetch_add(1, Ordering::SeqCst);
    }
    seen.requests.fetch_add(1, Ordering::SeqCst);
    seen.asked.notify_one();
    "counted"
}

/// gRPC's health, over HTTP/2 only: `podinfo` serves, `idle` does not, nobody knows another.
async fn health(request: axum::extract::Request) -> Response {
    let is_http2 = request.version() == Version::HTTP_2;
    let is_grpc = request
        .headers()
        .get("content-type")
        .is_some_and(|it| it == "application/grpc");
    let body = axum::body::to_bytes(request.into_body(), 1024)
        .await
        .unwrap();
    if !is_http2 || !is_grpc {
        return StatusCode::HTTP_VERSION_NOT_SUPPORTED.into_response();
    }
    let kind = ("content-type", "application/grpc");
    let number = match body.get(7..) {
        Some(b"podinfo") | None => 1,
        Some(b"idle") => 2,
        Some(_) => return ([kind, ("grpc-status", "5")], "").into_response(),
    };
    let message = [0, 0, 0, 0, 2, 8, number];
    ([kind, ("grpc-status", "0")], message.to_vec()).into_response()
}
