//! What the process shows of itself: `/healthz`, `/readyz`, `/metrics`.
//!
//! None of them asks anybody: a probe costs the same in a busy process as in an idle one (FC-113).

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{any, get};
use serde::Serialize;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::leader::Leadership;
use crate::record::metrics::Metrics;

/// Why the server does not serve.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The port cannot be had.
    #[error("listen on port {port}")]
    Bind {
        /// The port.
        port: u16,
        /// Why not.
        source: io::Error,
    },
    /// Connections cannot be taken any more.
    #[error("serve")]
    Serve(#[source] io::Error),
}

/// What must be so before we are of use: each store has its first list.
///
/// Clones are the same readiness.
#[derive(Clone, Debug, Default)]
pub struct Readiness {
    parts: Arc<Mutex<BTreeMap<String, bool>>>,
}

impl Readiness {
    /// A part that is not ready until it says so.
    pub fn part(&self, name: impl Into<String>) -> ReadyPart {
        let name = name.into();
        self.parts().insert(name.clone(), false);
        ReadyPart {
            name,
            readiness: self.clone(),
        }
    }

    /// The parts that are awaited.
    pub fn awaited(&self) -> Vec<String> {
        let parts = self.parts();
        let awaited = parts.iter().filter(|(_, ready)| !**ready);
        awaited.map(|(name, _)| name.clone()).collect()
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<String, bool>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One part of the readiness.
#[derive(Clone, Debug)]
pub struct ReadyPart {
    name: String,
    readiness: Readiness,
}

impl ReadyPart {
    /// It is ready.
    pub fn ready(&self) {
        self.readiness.parts().insert(self.name.clone(), true);
    }

    /// It is not ready any more.
    pub fn unready(&self) {
        self.readiness.parts().insert(self.name.clone(), false);
    }
}

/// What the server shows.
#[derive(Clone, Debug)]
pub struct Shown {
    /// `/metrics`.
    pub metrics: Metrics,
    /// `/readyz`.
    pub readiness: Readiness,
    /// `/readyz` says whether we lead. A standby is ready.
    pub leadership: Leadership,
}

/// The answer of `/readyz`.
#[derive(Debug, Serialize)]
struct Report {
    ready: bool,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    leader: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    awaited: Vec<String>,
}

/// The routes.
pub fn router(shown: Shown) -> Router {
    Router::new()
        .route("/healthz", any(|| async { "OK" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(shown)
}

async fn readyz(State(shown): State<Shown>) -> (StatusCode, Json<Report>) {
    let awaited = shown.readiness.awaited();
    let ready = awaited.is_empty();
    let code = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let role = if shown.leadership.is_leader() {
        "leader"
    } else {
        "standby"
    };
    let leader = shown.leadership.other_holder();
    (
        code,
        Json(Report {
            ready,
            role,
            leader,
            awaited,
        }),
    )
}

/// The text that prometheus-client writes is `OpenMetrics`, whatever is asked for: Prometheus takes it.
async fn metrics(State(shown): State<Shown>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], shown.metrics.encode())
}

/// Takes the port on every address, IPv6 and IPv4; 0 takes any.
///
/// # Errors
/// When the port cannot be had.
pub async fn bind(port: u16) -> Result<TcpListener, ServerError> {
    match TcpListener::bind(("::", port)).await {
        Ok(listener) => Ok(listener),
        // A node without IPv6.
        Err(_) => TcpListener::bind(("0.0.0.0", port))
            .await
            .map_err(|source| ServerError::Bind { port, source }),
    }
}

/// How long a stop waits for requests that are being answered.
const GRACE: Duration = Duration::from_secs(3);

/// Serves until `shutdown`, and a little longer for requests that are being answered.
///
/// # Errors
/// When connections cannot be taken any more.
pub async fn serve(
    listener: TcpListener,
    shown: Shown,
    shutdown: CancellationToken,
) -> Result<(), ServerError> {
    let serving = axum::serve(listener, router(shown))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    tokio::select! {
        served = serving => served.map_err(ServerError::Serve),
        () = async { shutdown.cancelled().await; sleep(GRACE).await } => Ok(()),
    }
}
