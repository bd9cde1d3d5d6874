//! Amazon `CloudWatch`: metrics and expressions over ten windows of the check.
//!
//! **Source**: dossier 02 C.3 (cloudwatch); `CloudWatch`'s API reference, `GetMetricData` as JSON over HTTP.
//!
//! **Differs from Flagger**: the credentials of the controller come from its environment alone; a field that nobody knows is refused by name; several
//! results are refused instead of the first one winning.

use http::{HeaderValue, Request, StatusCode};
use serde_json::{Value, json};
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::call::{Call, query, window};
use crate::step::{Heard, Step};
use crate::{Ask, MetricError, MetricProvider, SecretData, Transport, answer, text};

mod credentials;
mod queries;

use credentials::{Keys, Source};

/// The codec.
pub(crate) struct Cloudwatch;

const TARGET: HeaderValue = HeaderValue::from_static("GraniteServiceVersion20100801.GetMetricData");
const JSON: &str = "application/x-amz-json-1.0";

/// A region of AWS.
#[derive(Clone, Copy)]
struct Region<'a>(&'a str);

impl<'a> Region<'a> {
    /// The region becomes a part of a host name, which is then told who we are: nothing else may.
    fn of(spec: &'a MetricProviderSpec) -> Result<Self, MetricError> {
        let region = spec.region.as_deref().unwrap_or_default();
        let is_plain = |letter: char| matches!(letter, 'a'..='z' | '0'..='9' | '-');
        if region.is_empty() || region.len() > 40 || !region.chars().all(is_plain) {
            return Err(MetricError::Region(text::bounded(region, 50)));
        }
        Ok(Self(region))
    }

    /// Where a service answers.
    fn address(self, service: &str) -> String {
        let Self(region) = self;
        let partition = if region.starts_with("cn-") { ".cn" } else { "" };
        format!("https://{service}.{region}.amazonaws.com{partition}")
    }
}

/// The question, unsigned.
fn question(spec: &MetricProviderSpec, body: &Value) -> Result<Request<Vec<u8>>, MetricError> {
    let usual = Region::of(spec)?.address("monitoring");
    Call::new(spec, Some(&usual), "/")?
        .header("x-amz-target", TARGET)
        .post(JSON, body.to_string().into_bytes())
}

/// The question, signed.
fn asked(
    spec: &MetricProviderSpec,
    ask: &Ask<'_>,
    keys: &Keys,
) -> Result<Request<Vec<u8>>, MetricError> {
    let (from, to) = window(ask)?;
    let body = json!({
        "MetricDataQueries": queries::parse(query(ask)?).map_err(MetricError::QueryList)?,
        "StartTime": from.timestamp(),
        "EndTime": to.timestamp(),
        "ScanBy": "TimestampDescending",
    });
    keys.sign(question(spec, &body)?, Region::of(spec)?, ask.now)
}

impl MetricProvider for Cloudwatch {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        _secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        // What is wrong with the query is said before anybody is told who we are.
        window(ask)?;
        queries::parse(query(ask)?).map_err(MetricError::QueryList)?;
        match Source::of(ask.environment, Region::of(spec)?)? {
            Source::Held(keys) => asked(spec, ask, &keys),
            Source::Exchange(request) => Ok(request),
        }
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        answer::json(status, body).map_or_else(|why| why, |answer| read(&answer))
    }

    fn step(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
        heard: &[Heard],
    ) -> Result<Step, MetricError> {
        let transport = self.transport(spec);
        let region = Region::of(spec)?;
        let is_exchange = matches!(Source::of(ask.environment, region)?, Source::Exchange(_));
        Ok(match heard {
            [] => Step::send(self.request(spec, secret, ask)?, transport),
            [exchanged] if is_exchange => match Keys::heard(exchanged) {
                Ok(keys) => Step::send(asked(spec, ask, &keys)?, transport),
                Err(why) => Step::Read(why),
            },
            [.., last] => {
                Step::Read(last.reading(|status, body| self.reading(ask.query, status, body)))
            }
        })
    }

    /// Whether somebody answers: nobody is told who asks, so that the answer is a refusal.
    fn probe(
        &self,
        spec: &MetricProviderSpec,
        _secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        question(spec, &json!({"MetricDataQueries": []}))
    }

    fn probed(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        answer::refused(status, body)
    }

    fn identity_files(&self) -> &'static [&'static str] {
        credentials::FILES
    }

    /// The certificate is verified always: what is sent says who we are.
    fn transport(&self, _spec: &MetricProviderSpec) -> Transport {
        Transport {
            carries_identity: true,
            ..Transport::default()
        }
    }
}

fn read(answer: &Value) -> Reading {
    let next = answer.get("NextToken").and_then(Value::as_str);
    if next.is_some_and(|next| !next.is_empty()) {
        return answer::invalid("it has several pages, allowed is one result");
    }
    let results = answer.get("MetricDataResults").and_then(Value::as_array);
    match results.map(Vec::as_slice) {
        None | Some([]) => answer::none(),
        Some([one]) => newest(one),
        Some(several) => answer::several(several.iter().map(name)),
    }
}

/// The newest value of a result, which comes first, unless `CloudWatch` says that it could not compute it.
fn newest(result: &Value) -> Reading {
    let state = result.get("StatusCode").and_then(Value::as_str);
    if let Some(state @ ("InternalError" | "Forbidden")) = state {
        let messages = result.get("Messages").unwrap_or(&Value::Null);
        return answer::invalid(&format!("the result is {state}: {messages}"));
    }
    let values = result.get("Values").and_then(Value::as_array);
    answer::value(values.and_then(|values| values.first()))
}

fn name(result: &Value) -> String {
    let part = |field: &str| result.get(field).and_then(Value::as_str);
    let id = part("Id").unwrap_or_default();
    match part("Label") {
        Some(label) => format!("{id} ({label})"),
        None => id.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_is_a_part_of_a_host_name_and_nothing_else() {
        let spec = |region: &str| MetricProviderSpec {
            region: Some(region.to_owned()),
            ..MetricProviderSpec::default()
        };
        let rows = [
            ("eu-west-1", "https://sts.eu-west-1.amazonaws.com"),
            ("cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn"),
        ];
        for (region, expected) in rows {
            let spec = spec(region);
            let address = Region::of(&spec).map(|region| region.address("sts"));
            assert_eq!(address, Ok(expected.to_owned()));
        }
        for region in ["", "x.evil.test/", "x@evil.test", "EU-WEST-1", "eu west"] {
            let spec = spec(region);
            let refused = Region::of(&spec).map(|region| region.address("sts"));
            assert_eq!(refused, Err(MetricError::Region(region.to_owned())));
        }
    }

    #[test]
    fn a_probe_tells_nobody_who_asks_and_a_refusal_is_its_answer() {
        let spec = MetricProviderSpec {
            region: Some("eu-west-1".to_owned()),
            ..MetricProviderSpec::default()
        };
        let request = Cloudwatch.probe(&spec, None).unwrap();
        assert!(!request.headers().contains_key("authorization"));
        for (status, is_online) in [(200, true), (400, true), (403, true), (503, false)] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(
                Cloudwatch.probed(status, b"").is_ok(),
                is_online,
                "{status}"
            );
        }
    }
}
