//! Values of Secrets.

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretSlice, SecretString};

/// The data of a Secret, decoded, by key.
pub type SecretData = BTreeMap<String, SecretSlice<u8>>;

/// The value of a key as text; nothing where there is no such key or it is no text.
///
/// Line breaks at the end are cut: most of them come from `echo` and the block scalars of YAML, and none can be sent in a header.
/// **Differs from Flagger**, where such a value fails at the first request.
pub(crate) fn text(secret: &SecretData, key: &str) -> Option<SecretString> {
    let value = secret.get(key)?.expose_secret();
    let text = std::str::from_utf8(value).ok()?;
    Some(SecretString::from(text.trim_end_matches(['\r', '\n'])))
}
