//! The seam of outbound HTTP, and the one client behind it: deadline, bounded body, TLS, proxies and redirects are here and nowhere else.
//!
//! Codecs (`slipway-hooks`, `slipway-metrics`) make the requests and read the answers; nothing here knows what they mean.

mod error;
mod live;
mod retry;

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use secrecy::{SecretSlice, SecretString};

pub use error::{HttpError, HttpErrorKind};
pub use live::{HttpClient, HttpClientError, install_crypto};
pub use retry::{Attempted, Retry, send_retrying};

/// What every request says it comes from: `slipway/VERSION`.
pub const USER_AGENT: &str = concat!("slipway/", env!("CARGO_PKG_VERSION"));

/// Sends one request and brings the whole answer, or says why there is none.
///
/// An answer with any status is an answer: what it means is the codec's to say.
#[async_trait]
pub trait Http: fmt::Debug + Send + Sync {
    /// Sends the request and reads the answer within the limits.
    ///
    /// **Redirects** as Go's client, and so Flagger's: at most ten requests in all; 301, 302 and 303 are followed by a GET without
    /// body, 307 and 308 repeat method and body. The last answer counts.
    ///
    /// # Errors
    /// When no whole answer came within the limits; the kind says whether another try makes sense.
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError>;
}

/// What one call may take and how it goes out.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The deadline over the whole call: connecting, every redirect, and the last byte of the body.
    pub timeout: Duration,
    /// The longest body that is read.
    pub body_bytes: usize,
    /// What a longer body means.
    pub excess: Excess,
    /// Whether the server's certificate is verified.
    pub verify_tls: bool,
    /// The proxy of this call; without one the environment's (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) is used, never for loopback
    /// and link-local addresses and the metadata servers of clouds, and none at all when certificates are not verified (as Flagger does).
    pub proxy: Option<SecretString>,
    /// Certificates of this call besides the usual ones.
    pub certificates: Option<Certificates>,
    /// Whether redirects lead anywhere, or only within the server that was asked: one that has our credentials must not hand them on.
    pub redirects: Redirects,
}

/// Where redirects may lead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Redirects {
    /// Anywhere, as with Go's client.
    #[default]
    Anywhere,
    /// To the same scheme, host and port; another one is an answer like any other, with its status.
    SameServer,
}

/// Certificates of one call (PEM).
#[derive(Clone, Debug)]
pub struct Certificates {
    /// What the server's certificate is trusted by, besides the usual ones.
    pub ca: Option<SecretSlice<u8>>,
    /// Our certificate and its key.
    pub identity: Option<(SecretSlice<u8>, SecretSlice<u8>)>,
}

/// What a body beyond the limit means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Excess {
    /// The call failed: half an answer of a metric server means nothing.
    #[default]
    Refuse,
    /// The beginning is enough: the status decides, the body is for people (hooks, notifications).
    Cut,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(10),
            body_bytes: 4 << 20,
            excess: Excess::Refuse,
            verify_tls: true,
            proxy: None,
            certificates: None,
            redirects: Redirects::default(),
        }
    }
}

impl Limits {
    /// The limits of a call whose status alone decides: at most 64 KiB of the body are kept.
    pub fn for_verdict(timeout: Duration) -> Self {
        Self {
            timeout,
            body_bytes: 64 << 10,
            excess: Excess::Cut,
            ..Self::default()
        }
    }
}
