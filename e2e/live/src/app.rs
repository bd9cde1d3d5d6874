//! The application: what it answers, how it fails, and how it stops without losing a request.

mod faults;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use axum::{Json, Router};
use http::{HeaderName, HeaderValue, StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{args, stop};
use faults::{Config, Faults};

/// The content type of what `prometheus_client` writes.
pub(crate) const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long requests in flight may take once the server accepts no more.
const DRAIN: Duration = Duration::from_secs(5);

/// What a revision is; an image sets it by environment.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The port to serve on.
    #[arg(long, env = "PORT", default_value_t = 8080)]
    port: u16,
    /// The name of this revision.
    #[arg(long, env = "REVISION", default_value = "none")]
    revision: String,
    /// The name of this pod; Kubernetes gives it to every container.
    #[arg(long, env = "HOSTNAME", default_value = "none")]
    pod: String,
    /// A folder whose files are shown at `/`; those named like a fault (`error-rate`) set it.
    #[arg(long, env = "CONFIG", default_value = "/config")]
    config: PathBuf,
    /// How long to serve after SIGTERM, not ready, until nobody sends requests here any more.
    #[arg(long, env = "LINGER", default_value = "3s", value_parser = args::duration)]
    linger: Duration,
    #[command(flatten)]
    faults: Faults,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    method: String,
    path: String,
    status: u16,
}

struct App {
    args: Args,
    config: Config,
    served: AtomicU64,
    stopping: AtomicBool,
    latencies: Family<Labels, Histogram>,
    registry: Registry,
}

/// Serves until SIGTERM, then lingers and drains.
///
/// # Errors
/// When the port cannot be bound or a fault in a file does not parse.
pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let listener = TcpListener::bind(("0.0.0.0", args.port)).await?;
    let app = Arc::new(App::new(args)?);
    tracing::info!(revision = app.args.revision, faults = ?app.config.faults(), "serving");
    tokio::spawn(reload(Arc::clone(&app)));
    let lingered = linger(Arc::clone(&app));
    let served = axum::serve(listener, router(&app)).with_graceful_shutdown(lingered);
    tokio::select! {
        served = served => Ok(served?),
        () = overdue(&app) => { tracing::warn!("ended with requests in flight"); Ok(()) }
    }
}

fn router(app: &Arc<App>) -> Router {
    let business = Router::new()
        .route("/", any(home))
        .route("/version", any(home))
        .route("/token", any(token))
        .layer(middleware::from_fn_with_state(Arc::clone(app), business));
    Router::new()
        .route("/healthz", get(async || "OK"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(business)
        .layer(middleware::from_fn_with_state(Arc::clone(app), sign))
        .with_state(Arc::clone(app))
}

async fn reload(app: Arc<App>) {
    let mut ticks = tokio::time::interval(Duration::from_millis(500));
    loop {
        ticks.tick().await;
        if let Err(error) = app.config.reload() {
            tracing::warn!(
                error = format!("{error:#}"),
                "the last good faults stay in force"
            );
        }
    }
}

/// Ends when the server may stop accepting.
async fn linger(app: Arc<App>) {
    stop::asked_or_deaf().await;
    app.stopping.store(true, Ordering::Relaxed);
    tracing::info!("stopping");
    tokio::time::sleep(app.args.linger).await;
}

async fn overdue(app: &App) {
    stop::asked_or_deaf().await;
    tokio::time::sleep(app.args.linger + DRAIN).await;
}

impl App {
    fn new(args: Args) -> anyhow::Result<Self> {
        let histogram: fn() -> Histogram = || {
            Histogram::new([
                0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
            ])
        };
        let latencies = Family::new_with_constructor(histogram);
        let mut registry = Registry::default();
        registry.register(
            "http_request_duration_seconds",
            "Seconds spent serving requests",
            latencies.clone(),
        );
        Ok(Self {
            config: Config::open(&args.config, args.faults.clone())?,
            args,
            served: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            latencies,
            registry,
        })
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Relaxed)
    }
}

async fn home(State(app): State<Arc<App>>) -> Json<Value> {
    Json(
        json!({ "revision": app.args.revision, "pod": app.args.pod, "config": app.config.files() }),
    )
}

/// What a conformance test asks for.
async fn token(State(app): State<Arc<App>>) -> Json<Value> {
    Json(json!({ "token": format!("token-of-{}", app.args.revision) }))
}

async fn ready(State(app): State<Arc<App>>) -> (StatusCode, &'static str) {
    if app.is_stopping() || app.config.faults().never_ready {
        (StatusCode::SERVICE_UNAVAILABLE, "not ready")
    } else {
        (StatusCode::OK, "OK")
    }
}

async fn metrics(State(app): State<Arc<App>>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &app.registry) {
        Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

/// Serves with the faults of the revision, and measures.
async fn business(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, path) = (
        request.method().to_string(),
        request.uri().path().to_owned(),
    );
    let number = app.served.fetch_add(1, Ordering::Relaxed);
    let faults = app.config.faults();
    if faults.crash_after.is_some_and(|after| number >= after) {
        crash(number);
    }
    tokio::time::sleep(faults.latency).await;
    let response = if faults.strikes(number) {
        (
            StatusCode::INTERNAL_SERVER_ERROR,
            "an error that this revision was made to have",
        )
            .into_response()
    } else {
        next.run(request).await
    };
    let labels = Labels {
        method,
        path,
        status: response.status().as_u16(),
    };
    app.latencies
        .get_or_create(&labels)
        .observe(started.elapsed().as_secs_f64());
    response
}

#[expect(
    clippy::exit,
    reason = "the revision was made to crash: nothing may be unwound or drained"
)]
fn crash(number: u64) -> ! {
    tracing::error!(number, "this revision was made to crash");
    std::process::exit(1)
}

/// Tells who answered; while stopping, asks the other side to leave the connection.
async fn sign(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    for (name, value) in [("x-revision", &app.args.revision), ("x-pod", &app.args.pod)] {
        if let Ok(value) = HeaderValue::from_str(value) {
            response
                .headers_mut()
                .insert(HeaderName::from_static(name), value);
        }
    }
    if app.is_stopping() {
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
