//! How a request is to be sent.

use chrono::TimeDelta;
use secrecy::SecretString;

/// What the shell has to know of a request beyond the request itself.
#[derive(Clone, Debug)]
pub struct Transport {
    /// The limit of one attempt, from the first byte sent to the last byte read.
    pub timeout: TimeDelta,
    /// Whether the certificate of the server is verified.
    pub verify_tls: bool,
    /// How many redirects are followed, in the way of browsers: after 301, 302 and 303 with `GET` and no body, after 307 and 308 with
    /// the same request. The last answer counts; more redirects are a failure.
    pub redirects: usize,
    /// The proxy of this call; `None` means the environment's. It may hold a password.
    pub proxy: Option<SecretString>,
}

/// As many as Go's client follows.
pub(crate) const REDIRECTS: usize = 10;
