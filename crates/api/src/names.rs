//! Annotation keys, suffixes and other names that several rooms must agree on.

/// The API group of the custom resources.
pub const GROUP: &str = "flagger.app";
/// The version that is stored.
pub const VERSION: &str = "v1beta1";
/// The version that old manifests are written in; served, never stored.
pub const OLD_VERSION: &str = "v1alpha3";
/// Group and version of what we write.
pub const API_VERSION: &str = "flagger.app/v1beta1";

/// The field manager of every server-side apply of ours.
pub const FIELD_MANAGER: &str = "slipway";
/// The manager of the one field by which a target is paused, so that ours goes without what the user says of it.
pub const PAUSE_FIELD_MANAGER: &str = "slipway-pause";
/// The field manager under which Flagger's writes are found; its entries are adopted.
pub const FLAGGER_FIELD_MANAGER: &str = "flagger";
/// The finalizer on a Canary; Flagger's name, so that either controller can take it off.
pub const FINALIZER: &str = "finalizer.flagger.app";

/// Suffix of what serves.
pub const PRIMARY_SUFFIX: &str = "-primary";
/// Suffix of the Service that leads to the new revision.
pub const CANARY_SUFFIX: &str = "-canary";

/// The primary's name: of the workload, its Service, its scaler, or a copied config.
pub fn primary_name(base: &str) -> String {
    format!("{base}{PRIMARY_SUFFIX}")
}

/// The name of the canary's Service.
pub fn canary_name(base: &str) -> String {
    format!("{base}{CANARY_SUFFIX}")
}

/// The longest name of a Service (RFC 1035 label).
pub const SERVICE_NAME_MAX: usize = 63;
/// The longest name of an object whose name is a DNS subdomain (Deployment, ConfigMap, ...).
pub const SUBDOMAIN_NAME_MAX: usize = 253;
/// The longest value of a label. The selector label of the primary is `VALUE-primary` and is bound by it.
pub const LABEL_VALUE_MAX: usize = 63;

/// Labels of a target's selector that tell it from its primary, in the order they are looked for.
pub const SELECTOR_LABELS: [&str; 3] = ["app", "name", "app.kubernetes.io/name"];

/// Part of the keys of labels and annotations that belong to Flux and are never copied.
pub const TOOLKIT_MARK: &str = "toolkit.fluxcd.io";
/// The two annotations that keep Flux away from a generated object, with their value.
pub const TOOLKIT_ANNOTATIONS: [(&str, &str); 2] = [
    ("kustomize.toolkit.fluxcd.io/reconcile", "disabled"),
    ("helm.toolkit.fluxcd.io/driftDetection", "disabled"),
];

/// Label of the pods that an apex selects where weight is made by pods; its value is the name of the apex. It stands in the template of a primary,
/// and on as many pods of the canary as the weight allows.
pub const APEX_LABEL: &str = "slipway.dev/apex";

/// On the scaler of a primary that is held at more pods than it says: what it says, empty for nothing. It goes when the release is over.
pub const HELD_LEAST: &str = "slipway.dev/held-least";
/// Annotation of the primary's pod template; a new value restarts the pods at a promotion.
pub const FLAGGER_ID: &str = "flagger-id";
/// Annotation of a ConfigMap or Secret that is shared instead of tracked, when its value begins with [`CONFIG_TRACKING_DISABLED`].
pub const CONFIG_TRACKING: &str = "flagger.app/config-tracking";
/// How the value of [`CONFIG_TRACKING`] begins when tracking is off.
pub const CONFIG_TRACKING_DISABLED: &str = "disable";
/// Node selector that empties a DaemonSet.
pub const SCALE_TO_ZERO: &str = "flagger.app/scale-to-zero";

/// Prefixes of the keys under which tracked configs stand in the status.
pub const TRACKED_CONFIG_MAP: &str = "configmap/";
/// See [`TRACKED_CONFIG_MAP`].
pub const TRACKED_SECRET: &str = "secret/";

/// The providers of metrics that a MetricTemplate may name.
pub const METRIC_PROVIDERS: [&str; 12] = [
    "prometheus",
    "influxdb",
    "datadog",
    "externalmetrics",
    "stackdriver",
    "cloudwatch",
    "newrelic",
    "graphite",
    "dynatrace",
    "keptn",
    "splunk",
    "web",
];
/// The chats that an AlertProvider may name.
pub const ALERT_PROVIDERS: [&str; 6] =
    ["slack", "msteams", "discord", "rocket", "gchat", "webhook"];

/// The annotations by which an SRE tunes a release, on the target or on the Canary.
pub mod annotation {
    /// What every key of ours begins with; such a key is never copied to a generated object.
    pub const PREFIX: &str = "slipway.dev/";

    /// Opts a workload without a Canary in, and names the strategy: `canary`, `blue-green` or `ab`.
    pub const RELEASE: &str = "slipway.dev/release";
    /// Time between two ticks, such as `30s`.
    pub const INTERVAL: &str = "slipway.dev/interval";
    /// Failed checks before a rollback.
    pub const THRESHOLD: &str = "slipway.dev/threshold";
    /// Weight at which a revision is promoted, in percent.
    pub const MAX_WEIGHT: &str = "slipway.dev/max-weight";
    /// How much the weight grows with each tick, in percent.
    pub const STEP_WEIGHT: &str = "slipway.dev/step-weight";
    /// The weights to go through, such as `1,5,25,50`.
    pub const STEP_WEIGHTS: &str = "slipway.dev/step-weights";
    /// Ticks of a blue/green or A/B release.
    pub const ITERATIONS: &str = "slipway.dev/iterations";
    /// Least success rate, in percent, such as `99.5`.
    pub const SUCCESS_RATE: &str = "slipway.dev/success-rate";
    /// Greatest latency, such as `p99<500ms`.
    pub const LATENCY: &str = "slipway.dev/latency";
    /// Port of a workload without a Canary.
    pub const PORT: &str = "slipway.dev/port";
    /// A/B match of a workload without a Canary, such as `header:x-user=beta`.
    pub const MATCH: &str = "slipway.dev/match";
    /// Whether the canary first gets a copy of the traffic.
    pub const MIRROR: &str = "slipway.dev/mirror";
    /// Whether a new revision is promoted without being judged.
    pub const SKIP_ANALYSIS: &str = "slipway.dev/skip-analysis";
    /// Whether the release stays as it is.
    pub const PAUSED: &str = "slipway.dev/paused";
    /// How long a side that lost its traffic stays up and selected.
    pub const SETTLE: &str = "slipway.dev/settle";
    /// Size of the canary before traffic: `min`, a share, or `match-primary`.
    pub const CANARY_REPLICAS: &str = "slipway.dev/canary-replicas";
    /// Whether the target is paused while it holds traffic.
    pub const HOLD_NEW_REVISION: &str = "slipway.dev/hold-new-revision";
    /// What deleting the Canary does: `restore` or `orphan`.
    pub const ON_DELETE: &str = "slipway.dev/on-delete";
    /// What a metric without data means: `fail`, `hold` or `pass`.
    pub const ON_NO_DATA: &str = "slipway.dev/on-no-data";
    /// What a provider that does not answer means: `fail`, `hold` or `pass`.
    pub const ON_PROVIDER_ERROR: &str = "slipway.dev/on-provider-error";
    /// The gates that a person opens, such as `rollout,promotion`.
    pub const APPROVE: &str = "slipway.dev/approve";
    /// The releases of the same namespace that go first, such as `database,cache`.
    pub const AFTER: &str = "slipway.dev/after";
    /// The Secret with the credentials of the Canary's own `metricsServer`; heeded on the Canary alone.
    pub const METRICS_SERVER_SECRET: &str = "slipway.dev/metrics-server-secret";
    /// The part that the sequential test plays: `off`, `shadow`, `protect` or `full`.
    pub const ANALYSIS_MODE: &str = "slipway.dev/analysis-mode";
    /// The greatest chance that a harmless release is rolled back by evidence, such as `0.001`.
    pub const ALPHA: &str = "slipway.dev/alpha";
    /// The greatest chance that a step is taken that costs more than `max-impact`.
    pub const BETA: &str = "slipway.dev/beta";
    /// The share of all requests that may fail by a step, in percent.
    pub const MAX_IMPACT: &str = "slipway.dev/max-impact";
    /// How many times the odds of a failure may be without mattering, such as `1.25`.
    pub const TOLERANCE: &str = "slipway.dev/tolerance";
    /// The share of failures that never matters, in percent.
    pub const ERROR_FLOOR: &str = "slipway.dev/error-floor";
    /// Time between two looks of the sequential test.
    pub const TICK: &str = "slipway.dev/tick";
    /// The canary's first weight: `auto`, or in whole percent.
    pub const FIRST_WEIGHT: &str = "slipway.dev/first-weight";
    /// The latencies that requests are counted by: `auto`, or in seconds, such as `0.1,0.5`.
    pub const LATENCY_EDGES: &str = "slipway.dev/latency-edges";
    /// How much each metric counts, such as `errors=3,latency=1`.
    pub const METRIC_WEIGHTS: &str = "slipway.dev/metric-weights";
    /// How long the latency of a canary is not judged, from its first user on.
    pub const WARMUP: &str = "slipway.dev/warmup";
    /// The shortest time at a weight.
    pub const MIN_STEP: &str = "slipway.dev/min-step";
    /// The longest time at a weight, after which `on-insufficient-data` says what follows.
    pub const MAX_STEP: &str = "slipway.dev/max-step";
    /// How long the canary has all traffic while the primary stands by, before it is promoted.
    pub const SOAK: &str = "slipway.dev/soak";
    /// What is bet on: `tick` or `count`.
    pub const EVIDENCE: &str = "slipway.dev/evidence";
    /// The evidence at which a canary goes back to its first weight; `0`: none.
    pub const BRAKE: &str = "slipway.dev/brake";
    /// The plain rule for gross failures, such as `50%/5req/2ticks`.
    pub const CLIFF: &str = "slipway.dev/cliff";
    /// What follows where the longest step ends undecided: `hold`, `advance` or `rollback`.
    pub const ON_INSUFFICIENT_DATA: &str = "slipway.dev/on-insufficient-data";
    /// What follows while the primary fails as well: `hold`, `advance` or `rollback`.
    pub const ON_SHARED_INCIDENT: &str = "slipway.dev/on-shared-incident";

    /// The keys of the sequential test, in the order of the reference.
    pub const JUDGE: [&str; 19] = [
        ANALYSIS_MODE,
        ALPHA,
        BETA,
        MAX_IMPACT,
        TOLERANCE,
        ERROR_FLOOR,
        TICK,
        WARMUP,
        MIN_STEP,
        MAX_STEP,
        SOAK,
        FIRST_WEIGHT,
        EVIDENCE,
        BRAKE,
        CLIFF,
        LATENCY_EDGES,
        METRIC_WEIGHTS,
        ON_INSUFFICIENT_DATA,
        ON_SHARED_INCIDENT,
    ];

    /// Every other key, in the order of the reference.
    pub const ALL: [&str; 23] = [
        RELEASE,
        INTERVAL,
        THRESHOLD,
        MAX_WEIGHT,
        STEP_WEIGHT,
        STEP_WEIGHTS,
        ITERATIONS,
        SUCCESS_RATE,
        LATENCY,
        PORT,
        MATCH,
        MIRROR,
        SKIP_ANALYSIS,
        PAUSED,
        SETTLE,
        CANARY_REPLICAS,
        HOLD_NEW_REVISION,
        ON_DELETE,
        ON_NO_DATA,
        ON_PROVIDER_ERROR,
        APPROVE,
        AFTER,
        METRICS_SERVER_SECRET,
    ];
}

/// The annotations by which a person acts on a release, on the Canary alone.
///
/// **Shape**: the key names the action, the value says what is meant in words of `name=value` with spaces between:
/// `revision=REVISION by=WHO at=TIME`, and for an approval `gate=rollout` or `gate=promotion`. Another value is another action.
pub mod action {
    /// What every key of an action begins with.
    pub const PREFIX: &str = "slipway.dev/action-";
    /// Opens a gate that waits for a person.
    pub const APPROVE: &str = "slipway.dev/action-approve";
    /// Holds the release at the step that it has reached.
    pub const PAUSE: &str = "slipway.dev/action-pause";
    /// Lets it go on.
    pub const RESUME: &str = "slipway.dev/action-resume";
    /// Promotes a revision without judging it further.
    pub const PROMOTE: &str = "slipway.dev/action-promote";
    /// Takes a revision back.
    pub const ABORT: &str = "slipway.dev/action-abort";
    /// Tries a revision that failed again.
    pub const RETRY: &str = "slipway.dev/action-retry";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_annotation_is_ours_and_has_its_own_name() {
        let names: BTreeSet<_> = annotation::ALL
            .iter()
            .map(|key| key.strip_prefix(annotation::PREFIX).unwrap())
            .collect();
        assert_eq!(names.len(), annotation::ALL.len());
    }

    #[test]
    fn the_primary_and_the_canary_have_flaggers_names() {
        assert_eq!(primary_name("podinfo"), "podinfo-primary");
        assert_eq!(canary_name("podinfo"), "podinfo-canary");
    }

    #[test]
    fn group_and_version_agree() {
        assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
        assert_eq!(
            <crate::Canary as kube_core::Resource>::api_version(&()),
            API_VERSION
        );
    }
}
