//! JSON as Go's encoder writes it.

use serde::Serialize;

/// Compact JSON in the order of the fields, with `<`, `>`, `&` and the two line separators escaped as Go escapes them. They stand in
/// texts only, so the JSON means the same; receivers that compare bytes (signatures, recorded bodies) see the same.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    #[expect(
        clippy::expect_used,
        reason = "the payloads are structs of texts and of maps with texts as keys"
    )]
    let json = serde_json::to_string(value).expect("a payload is JSON");
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' => escaped.push_str("\\u003c"),
            '>' => escaped.push_str("\\u003e"),
            '&' => escaped.push_str("\\u0026"),
            '\u{2028}' => escaped.push_str("\\u2028"),
            '\u{2029}' => escaped.push_str("\\u2029"),
            _ => escaped.push(c),
        }
    }
    escaped.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_as_go_does() {
        let json = String::from_utf8(to_json(
            &"<a> & \u{2028}\u{2029} é \u{7f} \u{1f} \u{8}\u{c}\n\"\\/",
        ))
        .unwrap();
        assert_eq!(
            json,
            "\"\\u003ca\\u003e \\u0026 \\u2028\\u2029 é \u{7f} \\u001f \\b\\f\\n\\\"\\\\/\""
        );
    }
}
