//! The metrics that the meshes and the applications export, as a table.
//!
//! **Source**: the standard metrics of Istio and of Linkerd's proxy, and the `http_request_duration_seconds` histogram of podinfo as Flagger's
//! Prometheus relabels it.

use crate::users::Series;
use std::collections::BTreeMap;

/// One metric.
#[derive(Clone, Copy, Debug)]
pub(super) struct Family {
    pub(super) name: &'static str,
    pub(super) shape: Shape,
    mesh: Mesh,
}

/// What a metric counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Shape {
    Requests,
    /// Requests up to each of these bounds, which are in this part of a microsecond's unit: `1000.0` for milliseconds.
    Buckets {
        bounds: &'static [f64],
        micros: f64,
    },
    /// The sum of all durations, in the same unit.
    Sum {
        micros: f64,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mesh {
    Istio,
    Linkerd,
    Http,
}

const ISTIO_BOUNDS: &[f64] = &[
    0.5, 1.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2500.0, 5000.0, 10_000.0,
    30_000.0, 60_000.0, 300_000.0, 600_000.0,
];
const LINKERD_BOUNDS: &[f64] = &[
    1.0, 2.0, 3.0, 4.0, 5.0, 10.0, 20.0, 30.0, 40.0, 50.0, 100.0, 200.0, 300.0, 400.0, 500.0,
    1000.0, 2000.0, 3000.0, 4000.0, 5000.0, 10_000.0, 20_000.0, 30_000.0, 40_000.0, 50_000.0,
];
const HTTP_BOUNDS: &[f64] = &[
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
const MILLI: f64 = 1000.0;
const SECOND: f64 = 1_000_000.0;

const FAMILIES: [Family; 11] = [
    family("istio_requests_total", Mesh::Istio, Shape::Requests),
    family(
        "istio_request_duration_milliseconds_bucket",
        Mesh::Istio,
        Shape::Buckets {
            bounds: ISTIO_BOUNDS,
            micros: MILLI,
        },
    ),
    family(
        "istio_request_duration_milliseconds_sum",
        Mesh::Istio,
        Shape::Sum { micros: MILLI },
    ),
    family(
        "istio_request_duration_milliseconds_count",
        Mesh::Istio,
        Shape::Requests,
    ),
    family("response_total", Mesh::Linkerd, Shape::Requests),
    family(
        "response_latency_ms_bucket",
        Mesh::Linkerd,
        Shape::Buckets {
            bounds: LINKERD_BOUNDS,
            micros: MILLI,
        },
    ),
    family(
        "response_latency_ms_sum",
        Mesh::Linkerd,
        Shape::Sum { micros: MILLI },
    ),
    family("response_latency_ms_count", Mesh::Linkerd, Shape::Requests),
    family(
        "http_request_duration_seconds_bucket",
        Mesh::Http,
        Shape::Buckets {
            bounds: HTTP_BOUNDS,
            micros: SECOND,
        },
    ),
    family(
        "http_request_duration_seconds_sum",
        Mesh::Http,
        Shape::Sum { micros: SECOND },
    ),
    family(
        "http_request_duration_seconds_count",
        Mesh::Http,
        Shape::Requests,
    ),
];

const fn family(name: &'static str, mesh: Mesh, shape: Shape) -> Family {
    Family { name, shape, mesh }
}

pub(super) fn named(name: &str) -> Option<Family> {
    FAMILIES.into_iter().find(|family| family.name == name)
}

/// Whether requests succeeded: each class is a series of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Ok,
    Failed,
}

impl Family {
    /// The labels of one pod's series.
    pub(super) fn labels(&self, series: &Series, class: Class) -> BTreeMap<String, String> {
        let (code, verdict) = match class {
            Class::Ok => ("200", "success"),
            Class::Failed => ("500", "failure"),
        };
        let it = &series.revision;
        let pairs: &[(&str, &str)] = match self.mesh {
            Mesh::Istio => &[
                ("reporter", "destination"),
                ("destination_workload", &it.workload),
                ("destination_workload_namespace", &it.namespace),
                ("destination_canonical_service", &it.workload),
                ("pod", &series.pod),
                ("response_code", code),
            ],
            Mesh::Linkerd => &[
                ("direction", "inbound"),
                ("deployment", &it.workload),
                ("namespace", &it.namespace),
                ("pod", &series.pod),
                ("status_code", code),
                ("classification", verdict),
            ],
            Mesh::Http => &[
                ("kubernetes_namespace", &it.namespace),
                ("kubernetes_pod_name", &series.pod),
                ("method", "GET"),
                ("path", "root"),
                ("status", code),
            ],
        };
        pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }
}
