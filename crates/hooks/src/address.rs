//! Addresses: absolute URLs over HTTP whose user info travels as a header, never in the URL.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use percent_encoding::percent_decode_str;
use url::Url;

/// What is allowed as an address, as a sentence part.
pub(crate) const ALLOWED: &str = "must be an absolute http or https URL";

/// An absolute URL without user info and fragment, and the user info as a header.
pub(crate) struct Address {
    /// Scheme, host, port, path and query.
    pub(crate) url: Url,
    /// `Basic …`, marked as sensitive, when the text had user info.
    pub(crate) authorization: Option<HeaderValue>,
}

impl Address {
    /// The address that a text means; nothing where it is not [`ALLOWED`].
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut url = Url::parse(text.trim()).ok()?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return None;
        }
        let decoded = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
        let has_user = !url.username().is_empty() || url.password().is_some();
        let authorization = has_user
            .then(|| {
                basic(
                    &decoded(url.username()),
                    &decoded(url.password().unwrap_or_default()),
                )
            })
            .flatten();
        url.set_username("").ok()?;
        url.set_password(None).ok()?;
        url.set_fragment(None);
        Some(Self { url, authorization })
    }
}

/// The header of basic authentication. Base64 is always a valid header; the `Option` is the type's.
pub(crate) fn basic(user: &str, password: &str) -> Option<HeaderValue> {
    sensitive(&format!(
        "Basic {}",
        STANDARD.encode(format!("{user}:{password}"))
    ))
}

/// A header value that no `Debug` shows; nothing where the text cannot be a header (a line break in a token).
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The text as a message may show it: with a mask for a password, bounded.
pub(crate) fn shown(text: &str, mask: &str) -> String {
    let url = Url::parse(text).ok().filter(Url::has_host);
    let safe = match (url, text.rsplit_once('@')) {
        (Some(mut url), _) if url.password().is_some() => url
            .set_password(Some(mask))
            .map_or_else(|()| mask.to_owned(), |()| url.to_string()),
        // What is no URL may still hold a password before its last `@`.
        (None, Some((_, host))) => format!("{mask}@{host}"),
        (Some(_) | None, _) => text.to_owned(),
    };
    crate::text::bounded(&safe, 200)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_info_leaves_the_url_and_becomes_a_header_that_debug_does_not_show() {
        let address = Address::parse("https://us%40er:p%3Aw@prom.example:9090/base?a=b#c").unwrap();
        assert_eq!(address.url.as_str(), "https://prom.example:9090/base?a=b");
        let header = address.authorization.unwrap();
        assert_eq!(header, format!("Basic {}", STANDARD.encode("us@er:p:w")));
        assert_eq!(format!("{header:?}"), "Sensitive");
    }

    #[test]
    fn only_absolute_urls_over_http_are_addresses() {
        for text in [
            "",
            "prometheus:9090",
            "/api",
            "ftp://host",
            "http://",
            "::bad",
            "unix:/run/x",
        ] {
            assert!(Address::parse(text).is_none(), "{text:?}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let rows = [
            ("http://u:secret@h/p", "http://u:xxxxx@h/p"),
            ("u:secret@h", "xxxxx@h"),
            ("http://u:sec/ret@h", "xxxxx@h"),
            ("http://h/p", "http://h/p"),
            ("prometheus:9090", "prometheus:9090"),
        ];
        for (text, expected) in rows {
            assert_eq!(shown(text, "xxxxx"), expected, "{text:?}");
        }
    }
}
