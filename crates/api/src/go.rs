//! What Go's types accept, so that an object written for Flagger means the same here.

mod duration;
mod int;

pub use duration::{DurationError, format_duration, parse_duration};
pub use int::{GoInt, int_or_string, whole};

use serde::{Deserialize, Deserializer};

/// For `#[serde(deserialize_with)]`: a text that may be absent. An empty text is Go's absent one.
///
/// # Errors
/// When the value is not a text.
pub fn text<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let text = Option::<String>::deserialize(from)?;
    Ok(text.filter(|text| !text.is_empty()))
}

/// For `#[serde(skip_serializing_if)]`: Go leaves a false out.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature is serde's"
)]
pub(crate) fn is_false(value: &bool) -> bool {
    !*value
}
