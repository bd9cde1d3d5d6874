//! What the process shows of itself.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Method, Request};
use chrono::DateTime;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use slipway_controller::clock::{Clock, TokioClock};
use slipway_controller::http::{Http, HttpClient, Limits};
use slipway_controller::leader::Leadership;
use slipway_controller::record::metrics::Metrics;
use slipway_controller::server::{Readiness, Shown, bind, router, serve};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

fn shown() -> Shown {
    let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
    let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(start));
    Shown {
        metrics: Metrics::new("istio"),
        readiness: Readiness::default(),
        leadership: Leadership::always(clock),
    }
}

/// Status, content type and body.
async fn ask(shown: &Shown, method: Method, path: &str) -> (u16, String, String) {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .body(Body::empty())
        .unwrap();
    let response = router(shown.clone()).oneshot(request).await.unwrap();
    let kind = response
        .headers()
        .get("content-type")
        .map_or("", |kind| kind.to_str().unwrap())
        .to_owned();
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, kind, String::from_utf8(body.to_vec()).unwrap())
}

async fn readyz(shown: &Shown) -> (u16, Value) {
    let (status, _, body) = ask(shown, Method::GET, "/readyz").await;
    (status, serde_json::from_str(&body).unwrap())
}

#[tokio::test]
async fn healthz_says_ok_to_any_method() {
    for method in [Method::GET, Method::HEAD, Method::POST, Method::DELETE] {
        let (status, _, body) = ask(&shown(), method.clone(), "/healthz").await;
        assert_eq!(status, 200, "{method}");
        assert!(body == "OK" || method == Method::HEAD, "{method} {body}");
    }
}

#[tokio::test]
async fn readyz_names_what_is_awaited() {
    let shown = shown();
    let canaries = shown.readiness.part("canaries");
    let services = shown.readiness.part("services");
    let awaiting = json!({"ready": false, "role": "leader", "awaited": ["canaries", "services"]});
    assert_eq!(readyz(&shown).await, (503, awaiting));
    canaries.ready();
    services.ready();
    assert_eq!(
        readyz(&shown).await,
        (200, json!({"ready": true, "role": "leader"}))
    );
    services.unready();
    assert_eq!(readyz(&shown).await.0, 503);
}

#[tokio::test]
async fn metrics_are_openmetrics_text() {
    let (status, kind, body) = ask(&shown(), Method::GET, "/metrics").await;
    assert_eq!(status, 200);
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    assert!(body.contains("mesh_provider=\"istio\""), "{body}");
    assert!(body.ends_with("# EOF\n"), "{body}");
}

#[tokio::test]
async fn nothing_else_is_shown() {
    for path in ["/", "/debug/pprof/", "/healthzz"] {
        assert_eq!(ask(&shown(), Method::GET, path).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn a_stop_ends_the_server() {
    let shutdown = CancellationToken::new();
    let listener = bind(0).await.unwrap();
    let url = format!(
        "http://127.0.0.1:{}/healthz",
        listener.local_addr().unwrap().port()
    );
    let task = tokio::spawn(serve(listener, shown(), shutdown.clone()));
    let request = Request::get(url).body(Vec::new()).unwrap();
    let response = HttpClient::new()
        .send(request, &Limits::default())
        .await
        .unwrap();
    assert_eq!(response.body(), b"OK");
    shutdown.cancel();
    tokio::time::timeout(Duration::from_secs(10), task)
        .await
        .unwrap()
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let listener = bind(0).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let error = bind(port).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on port {port}"));
}
