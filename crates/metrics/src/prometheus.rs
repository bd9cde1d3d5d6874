//! Prometheus, and what speaks its API (Thanos, Mimir and others).
//!
//! **Source**: dossier 02 C.3 (prometheus); the HTTP API of Prometheus, `/api/v1/query`.
//!
//! **Differs from Flagger**: several series are refused instead of the last one winning; a scalar is a value; an infinity is none;
//! a comment in a query does not swallow the lines behind it.

use chrono::DateTime;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Request, StatusCode};
use prometheus_http_query::response::{InstantVector, RangeVector};
use secrecy::ExposeSecret as _;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::access_token;
use crate::address::{Address, sensitive, shown};
use crate::credentials::headers;
use crate::secret::SecretData;
use crate::step::{Heard, Step};
use crate::{Ask, MetricError, MetricProvider, Transport};

mod answer;
mod query;

/// The codec.
pub(crate) struct Prometheus;

/// The longest target of a request that we send; `http` allows 65,534 bytes.
const LONGEST_URI: usize = 65_000;

/// The query of the probe and its answer.
const PROBE: (&str, f64) = ("vector(1)", 1.0);

/// The provider behind `-metrics-server` or `spec.metricsServer`: Prometheus at that address, without credentials but those in the URL.
pub fn server(address: &str) -> MetricProviderSpec {
    MetricProviderSpec {
        type_: "prometheus".to_owned(),
        address: Some(address.to_owned()),
        ..MetricProviderSpec::default()
    }
}

impl MetricProvider for Prometheus {
    fn request(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let query = query::on_one_line(ask.query);
        if query.is_empty() {
            return Err(MetricError::QueryEmpty);
        }
        let (uri, from_url) = target(spec, &query)?;
        let mut request = Request::new(Vec::new());
        *request.method_mut() = Method::GET;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers(spec, secret, from_url)?;
        Ok(request)
    }

    fn reading(&self, _query: &str, status: StatusCode, body: &[u8]) -> Reading {
        answer::reading(status, body)
    }

    /// A server that wants a token of OAuth 2.0 is asked with one that is fetched first.
    fn step(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
        ask: &Ask<'_>,
        heard: &[Heard],
    ) -> Result<Step, MetricError> {
        let transport = self.transport(spec);
        let Some(exchange) = access_token::request(spec, secret)? else {
            return Ok(match heard.last() {
                None => Step::send(self.request(spec, secret, ask)?, transport),
                Some(last) => Step::Read(self.heard(last)),
            });
        };
        Ok(match heard {
            [] => Step::send(
                exchange,
                Transport {
                    carries_identity: true,
                    ..transport
                },
            ),
            [exchanged] => match access_token::of(exchanged, "the server of tokens") {
                Ok(token) => {
                    let mut request = self.request(spec, secret, ask)?;
                    let bearer = sensitive(&format!("Bearer {}", token.expose_secret()));
                    let bearer = bearer.ok_or(MetricError::Query("cannot be authorized"))?;
                    request.headers_mut().insert(AUTHORIZATION, bearer);
                    Step::send(request, transport)
                }
                Err(why) => Step::Read(why),
            },
            [.., last] => Step::Read(self.heard(last)),
        })
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        // Prometheus is asked of no window: the time does not matter.
        self.request(spec, secret, &Ask::now(PROBE.0, "", DateTime::UNIX_EPOCH))
    }

    fn probed(&self, status: StatusCode, body: &[u8]) -> Result<(), String> {
        match answer::reading(status, body) {
            #[expect(clippy::float_cmp, reason = "the probe asks for this very constant")]
            Reading::Value(value) if value == PROBE.1 => Ok(()),
            Reading::Value(value) => Err(format!("{} is {value}, expected {}", PROBE.0, PROBE.1)),
            Reading::NoData(why)
            | Reading::Ambiguous(why)
            | Reading::Failed(why)
            | Reading::Unusable(why) => Err(why),
        }
    }
}

impl Prometheus {
    fn heard(&self, heard: &Heard) -> Reading {
        heard.reading(|status, body| self.reading("", status, body))
    }
}

/// The series of a range vector that a query for one was answered with.
///
/// # Errors
/// Why there are none.
pub(crate) fn series(status: StatusCode, body: &[u8]) -> Result<Vec<RangeVector>, String> {
    answer::series(status, body)
}

/// The series of an instant vector.
///
/// # Errors
/// Why there are none.
pub(crate) fn vector(status: StatusCode, body: &[u8]) -> Result<Vec<InstantVector>, String> {
    answer::instant(status, body)
}

/// The URL of the query, and the header that its user info means. The path of the address is kept, its query string is not.
fn target(
    spec: &MetricProviderSpec,
    query: &str,
) -> Result<(http::Uri, Option<HeaderValue>), MetricError> {
    let text = spec.address.as_deref().ok_or(MetricError::AddressMissing)?;
    let wrong = || MetricError::Address(shown(text));
    let Address {
        mut url,
        authorization,
    } = Address::parse(text).ok_or_else(wrong)?;
    let base = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{base}/api/v1/query"));
    url.query_pairs_mut().clear().append_pair("query", query);
    if url.as_str().len() > LONGEST_URI {
        return Err(MetricError::QueryTooLong(query.len()));
    }
    let uri = url.as_str().parse().map_err(|_| wrong())?;
    Ok((uri, authorization))
}
