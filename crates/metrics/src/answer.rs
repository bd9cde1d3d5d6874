//! What is common to the answers of providers: an error of HTTP, JSON, and the one finite number.

use http::StatusCode;
use serde_json::Value;
use slipway_core::observation::Reading;

use crate::text::bounded;

/// How much of an answer goes into a message, in characters.
pub(crate) const SHOWN: usize = 300;
/// How many of several series are named.
const NAMED_SERIES: usize = 3;

/// The JSON of a good answer, or what an answer that is none means.
pub(crate) fn json(status: StatusCode, body: &[u8]) -> Result<Value, Reading> {
    if !status.is_success() {
        return Err(failed_with(status, body));
    }
    serde_json::from_slice(body).map_err(|why| invalid(&format!("{why} in {}", excerpt(body))))
}

/// An HTTP error.
pub(crate) fn failed_with(status: StatusCode, body: &[u8]) -> Reading {
    Reading::Failed(error(status, body))
}

/// An HTTP error, in Flagger's words.
pub(crate) fn error(status: StatusCode, body: &[u8]) -> String {
    let reason = status.canonical_reason().unwrap_or_default();
    let text = format!(
        "error response: Status {} {reason}: {}",
        status.as_str(),
        excerpt(body)
    );
    bounded(&text, SHOWN)
}

/// As [`json`], of the API server, which says in a sentence what is wrong.
pub(crate) fn json_of_api_server(status: StatusCode, body: &[u8]) -> Result<Value, Reading> {
    let said: Option<Value> = serde_json::from_slice(body).ok();
    let message = said.as_ref().and_then(|said| said.get("message")?.as_str());
    match message {
        Some(message) if !status.is_success() => Err(failed_with(status, message.as_bytes())),
        _ => json(status, body),
    }
}

/// Whether a probe was answered with 200.
pub(crate) fn probed(status: StatusCode, body: &[u8]) -> Result<(), String> {
    if status == StatusCode::OK {
        return Ok(());
    }
    Err(error(status, body))
}

/// Whether a probe that says nobody's name was answered at all: a refusal is the expected answer.
pub(crate) fn refused(status: StatusCode, body: &[u8]) -> Result<(), String> {
    if status.is_client_error() {
        return Ok(());
    }
    probed(status, body)
}

/// An answer that is not what the provider promises.
pub(crate) fn invalid(why: &str) -> Reading {
    Reading::Failed(bounded(&format!("invalid answer: {why}"), SHOWN))
}

/// Nothing was measured.
pub(crate) fn none() -> Reading {
    Reading::NoData("no values found".to_owned())
}

/// Several series where one is meant, by their names, in an order that does not depend on the answer's.
pub(crate) fn several(names: impl Iterator<Item = String>) -> Reading {
    let mut names: Vec<String> = names.map(|name| bounded(&name, SHOWN)).collect();
    names.sort_unstable();
    let more = names.len().saturating_sub(NAMED_SERIES);
    names.truncate(NAMED_SERIES);
    let names = bounded(&names.join(", "), SHOWN);
    Reading::Ambiguous(if more == 0 {
        names
    } else {
        format!("{names} and {more} more")
    })
}

/// A value of JSON as a reading: a number, or a text that is one. `null` and nothing at all were not measured.
pub(crate) fn value(value: Option<&Value>) -> Reading {
    match value {
        None => none(),
        Some(Value::Null) => Reading::NoData("no values found: the value is null".to_owned()),
        Some(Value::Number(value)) => value.as_f64().map_or_else(none, number),
        Some(Value::String(text)) => match text.trim().parse() {
            Ok(value) => number(value),
            Err(_) => invalid(&format!("the value is {text:?}, allowed is a number")),
        },
        Some(other @ (Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            invalid(&format!("the value is {other}, allowed is a number"))
        }
    }
}

/// A finite number is a value. NaN is `0 / 0`, nothing was measured. An infinity is a division by zero as well, but of something:
/// not a number that a bound could be compared with, and not the silence that `on-no-data` may forgive.
pub(crate) fn number(value: f64) -> Reading {
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

/// The beginning of a body.
pub(crate) fn excerpt(body: &[u8]) -> String {
    match bounded(&String::from_utf8_lossy(body), SHOWN) {
        text if text.is_empty() => "an empty body".to_owned(),
        text => text,
    }
}
