//! Revisions: which content of a target is which, in our words and in Flagger's.
//!
//! Slipway decides by sha256 over canonical JSON ([`revision`]). What stands in `lastAppliedSpec`, `lastPromotedSpec`, `trackedConfigs`
//! and the `checksum` of hooks is what Flagger 1.44 would write, so that the way there and back starts no release.
//!
//! **Source**: Flagger `pkg/canary/spec.go`, `config_tracker.go`, `pkg/controller/webhook.go`; dossier 01 §3.4 and §15.2, 03 A5. The layout
//! of the Go types (`revision/layout.tsv`) is recorded from `k8s.io/api` v0.36: one line a type, its fields as `Name json-key type`.

mod dump;
mod quantity;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Our revision of a content: sha256 over its canonical JSON, as 64 hex digits.
///
/// **Shape**: keys are sorted, and a key whose value is `null` counts as absent, so that it does not matter who serialised the object.
pub fn revision(content: &Value) -> String {
    let mut text = String::new();
    canonical(content, &mut text);
    hex(text.as_bytes(), 32)
}

/// The revision of a target together with its tracked configs.
///
/// **Shape**: `digest` is the digest over all tracked configs; when there are none it is empty and the revision stays as it is.
pub fn with_configs(revision: &str, digest: &str) -> String {
    if digest.is_empty() {
        return revision.to_owned();
    }
    hex(format!("{revision}+{digest}").as_bytes(), 32)
}

/// Flagger's hash of a pod template (Deployment, DaemonSet); `None` where it cannot be computed.
///
/// **Shape**: 1 to 10 characters. A field that Flagger's types do not know is left out, since Flagger drops it when it reads the object; a
/// field of a wrong type, or a time, has no hash.
pub fn flagger_template_hash(template: &Value) -> Option<String> {
    flagger_hash("v1.PodTemplateSpec", template)
}

/// Flagger's hash of a Service (`spec` as a whole); `None` where it cannot be computed.
pub fn flagger_service_hash(spec: &Value) -> Option<String> {
    flagger_hash("v1.ServiceSpec", spec)
}

/// Flagger's hash of a Knative target: of the name of its newest revision.
pub fn flagger_knative_hash(latest_created_revision: &str) -> String {
    safe(&format!("(string){latest_created_revision}"))
}

/// The `checksum` in the payload of a hook: of the two fields of the status that tell a revision.
///
/// **Shape**: `None` and an empty map of tracked configs give different checksums.
pub fn flagger_checksum(tracked: Option<&BTreeMap<String, String>>, last_applied: &str) -> String {
    let configs = tracked.map_or_else(
        || "<nil>".to_owned(),
        |tracked| {
            let pairs: Vec<String> = tracked
                .iter()
                .map(|(name, checksum)| format!("{name}:{checksum}"))
                .collect();
            format!("map[{}]", pairs.join(" "))
        },
    );
    safe(&format!(
        "(struct {{ TrackedConfigs *map[string]string; LastAppliedSpec string }}){{TrackedConfigs:(*map[string]string){configs} \
         LastAppliedSpec:(string){last_applied}}}"
    ))
}

/// Flagger's checksum of a ConfigMap or Secret: of its `data` alone, as 16 hex digits.
///
/// **Shape**: `data` as the object has it (a Secret's values in base64); an absent one counts as `null`.
pub fn flagger_config_checksum(data: Option<&Value>) -> String {
    let mut text = String::new();
    go_json(data.unwrap_or(&Value::Null), &mut text);
    hex(text.as_bytes(), 8)
}

fn flagger_hash(go_type: &str, content: &Value) -> Option<String> {
    let mut hash = Fnv::default();
    dump::dump(go_type, content, &mut hash)?;
    Some(safe_encode(hash.0))
}

fn safe(text: &str) -> String {
    let mut hash = Fnv::default();
    hash.add(text);
    safe_encode(hash.0)
}

/// The first `bytes` of the sha256 of the text, in hex.
fn hex(text: &[u8], bytes: usize) -> String {
    let mut digits = String::with_capacity(2 * bytes);
    for byte in Sha256::digest(text).iter().take(bytes) {
        for nibble in [byte >> 4, byte & 15] {
            digits.extend(char::from_digit(u32::from(nibble), 16));
        }
    }
    digits
}

/// 32-bit FNV-1a, fed with text.
struct Fnv(u32);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x811c_9dc5)
    }
}

impl Fnv {
    fn add(&mut self, text: &str) {
        for byte in text.bytes() {
            self.0 = (self.0 ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        }
    }
}

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text);
        Ok(())
    }
}

/// The decimal digits in Kubernetes' alphabet of letters that make no words.
fn safe_encode(hash: u32) -> String {
    hash.to_string()
        .chars()
        .map(|digit| match digit {
            '0'..='5' => char::from_u32(u32::from(digit) + 4).unwrap_or(digit),
            '6' => 'b',
            '7' => 'c',
            '8' => 'd',
            _ => 'f',
        })
        .collect()
}

/// JSON with sorted keys and without `null` members.
fn canonical(value: &Value, out: &mut String) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            out.push_str(&value.to_string());
        }
        Value::Array(items) => {
            out.push('[');
            for (place, item) in items.iter().enumerate() {
                separate(place, out);
                canonical(item, out);
            }
            out.push(']');
        }
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members
                .iter()
                .filter(|(_, member)| !member.is_null())
                .collect();
            out.push('{');
            for (place, (key, member)) in sorted.into_iter().enumerate() {
                separate(place, out);
                out.push_str(&Value::from(key.as_str()).to_string());
                out.push(':');
                canonical(member, out);
            }
            out.push('}');
        }
    }
}

fn separate(place: usize, out: &mut String) {
    if place > 0 {
        out.push(',');
    }
}

/// JSON as Go's encoder writes it: like ours, but with `<`, `>`, `&` and the two line separators escaped.
fn go_json(value: &Value, out: &mut String) {
    let mut text = String::new();
    canonical(value, &mut text);
    for letter in text.chars() {
        match letter {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                out.extend(format!("\\u{:04x}", u32::from(letter)).chars());
            }
            _ => out.push(letter),
        }
    }
}
