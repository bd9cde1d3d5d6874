//! What Prometheus answered.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use prometheus_http_query::response::{Data, InstantVector, PromqlResult, RangeVector};
use serde::Deserialize;
use serde_json::Value;
use slipway_core::observation::Reading;

use crate::answer::{self, SHOWN, excerpt, number};
use crate::text::bounded;

/// The envelope of every answer, an error or not.
#[derive(Deserialize)]
struct Envelope {
    status: String,
    #[serde(default)]
    data: Value,
    #[serde(default, rename = "errorType")]
    error_type: Option<String>,
    #[serde(default)]
    error: Option<String>,
}

/// An answer that is as it should be.
#[derive(Deserialize)]
struct Whole {
    status: String,
    data: PromqlResult,
}

/// The reading that an answer means.
pub(super) fn reading(status: StatusCode, body: &[u8]) -> Reading {
    let read = opened(status, body).and_then(|found| data(found).map_err(|why| invalid(&why)));
    read.unwrap_or_else(Reading::Failed)
}

/// The series of a range vector, each with the times at which its samples were taken.
///
/// # Errors
/// Why there are none: refused, no answer of Prometheus, or another kind of result.
pub(super) fn series(status: StatusCode, body: &[u8]) -> Result<Vec<RangeVector>, String> {
    // Megabytes of samples: read at once where the answer is as it should be.
    let whole = serde_json::from_slice::<Whole>(body);
    let result = match whole.ok().filter(|whole| whole.status == "success") {
        Some(whole) if status.is_success() => whole.data,
        Some(_) | None => serde_json::from_value(opened(status, body)?)
            .map_err(|why| invalid(&why.to_string()))?,
    };
    match result.into_inner().0 {
        Data::Matrix(series) => Ok(series),
        Data::Vector(_) | Data::Scalar(_) => {
            Err("the query returned no range vector, allowed is one".to_owned())
        }
    }
}

/// The series of an instant vector.
///
/// # Errors
/// Why there are none.
pub(super) fn instant(status: StatusCode, body: &[u8]) -> Result<Vec<InstantVector>, String> {
    let found = opened(status, body)?;
    let result: PromqlResult =
        serde_json::from_value(found).map_err(|why| invalid(&why.to_string()))?;
    match result.into_inner().0 {
        Data::Vector(series) => Ok(series),
        Data::Matrix(_) | Data::Scalar(_) => {
            Err("the query returned no instant vector, allowed is one".to_owned())
        }
    }
}

/// The data of an answer; the error is the whole sentence.
fn opened(status: StatusCode, body: &[u8]) -> Result<Value, String> {
    let envelope = serde_json::from_slice::<Envelope>(body);
    if !status.is_success() {
        return Err(error_response(status, envelope.ok(), body));
    }
    let envelope = envelope.map_err(|why| invalid(&format!("{why} in {}", excerpt(body))))?;
    match envelope.status.as_str() {
        "success" => Ok(envelope.data),
        "error" => Err(query_error(&envelope)),
        other => Err(invalid(&format!(
            "status is {other:?}, allowed are success and error"
        ))),
    }
}

fn invalid(why: &str) -> String {
    bounded(&format!("invalid answer: {why}"), SHOWN)
}

/// The text of an HTTP error: Flagger's words, with the error itself where the body has one.
fn error_response(status: StatusCode, envelope: Option<Envelope>, body: &[u8]) -> String {
    let why = match envelope {
        Some(envelope) if envelope.error.is_some() => query_error(&envelope),
        Some(_) | None => excerpt(body),
    };
    let reason = status.canonical_reason().unwrap_or_default();
    bounded(
        &format!("error response: Status {} {reason}: {why}", status.as_str()),
        SHOWN,
    )
}

fn query_error(envelope: &Envelope) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    bounded(
        &format!("{}: {}", part(&envelope.error_type), part(&envelope.error)),
        SHOWN,
    )
}

/// The one number in the data; the error says why the data cannot be read.
fn data(data: Value) -> Result<Reading, String> {
    match data.get("resultType").and_then(Value::as_str) {
        Some("vector" | "scalar") => {}
        Some("matrix") => return Ok(wrong_type("a range vector")),
        Some("string") => return Ok(wrong_type("a string")),
        Some(other) => {
            return Err(format!(
                "resultType is {other:?}, allowed are vector and scalar"
            ));
        }
        None => return Err("data has no resultType".to_owned()),
    }
    if has_histogram(&data) {
        return Ok(wrong_type("a native histogram"));
    }
    let result: PromqlResult = serde_json::from_value(data).map_err(|why| why.to_string())?;
    Ok(match result.data() {
        Data::Vector(series) => vector(series),
        Data::Scalar(sample) => number(sample.value()),
        Data::Matrix(_) => wrong_type("a range vector"),
    })
}

fn wrong_type(what: &str) -> Reading {
    Reading::Failed(format!(
        "the query returned {what}, allowed are one series with one value, or a scalar"
    ))
}

/// Whether a series holds a native histogram in place of a value.
fn has_histogram(data: &Value) -> bool {
    let series = data.get("result").and_then(Value::as_array);
    series.is_some_and(|series| series.iter().any(|one| one.get("histogram").is_some()))
}

fn vector(series: &[InstantVector]) -> Reading {
    match series {
        [] => answer::none(),
        [one] => number(one.sample().value()),
        several => answer::several(several.iter().map(|one| labels(one.metric()))),
    }
}

fn labels(metric: &HashMap<String, String>) -> String {
    let sorted: BTreeMap<_, _> = metric.iter().collect();
    let pairs: Vec<String> = sorted
        .into_iter()
        .map(|(name, value)| format!("{name}={value:?}"))
        .collect();
    bounded(&format!("{{{}}}", pairs.join(", ")), SHOWN)
}

#[cfg(test)]
mod tests;
