//! Why there is no answer.

use http::{Method, Uri};

use crate::error::bounded;

/// Why there is no answer to a request.
///
/// The text has the form of Go's client, so that it reads as Flagger's events do: `Post "http://gate.test/": …`. A password in the
/// URL is masked, its query is left out, and [`HttpError::cause`] leaves out the whole URL: that of a notifier is a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{method} {url:?}: {cause}")]
pub struct HttpError {
    /// What kind of failure.
    pub kind: HttpErrorKind,
    method: String,
    url: String,
    cause: String,
}

/// The kinds of failure, by what the caller does about them; also a label of the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HttpErrorKind {
    /// Nothing, or not everything, came within the deadline.
    Timeout,
    /// The server could not be reached: name, route, refused.
    Connect,
    /// The server is not who it should be, or speaks no TLS that we do.
    Tls,
    /// The body is longer than the limit.
    TooLarge,
    /// Too many redirects, or one to nowhere.
    Redirects,
    /// The request itself cannot be sent: its URL, a header, its proxy.
    Unusable,
    /// The connection broke.
    Broken,
}

impl HttpErrorKind {
    /// The word for logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::TooLarge => "too-large",
            Self::Redirects => "redirects",
            Self::Unusable => "unusable",
            Self::Broken => "broken",
        }
    }

    /// Whether the same request may be answered a moment later.
    pub const fn is_transient(self) -> bool {
        match self {
            Self::Timeout | Self::Connect | Self::Broken => true,
            Self::Tls | Self::TooLarge | Self::Redirects | Self::Unusable => false,
        }
    }
}

/// The longest cause, in bytes.
const CAUSE_MAX: usize = 256;

impl HttpError {
    /// The failure of that request.
    pub fn new(kind: HttpErrorKind, method: &Method, uri: &Uri, cause: &str) -> Self {
        Self {
            kind,
            method: go_word(method),
            url: shown(uri),
            cause: bounded(cause, CAUSE_MAX),
        }
    }

    /// Why, without the URL.
    pub fn cause(&self) -> &str {
        &self.cause
    }
}

/// The method as Go's client writes it: `Post`.
fn go_word(method: &Method) -> String {
    let (first, rest) = method.as_str().split_at_checked(1).unwrap_or_default();
    format!("{first}{}", rest.to_ascii_lowercase())
}

/// The URL without its query and with a masked password, as Go masks it.
fn shown(uri: &Uri) -> String {
    let scheme = uri
        .scheme_str()
        .map(|scheme| format!("{scheme}://"))
        .unwrap_or_default();
    let authority = uri
        .authority()
        .map(|authority| masked(authority.as_str()))
        .unwrap_or_default();
    format!("{scheme}{authority}{}", uri.path())
}

fn masked(authority: &str) -> String {
    match authority.rsplit_once('@') {
        Some((user, host)) => match user.split_once(':') {
            Some((name, _)) => format!("{name}:xxxxx@{host}"),
            None => format!("{user}@{host}"),
        },
        None => authority.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(uri: &str) -> String {
        let uri: Uri = uri.parse().unwrap();
        HttpError::new(
            HttpErrorKind::Broken,
            &Method::POST,
            &uri,
            "connection reset",
        )
        .to_string()
    }

    #[test]
    fn the_text_has_the_form_of_gos_client() {
        assert_eq!(
            text("http://gate.test:80/hook"),
            r#"Post "http://gate.test:80/hook": connection reset"#
        );
    }

    #[test]
    fn neither_password_nor_query_is_told() {
        assert_eq!(
            text("http://user:s3cret@gate.test/hook?token=s3cret"),
            r#"Post "http://user:xxxxx@gate.test/hook": connection reset"#
        );
        assert_eq!(
            text("http://user@gate.test/"),
            r#"Post "http://user@gate.test/": connection reset"#
        );
    }
}
