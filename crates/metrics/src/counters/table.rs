//! Where each kind of telemetry counts the requests of a pod.

use std::collections::BTreeMap;

use crate::builtin::Telemetry;

/// The counter of one kind of telemetry.
pub(super) struct Source {
    /// The metric.
    pub(super) metric: &'static str,
    /// The label of the namespace.
    pub(super) namespace: &'static str,
    /// The label that says whose requests they are.
    pub(super) who: Who,
    /// Further matchers.
    pub(super) extra: &'static [&'static str],
    /// How a failed request is told.
    failure: Failure,
    /// How long requests take.
    pub(super) latency: Latency,
}

/// A histogram of how long requests take.
pub(super) struct Latency {
    /// The metric of its buckets.
    pub(super) bucket: &'static str,
    /// The matcher of requests that did not fail, where it tells them: who fails fast is not fast.
    pub(super) ok: &'static [&'static str],
    /// How many of its units are a millisecond.
    pub(super) per_millisecond: f64,
}

/// What a label names.
#[derive(Clone, Copy)]
pub(super) enum Who {
    /// The workload.
    Workload(&'static str),
    /// The pod.
    Pod(&'static str),
}

impl Who {
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::Workload(label) | Self::Pod(label) => label,
        }
    }
}

/// How a failed request is told.
enum Failure {
    /// The HTTP status begins with 5, or the gRPC status is one of [`GRPC`].
    Http {
        status: &'static str,
        grpc: Option<&'static str>,
    },
    /// This label has this value.
    Is(&'static str, &'static str),
}

/// The statuses of gRPC by which a server fails: unknown, deadline exceeded, unimplemented, internal, unavailable, data loss.
///
/// **Source**: the gRPC status codes; the others are the client's, or an answer.
const GRPC: [&str; 6] = ["2", "4", "12", "13", "14", "15"];

const ISTIO: Source = Source {
    metric: "istio_requests_total",
    namespace: "destination_workload_namespace",
    who: Who::Workload("destination_workload"),
    extra: &[r#"reporter="destination""#],
    failure: Failure::Http {
        status: "response_code",
        grpc: Some("grpc_response_status"),
    },
    latency: Latency {
        bucket: "istio_request_duration_milliseconds_bucket",
        ok: &[r#"response_code!~"5.*""#],
        per_millisecond: 1.0,
    },
};

const LINKERD: Source = Source {
    metric: "response_total",
    namespace: "namespace",
    who: Who::Workload("deployment"),
    extra: &[r#"direction="inbound""#],
    failure: Failure::Is("classification", "failure"),
    latency: Latency {
        bucket: "response_latency_ms_bucket",
        ok: &[],
        per_millisecond: 1.0,
    },
};

const HTTP: Source = Source {
    metric: "http_request_duration_seconds_count",
    namespace: "kubernetes_namespace",
    who: Who::Pod("kubernetes_pod_name"),
    extra: &[],
    failure: Failure::Http {
        status: "status",
        grpc: None,
    },
    latency: Latency {
        bucket: "http_request_duration_seconds_bucket",
        ok: &[r#"status!~"5.*""#],
        per_millisecond: 0.001,
    },
};

/// The counter of that telemetry; none where it does not tell one pod, or one side, from another.
pub(super) const fn source(telemetry: Telemetry) -> Option<&'static Source> {
    match telemetry {
        Telemetry::Istio => Some(&ISTIO),
        Telemetry::Linkerd => Some(&LINKERD),
        Telemetry::Http => Some(&HTTP),
        Telemetry::Osm
        | Telemetry::AppMesh
        | Telemetry::Contour
        | Telemetry::Gloo
        | Telemetry::Knative
        | Telemetry::Kuma
        | Telemetry::Nginx
        | Telemetry::Skipper
        | Telemetry::Traefik
        | Telemetry::Apisix => None,
    }
}

impl Source {
    /// Whether a series with those labels counts failures.
    pub(super) fn failed(&self, labels: &BTreeMap<&str, &str>) -> bool {
        let label = |name: &str| labels.get(name).copied().unwrap_or_default();
        match self.failure {
            Failure::Http { status, grpc } => {
                label(status).starts_with('5') || grpc.is_some_and(|it| GRPC.contains(&label(it)))
            }
            Failure::Is(name, value) => label(name) == value,
        }
    }
}
