//! Linkerd's metrics, as far as Flagger's and Slipway's queries read them.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{StatusCode, header};
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::app::OPEN_METRICS;

/// The upper bounds of Linkerd's latency buckets, in milliseconds.
const BUCKETS: [f64; 26] = [
    1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0, 1e3,
    2e3, 3e3, 4e3, 5e3, 1e4, 2e4, 3e4, 4e4, 5e4, 6e4,
];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    namespace: String,
    deployment: String,
    direction: &'static str,
    classification: &'static str,
    status_code: u16,
}

/// What was answered, by deployment.
pub(super) struct Metrics {
    responses: Family<Labels, Counter>,
    latencies: Family<Labels, Histogram>,
    registry: Registry,
}

impl Default for Metrics {
    fn default() -> Self {
        let responses = Family::default();
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let latencies = Family::new_with_constructor(histogram);
        let mut registry = Registry::default();
        registry.register(
            "response",
            "Responses, by the double of Linkerd",
            responses.clone(),
        );
        registry.register(
            "response_latency_ms",
            "Milliseconds to the response, by the double of Linkerd",
            latencies.clone(),
        );
        Self {
            responses,
            latencies,
            registry,
        }
    }
}

impl Metrics {
    /// Counts a response.
    pub(super) fn count(
        &self,
        namespace: &str,
        deployment: &str,
        status: StatusCode,
        took: Duration,
    ) {
        let labels = Labels {
            namespace: namespace.to_owned(),
            deployment: deployment.to_owned(),
            direction: "inbound",
            classification: if status.is_server_error() {
                "failure"
            } else {
                "success"
            },
            status_code: status.as_u16(),
        };
        self.responses.get_or_create(&labels).inc();
        self.latencies
            .get_or_create(&labels)
            .observe(took.as_secs_f64() * 1000.0);
    }

    fn text(&self) -> Response {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
            Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
        }
    }
}

/// Serves `/metrics`.
pub(super) fn router(metrics: Arc<Metrics>) -> Router {
    Router::new().route("/metrics", get(async move || metrics.text()))
}
