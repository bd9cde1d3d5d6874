//! What a server of tokens answers, and how Prometheus is asked for by a client's credentials.
//!
//! **Source**: RFC 6749 (OAuth 2.0), sections 2.3.1, 4.4 and 5.1.

use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;
use slipway_api::MetricProviderSpec;
use slipway_core::observation::Reading;
use url::form_urlencoded;

use crate::address::{Address, basic};
use crate::secret::{self, SecretData};
use crate::step::Heard;
use crate::{MetricError, answer, text};

/// The key of a Secret that says where tokens are had.
pub(crate) const TOKEN_URL: &str = "oauth2_token_url";
/// The keys of who asks for one.
const CLIENT: [&str; 2] = ["oauth2_client_id", "oauth2_client_secret"];
/// The key of what it is to be good for, with spaces between; it may be absent.
const SCOPES: &str = "oauth2_scopes";

/// The access token of an answer; of one that has none nothing is shown but its status, since it may hold parts of one.
pub(crate) fn of(heard: &Heard, whose: &str) -> Result<SecretString, Reading> {
    let failed = |why: &str| {
        let why = text::bounded(&format!("no access token of {whose}: {why}"), answer::SHOWN);
        Reading::Failed(why)
    };
    let (status, body) = match heard {
        Heard::Answer { status, body } => (*status, body),
        Heard::Nothing(why) => return Err(failed(why)),
    };
    if !status.is_success() {
        return Err(failed(&answer::error(status, body)));
    }
    let answer: Option<Value> = serde_json::from_slice(body).ok();
    let token = answer
        .as_ref()
        .and_then(|it| it.get("access_token")?.as_str());
    token
        .filter(|token| !token.is_empty())
        .map(SecretString::from)
        .ok_or_else(|| failed("the answer holds none"))
}

/// The request for a token, where the Secret says that one is needed.
pub(crate) fn request(
    spec: &MetricProviderSpec,
    secret: Option<&SecretData>,
) -> Result<Option<Request<Vec<u8>>>, MetricError> {
    let (Some(reference), Some(data)) = (&spec.secret_ref, secret) else {
        return Ok(None);
    };
    if !data.contains_key(TOKEN_URL) {
        return Ok(None);
    }
    let name = || text::bounded(&reference.name, 253);
    let unfit = |key| MetricError::SecretValue {
        secret: name(),
        key,
    };
    let needs = |key| {
        let missing = || MetricError::SecretKey {
            secret: name(),
            missing: key,
            needed: "oauth2_client_id and oauth2_client_secret are needed beside oauth2_token_url",
        };
        data.contains_key(key).then_some(()).ok_or_else(missing)?;
        secret::text(data, key).ok_or_else(|| unfit(key))
    };
    let [id, password] = [needs(CLIENT[0])?, needs(CLIENT[1])?];
    let encoded = |text: &SecretString| -> String {
        form_urlencoded::byte_serialize(text.expose_secret().as_bytes()).collect()
    };
    let client = basic(&encoded(&id), &encoded(&password)).ok_or_else(|| unfit(CLIENT[1]))?;
    let address = needs(TOKEN_URL)?;
    let url = Address::parse(address.expose_secret()).ok_or_else(|| unfit(TOKEN_URL))?;
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.append_pair("grant_type", "client_credentials");
    if let Some(scopes) = secret::text(data, SCOPES) {
        body.append_pair("scope", scopes.expose_secret());
    }
    let mut request = Request::new(body.finish().into_bytes());
    *request.method_mut() = http::Method::POST;
    *request.uri_mut() = url.url.as_str().parse().map_err(|_| unfit(TOKEN_URL))?;
    let form = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(CONTENT_TYPE, form);
    request.headers_mut().insert(AUTHORIZATION, client);
    Ok(Some(request))
}
