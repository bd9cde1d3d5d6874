//! The client that goes out: reqwest with rustls and ring, one pool a policy.

use std::collections::HashMap;
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use http::{Method, Uri};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;

use super::{Certificates, Excess, Http, HttpError, HttpErrorKind, Limits, Redirects, USER_AGENT};

/// The [`Http`] that goes out.
///
/// **Guarantees**: a call ends by its deadline; no more of a body than its limit is ever in memory; connections are pooled by policy
/// (certificates verified or not, proxy), so that their number does not grow with the number of calls.
#[derive(Debug, Default)]
pub struct HttpClient {
    clients: Mutex<HashMap<Policy, reqwest::Client>>,
}

/// What calls must have in common to share connections.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Policy {
    verify_tls: bool,
    way: Way,
    redirects: Redirects,
    /// The digest of the certificates of the calls, where they have their own.
    certificates: Option<[u8; 32]>,
}

/// By which way a call goes out.
#[derive(Clone, PartialEq, Eq, Hash)]
enum Way {
    Direct,
    Environment,
    Proxy(String),
}

impl std::fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // A proxy's URL may hold a password.
        let way = match self.way {
            Way::Direct => "direct",
            Way::Environment => "environment",
            Way::Proxy(_) => "proxy",
        };
        write!(formatter, "{way}, verify_tls: {}", self.verify_tls)
    }
}

/// How many pools there may be. Proxies come from the objects of users: their number must not grow without bound.
const POOLS_MAX: usize = 32;
/// How long an unused connection is kept.
const IDLE: Duration = Duration::from_mins(1);
/// How many unused connections to one host are kept.
const IDLE_CONNECTIONS: usize = 4;
/// How many requests one call may cause: Go's client stops there.
const REQUESTS_MAX: usize = 10;

/// Makes ring the provider of all TLS of this process, unless one was chosen already.
pub fn install_crypto() {
    // The error says that there is one already, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

/// Why no outbound call can be made at all: TLS or the proxy of the environment.
#[derive(Debug, thiserror::Error)]
#[error("make the HTTP client: {0}")]
pub struct HttpClientError(String);

impl HttpClient {
    /// A client without connections.
    pub fn new() -> Self {
        install_crypto();
        Self::default()
    }

    /// A client whose way out is known to work as far as TLS and the proxy of the environment are concerned.
    ///
    /// # Errors
    /// When they do not.
    pub fn try_new() -> Result<Self, HttpClientError> {
        let client = Self::new();
        let usual = Policy {
            verify_tls: true,
            way: Way::Environment,
            redirects: Redirects::Anywhere,
            certificates: None,
        };
        match client.client(usual, None) {
            Ok(_) => Ok(client),
            Err(error) => Err(HttpClientError(innermost(&error))),
        }
    }

    fn client(
        &self,
        policy: Policy,
        certificates: Option<&Certificates>,
    ) -> Result<reqwest::Client, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&policy) {
            return Ok(client.clone());
        }
        let client = build(&policy, certificates)?;
        if clients.len() >= POOLS_MAX {
            clients.retain(|policy, _| {
                !matches!(policy.way, Way::Proxy(_)) && policy.certificates.is_none()
            });
        }
        clients.insert(policy, client.clone());
        Ok(client)
    }
}

#[async_trait]
impl Http for HttpClient {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let call = Call {
            method: request.method().clone(),
            uri: request.uri().clone(),
        };
        let policy = Policy {
            verify_tls: limits.verify_tls,
            way: way(request.uri(), limits),
            redirects: limits.redirects,
            certificates: limits.certificates.as_ref().map(digest),
        };
        let client = self
            .client(policy, limits.certificates.as_ref())
            .map_err(|error| call.failed(&error))?;
        match timeout(limits.timeout, call.exchange(client, request, limits)).await {
            Ok(answer) => answer,
            Err(_) => Err(call.error(
                HttpErrorKind::Timeout,
                &format!(
                    "context deadline exceeded (no whole answer within {:?})",
                    limits.timeout
                ),
            )),
        }
    }
}

fn way(uri: &Uri, limits: &Limits) -> Way {
    if let Some(proxy) = &limits.proxy {
        return Way::Proxy(SecretString::expose_secret(proxy).to_owned());
    }
    if limits.verify_tls && !is_near(uri.host().unwrap_or_default()) {
        Way::Environment
    } else {
        Way::Direct
    }
}

/// The name of the metadata server of Google's machines; those of others have link-local addresses.
const METADATA: &str = "metadata.google.internal";

/// Whether a host is this machine, or one that only this machine reaches, such as a server that says who the machine is: a proxy would ask about
/// itself.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let is_local = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_link_local(),
        // AWS answers at fd00:ec2::/32 as well.
        IpAddr::V6(ip) => {
            ip.is_loopback()
                || ip.is_unicast_link_local()
                || matches!(ip.segments(), [0xfd00, 0x0ec2, ..])
        }
    };
    ["localhost", METADATA]
        .iter()
        .any(|near| host.eq_ignore_ascii_case(near))
        || bare.parse().is_ok_and(is_local)
}

/// What tells certificates from others; parts are told apart by their lengths.
fn digest(certificates: &Certificates) -> [u8; 32] {
    let Certificates { ca, identity } = certificates;
    let identity = identity
        .iter()
        .flat_map(|(one, key)| [Some(one), Some(key)]);
    let mut hash = Sha256::new();
    for part in std::iter::once(ca.as_ref()).chain(identity) {
        let bytes = part.map_or(&[][..], |part| part.expose_secret());
        hash.update(bytes.len().to_be_bytes());
        hash.update(bytes);
    }
    hash.finalize().into()
}

fn build(
    policy: &Policy,
    certificates: Option<&Certificates>,
) -> Result<reqwest::Client, reqwest::Error> {
    let builder = |policy| certified(builder(policy)?, certificates);
    match builder(policy)?.build() {
        Ok(client) => Ok(client),
        // An image from scratch has no certificates of its own. Mozilla's stand in, but only then: a company that took one out of its
        // system's store does not get it back from us.
        Err(error) => builder(policy)?
            .tls_certs_only(mozilla_roots())
            .build()
            .map_err(|_| error),
    }
}

fn certified(
    mut builder: reqwest::ClientBuilder,
    certificates: Option<&Certificates>,
) -> Result<reqwest::ClientBuilder, reqwest::Error> {
    let Some(Certificates { ca, identity }) = certificates else {
        return Ok(builder);
    };
    if let Some(ca) = ca {
        let roots = reqwest::Certificate::from_pem_bundle(ca.expose_secret())?;
        builder = builder.tls_certs_merge(roots);
    }
    if let Some((certificate, key)) = identity {
        let pem = [certificate.expose_secret(), b"\n", key.expose_secret()].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem)?);
    }
    Ok(builder)
}

fn mozilla_roots() -> impl Iterator<Item = reqwest::Certificate> {
    webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|der| reqwest::Certificate::from_der(der).ok())
}

fn builder(policy: &Policy) -> Result<reqwest::ClientBuilder, reqwest::Error> {
    let builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::custom(match policy.redirects {
            Redirects::Anywhere => follow,
            Redirects::SameServer => follow_within,
        }))
        .referer(false)
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .tls_danger_accept_invalid_certs(!policy.verify_tls);
    Ok(match &policy.way {
        Way::Direct => builder.no_proxy(),
        Way::Environment => builder,
        Way::Proxy(url) => builder.no_proxy().proxy(reqwest::Proxy::all(url)?),
    })
}

fn follow(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    if attempt.previous().len() >= REQUESTS_MAX {
        return attempt.error(format!("stopped after {REQUESTS_MAX} redirects"));
    }
    attempt.follow()
}

/// As [`follow`], within the server that was asked first.
fn follow_within(attempt: reqwest::redirect::Attempt<'_>) -> reqwest::redirect::Action {
    let first = attempt.previous().first().map(reqwest::Url::origin);
    if first.is_some_and(|first| first == attempt.url().origin()) {
        return follow(attempt);
    }
    attempt.stop()
}

/// What was called, for errors.
struct Call {
    method: Method,
    uri: Uri,
}

impl Call {
    async fn exchange(
        &self,
        client: reqwest::Client,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        let (parts, body) = request.into_parts();
        // Not `Request::try_from`: this way user and password of the URL become basic authentication.
        let mut response = client
            .request(parts.method, parts.uri.to_string())
            .headers(parts.headers)
            .body(body)
            .send()
            .await
            .map_err(|error| self.failed(&error))?;
        let body = self.body(&mut response, limits).await?;
        let mut answer = http::Response::new(body);
        *answer.status_mut() = response.status();
        *answer.headers_mut() = response.headers().clone();
        Ok(answer)
    }

    /// The body, or its beginning. What is not read is dropped with its connection, which would otherwise have to be read to its end.
    async fn body(
        &self,
        response: &mut reqwest::Response,
        limits: &Limits,
    ) -> Result<Vec<u8>, HttpError> {
        let mut body = Vec::new();
        while let Some(chunk) = response
            .chunk()
            .await
            .map_err(|error| self.failed(&error))?
        {
            let room = limits.body_bytes.saturating_sub(body.len());
            body.extend(chunk.iter().take(room));
            if chunk.len() > room {
                return self.excess(body, limits);
            }
        }
        Ok(body)
    }

    fn excess(&self, body: Vec<u8>, limits: &Limits) -> Result<Vec<u8>, HttpError> {
        match limits.excess {
            Excess::Cut => Ok(body),
            Excess::Refuse => {
                let cause = format!(
                    "the answer is longer than {} bytes, which is the most that is read",
                    limits.body_bytes
                );
                Err(self.error(HttpErrorKind::TooLarge, &cause))
            }
        }
    }

    fn failed(&self, error: &reqwest::Error) -> HttpError {
        self.error(kind(error), &innermost(error))
    }

    fn error(&self, kind: HttpErrorKind, cause: &str) -> HttpError {
        HttpError::new(kind, &self.method, &self.uri, cause)
    }
}

fn kind(error: &reqwest::Error) -> HttpErrorKind {
    if error.is_builder() {
        HttpErrorKind::Unusable
    } else if error.is_redirect() {
        HttpErrorKind::Redirects
    } else if sources(error).any(is_tls) {
        HttpErrorKind::Tls
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_connect() {
        HttpErrorKind::Connect
    } else {
        HttpErrorKind::Broken
    }
}

fn sources<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn StdError + 'static)| {
        let error: &'a (dyn StdError + 'static) = *error;
        error.source()
    })
}

/// An [`io::Error`] does not name what it wraps as its source, and may wrap another.
fn is_tls(error: &(dyn StdError + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref);
    wrapped.is_some_and(|inner| is_tls(inner))
}

/// The last reason. reqwest's own text repeats the URL, with its password.
fn innermost(error: &reqwest::Error) -> String {
    sources(error)
        .skip(1)
        .last()
        .map_or_else(|| without_url(error), ToString::to_string)
}

/// reqwest's own text up to where it tells the URL.
fn without_url(error: &reqwest::Error) -> String {
    let text = error.to_string();
    match text.split_once(" for url (") {
        Some((before, _)) => before.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_and_who_says_what_it_is_are_never_asked_through_a_proxy() {
        let limits = Limits::default();
        for uri in [
            "http://localhost:1/",
            "http://127.8.8.8/",
            "http://[::1]:80/",
            "http://169.254.170.23/v1/credentials",
            "http://[fe80::1]/",
            "http://[fd00:ec2::23]/v1/credentials",
            "http://metadata.google.internal/",
        ] {
            assert!(way(&uri.parse().unwrap(), &limits) == Way::Direct, "{uri}");
        }
        let uri: Uri = "http://gate.test/".parse().unwrap();
        assert!(way(&uri, &limits) == Way::Environment);
    }

    #[test]
    fn the_password_of_a_proxy_is_not_printed() {
        let client = HttpClient::new();
        let policy = Policy {
            verify_tls: true,
            way: Way::Proxy("http://user:s3cret@proxy.test".into()),
            redirects: Redirects::Anywhere,
            certificates: None,
        };
        client.client(policy, None).unwrap();
        assert!(!format!("{client:?}").contains("s3cret"), "{client:?}");
    }

    #[test]
    fn the_number_of_pools_is_bounded() {
        let client = HttpClient::new();
        for number in 0..100 {
            let way = Way::Proxy(format!("http://proxy-{number}.test"));
            let policy = Policy {
                verify_tls: false,
                way,
                redirects: Redirects::Anywhere,
                certificates: None,
            };
            client.client(policy, None).unwrap();
        }
        assert!(client.clients.lock().unwrap().len() <= POOLS_MAX);
    }

    #[test]
    fn there_are_roots_without_any_file() {
        assert!(mozilla_roots().count() > 50);
        assert!(
            reqwest::Client::builder()
                .tls_certs_only(mozilla_roots())
                .build()
                .is_ok()
        );
    }
}
