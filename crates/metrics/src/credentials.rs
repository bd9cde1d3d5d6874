//! Who we are to a server of metrics, by its Secret: a token, or a name and a password; headers; certificates.
//!
//! | keys | mean |
//! | --- | --- |
//! | `token` | `Authorization: Bearer …` |
//! | `username`, `password` | basic authentication, where there is no `token` |
//! | `oauth2_token_url`, `oauth2_client_id`, `oauth2_client_secret`, perhaps `oauth2_scopes` | for Prometheus: a token that is asked for first |
//! | `headers` | further headers, one `Name: value` a line |
//! | `ca.crt` | certificates that the server's is trusted by, besides the usual ones (PEM) |
//! | `tls.crt`, `tls.key` | our certificate and its key (PEM) |

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretSlice};
use slipway_api::MetricProviderSpec;

use crate::access_token::TOKEN_URL;
use crate::address::{Address, basic, sensitive};
use crate::secret::{self, SecretData};
use crate::{MetricError, text};

/// The key of our certificate, and that of its key.
const CERTIFICATE: &str = "tls.crt";
const KEY: &str = "tls.key";
/// The key of what the server's certificate is trusted by.
const CA: &str = "ca.crt";
/// The key of further headers.
const HEADERS: &str = "headers";

/// The annotation of a Secret that names the server of metrics that it may be sent to by a Canary.
///
/// Whoever may write a Canary may name an address and a Secret in it, and need not be allowed to read that Secret: so it is the Secret that says
/// where it goes.
pub const MEANT_FOR: &str = "slipway.dev/metrics-server";

/// Certificates of a Secret.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// What the server's is trusted by, besides the usual ones (PEM).
    pub ca: Option<SecretSlice<u8>>,
    /// Ours, and its key (PEM).
    pub identity: Option<(SecretSlice<u8>, SecretSlice<u8>)>,
}

/// The certificates of a Secret, where it has any.
pub fn certificates(secret: &SecretData) -> Option<Certificates> {
    let ca = secret.get(CA).cloned();
    let identity = secret
        .get(CERTIFICATE)
        .cloned()
        .zip(secret.get(KEY).cloned());
    (ca.is_some() || identity.is_some()).then_some(Certificates { ca, identity })
}

/// Whether a Secret that says this of itself may be sent to that address: scheme, host and port are the same.
pub fn is_meant_for(said: Option<&str>, address: &str) -> bool {
    let origin = |text: &str| Some(Address::parse(text)?.url.origin());
    let said = said.and_then(origin);
    said.is_some() && said == origin(address)
}

/// The headers of the spec and of the Secret, and who we are: by the Secret, else by the URL.
///
/// Where the spec's headers have an `Authorization`, the token of the Secret is left out: a server that is sent both looks at the first.
pub(crate) fn headers(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
    from_url: Option<HeaderValue>,
) -> Result<HeaderMap, MetricError> {
    let mut headers = of_spec(spec)?;
    if let Some((reference, data)) = spec.secret_ref.as_ref().zip(secret) {
        of_secret(&reference.name, data, &mut headers)?;
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

/// The headers of the spec.
pub(crate) fn of_spec(spec: &MetricProviderSpec) -> Result<HeaderMap, MetricError> {
    let mut headers = HeaderMap::new();
    for (name, values) in &spec.headers {
        let wrong = || MetricError::Header(text::bounded(name, 100));
        let header: HeaderName = name.parse().map_err(|_| wrong())?;
        for value in values {
            headers.append(&header, sensitive(value).ok_or_else(wrong)?);
        }
    }
    Ok(headers)
}

fn of_secret(name: &str, data: &SecretData, headers: &mut HeaderMap) -> Result<(), MetricError> {
    if !data.contains_key(HEADERS) {
        return Ok(());
    }
    let wrong = || MetricError::SecretHeaders(text::bounded(name, 253));
    let lines = secret::text(data, HEADERS).ok_or_else(wrong)?;
    let lines = lines.expose_secret().lines().map(str::trim);
    for line in lines.filter(|line| !line.is_empty()) {
        let (header, value) = line.split_once(':').ok_or_else(wrong)?;
        let header: HeaderName = header.trim().parse().map_err(|_| wrong())?;
        headers.append(header, sensitive(value.trim()).ok_or_else(wrong)?);
    }
    Ok(())
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
    let name = || text::bounded(&reference.name, 253);
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
    let is_named = data.contains_key("username") || data.contains_key("password");
    let has_another_way = [HEADERS, CA, CERTIFICATE, TOKEN_URL]
        .iter()
        .any(|key| data.contains_key(*key));
    if !is_named && has_another_way {
        return Ok(None);
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

#[cfg(test)]
mod tests {
    use slipway_api::SecretReference;

    use super::*;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        let pairs = pairs.iter();
        pairs
            .map(|(key, value)| {
                (
                    (*key).to_owned(),
                    SecretSlice::from(value.as_bytes().to_vec()),
                )
            })
            .collect()
    }

    fn spec() -> MetricProviderSpec {
        MetricProviderSpec {
            secret_ref: Some(SecretReference {
                name: "prom".to_owned(),
            }),
            ..MetricProviderSpec::default()
        }
    }

    #[test]
    fn headers_of_a_secret_are_sent_and_never_shown() {
        let secret = data(&[("headers", "X-Scope-OrgID: tenant\n\nX-Other:  v \n")]);
        let headers = headers(&spec(), Some(&secret), None).unwrap();
        let value = |name: &str| headers.get(name).unwrap().to_str().unwrap();
        assert_eq!((value("x-scope-orgid"), value("x-other")), ("tenant", "v"));
        assert!(!format!("{headers:?}").contains("tenant"));
        for wrong in ["no colon", "bad name: x", ": x"] {
            let refused = super::headers(&spec(), Some(&data(&[("headers", wrong)])), None);
            let why = refused.unwrap_err().to_string();
            assert!(why.contains("Secret prom") && !why.contains(wrong), "{why}");
        }
    }

    #[test]
    fn certificates_alone_are_enough_and_a_certificate_without_its_key_is_none() {
        let secret = data(&[("ca.crt", "PEM")]);
        assert!(headers(&spec(), Some(&secret), None).unwrap().is_empty());
        let found = certificates(&secret).unwrap();
        assert!(found.ca.is_some() && found.identity.is_none());
        let both = certificates(&data(&[("tls.crt", "PEM"), ("tls.key", "SSSS")])).unwrap();
        assert!(both.identity.is_some() && !format!("{both:?}").contains("SSSS"));
        assert!(certificates(&data(&[("tls.crt", "PEM")])).is_none());
        assert!(certificates(&data(&[("token", "t")])).is_none());
    }

    #[test]
    fn a_secret_says_itself_where_it_may_be_sent() {
        let rows = [
            (Some("https://prom.test"), "https://prom.test/base", true),
            (Some("https://prom.test:443/x"), "https://prom.test", true),
            (Some("https://prom.test"), "http://prom.test", false),
            (Some("https://prom.test"), "https://prom.test:8443", false),
            (
                Some("https://prom.test"),
                "https://prom.test@evil.test",
                false,
            ),
            (
                Some("https://prom.test"),
                "https://evil.test/prom.test",
                false,
            ),
            (Some("prom.test"), "prom.test", false),
            (Some(""), "", false),
            (None, "https://prom.test", false),
        ];
        for (said, address, expected) in rows {
            assert_eq!(is_meant_for(said, address), expected, "{said:?} {address}");
        }
    }
}
