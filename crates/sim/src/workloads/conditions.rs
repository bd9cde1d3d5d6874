//! Conditions and readiness, as every controller of the cluster reads and writes them.

use crate::clock::parse_time;
use crate::json::{dig, int, list, text};
use crate::server::store::Object;
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use std::time::Duration;

/// A condition to be.
#[derive(Clone, Debug)]
pub(super) struct Condition<'a> {
    pub(super) kind: &'a str,
    pub(super) status: &'a str,
    pub(super) reason: &'a str,
    pub(super) message: String,
}

/// The condition of one type in a status.
pub(super) fn condition<'a>(object: &'a Value, kind: &str) -> &'a Value {
    list(object, &["status", "conditions"])
        .iter()
        .find(|condition| text(condition, &["type"]) == kind)
        .unwrap_or(&Value::Null)
}

impl Condition<'_> {
    /// Puts it among the conditions: the time of transition changes with the status only.
    pub(super) fn put(&self, conditions: &mut Vec<Value>, now: &str) {
        let known = conditions
            .iter_mut()
            .find(|it| text(it, &["type"]) == self.kind);
        let turned = match &known {
            Some(known) if text(known, &["status"]) == self.status => {
                text(known, &["lastTransitionTime"])
            }
            _ => now,
        };
        let mut made =
            json!({"type": self.kind, "status": self.status, "lastTransitionTime": turned});
        if !self.reason.is_empty() {
            crate::json::set(&mut made, &["reason"], self.reason);
        }
        if !self.message.is_empty() {
            crate::json::set(&mut made, &["message"], self.message.as_str());
        }
        match known {
            Some(known) => *known = made,
            None => conditions.push(made),
        }
    }
}

pub(super) fn is_ready(pod: &Value) -> bool {
    text(condition(pod, "Ready"), &["status"]) == "True"
}

/// How long until a ready pod counts as available; zero if it does, `None` if it is not ready.
pub(super) fn until_available(pod: &Value, least: i64, now: DateTime<Utc>) -> Option<Duration> {
    if !is_ready(pod) {
        return None;
    }
    let since = parse_time(text(condition(pod, "Ready"), &["lastTransitionTime"])).unwrap_or(now);
    let run = now.signed_duration_since(since);
    let rest = chrono::TimeDelta::seconds(least) - run;
    Some(rest.to_std().unwrap_or(Duration::ZERO))
}

/// Pods that count: not on their way out and not ended.
pub(super) fn is_active(pod: &Object) -> bool {
    !pod.is_going() && !matches!(text(pod, &["status", "phase"]), "Failed" | "Succeeded")
}

/// `spec.replicas` of a workload.
pub(super) fn wanted(workload: &Value) -> i64 {
    int(workload, &["spec", "replicas"]).unwrap_or(1)
}

/// A count or a percentage of `total`.
pub(super) fn portion(value: &Value, total: i64, rounding: Rounding) -> i64 {
    if let Some(count) = value.as_i64() {
        return count;
    }
    let percent: i64 = value
        .as_str()
        .and_then(|text| text.strip_suffix('%')?.parse().ok())
        .unwrap_or(0);
    match rounding {
        Rounding::Up => (percent * total + 99) / 100,
        Rounding::Down => percent * total / 100,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rounding {
    Up,
    Down,
}

/// The reference of a controller to what it made.
pub(super) fn owned_by(owner: &Object) -> Value {
    json!([{
        "apiVersion": dig(owner, &["apiVersion"]), "kind": dig(owner, &["kind"]), "name": owner.name(), "uid": owner.uid(),
        "controller": true, "blockOwnerDeletion": true,
    }])
}

/// The hash of a pod template, in letters, as it stands in names and labels.
///
/// Equal templates have equal hashes; the letters are not those of a real cluster, whose hash is over Go's memory layout.
pub(super) fn template_hash(template: &Value) -> String {
    let text = template.to_string();
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mut chance = crate::clock::Chance::new(hash);
    chance.suffix(9)
}
