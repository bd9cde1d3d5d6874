//! Codecs of metric providers: from a check to a request, and from an answer to a [`Reading`].
//!
//! ```text
//!  check ──► builtin ──────────────┐
//!        └─► template ──► query ──►│ MetricProvider::request ──► http::Request
//!                                  │                                  ⋮  the shell sends it
//!                     Reading ◄────│ MetricProvider::reading ◄── status, body
//! ```
//!
//! Providers that are asked in steps say the next one by [`MetricProvider::step`], from what was heard so far. No I/O, no clock. The invariants of this crate: **silence never becomes a number** (INV-12: no data, NaN, an infinity, several
//! series, an error: none of them is a [`Reading::Value`]), and **no secret is in an error, a reading or a `Debug`**.
//!
//! A new provider is one module, one line in [`provider`], and one folder of golden cases.

mod access_token;
mod address;
mod answer;
pub mod builtin;
mod call;
mod cloudwatch;
pub mod counters;
mod credentials;
mod datadog;
mod dynatrace;
mod environment;
mod externalmetrics;
mod graphite;
mod influxdb;
mod keptn;
mod newrelic;
mod prometheus;
mod secret;
mod splunk;
mod stackdriver;
mod step;
pub mod template;
mod text;
mod variables;
mod web;

use chrono::{DateTime, TimeDelta, Utc};
use http::{Request, StatusCode};
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;
use slipway_core::plan::Problem;

pub use credentials::{Certificates, MEANT_FOR, certificates, is_meant_for};
pub use environment::{Environment, VARIABLES};
pub use prometheus::server;
pub use secret::SecretData;
pub use step::{Heard, Sending, Step};
pub use variables::Variables;

/// Who answers a query: a codec between a check and HTTP.
pub trait MetricProvider: Sync {
    /// The first request: with most providers the one that asks for the number.
    ///
    /// **Shape**: `secret` is the data of the Secret that `spec.secretRef` names, read anew for each request (FC-067).
    ///
    /// # Errors
    /// A mistake in the spec, the secret or the query: the check is unusable until somebody mends it.
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError>;

    /// What the answer to that query says. Never panics, whatever the body holds, and gives [`Reading::Value`] for one finite number only.
    fn reading(&self, query: &str, status: StatusCode, body: &[u8]) -> Reading;

    /// What is to be done next: `heard` is what came of every step before, in order, and nothing else is remembered.
    ///
    /// **Guarantees**: it comes to an end after [`MOST_STEPS`] at the latest, whatever is heard.
    ///
    /// # Errors
    /// As [`MetricProvider::request`].
    fn step(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
        heard: &[Heard],
    ) -> Result<Step, MetricError> {
        Ok(match heard.last() {
            None => Step::send(self.request(spec, secret, ask)?, self.transport(spec)),
            Some(last) => {
                Step::Read(last.reading(|status, body| self.reading(ask.query, status, body)))
            }
        })
    }

    /// The request that finds out whether the provider answers at all.
    ///
    /// # Errors
    /// As [`MetricProvider::request`].
    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError>;

    /// Whether the answer to [`MetricProvider::probe`] is the expected one.
    ///
    /// # Errors
    /// What was answered instead, as text for an event.
    fn probed(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        answer::probed(status, body)
    }

    /// The variables of the [`Environment`] that name files which it wants to be read whenever it is asked.
    fn identity_files(&self) -> &'static [&'static str] {
        &[]
    }

    /// How its requests are to be sent.
    fn transport(&self, spec: &MetricProviderSpec) -> Transport {
        Transport {
            verify_tls: !spec.insecure_skip_verify,
            ..Transport::default()
        }
    }
}

/// How many requests one reading takes at most.
pub const MOST_STEPS: usize = 16;

/// One asking of a query.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// The query, rendered.
    pub query: &'a str,
    /// The window of the check, as it was written.
    pub interval: &'a str,
    /// When it is asked.
    pub now: DateTime<Utc>,
    /// Who the controller is to a cloud.
    pub environment: &'a Environment,
}

impl<'a> Ask<'a> {
    /// A query that is asked at that time, by somebody who is nobody to any cloud.
    pub fn now(query: &'a str, interval: &'a str, now: DateTime<Utc>) -> Self {
        Self {
            query,
            interval,
            now,
            environment: &environment::EMPTY,
        }
    }

    /// The same, asked in that environment.
    pub fn within(self, environment: &'a Environment) -> Self {
        Self {
            environment,
            ..self
        }
    }
}

/// How a request is to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// From the first byte sent to the last byte read.
    pub timeout: TimeDelta,
    /// Whether the certificate of the server is verified.
    pub verify_tls: bool,
    /// Who is asked.
    pub target: Target,
    /// Whether it says who the controller is: then a redirect does not lead to another server.
    pub carries_identity: bool,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            timeout: TimeDelta::seconds(5),
            verify_tls: true,
            target: Target::Server,
            carries_identity: false,
        }
    }
}

/// Who is asked by a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Target {
    /// The server of its URL.
    #[default]
    Server,
    /// The API server of Kubernetes, by who the controller is there: the URL of the request is a path.
    ApiServer,
}

/// The provider of that name in `spec.provider.type`.
///
/// # Errors
/// For a type that nobody knows. **Differs from Flagger**, where an unknown type is asked as Prometheus.
pub fn provider(kind: &str) -> Result<&'static dyn MetricProvider, Unsupported> {
    let Some(known) = Kind::of(kind) else {
        return Err(Unsupported(text::bounded(kind, 100)));
    };
    Ok(match known {
        Kind::Prometheus => &prometheus::Prometheus,
        Kind::Influxdb => &influxdb::Influxdb,
        Kind::Datadog => &datadog::Datadog,
        Kind::ExternalMetrics => &externalmetrics::ExternalMetrics,
        Kind::Stackdriver => &stackdriver::Stackdriver,
        Kind::Cloudwatch => &cloudwatch::Cloudwatch,
        Kind::Newrelic => &newrelic::NewRelic,
        Kind::Graphite => &graphite::Graphite,
        Kind::Dynatrace => &dynatrace::Dynatrace,
        Kind::Keptn => &keptn::Keptn,
        Kind::Splunk => &splunk::Splunk,
        Kind::Web => &web::Web,
    })
}

/// The types of [`provider`].
pub fn types() -> impl Iterator<Item = &'static str> {
    Kind::ALL.into_iter().map(Kind::as_str)
}

/// A type of provider that nobody knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("metric provider {0:?} is unknown, allowed is {allowed}", allowed = listed())]
pub struct Unsupported(String);

impl Unsupported {
    /// The same as a mistake in a MetricTemplate.
    pub fn problem(&self) -> Problem {
        let Self(kind) = self;
        Problem::new(
            "spec.provider.type",
            format!("{kind:?}"),
            format!("must be one of {}", listed()),
        )
    }
}

fn listed() -> String {
    types().collect::<Vec<_>>().join(", ")
}

/// Every type that a MetricTemplate may name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Prometheus,
    Influxdb,
    Datadog,
    ExternalMetrics,
    Stackdriver,
    Cloudwatch,
    Newrelic,
    Graphite,
    Dynatrace,
    Keptn,
    Splunk,
    Web,
}

impl Kind {
    const ALL: [Self; 12] = [
        Self::Prometheus,
        Self::Influxdb,
        Self::Datadog,
        Self::ExternalMetrics,
        Self::Stackdriver,
        Self::Cloudwatch,
        Self::Newrelic,
        Self::Graphite,
        Self::Dynatrace,
        Self::Keptn,
        Self::Splunk,
        Self::Web,
    ];

    fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Prometheus => "prometheus",
            Self::Influxdb => "influxdb",
            Self::Datadog => "datadog",
            Self::ExternalMetrics => "externalmetrics",
            Self::Stackdriver => "stackdriver",
            Self::Cloudwatch => "cloudwatch",
            Self::Newrelic => "newrelic",
            Self::Graphite => "graphite",
            Self::Dynatrace => "dynatrace",
            Self::Keptn => "keptn",
            Self::Splunk => "splunk",
            Self::Web => "web",
        }
    }
}

/// Why a check cannot be asked: a mistake in its MetricTemplate or Secret. None of the texts holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MetricError {
    /// There is no address, and the provider has no default.
    #[error("spec.provider.address is empty, it {}", address::ALLOWED)]
    AddressMissing,
    /// The address is no URL; a password in it is masked.
    #[error("spec.provider.address is {0}, it {allowed}", allowed = address::ALLOWED)]
    Address(String),
    /// There is an address where none is allowed.
    #[error("spec.provider.address {0}")]
    AddressRefused(&'static str),
    /// There is no region, or it is none.
    #[error("spec.provider.region is {0:?}, it must be a region of AWS such as eu-west-1")]
    Region(String),
    /// The environment of the controller does not say who it is to a cloud.
    #[error("the controller's environment has no credentials, {0} is needed")]
    IdentityMissing(&'static str),
    /// What the environment says cannot be sent; it is not shown.
    #[error("the controller's environment has credentials that cannot be used, {0}")]
    IdentityUnfit(&'static str),
    /// The query is no list of queries of `CloudWatch`.
    #[error("the query must be a JSON list of CloudWatch's MetricDataQuery: {0}")]
    QueryList(String),
    /// There is no `secretRef`, and the provider needs one.
    #[error("spec.provider.secretRef is missing, {0}")]
    SecretNeeded(&'static str),
    /// The window of the check is none.
    #[error("the interval of the metric is {0:?}, it must be a duration such as 1m")]
    Interval(String),
    /// The query is not what the provider can ask.
    #[error("the query {0}")]
    Query(&'static str),
    /// `secretRef` names a Secret that was not given.
    #[error("spec.provider.secretRef names Secret {0}, which could not be read")]
    SecretMissing(String),
    /// The Secret lacks what the provider needs.
    #[error("Secret {secret} has no key {missing}, {needed}")]
    SecretKey {
        /// The name of the Secret.
        secret: String,
        /// The key that is not there.
        missing: &'static str,
        /// What is needed, as a sentence part.
        needed: &'static str,
    },
    /// A value of the Secret cannot be sent.
    #[error(
        "Secret {secret} has a value of {key} that is not allowed in a header, it must be one line of text"
    )]
    SecretValue {
        /// The name of the Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// A value of the Secret is not what it should be; it is not shown.
    #[error("Secret {secret} has a value of {key} that is not allowed, {allowed}")]
    SecretWrong {
        /// The name of the Secret.
        secret: String,
        /// The key.
        key: &'static str,
        /// What is allowed, as a sentence part.
        allowed: &'static str,
    },
    /// What should be a key of a service account is none; it is not shown.
    #[error("{place} is no key of a service account of Google: {why}")]
    ServiceAccount {
        /// The key of the Secret, or the variable of the environment that names a file.
        place: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// A file that says who the controller is could not be read.
    #[error(
        "the file that {variable} names in the controller's environment could not be read: {why}"
    )]
    IdentityFile {
        /// The variable of the environment.
        variable: &'static str,
        /// Why not.
        why: String,
    },
    /// The `headers` of the Secret are none; they are not shown.
    #[error("Secret {0} has headers that cannot be sent, there must be one `Name: value` a line")]
    SecretHeaders(String),
    /// A header cannot be sent; its value is not shown.
    #[error(
        "spec.provider.headers has {0:?}, its name must be a token and its values one line of text"
    )]
    Header(String),
    /// The query is empty.
    #[error("the query is empty, it must be an expression")]
    QueryEmpty,
    /// The query does not fit into a URL.
    #[error("the query has {0} bytes, at most 65000 with the address are allowed")]
    QueryTooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_the_schema_has_a_provider() {
        assert_eq!(
            Kind::ALL.map(Kind::as_str),
            slipway_api::names::METRIC_PROVIDERS
        );
        for kind in slipway_api::names::METRIC_PROVIDERS {
            assert!(provider(kind).is_ok(), "{kind}");
        }
    }

    #[test]
    fn an_unknown_type_is_refused_and_never_asked_as_prometheus() {
        for kind in ["", "Prometheus", "prometheus ", "thanos"] {
            assert_eq!(
                provider(kind).err(),
                Some(Unsupported(kind.trim().to_owned())),
                "{kind:?}"
            );
        }
        let text = provider("thanos")
            .err()
            .unwrap()
            .problem()
            .of("MetricTemplate test/latency")
            .to_string();
        let expected = "MetricTemplate test/latency: spec.provider.type is \"thanos\", must be one of prometheus, influxdb, datadog, externalmetrics, stackdriver, cloudwatch, newrelic, graphite, dynatrace, keptn, splunk, web";
        assert_eq!(text, expected);
    }
}
