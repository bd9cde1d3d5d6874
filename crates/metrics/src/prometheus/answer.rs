//! What Prometheus answered.

use std::collections::{BTreeMap, HashMap};

use http::StatusCode;
use prometheus_http_query::response::{Data, InstantVector, PromqlResult};
use serde::Deserialize;
use serde_json::Value;
use slipway_core::observation::Reading;

use crate::text::bounded;

/// How much of an answer goes into a message, in characters.
const SHOWN: usize = 300;
/// How many of several series are named.
const NAMED_SERIES: usize = 3;

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

/// The reading that an answer means.
pub(super) fn reading(status: StatusCode, body: &[u8]) -> Reading {
    let envelope = serde_json::from_slice::<Envelope>(body);
    if !status.is_success() {
        return Reading::Failed(error_response(status, envelope.ok(), body));
    }
    let refused = |why: String| Reading::Failed(bounded(&format!("invalid answer: {why}"), SHOWN));
    let envelope = match envelope {
        Ok(envelope) => envelope,
        Err(why) => return refused(format!("{why} in {}", excerpt(body))),
    };
    match envelope.status.as_str() {
        "success" => data(envelope.data).unwrap_or_else(refused),
        "error" => Reading::Failed(query_error(&envelope)),
        other => refused(format!(
            "status is {other:?}, allowed are success and error"
        )),
    }
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

fn excerpt(body: &[u8]) -> String {
    match bounded(&String::from_utf8_lossy(body), SHOWN) {
        text if text.is_empty() => "an empty body".to_owned(),
        text => text,
    }
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
        [] => Reading::NoData("no values found".to_owned()),
        [one] => number(one.sample().value()),
        several => Reading::Ambiguous(named(several)),
    }
}

/// A finite number is a value. NaN is `0 / 0`, nothing was measured. An infinity is a division by zero as well, but of something:
/// not a number that a bound could be compared with, and not the silence that `on-no-data` may forgive.
fn number(value: f64) -> Reading {
    if value.is_nan() {
        return Reading::NoData("no values found: the value is NaN".to_owned());
    }
    if value.is_infinite() {
        let sign = if value > 0.0 { '+' } else { '-' };
        return Reading::Failed(format!(
            "the query returned {sign}Inf, allowed is a finite number"
        ));
    }
    Reading::Value(value)
}

/// The first few of several series by their labels, in an order that does not depend on the answer's.
fn named(series: &[InstantVector]) -> String {
    let mut names: Vec<String> = series.iter().map(|one| labels(one.metric())).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_SERIES);
    names.truncate(NAMED_SERIES);
    let names = bounded(&names.join(", "), SHOWN);
    if more == 0 {
        names
    } else {
        format!("{names} and {more} more")
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
