//! The table: one entry a source of telemetry, in the words of its metrics.

use super::Unit;

/// Where the built-in queries of one kind of telemetry look.
pub(super) struct Source {
    /// Its name.
    pub(super) name: &'static str,
    /// Where requests are counted.
    pub(super) success: Count,
    /// The matchers of both queries.
    pub(super) labels: Labels,
    /// The matcher of requests that did not fail.
    pub(super) ok: &'static str,
    /// Where durations are.
    pub(super) duration: Duration,
    /// Whether names are written with `_` in place of everything but letters and digits.
    pub(super) words_only: bool,
}

/// A counter of requests.
pub(super) struct Count {
    /// The metric.
    pub(super) metric: &'static str,
    /// Matchers that only this query has.
    pub(super) extra: &'static [&'static str],
}

/// Matchers, and where among them the one of [`Source::ok`] stands.
pub(super) struct Labels {
    /// Before it.
    pub(super) before: &'static [&'static str],
    /// Behind it.
    pub(super) after: &'static [&'static str],
}

/// How a duration is made.
pub(super) enum Duration {
    /// The 99th percentile of a histogram.
    P99 {
        /// The buckets.
        bucket: &'static str,
        /// Matchers that only this query has.
        extra: &'static [&'static str],
        /// A factor at the end of the query.
        times: &'static str,
        /// The unit of the query's answer.
        unit: Unit,
    },
    /// The mean: seconds by requests, times 1000.
    Mean {
        /// All seconds.
        sum: &'static str,
        /// All requests.
        count: &'static str,
    },
}

const ENVOY: Count = Count {
    metric: "envoy_cluster_upstream_rq",
    extra: &[],
};
const ENVOY_OK: &str = r#"envoy_response_code!~"5.*""#;
const ENVOY_TIME: Duration = milliseconds("envoy_cluster_upstream_rq_time_bucket");
/// The `+Inf` bucket of a histogram counts every request.
const EVERY_REQUEST: &[&str] = &[r#"le="+Inf""#];

const fn milliseconds(bucket: &'static str) -> Duration {
    Duration::P99 {
        bucket,
        extra: &[],
        times: "",
        unit: Unit::Milliseconds,
    }
}

pub(super) const ISTIO: Source = Source {
    name: "istio",
    success: Count {
        metric: "istio_requests_total",
        extra: &[],
    },
    labels: Labels {
        before: &[
            r#"reporter="destination""#,
            r#"destination_workload_namespace="<namespace>""#,
            r#"destination_workload=~"<target>""#,
        ],
        after: &[],
    },
    ok: r#"response_code!~"5.*""#,
    duration: milliseconds("istio_request_duration_milliseconds_bucket"),
    words_only: false,
};

pub(super) const LINKERD: Source = Source {
    name: "linkerd",
    success: Count {
        metric: "response_total",
        extra: &[],
    },
    labels: Labels {
        before: &[r#"namespace="<namespace>""#, r#"deployment=~"<target>""#],
        after: &[r#"direction="inbound""#],
    },
    ok: r#"classification!="failure""#,
    duration: milliseconds("response_latency_ms_bucket"),
    words_only: false,
};

pub(super) const OSM: Source = Source {
    name: "osm",
    success: Count {
        metric: "osm_request_total",
        extra: &[],
    },
    labels: Labels {
        before: &[
            r#"destination_namespace="<namespace>""#,
            r#"destination_kind="Deployment""#,
            r#"destination_name="<target>""#,
        ],
        after: &[],
    },
    ok: r#"response_code!~"5.*""#,
    duration: milliseconds("osm_request_duration_ms_bucket"),
    words_only: false,
};

/// The label `kubernetes_pod_name` comes from the scrape configuration that Flagger's chart installs.
const BY_POD: Labels = Labels {
    before: &[
        r#"kubernetes_namespace="<namespace>""#,
        r#"kubernetes_pod_name=~"<target>-<pods>""#,
    ],
    after: &[],
};

pub(super) const APP_MESH: Source = Source {
    name: "appmesh",
    success: ENVOY,
    labels: BY_POD,
    ok: ENVOY_OK,
    duration: ENVOY_TIME,
    words_only: false,
};

pub(super) const HTTP: Source = Source {
    name: "http",
    success: Count {
        metric: "http_request_duration_seconds_count",
        extra: &[],
    },
    labels: BY_POD,
    ok: r#"status!~"5.*""#,
    duration: Duration::P99 {
        bucket: "http_request_duration_seconds_bucket",
        extra: &[],
        times: "",
        unit: Unit::Seconds,
    },
    words_only: false,
};

pub(super) const CONTOUR: Source = Source {
    name: "contour",
    success: ENVOY,
    labels: Labels {
        before: &[r#"envoy_cluster_name=~"<namespace>_<service>-canary_[0-9a-zA-Z-]+""#],
        after: &[],
    },
    ok: ENVOY_OK,
    duration: ENVOY_TIME,
    words_only: false,
};

// Gloo, Kuma, Traefik and APISIX route to objects that are named after the apex. Flagger asks for the target's name and
// finds nothing where the two differ (F-45); where they are the same, so are the queries.

pub(super) const GLOO: Source = Source {
    name: "gloo",
    success: ENVOY,
    labels: Labels {
        before: &[
            r#"envoy_cluster_name=~"<namespace>-<service>-canaryupstream-[0-9a-zA-Z-]+_[0-9a-zA-Z-]+""#,
        ],
        after: &[],
    },
    ok: ENVOY_OK,
    duration: ENVOY_TIME,
    words_only: false,
};

pub(super) const KNATIVE: Source = Source {
    name: "knative",
    success: ENVOY,
    labels: Labels {
        before: &[r#"envoy_cluster_name=~"<namespace>/<route>""#],
        after: &[],
    },
    ok: ENVOY_OK,
    duration: ENVOY_TIME,
    words_only: false,
};

pub(super) const KUMA: Source = Source {
    name: "kuma",
    success: ENVOY,
    labels: Labels {
        before: &[r#"service=~"<service>-canary_<namespace>_svc_[0-9a-zA-Z-]+""#],
        after: &[],
    },
    ok: ENVOY_OK,
    duration: ENVOY_TIME,
    words_only: false,
};

pub(super) const NGINX: Source = Source {
    name: "nginx",
    success: Count {
        metric: "nginx_ingress_controller_requests",
        extra: &[],
    },
    labels: Labels {
        before: &[
            r#"namespace="<namespace>""#,
            r#"ingress="<ingress>""#,
            r#"canary!="""#,
        ],
        after: &[],
    },
    ok: r#"status!~"5.*""#,
    duration: Duration::Mean {
        sum: "nginx_ingress_controller_response_duration_seconds_sum",
        count: "nginx_ingress_controller_response_duration_seconds_count",
    },
    words_only: false,
};

pub(super) const SKIPPER: Source = Source {
    name: "skipper",
    success: Count {
        metric: "skipper_response_duration_seconds_bucket",
        extra: EVERY_REQUEST,
    },
    labels: Labels {
        before: &[
            r#"route=~"kube(ew)?_<namespace>__<ingress>_canary__.*__<service>_canary(_[0-9]+)?""#,
        ],
        after: &[],
    },
    ok: r#"code!~"5..""#,
    duration: Duration::Mean {
        sum: "skipper_serve_route_duration_seconds_sum",
        count: "skipper_serve_route_duration_seconds_count",
    },
    words_only: true,
};

pub(super) const TRAEFIK: Source = Source {
    name: "traefik",
    success: Count {
        metric: "traefik_service_request_duration_seconds_bucket",
        extra: EVERY_REQUEST,
    },
    labels: Labels {
        before: &[r#"service=~"<namespace>-<service>-canary-[0-9a-zA-Z-]+@kubernetescrd""#],
        after: &[],
    },
    ok: r#"code!~"5..""#,
    duration: Duration::P99 {
        bucket: "traefik_service_request_duration_seconds_bucket",
        extra: &[],
        times: " * 1000",
        unit: Unit::Milliseconds,
    },
    words_only: false,
};

pub(super) const APISIX: Source = Source {
    name: "apisix",
    success: Count {
        metric: "apisix_http_status",
        extra: &[],
    },
    labels: Labels {
        before: &[r#"route=~"<namespace>_<route>-<service>-canary_.+""#],
        after: &[],
    },
    ok: r#"code!~"5..""#,
    duration: Duration::P99 {
        bucket: "apisix_http_latency_bucket",
        extra: &[r#"type=~"request""#],
        times: "",
        unit: Unit::Milliseconds,
    },
    words_only: false,
};
