//! The server: Flagger's load tester API.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz`, `/readyz` | 200 |
//! | `/metrics` | metrics |
//! | `/gate/approve`, `/gate/halt` | 200 `OK`, 403 `Forbidden` |
//! | `/gate/open`, `/gate/close`, `/rollback/open`, `/rollback/close` | 202 |
//! | `/gate/check`, `/rollback/check` | 200 `Approved`, 403 `Forbidden` |
//! | anything else | a task: 202 in the background, 200, 412 not as expected, 500 failed, 400 no task |
//!
//! As there, any method will do.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::gate::{Gates, Kind};
use crate::metrics::{Metrics, Outcome};
use crate::payload::Payload;
use crate::settings::Settings;
use crate::task::Task;
use crate::task::run::{Busy, Done, Started, Tasks};

/// The longest body that is read: a suite in the metadata of a hook may be as long as a `ConfigMap`.
const BODY_MAX: usize = 2 << 20;

#[derive(Clone, Debug)]
struct Shared {
    settings: Arc<Settings>,
    gates: Arc<Gates>,
    tasks: Tasks,
    metrics: Metrics,
}

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
#[error("serve")]
pub struct ServeError(#[from] std::io::Error);

/// Serves until `shutdown`; then waits for the tasks whose answers are awaited, and kills the others.
///
/// # Errors
/// When connections cannot be taken any more.
pub async fn serve(
    listener: TcpListener,
    settings: Settings,
    shutdown: CancellationToken,
) -> Result<(), ServeError> {
    let metrics = Metrics::new();
    let shared = Shared {
        tasks: Tasks::new(settings.clone(), metrics.clone()),
        settings: Arc::new(settings),
        gates: Arc::default(),
        metrics,
    };
    let tasks = shared.tasks.clone();
    let stopping = shutdown.clone();
    let serving = axum::serve(listener, router(shared))
        .with_graceful_shutdown(async move { stopping.cancelled().await })
        .into_future();
    let stop = async {
        shutdown.cancelled().await;
        tasks.stop().await;
    };
    // A connection that never says anything does not keep us: once the tasks have ended, their answers have a moment to go out.
    let stop = async {
        stop.await;
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        Ok(())
    };
    tokio::select! {
        served = serving => { tasks.stop().await; served }
        stopped = stop => stopped,
    }
    .map_err(ServeError)
}

fn router(shared: Shared) -> Router {
    let guarded = Router::new()
        .route("/gate/approve", any(|| async { "OK" }))
        .route("/gate/halt", any(|| async { forbidden() }))
        .route("/gate/open", any(open_confirm))
        .route("/gate/close", any(close_confirm))
        .route("/gate/check", any(check_confirm))
        .route("/rollback/open", any(open_rollback))
        .route("/rollback/close", any(close_rollback))
        .route("/rollback/check", any(check_rollback))
        .fallback(task)
        .layer(from_fn_with_state(shared.clone(), guard));
    Router::new()
        .route("/healthz", any(|| async { "OK" }))
        .route("/readyz", any(|| async { "OK" }))
        .route("/metrics", any(scrape))
        .merge(guarded)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .with_state(shared)
}

async fn scrape(State(shared): State<Shared>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], shared.metrics.encode())
}

fn forbidden() -> (StatusCode, &'static str) {
    (StatusCode::FORBIDDEN, "Forbidden")
}

/// Lets through who shows the token.
async fn guard(State(shared): State<Shared>, request: Request, next: Next) -> Response {
    let wanted = shared.settings.token.as_ref();
    if wanted.is_none_or(|token| does_show(request.headers(), token)) {
        return next.run(request).await;
    }
    debug!(path = request.uri().path(), "refused: no token");
    let ask = [(WWW_AUTHENTICATE, "Bearer, Basic realm=\"tester\"")];
    let why =
        "this tester asks for its token: as a bearer, or as the password in the URL of the hook";
    (StatusCode::UNAUTHORIZED, ask, why).into_response()
}

/// Whether the token is there: as a bearer, or as the password of basic authentication, which the URL of a hook can carry.
fn does_show(headers: &HeaderMap, token: &SecretString) -> bool {
    let shown = headers.get(AUTHORIZATION).and_then(|it| it.to_str().ok());
    let Some((scheme, value)) = shown.and_then(|it| it.split_once(' ')) else {
        return false;
    };
    let value = value.trim();
    if scheme.eq_ignore_ascii_case("bearer") {
        return is_same(value.as_bytes(), token);
    }
    let decoded = STANDARD.decode(value).unwrap_or_default();
    let password = decoded.splitn(2, |byte| *byte == b':').nth(1);
    scheme.eq_ignore_ascii_case("basic") && password.is_some_and(|it| is_same(it, token))
}

/// Compared by digest: how long it takes says nothing about the token.
fn is_same(shown: &[u8], token: &SecretString) -> bool {
    Sha256::digest(shown) == Sha256::digest(token.expose_secret().as_bytes())
}

impl Shared {
    /// The payload, where its namespace may ask.
    fn payload(&self, body: &[u8]) -> Result<Payload, Box<Response>> {
        let payload = Payload::parse(body).map_err(|error| {
            Box::new((StatusCode::BAD_REQUEST, error.to_string()).into_response())
        })?;
        let namespaces = self.settings.namespaces.as_ref();
        if namespaces.is_none_or(|it| it.is_match(&payload.namespace)) {
            Ok(payload)
        } else {
            Err(Box::new(forbidden().into_response()))
        }
    }

    fn open(&self, kind: Kind, body: &[u8]) -> Response {
        let opened = |payload: Payload| match self.gates.open(kind, payload.canary()) {
            Ok(()) => StatusCode::ACCEPTED.into_response(),
            Err(many) => (StatusCode::INSUFFICIENT_STORAGE, many.to_string()).into_response(),
        };
        self.payload(body).map_or_else(|refused| *refused, opened)
    }

    fn close(&self, kind: Kind, body: &[u8]) -> Response {
        let closed = |payload: Payload| {
            self.gates.close(kind, payload.canary());
            StatusCode::ACCEPTED.into_response()
        };
        self.payload(body).map_or_else(|refused| *refused, closed)
    }

    fn check(&self, kind: Kind, body: &[u8]) -> Response {
        let checked = |payload: Payload| {
            if self.gates.is_open(kind, payload.canary()) {
                (StatusCode::OK, "Approved").into_response()
            } else {
                forbidden().into_response()
            }
        };
        self.payload(body).map_or_else(|refused| *refused, checked)
    }
}

async fn open_confirm(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.open(Kind::Confirm, &body)
}

async fn close_confirm(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.close(Kind::Confirm, &body)
}

async fn check_confirm(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.check(Kind::Confirm, &body)
}

async fn open_rollback(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.open(Kind::Rollback, &body)
}

async fn close_rollback(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.close(Kind::Rollback, &body)
}

async fn check_rollback(State(shared): State<Shared>, body: Bytes) -> Response {
    shared.check(Kind::Rollback, &body)
}

async fn task(State(shared): State<Shared>, body: Bytes) -> Response {
    let payload = match shared.payload(&body) {
        Ok(payload) => payload,
        Err(refused) => return *refused,
    };
    let settings = &shared.settings;
    let task = match Task::parse(&payload) {
        Ok(task) => task,
        Err(refusal) => {
            warn!(canary = payload.name, namespace = payload.namespace, why = %refusal, "no task");
            return (StatusCode::BAD_REQUEST, refusal.to_string()).into_response();
        }
    };
    if let Err(refusal) = task.is_allowed(&settings.types, settings.commands.as_ref()) {
        shared.metrics.ended(task.kind, Outcome::Refused);
        warn!(canary = payload.name, namespace = payload.namespace, why = %refusal, "task refused");
        return (StatusCode::FORBIDDEN, refusal.to_string()).into_response();
    }
    if task.is_background() {
        let kind = task.kind;
        return match shared.tasks.start(task, &payload) {
            Ok(Started::Now) => StatusCode::ACCEPTED.into_response(),
            Ok(Started::RunsAlready) => {
                shared.metrics.ended(kind, Outcome::Skipped);
                StatusCode::ACCEPTED.into_response()
            }
            Err(busy) => too_many(&busy),
        };
    }
    match shared.tasks.finish(task, &payload).await {
        Ok(done) => answer(done),
        Err(busy) => too_many(&busy),
    }
}

fn too_many(busy: &Busy) -> Response {
    let later = [(RETRY_AFTER, "10")];
    (StatusCode::TOO_MANY_REQUESTS, later, busy.to_string()).into_response()
}

/// 412 is no server error: hooks show its body, and do not repeat what would say the same.
fn answer(done: Done) -> Response {
    let (status, text) = match done {
        Done::Passed(text) => (StatusCode::OK, text),
        Done::Failed(text) => (StatusCode::INTERNAL_SERVER_ERROR, text),
        Done::NotMet(text) => (StatusCode::PRECONDITION_FAILED, text),
    };
    (status, text).into_response()
}
