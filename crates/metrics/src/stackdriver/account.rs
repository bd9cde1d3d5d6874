//! A service account of Google: its key is exchanged for an access token, by a claim that the key signs.
//!
//! **Source**: Google's identity platform, "Using OAuth 2.0 for Server to Server Applications"; RFC 7523, RFC 7515.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use http::Request;
use ring::rand::SystemRandom;
use ring::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use url::form_urlencoded;

use crate::MetricError;
use crate::call::Call;
use crate::text::bounded;

const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const SCOPE: &str = "https://www.googleapis.com/auth/monitoring.read";
const GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Clocks differ: a claim from the future is refused.
const SKEW: TimeDelta = TimeDelta::seconds(10);
/// The longest that Google allows.
const LIFETIME: TimeDelta = TimeDelta::hours(1);

/// A service account, by a file as Google's console makes it.
pub(super) struct Account {
    email: String,
    key_id: Option<String>,
    key: SecretString,
    token_uri: String,
    /// Where the key was found, for errors.
    place: &'static str,
}

impl Account {
    /// The account of a key file; nothing of the file is in an error.
    pub(super) fn parse(text: &str, place: &'static str) -> Result<Self, MetricError> {
        let wrong = |why: &str| MetricError::ServiceAccount {
            place,
            why: why.to_owned(),
        };
        let file: Value = serde_json::from_str(text).map_err(|_| wrong("it must be JSON"))?;
        let field = |name: &str| file.get(name).and_then(Value::as_str);
        match field("type") {
            Some("service_account") => {}
            other => {
                let other = bounded(other.unwrap_or_default(), 50);
                let why = format!("its type is {other:?}, allowed is \"service_account\"");
                return Err(wrong(&why));
            }
        }
        let needed = |name: &str| {
            let value = field(name).filter(|value| !value.is_empty());
            value.ok_or_else(|| wrong(&format!("it has no {name}")))
        };
        Ok(Self {
            email: needed("client_email")?.to_owned(),
            key_id: field("private_key_id").map(str::to_owned),
            key: SecretString::from(needed("private_key")?),
            token_uri: field("token_uri").unwrap_or(TOKEN_URI).to_owned(),
            place,
        })
    }

    /// The request that exchanges a claim for an access token.
    pub(super) fn exchange(&self, now: DateTime<Utc>) -> Result<Request<Vec<u8>>, MetricError> {
        let assertion = self.assertion(now)?;
        let body = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", GRANT)
            .append_pair("assertion", &assertion)
            .finish();
        Call::to(&self.token_uri, "")?.post("application/x-www-form-urlencoded", body.into_bytes())
    }

    /// A JSON Web Token that says who asks for what, signed by the account's key.
    fn assertion(&self, now: DateTime<Utc>) -> Result<String, MetricError> {
        let wrong = |why: &str| MetricError::ServiceAccount {
            place: self.place,
            why: why.to_owned(),
        };
        let mut header = json!({"alg": "RS256", "typ": "JWT"});
        if let (Some(id), Some(fields)) = (&self.key_id, header.as_object_mut()) {
            fields.insert("kid".to_owned(), id.as_str().into());
        }
        let issued = now - SKEW;
        let claim = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": issued.timestamp(),
            "exp": (issued + LIFETIME).timestamp(),
        });
        let encoded = |part: &Value| URL_SAFE_NO_PAD.encode(part.to_string());
        let said = format!("{}.{}", encoded(&header), encoded(&claim));
        let pair = self.pair().ok_or_else(|| {
            wrong("its private_key must be an RSA key of at least 2048 bits in PEM (PKCS #8)")
        })?;
        let mut signature = vec![0; pair.public().modulus_len()];
        // Chance only hides the key from whoever measures the time; the signature does not depend on it.
        let random = SystemRandom::new();
        pair.sign(&RSA_PKCS1_SHA256, &random, said.as_bytes(), &mut signature)
            .map_err(|_| wrong("nothing can be signed by it"))?;
        Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    fn pair(&self) -> Option<RsaKeyPair> {
        let key = PrivatePkcs8KeyDer::from_pem_slice(self.key.expose_secret().as_bytes()).ok()?;
        RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok()
    }
}

#[cfg(test)]
mod tests {
    use ring::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};

    use super::*;

    /// A key that was made for these tests and opens nothing.
    const KEY: &str = include_str!("../../tests/service-account.json");

    fn account() -> Account {
        Account::parse(KEY, "serviceAccountKey").unwrap()
    }

    fn noon() -> DateTime<Utc> {
        DateTime::from_timestamp(1_767_268_800, 0).unwrap()
    }

    #[test]
    fn the_claim_is_signed_by_the_key_of_the_account() {
        let token = account().assertion(noon()).unwrap();
        let (said, signature) = token.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let pair = account().pair().unwrap();
        let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public().as_ref());
        assert!(key.verify(said.as_bytes(), &signature).is_ok());
        assert!(key.verify(b"something else", &signature).is_err());
    }

    #[test]
    fn the_claim_says_who_asks_for_what_where_and_how_long() {
        let token = account().assertion(noon()).unwrap();
        let parts: Vec<Value> = token
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        let expected = [
            json!({"alg": "RS256", "typ": "JWT", "kid": "1"}),
            json!({
                "iss": "slipway@project.example", "scope": SCOPE, "aud": TOKEN_URI,
                "iat": 1_767_268_790, "exp": 1_767_272_390,
            }),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn what_is_no_key_of_a_service_account_is_refused_and_not_shown() {
        let rows = [
            ("SSSS", "it must be JSON"),
            (r#""SSSS""#, "its type is \"\""),
            (
                r#"{"type": "external_account", "x": "SSSS"}"#,
                "external_account",
            ),
            (
                r#"{"type": "service_account", "x": "SSSS"}"#,
                "no client_email",
            ),
            (
                r#"{"type": "service_account", "client_email": "a@b", "x": "SSSS"}"#,
                "no private_key",
            ),
            (
                r#"{"type": "service_account", "client_email": "a@b", "private_key": "SSSS"}"#,
                "must be an RSA key",
            ),
        ];
        for (text, expected) in rows {
            let account = Account::parse(text, "serviceAccountKey");
            let refused = account.and_then(|account| account.assertion(noon()));
            let why = refused.unwrap_err().to_string();
            assert!(why.contains(expected) && !why.contains("SSSS"), "{why}");
        }
    }
}
