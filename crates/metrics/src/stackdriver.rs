//! Google Cloud Monitoring, once Stackdriver: a query in its query language (MQL) over what the query says.
//!
//! Who asks is exchanged for an access token first: the key of a service account, else the account of the machine or workload.
//!
//! **Source**: dossier 02 C.3 (stackdriver), F-59; Cloud Monitoring's API v3, `projects.timeSeries.query`.
//!
//! **Differs from Flagger**: whole numbers are values, and what is no number is none of them instead of 0; several series are refused instead of the
//! first one winning; every request has a deadline.

use http::{HeaderValue, Request, StatusCode};
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::access_token;
use crate::address::sensitive;
use crate::call::{Call, Given, given, has_address, query};
use crate::environment::Environment;
use crate::step::{Heard, Step};
use crate::{Ask, MetricError, MetricProvider, SecretData, Transport, answer};

mod account;

use account::Account;

/// The codec.
pub(crate) struct Stackdriver;

const ADDRESS: &str = "https://monitoring.googleapis.com";
const NEEDED: &str =
    "project is needed, and serviceAccountKey where the controller is not to ask as itself";
const KEY: &str = "serviceAccountKey";
/// The variable that names a file with a key, Google's own.
const KEY_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const METADATA_HOST: &str = "metadata.google.internal";
const METADATA_PATH: &str = "/computeMetadata/v1/instance/service-accounts/default/token";

/// Who asks.
enum Identity {
    /// A service account, by a key that the Secret holds.
    Given(Account),
    /// The controller, by a key that its environment holds.
    Own(Account),
    /// The controller, by what the metadata server at this host says.
    Ambient(String),
}

impl Identity {
    fn of(
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        environment: &Environment,
    ) -> Result<Self, MetricError> {
        if secret.is_some_and(|data| data.contains_key(KEY)) {
            let Given { text, .. } = given(spec, secret, KEY, NEEDED)?;
            return Account::parse(text.expose_secret(), KEY).map(Self::Given);
        }
        // A token of the controller is of use to whoever gets it: only Google does.
        if has_address(spec) {
            return Err(MetricError::AddressRefused(
                "must be left out where the Secret has no serviceAccountKey: the controller shows who it is to Google alone",
            ));
        }
        if let Some(text) = environment.file(KEY_FILE)? {
            return Account::parse(text, KEY_FILE).map(Self::Own);
        }
        let host = environment.value("GCE_METADATA_HOST");
        Ok(Self::Ambient(host.unwrap_or(METADATA_HOST).to_owned()))
    }

    /// The request whose answer holds an access token.
    fn exchange(&self, ask: &Ask<'_>) -> Result<Request<Vec<u8>>, MetricError> {
        match self {
            Self::Given(account) | Self::Own(account) => account.exchange(ask.now),
            Self::Ambient(host) => Call::to(&format!("http://{host}"), METADATA_PATH)?
                .header("metadata-flavor", HeaderValue::from_static("Google"))
                .get(),
        }
    }
}

/// The project of the Secret, as a part of a path.
fn project(spec: &MetricProviderSpec, secret: Option<&SecretData>) -> Result<String, MetricError> {
    let project = given(spec, secret, "project", NEEDED)?;
    let text = project.text.expose_secret();
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.:".contains(letter);
    if text.is_empty() || text.starts_with('.') || !text.chars().all(is_plain) {
        return Err(project.wrong("it must be the id of a project"));
    }
    Ok(text.to_owned())
}

fn path(project: &str) -> String {
    format!("/v3/projects/{project}/timeSeries:query")
}

fn body(query: &str) -> Vec<u8> {
    json!({ "query": query }).to_string().into_bytes()
}

impl MetricProvider for Stackdriver {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        query(ask)?;
        project(spec, secret)?;
        Identity::of(spec, secret, ask.environment)?.exchange(ask)
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
        Ok(match heard {
            [] => Step::send(self.request(spec, secret, ask)?, transport),
            [exchanged] => match access_token::of(exchanged, "Google") {
                Ok(token) => {
                    let bearer = sensitive(&format!("Bearer {}", token.expose_secret()));
                    let bearer = bearer.ok_or(MetricError::Query("cannot be authorized"))?;
                    let request = Call::new(spec, Some(ADDRESS), &path(&project(spec, secret)?))?
                        .header("authorization", bearer)
                        .post("application/json", body(query(ask)?))?;
                    Step::send(request, transport)
                }
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
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        Call::new(spec, Some(ADDRESS), &path(&project(spec, secret)?))?
            .post("application/json", body(""))
    }

    fn probed(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        answer::refused(status, body)
    }

    fn identity_files(&self) -> &'static [&'static str] {
        &[KEY_FILE]
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
    let list = |field: &str| {
        let all = answer.get(field).and_then(Value::as_array);
        all.map_or(&[][..], Vec::as_slice)
    };
    if let [error, ..] = list("partialErrors") {
        return answer::invalid(&format!("it is not whole: {error}"));
    }
    let next = answer.get("nextPageToken").and_then(Value::as_str);
    if next.is_some_and(|next| !next.is_empty()) {
        return answer::invalid("it has several pages, allowed is one series");
    }
    match list("timeSeriesData") {
        [] => answer::none(),
        [one] => newest(one),
        several => answer::several(several.iter().map(name)),
    }
}

/// The newest point, which comes first, if it has one value.
fn newest(series: &Value) -> Reading {
    let values = series.pointer("/pointData/0/values");
    match values.and_then(Value::as_array).map(Vec::as_slice) {
        None | Some([]) => answer::none(),
        Some([one]) => typed(one),
        Some(several) => {
            let names = (0..several.len()).map(|column| format!("value column {column}"));
            answer::several(names)
        }
    }
}

/// A value is an object whose one field says its type.
fn typed(value: &Value) -> Reading {
    let number = ["doubleValue", "int64Value"];
    match number.iter().find_map(|kind| value.get(kind)) {
        Some(number) => answer::value(Some(number)),
        None => answer::invalid(&format!("the value is {value}, allowed is a number")),
    }
}

fn name(series: &Value) -> String {
    let labels = series.get("labelValues").and_then(Value::as_array);
    let labels = labels.into_iter().flatten();
    let texts: Vec<String> = labels
        .map(|label| match label.get("stringValue") {
            Some(Value::String(text)) => text.clone(),
            _ => label.to_string(),
        })
        .collect();
    format!("{{{}}}", texts.join(" "))
}
