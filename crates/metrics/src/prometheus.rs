//! Prometheus, and what speaks its API (Thanos, Mimir and others).
//!
//! **Source**: dossier 02 C.3 (prometheus); the HTTP API of Prometheus, `/api/v1/query`.
//!
//! **Differs from Flagger**: several series are refused instead of the last one winning; a scalar is a value; an infinity is none;
//! a comment in a query does not swallow the lines behind it.

use chrono::TimeDelta;
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use secrecy::ExposeSecret as _;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;

use crate::address::{Address, basic, sensitive, shown};
use crate::secret::{self, SecretData};
use crate::{MetricError, MetricProvider, Transport};

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
        query: &str,
        _interval: &str,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let query = query::on_one_line(query);
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

    fn reading(&self, status: StatusCode, body: &[u8]) -> Reading {
        answer::reading(status, body)
    }

    fn probe(
        &self,
        spec: &MetricProviderSpec,
        secret: Option<&SecretData>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        self.request(spec, secret, PROBE.0, "")
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

    fn transport(&self, spec: &MetricProviderSpec) -> Transport {
        Transport {
            timeout: TimeDelta::seconds(5),
            verify_tls: !spec.insecure_skip_verify,
        }
    }
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

/// The headers of the spec, and who we are: by the Secret, else by the URL.
///
/// Where the spec's headers have an `Authorization`, the token of the Secret is left out: a server that is sent both looks at the first.
fn headers(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    from_url: Option<HeaderValue>,
) -> Result<HeaderMap, MetricError> {
    let mut headers = HeaderMap::new();
    for (name, values) in &spec.headers {
        let wrong = || MetricError::Header(crate::text::bounded(name, 100));
        let header: HeaderName = name.parse().map_err(|_| wrong())?;
        for value in values {
            headers.append(&header, sensitive(value).ok_or_else(wrong)?);
        }
    }
    match credentials(spec, secret)? {
        Some(Credentials::Token(token)) => {
            headers.entry(AUTHORIZATION).or_insert(token);
        }
        Some(Credentials::Basic(basic)) => {
            headers.insert(AUTHORIZATION, basic);
        }
        None => {
            if let Some(basic) = from_url {
                headers.entry(AUTHORIZATION).or_insert(basic);
            }
        }
    }
    Ok(headers)
}

/// What the Secret says who we are, as a value of `Authorization`.
enum Credentials {
    Token(HeaderValue),
    Basic(HeaderValue),
}

/// `token`, else both `username` and `password`. Empty values are no credentials.
fn credentials(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
) -> Result<Option<Credentials>, MetricError> {
    let Some(reference) = &spec.secret_ref else {
        return Ok(None);
    };
    let name = || crate::text::bounded(&reference.name, 253);
    let data = secret.ok_or_else(|| MetricError::SecretMissing(name()))?;
    let unfit = |key| MetricError::SecretValue {
        secret: name(),
        key,
    };
    if data.contains_key("token") {
        let token = secret::text(data, "token").ok_or_else(|| unfit("token"))?;
        if token.expose_secret().is_empty() {
            return Ok(None);
        }
        let header = sensitive(&format!("Bearer {}", token.expose_secret()))
            .ok_or_else(|| unfit("token"))?;
        return Ok(Some(Credentials::Token(header)));
    }
    let needed = "either token, or username and password are needed";
    let needs = |key| {
        if !data.contains_key(key) {
            return Err(MetricError::SecretKey {
                secret: name(),
                missing: key,
                needed,
            });
        }
        secret::text(data, key).ok_or_else(|| unfit(key))
    };
    let (user, password) = (needs("username")?, needs("password")?);
    if user.expose_secret().is_empty() || password.expose_secret().is_empty() {
        return Ok(None);
    }
    Ok(basic(user.expose_secret(), password.expose_secret()).map(Credentials::Basic))
}
