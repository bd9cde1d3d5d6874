//! A webhook receiver: the path says what it answers, and `/log` tells what it got.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Router, body};
use http::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::net::TcpListener;

use crate::{exchange, stop};

/// The log forgets what is older than this many requests.
const REMEMBERED: usize = 20_000;

/// The longest delay of `/slow`, in seconds.
const SLOWEST: u64 = 600;

/// Where to listen.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port to serve on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
}

/// A request that was answered.
#[derive(Clone, Serialize)]
struct Received {
    /// When, in milliseconds since the epoch.
    at: u128,
    path: String,
    answer: u16,
    headers: BTreeMap<String, String>,
    /// The body, as JSON where it is JSON.
    payload: Value,
}

#[derive(Default)]
struct Receiver {
    log: Mutex<VecDeque<Received>>,
    open_gates: Mutex<BTreeMap<String, bool>>,
}

/// Serves until it is asked to end.
///
/// # Errors
/// When the port cannot be bound.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", args.port)).await?;
    Ok(axum::serve(listener, router(&Arc::default()))
        .with_graceful_shutdown(stop::asked_or_deaf())
        .await?)
}

fn router(receiver: &Arc<Receiver>) -> Router {
    let hooks = Router::new()
        .route("/ok", post(StatusCode::OK))
        // The same, told apart in the log.
        .route("/ok/{label}", post(StatusCode::OK))
        .route("/fail", post(StatusCode::INTERNAL_SERVER_ERROR))
        .route("/deny", post(StatusCode::FORBIDDEN))
        .route("/slow", post(slow))
        .route("/gate/{name}", post(gate))
        .layer(middleware::from_fn_with_state(
            Arc::clone(receiver),
            remember,
        ));
    Router::new()
        .route("/healthz", get(StatusCode::OK))
        .route("/log", get(log))
        .route(
            "/gate/{name}/open",
            post(async |state: State<Arc<Receiver>>, name: Path<String>| {
                set_gate(&state, &name, true)
            }),
        )
        .route(
            "/gate/{name}/close",
            post(async |state: State<Arc<Receiver>>, name: Path<String>| {
                set_gate(&state, &name, false)
            }),
        )
        .merge(hooks)
        .with_state(Arc::clone(receiver))
}

#[derive(Deserialize)]
struct Delay {
    seconds: u64,
}

async fn slow(Query(delay): Query<Delay>) -> StatusCode {
    tokio::time::sleep(Duration::from_secs(delay.seconds.min(SLOWEST))).await;
    StatusCode::OK
}

/// A gate is closed until it is opened.
async fn gate(State(receiver): State<Arc<Receiver>>, Path(name): Path<String>) -> StatusCode {
    let gates = receiver
        .open_gates
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if gates.get(&name).copied().unwrap_or(false) {
        StatusCode::OK
    } else {
        StatusCode::FORBIDDEN
    }
}

fn set_gate(receiver: &Receiver, name: &str, open: bool) -> StatusCode {
    receiver
        .open_gates
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .insert(name.to_owned(), open);
    StatusCode::OK
}

#[derive(Deserialize)]
struct Filter {
    namespace: Option<String>,
}

/// What was received, one JSON line a request; `?namespace=` leaves those whose payload names it.
async fn log(State(receiver): State<Arc<Receiver>>, Query(filter): Query<Filter>) -> Response {
    let log = receiver.log.lock().unwrap_or_else(PoisonError::into_inner);
    let wanted = log.iter().filter(|received| {
        filter.namespace.as_ref().is_none_or(|namespace| {
            received.payload.get("namespace").and_then(Value::as_str) == Some(namespace)
        })
    });
    let lines: Result<Vec<String>, _> = wanted.map(serde_json::to_string).collect();
    match lines {
        Ok(lines) => lines
            .into_iter()
            .map(|line| line + "\n")
            .collect::<String>()
            .into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Reads the payload, lets the route answer, and writes both down.
async fn remember(State(receiver): State<Arc<Receiver>>, request: Request, next: Next) -> Response {
    let (head, body) = request.into_parts();
    let Ok(body) = body::to_bytes(body, exchange::BODY_LIMIT).await else {
        return StatusCode::PAYLOAD_TOO_LARGE.into_response();
    };
    let path = head.uri.path().to_owned();
    let headers = head
        .headers
        .iter()
        .map(|(name, value)| {
            (
                name.to_string(),
                String::from_utf8_lossy(value.as_bytes()).into_owned(),
            )
        })
        .collect();
    let payload = serde_json::from_slice(&body)
        .unwrap_or_else(|_| Value::from(String::from_utf8_lossy(&body)));
    let at = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis();
    let response = next.run(Request::from_parts(head, body.into())).await;
    let mut log = receiver.log.lock().unwrap_or_else(PoisonError::into_inner);
    if log.len() == REMEMBERED {
        log.pop_front();
    }
    log.push_back(Received {
        at,
        path,
        answer: response.status().as_u16(),
        headers,
        payload,
    });
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use serde_json::json;
    use tower::ServiceExt as _;

    /// Asks the router itself; no port is bound.
    async fn ask(
        receiver: &Arc<Receiver>,
        method: &str,
        path: &str,
        payload: Value,
    ) -> (u16, String) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::from(payload.to_string()))
            .unwrap();
        let response = router(receiver).oneshot(request).await.unwrap();
        let status = response.status().as_u16();
        let body = body::to_bytes(response.into_body(), exchange::BODY_LIMIT)
            .await
            .unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    #[tokio::test]
    async fn a_gate_is_closed_until_it_is_opened() {
        let receiver = Arc::default();
        assert_eq!(ask(&receiver, "POST", "/gate/a", json!({})).await.0, 403);
        assert_eq!(
            ask(&receiver, "POST", "/gate/a/open", json!({})).await.0,
            200
        );
        assert_eq!(ask(&receiver, "POST", "/gate/a", json!({})).await.0, 200);
        assert_eq!(ask(&receiver, "POST", "/gate/b", json!({})).await.0, 403);
    }

    #[tokio::test]
    async fn the_log_tells_what_was_got_and_answered() {
        let receiver = Arc::default();
        ask(&receiver, "POST", "/fail", json!({ "namespace": "one" })).await;
        ask(
            &receiver,
            "POST",
            "/ok/conformance",
            json!({ "namespace": "two" }),
        )
        .await;
        let (_, log) = ask(&receiver, "GET", "/log?namespace=one", json!({})).await;
        let line: Value = serde_json::from_str(&log).unwrap();
        assert_eq!(
            (&line["path"], &line["answer"], &line["payload"]),
            (&json!("/fail"), &json!(500), &json!({ "namespace": "one" }))
        );
        assert_eq!(
            ask(&receiver, "GET", "/log", json!({}))
                .await
                .1
                .lines()
                .count(),
            2
        );
    }
}
