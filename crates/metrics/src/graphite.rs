//! Graphite: a query string of its render API.
//!
//! **Source**: dossier 02 C.3 (graphite); Graphite's render API.
//!
//! **Differs from Flagger**: several series that have values are refused instead of the last one winning; NaN is no value.

use http::{Request, StatusCode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;
use url::form_urlencoded;

use crate::call::{Call, query};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer, credentials};

/// The codec.
pub(crate) struct Graphite;

/// What the probe asks for; that it does not exist is an answer.
const PROBE: &str = "target=test";

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    render: &str,
) -> Result<Request<Vec<u8>>, MetricError> {
    let mut call = Call::new(spec, None, "/render")?;
    let from_url = call.take_authorization();
    call = call.headers(credentials::headers(spec, secret, from_url)?);
    let words: Vec<&str> = render.split_whitespace().collect();
    let render = words.join(" ");
    let pairs = form_urlencoded::parse(render.as_bytes());
    for (name, value) in pairs.filter(|(name, _)| name != "format") {
        call = call.with(&name, &value);
    }
    call.with("format", "json").get()
}

impl MetricProvider for Graphite {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, query(ask)?)
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        let answer = match answer::json(status, body) {
            Ok(answer) => answer,
            Err(why) => return why,
        };
        let Some(series) = answer.as_array() else {
            return answer::invalid("it must be a list of series");
        };
        let measured: Vec<(&Value, &Value)> = series
            .iter()
            .filter_map(|one| Some((one, last(one)?)))
            .collect();
        match measured.as_slice() {
            [] => answer::none(),
            [(_, value)] => answer::value(Some(value)),
            several => answer::several(several.iter().map(|(one, _)| name(one))),
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(spec, secret, PROBE)
    }
}

/// The newest point that has a value.
fn last(series: &Value) -> Option<&Value> {
    let points = series.get("datapoints")?.as_array()?;
    let values = points.iter().rev().filter_map(|point| point.get(0));
    values
        .into_iter()
        .find(|value| !value.is_null() && value.as_str() != Some("null"))
}

fn name(series: &Value) -> String {
    let target = series.get("target").and_then(Value::as_str);
    target.unwrap_or("a series without a name").to_owned()
}
