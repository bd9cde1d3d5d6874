//! External metrics of Kubernetes: what an adapter (KEDA, Prometheus, Datadog and others) answers behind the API server.
//!
//! **Source**: dossier 02 C.3 (externalmetrics), F-55; the API `external.metrics.k8s.io/v1beta1`.
//!
//! **Differs from Flagger**: several items are refused instead of the first one winning; a line break at the end of the query is none of it; a server
//! of its own gets the credentials of the Secret, and never those of the controller.

use http::{Request, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;
use url::form_urlencoded;

use crate::call::{Call, has_address, of_api_server, query};
use crate::{Ask, MetricError, MetricProvider, SecretData, Target, Transport, answer, credentials};

mod quantity;

/// The codec.
pub(crate) struct ExternalMetrics;

const API: &str = "/apis/external.metrics.k8s.io/v1beta1";
const ALLOWED: &str = "must be a metric, perhaps with its namespace and a selector: namespace/metric?labelSelector=app%3Dpodinfo";
/// What Flagger takes where the query names none.
const NAMESPACE: &str = "default";
/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The metric that a query means: its path, and the parameters behind.
fn wanted(query: &str) -> Result<(String, Vec<(String, String)>), MetricError> {
    let (place, parameters) = query.split_once('?').unwrap_or((query, ""));
    let (namespace, metric) = place.split_once('/').unwrap_or((NAMESPACE, place));
    let is_segment = |text: &str| !matches!(text, "" | "." | "..") && !text.contains('/');
    let parameters: Vec<_> = form_urlencoded::parse(parameters.as_bytes())
        .into_owned()
        .collect();
    let is_selector = |(name, _): &(String, String)| name == "labelSelector";
    if !is_segment(namespace) || !is_segment(metric) || !parameters.iter().all(is_selector) {
        return Err(MetricError::Query(ALLOWED));
    }
    let [namespace, metric] = [namespace, metric].map(|text| utf8_percent_encode(text, PLAIN));
    Ok((format!("{API}/namespaces/{namespace}/{metric}"), parameters))
}

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    path: &str,
    parameters: &[(String, String)],
) -> Result<Request<Vec<u8>>, MetricError> {
    if !has_address(spec) {
        let pairs = parameters
            .iter()
            .map(|(name, value)| format!("{name}={}", utf8_percent_encode(value, PLAIN)));
        let pairs: Vec<_> = pairs.collect();
        let target = match pairs.join("&") {
            pairs if pairs.is_empty() => path.to_owned(),
            pairs => format!("{path}?{pairs}"),
        };
        return of_api_server(http::Method::GET, &target, Vec::new());
    }
    let mut call = Call::new(spec, None, path)?;
    let from_url = call.take_authorization();
    call = call.headers(credentials::headers(spec, secret, from_url)?);
    for (name, value) in parameters {
        call = call.with(name, value);
    }
    call.get()
}

impl MetricProvider for ExternalMetrics {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let (path, parameters) = wanted(query(ask)?)?;
        call(spec, secret, &path, &parameters)
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        answer::json_of_api_server(status, body).map_or_else(|why| why, |answer| read(&answer))
    }

    /// Whether the API is served; Flagger asks for a metric that is not there, and takes the answer for an error.
    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, API, &[])
    }

    fn transport(&self, spec: &MetricProviderSpec) -> Transport {
        Transport {
            verify_tls: !spec.insecure_skip_verify,
            target: if has_address(spec) {
                Target::Server
            } else {
                Target::ApiServer
            },
            ..Transport::default()
        }
    }
}

fn read(answer: &Value) -> Reading {
    let items = answer.get("items").and_then(Value::as_array);
    match items.map(Vec::as_slice) {
        None => answer::invalid("it has no list of items"),
        Some([]) => answer::none(),
        Some([one]) => value(one.get("value")),
        Some(several) => answer::several(several.iter().map(name)),
    }
}

/// A quantity such as `1500m`; anything else is read as every other value.
fn value(found: Option<&Value>) -> Reading {
    let text = found.and_then(Value::as_str);
    match text.and_then(quantity::parse) {
        Some(value) => answer::number(value),
        None => answer::value(found),
    }
}

fn name(item: &Value) -> String {
    let metric = item.get("metricName").and_then(Value::as_str);
    let labels = item.get("metricLabels").unwrap_or(&Value::Null);
    format!("{}{labels}", metric.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_a_metric_of_a_namespace_and_a_selector() {
        let rows = [
            ("up", "default/up", None),
            ("shop/up", "shop/up", None),
            ("shop/up?labelSelector=a%3Db", "shop/up", Some("a=b")),
            ("shop/up?labelSelector=a=b", "shop/up", Some("a=b")),
            ("pubsub|count", "default/pubsub%7Ccount", None),
            ("a b/c%2Fd", "a%20b/c%252Fd", None),
        ];
        for (query, path, selector) in rows {
            let (found, parameters) = wanted(query).unwrap();
            assert_eq!(found, format!("{API}/namespaces/{path}"), "{query}");
            let values = parameters.first().map(|(_, value)| value.as_str());
            assert_eq!(values, selector, "{query}");
        }
    }

    #[test]
    fn a_query_that_leads_elsewhere_is_refused() {
        for query in [
            "",
            "/",
            "/up",
            "shop/",
            "a/b/c",
            "..",
            "../up",
            "shop/..",
            "shop/.",
            "?labelSelector=a",
            "up?limit=1",
            "up?labelSelector=a&watch=true",
        ] {
            let refused = wanted(query).err();
            assert_eq!(refused, Some(MetricError::Query(ALLOWED)), "{query}");
        }
    }
}
