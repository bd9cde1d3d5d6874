//! The way out: one request, its answer or why there is none, and how long it took.

use std::collections::BTreeMap;
use std::error::Error as StdError;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use http_body_util::BodyExt;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::time::{Instant, timeout};
use url::Url;

use crate::text::bounded;

/// The longest body that is kept, in bytes; what is behind it is read and dropped.
const BODY_MAX: usize = 1 << 20;
/// The longest body that is read at all; a server that never stops is left with its connection.
const READ_MAX: usize = 64 << 20;

/// A request that can be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// An absolute URL over http or https.
    pub url: Url,
    /// The headers, besides those that the protocol wants.
    pub headers: HeaderMap,
    /// The body; empty means none.
    pub body: Bytes,
    /// How it is spoken.
    pub protocol: Protocol,
    /// Whether the certificate of the server is verified.
    pub certificate: Certificate,
    /// From sending to the last byte of the answer, at most.
    pub timeout: Duration,
}

impl Request {
    /// What the request is, for people; without user, password and query.
    pub fn shown(&self) -> String {
        let mut url = self.url.clone();
        url.set_query(None);
        url.set_fragment(None);
        // Both fail only for URLs that cannot have a user.
        url.set_username("").unwrap_or_default();
        url.set_password(None).unwrap_or_default();
        format!("{} {url}", self.method)
    }
}

/// How HTTP is spoken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1 without TLS; with TLS what the server prefers.
    #[default]
    Auto,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only; without TLS with prior knowledge (h2c).
    Http2,
}

/// Whether a certificate is verified.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Certificate {
    /// It is.
    #[default]
    Verified,
    /// Any will do.
    Any,
}

/// An answer, whatever its status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The headers, and the trailers behind the body.
    pub headers: HeaderMap,
    /// The body, or its first 1 MiB.
    pub body: Bytes,
    /// How long the body was.
    pub length: u64,
    /// From sending the request to the last byte of the body.
    pub latency: Duration,
}

impl Answer {
    /// The body as a text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON; nothing where it is none, or was cut.
    pub(crate) fn json(&self) -> Option<Value> {
        serde_json::from_slice(&self.body).ok()
    }
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {cause}")]
pub struct SendError {
    /// Which kind of failure.
    pub kind: SendErrorKind,
    cause: String,
}

impl SendError {
    /// That failure, with a bounded cause.
    pub fn new(kind: SendErrorKind, cause: &str) -> Self {
        let cause = bounded(cause, 256);
        Self { kind, cause }
    }
}

/// The kinds of failure; also a label of the metrics and a line of a summary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SendErrorKind {
    /// Not everything came in time.
    Timeout,
    /// The server could not be reached: name, route, refused, TLS.
    Connect,
    /// The connection broke, or what came is no HTTP.
    Broken,
    /// The request itself cannot be sent.
    Unusable,
    /// There was no time left to send it.
    Unsent,
}

impl std::fmt::Display for SendErrorKind {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Broken => "broken",
            Self::Unusable => "unusable",
            Self::Unsent => "unsent",
        })
    }
}

/// Sends requests. Suites and loads know no more of the network than this.
pub trait Wire: Send + Sync {
    /// One request, and its whole answer.
    ///
    /// # Errors
    /// Why there is none.
    fn send(&self, request: Request) -> impl Future<Output = Result<Answer, SendError>> + Send;
}

/// Certificates of authorities whose servers are trusted, besides those that everybody trusts.
#[derive(Clone, Debug, Default)]
pub struct Authorities(Vec<reqwest::Certificate>);

/// Why a text is not the certificates of authorities.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthoritiesError {
    /// There is nothing in it between `BEGIN CERTIFICATE` and `END CERTIFICATE`.
    #[error("there is no certificate in it, in PEM")]
    None,
    /// What stands there is no certificate of an authority.
    #[error("a certificate in it cannot be read")]
    Unreadable,
}

impl Authorities {
    /// Reads certificates: PEM, one behind the other.
    ///
    /// # Errors
    /// A text without a certificate, or with one that is none: better told at the start than by every request.
    pub fn parse(pem: &str) -> Result<Self, AuthoritiesError> {
        install_crypto();
        let found = reqwest::Certificate::from_pem_bundle(pem.as_bytes());
        let found = found.map_err(|_| AuthoritiesError::Unreadable)?;
        if found.is_empty() {
            return Err(AuthoritiesError::None);
        }
        let tried = reqwest::Client::builder().tls_certs_only(found.clone());
        let tried = tried.build().map_err(|_| AuthoritiesError::Unreadable);
        tried.map(|_| Self(found))
    }
}

/// The wire that goes out: directly, never through a proxy, and never following a redirect: what is tested is the answer of that server.
#[derive(Debug, Default)]
pub struct Network {
    authorities: Authorities,
    clients: Mutex<BTreeMap<(Protocol, Certificate), reqwest::Client>>,
}

/// Makes ring the provider of all TLS of this process, unless one was chosen already.
fn install_crypto() {
    // The error says that there is one already, which is all that is wanted.
    drop(rustls::crypto::ring::default_provider().install_default());
}

impl Network {
    /// A wire without connections that trusts these authorities, too.
    pub fn new(authorities: Authorities) -> Self {
        install_crypto();
        Self {
            authorities,
            clients: Mutex::default(),
        }
    }

    fn client(
        &self,
        protocol: Protocol,
        certificate: Certificate,
    ) -> Result<reqwest::Client, reqwest::Error> {
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&(protocol, certificate)) {
            return Ok(client.clone());
        }
        let client = self.build(protocol, certificate)?;
        clients.insert((protocol, certificate), client.clone());
        Ok(client)
    }

    fn build(
        &self,
        protocol: Protocol,
        certificate: Certificate,
    ) -> Result<reqwest::Client, reqwest::Error> {
        let Authorities(more) = &self.authorities;
        let with = || builder(protocol, certificate);
        // An image without certificates of its own gets Mozilla's. Asked without ours, which would hide that it has none.
        if with().build().is_ok() {
            return with().tls_certs_merge(more.iter().cloned()).build();
        }
        let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let roots = roots.filter_map(|der| reqwest::Certificate::from_der(der).ok());
        with()
            .tls_certs_only(roots.chain(more.iter().cloned()))
            .build()
    }
}

fn builder(protocol: Protocol, certificate: Certificate) -> reqwest::ClientBuilder {
    let builder = reqwest::Client::builder()
        .user_agent(concat!("slipway-tester/", env!("CARGO_PKG_VERSION")))
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .no_proxy()
        .tcp_nodelay(true)
        .tls_danger_accept_invalid_certs(certificate == Certificate::Any);
    match protocol {
        Protocol::Auto => builder,
        Protocol::Http1 => builder.http1_only(),
        Protocol::Http2 => builder.http2_prior_knowledge(),
    }
}

impl Wire for Network {
    async fn send(&self, request: Request) -> Result<Answer, SendError> {
        let client = self
            .client(request.protocol, request.certificate)
            .map_err(|error| failed(&error))?;
        let most = request.timeout;
        match timeout(most, exchange(client, request)).await {
            Ok(answer) => answer,
            Err(_) => Err(SendError::new(
                SendErrorKind::Timeout,
                &format!("no whole answer within {}", crate::duration::shown(most)),
            )),
        }
    }
}

async fn exchange(client: reqwest::Client, request: Request) -> Result<Answer, SendError> {
    let sent = Instant::now();
    let response = client
        .request(request.method, request.url)
        .headers(request.headers)
        .body(request.body)
        .send()
        .await
        .map_err(|error| failed(&error))?;
    let (parts, body) = http::Response::from(response).into_parts();
    let mut answer = Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        ..Answer::default()
    };
    read(body, &mut answer).await?;
    answer.latency = sent.elapsed();
    Ok(answer)
}

async fn read(mut body: reqwest::Body, answer: &mut Answer) -> Result<(), SendError> {
    let mut kept = Vec::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| failed(&error))?;
        match frame.into_data() {
            Ok(data) => {
                length += data.len();
                let room = BODY_MAX.saturating_sub(kept.len());
                kept.extend(data.iter().take(room));
            }
            Err(frame) => answer
                .headers
                .extend(frame.into_trailers().unwrap_or_default()),
        }
        if length > READ_MAX {
            break;
        }
    }
    answer.body = kept.into();
    answer.length = u64::try_from(length).unwrap_or(u64::MAX);
    Ok(())
}

fn failed(error: &reqwest::Error) -> SendError {
    let kind = if error.is_builder() {
        SendErrorKind::Unusable
    } else if error.is_connect() {
        SendErrorKind::Connect
    } else {
        SendErrorKind::Broken
    };
    SendError::new(kind, &innermost(error))
}

/// The last reason; the first repeats the URL, with its password.
fn innermost(error: &reqwest::Error) -> String {
    let mut source: Option<&dyn StdError> = error.source();
    let mut text = String::from("the request cannot be sent");
    while let Some(error) = source {
        text = error.to_string();
        source = error.source();
    }
    text
}
