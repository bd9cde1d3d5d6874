//! Splunk Observability (`SignalFx`): a `SignalFlow` program over ten windows of the check.
//!
//! **Source**: dossier 02 C.3 (splunk); `SignalFlow`'s API, "Execute" over HTTP with server-sent events.
//!
//! **Differs from Flagger**: one request over HTTP instead of a socket that is never closed; a value that is none is no data.

use std::collections::BTreeMap;

use http::{HeaderName, Request, StatusCode};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, given, query, window};
use crate::{Ask, MetricError, MetricProvider, SecretData, answer};

/// The codec.
pub(crate) struct Splunk;

/// The address as a server that streams, or as one that does not: both may be written, as in Flagger.
fn at(spec: &MetricProviderSpec, streams: bool) -> MetricProviderSpec {
    let address = spec.address.as_ref().map(|address| {
        let address = address.replacen("ws", "http", usize::from(address.starts_with("ws")));
        if streams {
            address.replacen("//api.", "//stream.", 1)
        } else {
            address.replacen("//stream.", "//api.", 1)
        }
    });
    MetricProviderSpec {
        address,
        ..spec.clone()
    }
}

fn call(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    path: &str,
) -> Result<Call, MetricError> {
    let token = given(spec, secret, "sf_token_key", "sf_token_key is needed")?;
    Call::new(spec, None, path)?.secret(HeaderName::from_static("x-sf-token"), "", &token)
}

impl MetricProvider for Splunk {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let (from, to) = window(ask)?;
        call(&at(spec, true), secret, "/v2/signalflow/execute")?
            .with("start", &from.timestamp_millis().to_string())
            .with("stop", &to.timestamp_millis().to_string())
            .with("immediate", "true")
            .post("text/plain", query(ask)?.as_bytes().to_vec())
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        if !status.is_success() {
            return answer::failed_with(status, body);
        }
        match std::str::from_utf8(body) {
            Ok(text) => read(text),
            Err(_) => answer::invalid("it must be text"),
        }
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        call(&at(spec, false), secret, "/v2/metric")?
            .with("limit", "1")
            .get()
    }
}

/// The newest value of the one series of a stream that came to its end.
fn read(text: &str) -> Reading {
    let mut newest: BTreeMap<String, Value> = BTreeMap::new();
    let mut is_whole = false;
    for (event, data) in events(text) {
        let parsed: Value = match serde_json::from_str(&data) {
            Ok(parsed) => parsed,
            Err(why) => return answer::invalid(&format!("{why} in event {event}")),
        };
        let kind = parsed
            .get("event")
            .and_then(Value::as_str)
            .unwrap_or_default();
        match (event.as_str(), kind) {
            ("error", _) | ("control-message", "CHANNEL_ABORT") => return answer::invalid(&data),
            ("control-message", "END_OF_CHANNEL") => is_whole = true,
            ("data", _) => {
                let values = parsed.get("data").and_then(Value::as_array);
                for one in values.into_iter().flatten() {
                    let id = one
                        .get("tsId")
                        .map_or_else(String::new, ToString::to_string);
                    newest.insert(id, one.get("value").cloned().unwrap_or_default());
                }
            }
            _ => {}
        }
    }
    if !is_whole {
        return answer::invalid("the stream broke off before its end");
    }
    let mut series = newest.iter();
    match (series.next(), series.next()) {
        (None, _) => answer::none(),
        (Some((_, value)), None) => answer::value(Some(value)),
        (Some(_), Some(_)) => answer::several(newest.keys().cloned()),
    }
}

/// The events of a stream: type and data.
fn events(text: &str) -> Vec<(String, String)> {
    let mut events = Vec::new();
    let (mut event, mut data) = (String::new(), Vec::new());
    for line in text.lines().chain([""]) {
        if let Some(value) = line.strip_prefix("event:") {
            value.trim().clone_into(&mut event);
        } else if let Some(value) = line.strip_prefix("data:") {
            data.push(value.trim_start().to_owned());
        } else if line.is_empty() {
            if !data.is_empty() {
                events.push((std::mem::take(&mut event), data.join("\n")));
            }
            event.clear();
            data.clear();
        }
    }
    events
}
