//! Datadog: a query of metrics over ten windows of the check.
//!
//! **Source**: dossier 02 C.3 (datadog); Datadog's API, "Query timeseries points".
//!
//! **Differs from Flagger**: the first point that has a value counts, and a point without one is never 0; several series are refused instead of
//! the first one winning.

use http::{HeaderName, Request, StatusCode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, given, query, window};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer};

/// The codec.
pub(crate) struct Datadog;

const ADDRESS: &str = "https://api.datadoghq.com";
const NEEDED: &str = "datadog_api_key and datadog_application_key are needed";

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    path: &str,
) -> Result<Call, MetricError> {
    let api = given(spec, secret, "datadog_api_key", NEEDED)?;
    let application = given(spec, secret, "datadog_application_key", NEEDED)?;
    Call::new(spec, Some(ADDRESS), path)?
        .secret(HeaderName::from_static("dd-api-key"), "", &api)?
        .secret(
            HeaderName::from_static("dd-application-key"),
            "",
            &application,
        )
}

impl MetricProvider for Datadog {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let (from, to) = window(ask)?;
        call(spec, secret, "/api/v1/query")?
            .with("query", query(ask)?)
            .with("from", &from.timestamp().to_string())
            .with("to", &to.timestamp().to_string())
            .get()
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        answer::json(status, body).map_or_else(|why| why, |answer| read(&answer))
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, "/api/v1/validate")?.get()
    }
}

fn read(answer: &Value) -> Reading {
    if answer.get("status").and_then(Value::as_str) == Some("error") {
        let why = answer.get("error").and_then(Value::as_str);
        return answer::invalid(why.unwrap_or("status is error"));
    }
    let series = answer.get("series").and_then(Value::as_array);
    match series.map(Vec::as_slice) {
        None | Some([]) => answer::none(),
        Some([one]) => points(one),
        Some(several) => answer::several(several.iter().map(name)),
    }
}

/// The oldest point that has a value: the newest ones are not complete yet.
fn points(series: &Value) -> Reading {
    let points = series.get("pointlist").and_then(Value::as_array);
    let values = points.into_iter().flatten().map(|point| point.get(1));
    let measured = values.flatten().find(|value| !value.is_null());
    answer::value(measured)
}

fn name(series: &Value) -> String {
    let part = |field: &str| {
        series
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
    };
    format!("{}{{{}}}", part("metric"), part("scope"))
}
