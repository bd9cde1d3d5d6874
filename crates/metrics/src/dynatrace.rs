//! Dynatrace: a metric selector over ten windows of the check, as one point.
//!
//! **Source**: dossier 02 C.3 (dynatrace); Dynatrace's metrics API v2.
//!
//! **Differs from Flagger**: several series are refused instead of the last one winning; a point without a value is never 0.

use http::header::AUTHORIZATION;
use http::{Request, StatusCode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, given, query, window};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer};

/// The codec.
pub(crate) struct Dynatrace;

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    path: &str,
) -> Result<Call, MetricError> {
    let token = given(spec, secret, "dynatrace_token", "dynatrace_token is needed")?;
    Call::new(spec, None, path)?.secret(AUTHORIZATION, "Api-Token ", &token)
}

impl MetricProvider for Dynatrace {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let (from, to) = window(ask)?;
        call(spec, secret, "/api/v2/metrics/query")?
            .with("metricSelector", query(ask)?)
            .with("resolution", "Inf")
            .with("from", &from.timestamp_millis().to_string())
            .with("to", &to.timestamp_millis().to_string())
            .get()
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        let answer = match answer::json(status, body) {
            Ok(answer) => answer,
            Err(why) => return why,
        };
        let results = answer.get("result").and_then(Value::as_array);
        let series: Vec<&Value> = results
            .into_iter()
            .flatten()
            .filter_map(|result| result.get("data")?.as_array())
            .flatten()
            .collect();
        match series.as_slice() {
            [] => answer::none(),
            [one] => answer::value(one.pointer("/values/0")),
            several => answer::several(several.iter().map(|one| name(one))),
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, "/api/v2/metrics")?
            .with("pageSize", "1")
            .get()
    }
}

fn name(series: &Value) -> String {
    let dimensions = series.get("dimensions").and_then(Value::as_array);
    let names = dimensions.into_iter().flatten().filter_map(Value::as_str);
    format!("{{{}}}", names.collect::<Vec<_>>().join(", "))
}
