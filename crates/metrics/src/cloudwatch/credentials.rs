//! Who the controller is to AWS, and the signature that says it.
//!
//! | environment | means |
//! | --- | --- |
//! | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, perhaps `AWS_SESSION_TOKEN` | keys |
//! | `AWS_ROLE_ARN`, `AWS_WEB_IDENTITY_TOKEN_FILE`, perhaps `AWS_ROLE_SESSION_NAME` | a token that AWS exchanges for keys (service accounts of EKS) |
//! | `AWS_CONTAINER_CREDENTIALS_FULL_URI`, perhaps `AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE` | a server that has keys (Pod Identity of EKS) |
//!
//! The first that is there counts, as in AWS' own libraries.
//!
//! **Source**: AWS' reference of SDKs and tools, "Standardized credential providers"; `AssumeRoleWithWebIdentity` of STS.

use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4;
use chrono::{DateTime, Utc};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Request};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use slipway_core::observation::Reading;
use url::form_urlencoded;

use super::Region;
use crate::address::sensitive;
use crate::call::Call;
use crate::environment::Environment;
use crate::step::Heard;
use crate::{MetricError, answer, text};

const WEB_IDENTITY_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const CONTAINER_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";
/// The variables that name files.
pub(super) const FILES: &[&str] = &[WEB_IDENTITY_FILE, CONTAINER_FILE];
/// How a session of ours is named where the environment does not say.
const SESSION: &str = "slipway";
/// The service that signatures are for.
const SERVICE: &str = "monitoring";

/// How keys are had.
pub(super) enum Source {
    /// They are there.
    Held(Keys),
    /// This request is answered with them.
    Exchange(Request<Vec<u8>>),
}

impl Source {
    pub(super) fn of(environment: &Environment, region: Region<'_>) -> Result<Self, MetricError> {
        let value = |name: &str| environment.value(name);
        if let (Some(id), Some(secret)) =
            (value("AWS_ACCESS_KEY_ID"), value("AWS_SECRET_ACCESS_KEY"))
        {
            let keys = Keys::try_new(id, secret, value("AWS_SESSION_TOKEN"));
            return keys.map(Self::Held).ok_or(MetricError::IdentityUnfit(
                "AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN must each be one line of text",
            ));
        }
        let token = environment.file(WEB_IDENTITY_FILE)?;
        if let Some((token, role)) = token.zip(value("AWS_ROLE_ARN")) {
            let session = value("AWS_ROLE_SESSION_NAME").unwrap_or(SESSION);
            return assume(region, role, session, token).map(Self::Exchange);
        }
        match value("AWS_CONTAINER_CREDENTIALS_FULL_URI") {
            Some(uri) => container(uri, environment.file(CONTAINER_FILE)?).map(Self::Exchange),
            None => Err(MetricError::IdentityMissing(
                "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_ROLE_ARN and AWS_WEB_IDENTITY_TOKEN_FILE, or AWS_CONTAINER_CREDENTIALS_FULL_URI",
            )),
        }
    }
}

/// The request that exchanges a token for the keys of a role; it is not signed, the token says who we are.
fn assume(
    region: Region<'_>,
    role: &str,
    session: &str,
    token: &str,
) -> Result<Request<Vec<u8>>, MetricError> {
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("Action", "AssumeRoleWithWebIdentity")
        .append_pair("Version", "2011-06-15")
        .append_pair("RoleArn", role)
        .append_pair("RoleSessionName", session)
        .append_pair("WebIdentityToken", token)
        .finish();
    // Without the header the answer is XML.
    Call::to(&region.address("sts"), "/")?
        .header(
            ACCEPT.as_str(),
            HeaderValue::from_static("application/json"),
        )
        .post("application/x-www-form-urlencoded", form.into_bytes())
}

/// The request to a server that has keys for us.
fn container(uri: &str, token: Option<&str>) -> Result<Request<Vec<u8>>, MetricError> {
    let call = Call::to(uri, "")?;
    let Some(token) = token else {
        return call.get();
    };
    let token = sensitive(token).ok_or(MetricError::IdentityUnfit(
        "the file that AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE names must be one line of text",
    ))?;
    call.header("authorization", token).get()
}

/// Keys of an account of AWS.
pub(super) struct Keys {
    id: String,
    secret: SecretString,
    session: Option<SecretString>,
}

impl Keys {
    /// Keys that can be sent: both texts that travel in a header must fit into one.
    fn try_new(id: &str, secret: &str, session: Option<&str>) -> Option<Self> {
        let fits = |text: &str| !text.is_empty() && HeaderValue::from_str(text).is_ok();
        let all_fit = fits(id) && fits(secret) && session.is_none_or(fits);
        all_fit.then(|| Self {
            id: id.to_owned(),
            secret: SecretString::from(secret),
            session: session.map(SecretString::from),
        })
    }

    /// The keys of an answer; of one that has none nothing is shown but its status, since it may hold parts of some.
    pub(super) fn heard(heard: &Heard) -> Result<Self, Reading> {
        let failed = |why: &str| {
            let why = text::bounded(&format!("no credentials of AWS: {why}"), answer::SHOWN);
            Reading::Failed(why)
        };
        let (status, body) = match heard {
            Heard::Answer { status, body } => (*status, body),
            Heard::Nothing(why) => return Err(failed(why)),
        };
        if !status.is_success() {
            return Err(failed(&answer::error(status, body)));
        }
        let answer: Value = serde_json::from_slice(body).unwrap_or_default();
        let assumed = answer.pointer(
            "/AssumeRoleWithWebIdentityResponse/AssumeRoleWithWebIdentityResult/Credentials",
        );
        let found = assumed.unwrap_or(&answer);
        let part = |name: &str| found.get(name).and_then(Value::as_str);
        let session = part("SessionToken").or_else(|| part("Token"));
        part("AccessKeyId")
            .zip(part("SecretAccessKey"))
            .and_then(|(id, secret)| Self::try_new(id, secret, session))
            .ok_or_else(|| failed("the answer holds none"))
    }

    /// The request with the headers that sign it.
    pub(super) fn sign(
        &self,
        mut request: Request<Vec<u8>>,
        region: Region<'_>,
        now: DateTime<Utc>,
    ) -> Result<Request<Vec<u8>>, MetricError> {
        let unsigned = |_| MetricError::IdentityUnfit("the request cannot be signed");
        let session = self.session.as_ref().map(ExposeSecret::expose_secret);
        let identity = Credentials::new(
            self.id.as_str(),
            self.secret.expose_secret(),
            session.map(str::to_owned),
            None,
            "slipway",
        );
        let identity = identity.into();
        let Region(region) = region;
        let parameters = v4::SigningParams::builder()
            .identity(&identity)
            .region(region)
            .name(SERVICE)
            .time(SystemTime::from(now))
            .settings(SigningSettings::default())
            .build()
            .map_err(|_| MetricError::IdentityUnfit("the request cannot be signed"))?
            .into();
        let uri = request.uri().to_string();
        // Headers of the spec may be changed on the way; these may not.
        let headers = [CONTENT_TYPE.as_str(), "x-amz-target"];
        let headers = headers.into_iter().filter_map(|name| {
            let value = request.headers().get(name)?.to_str().ok()?;
            Some((name, value))
        });
        let body = SignableBody::Bytes(request.body());
        let signable = SignableRequest::new(request.method().as_str(), uri, headers, body);
        let signed = sign(signable.map_err(unsigned)?, &parameters).map_err(unsigned)?;
        let (instructions, _) = signed.into_parts();
        instructions.apply_to_request_http1x(&mut request);
        Ok(request)
    }
}
