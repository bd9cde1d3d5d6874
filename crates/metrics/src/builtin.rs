//! The built-in queries of each mesh: one table of data, two forms of query.
//!
//! **Source**: dossier 02 B.1 to B.4; for Istio, Linkerd and plain HTTP the texts are, byte for byte, what a recorded Flagger sent.

use slipway_core::observation::Reading;
use slipway_core::plan::{Provider, TargetKind};

use crate::variables::{DEFAULT_INTERVAL, Variables};

mod table;

use table::{Duration, Labels, Source};

/// Whose telemetry a built-in query reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Telemetry {
    /// Istio's standard metrics.
    Istio,
    /// Linkerd's proxy.
    Linkerd,
    /// Open Service Mesh.
    Osm,
    /// App Mesh's Envoy.
    AppMesh,
    /// Contour's Envoy.
    Contour,
    /// Gloo's Envoy.
    Gloo,
    /// Knative's Envoy in front of its revisions.
    Knative,
    /// Kuma's Envoy.
    Kuma,
    /// NGINX's Ingress controller.
    Nginx,
    /// The application itself: `http_request_duration_seconds`.
    Http,
    /// Skipper.
    Skipper,
    /// Traefik.
    Traefik,
    /// APISIX.
    Apisix,
}

impl Telemetry {
    /// Every one, in the order of the table.
    pub const ALL: [Self; 13] = [
        Self::Istio,
        Self::Linkerd,
        Self::Osm,
        Self::AppMesh,
        Self::Contour,
        Self::Gloo,
        Self::Knative,
        Self::Kuma,
        Self::Nginx,
        Self::Http,
        Self::Skipper,
        Self::Traefik,
        Self::Apisix,
    ];

    /// Whose telemetry tells of a release: `flag` is the controller's `-mesh-provider`, `provider` the release's own.
    ///
    /// 1. The provider of the release names it; App Mesh, Gloo and the Gateway API in all their versions.
    /// 2. A controller that runs with Linkerd measures every release with Linkerd's proxy, whatever routes it
    ///    (Linkerd under a Gateway API or NGINX route).
    /// 3. `kubernetes` and the Gateway API have no telemetry of their own: the application's is read.
    /// 4. Every other SMI mesh is measured as Istio.
    /// 5. So is a core Service as the target (its workload is then expected to have the Service's name), except where
    ///    the name of the provider is looked at by its beginning only: App Mesh, Gloo, Gateway API.
    ///
    /// **Source**: dossier 02 B.1, F-43, F-44. **Differs from Flagger**: an SMI mesh that is named `linkerd` or `osm`
    /// is measured as what it is, and so is a controller with `-mesh-provider=smi:…:linkerd` whose Canary names no provider.
    pub fn of(flag: &str, provider: &Provider, target: TargetKind) -> Self {
        let by_beginning = matches!(
            provider,
            Provider::AppMesh
                | Provider::AppMeshV1Beta2
                | Provider::Gloo
                | Provider::GatewayApiV1
                | Provider::GatewayApiV1Beta1
        );
        match target {
            TargetKind::Service if flag.contains("linkerd") || !by_beginning => Self::Istio,
            TargetKind::Deployment | TargetKind::DaemonSet | TargetKind::Knative
                if flag.contains("linkerd") =>
            {
                Self::Linkerd
            }
            TargetKind::Service
            | TargetKind::Deployment
            | TargetKind::DaemonSet
            | TargetKind::Knative => Self::of_provider(provider),
        }
    }

    fn of_provider(provider: &Provider) -> Self {
        match provider {
            Provider::Istio => Self::Istio,
            Provider::Linkerd => Self::Linkerd,
            Provider::Smi { mesh, .. } => match mesh.as_str() {
                "osm" => Self::Osm,
                "linkerd" => Self::Linkerd,
                _ => Self::Istio,
            },
            Provider::Kubernetes | Provider::GatewayApiV1 | Provider::GatewayApiV1Beta1 => {
                Self::Http
            }
            Provider::AppMesh | Provider::AppMeshV1Beta2 => Self::AppMesh,
            Provider::Contour => Self::Contour,
            Provider::Gloo => Self::Gloo,
            Provider::Nginx => Self::Nginx,
            Provider::Skipper => Self::Skipper,
            Provider::Traefik => Self::Traefik,
            Provider::Apisix => Self::Apisix,
            Provider::Kuma => Self::Kuma,
            Provider::Knative => Self::Knative,
        }
    }

    /// Its name, as the golden cases and logs use it.
    pub const fn as_str(self) -> &'static str {
        self.source().name
    }

    const fn source(self) -> &'static Source {
        match self {
            Self::Istio => &table::ISTIO,
            Self::Linkerd => &table::LINKERD,
            Self::Osm => &table::OSM,
            Self::AppMesh => &table::APP_MESH,
            Self::Contour => &table::CONTOUR,
            Self::Gloo => &table::GLOO,
            Self::Knative => &table::KNATIVE,
            Self::Kuma => &table::KUMA,
            Self::Nginx => &table::NGINX,
            Self::Http => &table::HTTP,
            Self::Skipper => &table::SKIPPER,
            Self::Traefik => &table::TRAEFIK,
            Self::Apisix => &table::APISIX,
        }
    }
}

/// A built-in query and what its number means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// PromQL on one line.
    pub text: String,
    /// The unit of the answer.
    pub unit: Unit,
}

/// The unit of an answer to a built-in query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 0 to 100.
    Percent,
    /// Milliseconds.
    Milliseconds,
    /// Seconds; a check wants milliseconds.
    Seconds,
}

impl Query {
    /// The reading of a check from what the provider said: durations in milliseconds, and the words that Flagger puts before a
    /// failure of a built-in query.
    pub fn reading(&self, said: Reading) -> Reading {
        let failed = |why: String| format!("running query failed: {why}");
        match said {
            Reading::Value(seconds) if self.unit == Unit::Seconds => {
                Reading::Value(seconds * 1000.0)
            }
            Reading::NoData(why) => Reading::NoData(failed(why)),
            Reading::Failed(why) => Reading::Failed(failed(why)),
            Reading::Value(_) | Reading::Ambiguous(_) | Reading::Unusable(_) => said,
        }
    }
}

/// The share of requests that did not fail, in percent.
pub fn success_rate(telemetry: Telemetry, variables: &Variables) -> Query {
    let source = telemetry.source();
    let Source {
        success,
        labels,
        ok,
        ..
    } = source;
    let ok = rate(
        success.metric,
        &selector(labels, &[*ok], success.extra),
        variables,
    );
    let all = rate(
        success.metric,
        &selector(labels, &[], success.extra),
        variables,
    );
    Query {
        text: fill(&format!("{ok} / {all} * 100"), source, variables),
        unit: Unit::Percent,
    }
}

/// How long requests take: the 99th percentile, or the mean where the source has no histogram.
pub fn request_duration(telemetry: Telemetry, variables: &Variables) -> Query {
    let source = telemetry.source();
    let (text, unit) = match source.duration {
        Duration::P99 {
            bucket,
            extra,
            times,
            unit,
        } => {
            let buckets = rate(bucket, &selector(&source.labels, &[], extra), variables);
            (
                format!("histogram_quantile( 0.99, {buckets} by (le) ){times}"),
                unit,
            )
        }
        Duration::Mean { sum, count } => {
            let labels = selector(&source.labels, &[], &[]);
            (
                format!(
                    "{} / {} * 1000",
                    rate(sum, &labels, variables),
                    rate(count, &labels, variables)
                ),
                Unit::Milliseconds,
            )
        }
    };
    Query {
        text: fill(&text, source, variables),
        unit,
    }
}

/// The matchers on one line; `ok` stands where Flagger has it.
fn selector(labels: &Labels, ok: &[&str], extra: &[&str]) -> String {
    [labels.before, ok, labels.after, extra].concat().join(", ")
}

fn rate(metric: &str, selector: &str, variables: &Variables) -> String {
    let interval = match variables.interval.as_str() {
        "" => DEFAULT_INTERVAL,
        interval => interval,
    };
    format!("sum( rate( {metric}{{ {selector} }}[{interval}] ) )")
}

/// The text with the values in place of `<namespace>`, `<target>` and so on.
///
/// **Differs from Flagger**: `<pods>` matches the pods of a DaemonSet, which have one random part in their names. Flagger's
/// expression wants two, and so matches the pods of the primary instead: the primary would be judged in place of the canary.
fn fill(text: &str, source: &Source, variables: &Variables) -> String {
    let word = |name: &str| {
        if source.words_only {
            words_only(name)
        } else {
            name.to_owned()
        }
    };
    let pods = match variables.target_kind {
        TargetKind::DaemonSet => "[0-9a-zA-Z]+",
        TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => {
            "[0-9a-zA-Z]+(-[0-9a-zA-Z]+)"
        }
    };
    let values = [
        ("<namespace>", word(&variables.namespace)),
        ("<target>", word(&variables.target)),
        ("<service>", word(&variables.service)),
        ("<ingress>", word(&variables.ingress)),
        ("<route>", word(&variables.route)),
        ("<pods>", pods.to_owned()),
    ];
    values.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(name, value)
    })
}

/// The name with `_` in place of what is neither a letter, a digit nor `_`.
fn words_only(name: &str) -> String {
    name.chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .collect()
}

#[cfg(test)]
mod tests;
