//! Making a request of a provider: its address, its keys, its window of time.

use chrono::{DateTime, TimeDelta, Utc};
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};
use secrecy::{ExposeSecret as _, SecretString};
use slipway_api::{MetricProviderSpec, go};
use url::Url;

use crate::address::{Address, sensitive, shown};
use crate::secret::{self, SecretData};
use crate::{Ask, MetricError, credentials, text};

/// The longest target of a request that we send; `http` allows 65,534 bytes.
const LONGEST_URI: usize = 65_000;

/// A request in the making.
pub(crate) struct Call {
    url: Url,
    headers: HeaderMap,
}

impl Call {
    /// A call below the address of the spec, or below the provider's own. User info of the URL becomes basic authentication.
    pub(crate) fn new(
        spec: &MetricProviderSpec,
        usual: Option<&str>,
        path: &str,
    ) -> Result<Self, MetricError> {
        let address = address(spec).or(usual);
        let address = address.ok_or(MetricError::AddressMissing)?;
        let parsed = Address::parse(address);
        let Address {
            mut url,
            authorization,
        } = parsed.ok_or_else(|| MetricError::Address(shown(address)))?;
        let base = url.path().trim_end_matches('/').to_owned();
        url.set_path(&format!("{base}{path}"));
        url.set_query(None);
        let mut headers = credentials::of_spec(spec)?;
        if let Some(basic) = authorization {
            headers.entry(AUTHORIZATION).or_insert(basic);
        }
        Ok(Self { url, headers })
    }

    /// A call to a server that no spec names.
    pub(crate) fn to(address: &str, path: &str) -> Result<Self, MetricError> {
        let spec = MetricProviderSpec {
            address: Some(address.to_owned()),
            ..MetricProviderSpec::default()
        };
        Self::new(&spec, None, path)
    }

    /// A parameter of the URL.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.url.query_pairs_mut().append_pair(name, value);
        self
    }

    /// What the user info of the URL means, for whoever makes its headers anew.
    pub(crate) fn take_authorization(&mut self) -> Option<HeaderValue> {
        self.headers.remove(AUTHORIZATION)
    }

    /// Headers that stand in the place of those that are there.
    pub(crate) fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// A header, in the place of any of that name.
    pub(crate) fn header(mut self, name: &'static str, value: HeaderValue) -> Self {
        self.headers.insert(HeaderName::from_static(name), value);
        self
    }

    /// A header that nobody may see.
    pub(crate) fn secret(
        mut self,
        name: HeaderName,
        before: &str,
        value: &Given,
    ) -> Result<Self, MetricError> {
        let text = format!("{before}{}", value.text.expose_secret());
        let value = sensitive(&text).ok_or_else(|| value.unfit())?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// A GET.
    pub(crate) fn get(self) -> Result<Request<Vec<u8>>, MetricError> {
        self.request(Method::GET, Vec::new())
    }

    /// A POST of that type.
    pub(crate) fn post(
        mut self,
        content_type: &'static str,
        body: Vec<u8>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let content_type = HeaderValue::from_static(content_type);
        self.headers.insert(CONTENT_TYPE, content_type);
        self.request(Method::POST, body)
    }

    fn request(self, method: Method, body: Vec<u8>) -> Result<Request<Vec<u8>>, MetricError> {
        let Self { url, headers } = self;
        if url.as_str().len() > LONGEST_URI {
            return Err(MetricError::QueryTooLong(url.as_str().len()));
        }
        let wrong = |_| MetricError::Address(shown(url.as_str()));
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(wrong)?;
        *request.headers_mut() = headers;
        Ok(request)
    }
}

fn address(spec: &MetricProviderSpec) -> Option<&str> {
    let address = spec.address.as_deref();
    address.filter(|address| !address.is_empty())
}

/// Whether the spec names a server.
pub(crate) fn has_address(spec: &MetricProviderSpec) -> bool {
    address(spec).is_some()
}

/// A request to the API server of Kubernetes, whose URL is a path; a body is JSON.
pub(crate) fn of_api_server(
    method: Method,
    target: &str,
    body: Vec<u8>,
) -> Result<Request<Vec<u8>>, MetricError> {
    if target.len() > LONGEST_URI {
        return Err(MetricError::QueryTooLong(target.len()));
    }
    let mut request = Request::new(body);
    if !request.body().is_empty() {
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(CONTENT_TYPE, json);
    }
    *request.method_mut() = method;
    let wrong = |_| MetricError::Query("cannot be the path of a URL");
    *request.uri_mut() = target.parse().map_err(wrong)?;
    Ok(request)
}

/// A value of a Secret that is needed.
pub(crate) struct Given {
    pub(crate) text: SecretString,
    secret: String,
    key: &'static str,
}

impl Given {
    /// That the value is not what it should be.
    pub(crate) fn wrong(self, allowed: &'static str) -> MetricError {
        MetricError::SecretWrong {
            secret: self.secret,
            key: self.key,
            allowed,
        }
    }

    fn unfit(&self) -> MetricError {
        MetricError::SecretValue {
            secret: self.secret.clone(),
            key: self.key,
        }
    }
}

/// The value of a key that a provider does not do without; `needed` says what it needs, as a sentence part.
pub(crate) fn given(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    key: &'static str,
    needed: &'static str,
) -> Result<Given, MetricError> {
    let reference = spec.secret_ref.as_ref();
    let reference = reference.ok_or(MetricError::SecretNeeded(needed))?;
    let name = text::bounded(&reference.name, 253);
    let data = secret.ok_or_else(|| MetricError::SecretMissing(name.clone()))?;
    if !data.contains_key(key) {
        return Err(MetricError::SecretKey {
            secret: name,
            missing: key,
            needed,
        });
    }
    let unfit = MetricError::SecretValue {
        secret: name.clone(),
        key,
    };
    let text = secret::text(data, key).ok_or(unfit)?;
    Ok(Given {
        text,
        secret: name,
        key,
    })
}

/// The query, which must say something.
pub(crate) fn query<'a>(ask: &Ask<'a>) -> Result<&'a str, MetricError> {
    let query = ask.query.trim();
    if query.is_empty() {
        return Err(MetricError::QueryEmpty);
    }
    Ok(query)
}

/// The window of a check.
pub(crate) fn interval(ask: &Ask<'_>) -> Result<TimeDelta, MetricError> {
    let parsed = go::parse_duration(ask.interval).ok();
    let positive = parsed.filter(|interval| *interval > TimeDelta::zero());
    positive.ok_or_else(|| MetricError::Interval(text::bounded(ask.interval, 50)))
}

/// From ten windows ago until now: providers that answer with points are asked for more than one window, as in Flagger.
pub(crate) fn window(ask: &Ask<'_>) -> Result<(DateTime<Utc>, DateTime<Utc>), MetricError> {
    Ok((ask.now - interval(ask)? * 10, ask.now))
}
