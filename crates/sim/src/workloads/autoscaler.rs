//! The horizontal autoscaler: it wants what the script says, within its bounds.

use super::conditions::Condition;
use crate::json::{dig, int, list, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::Key;
use serde_json::json;
use std::sync::Arc;

pub(super) fn sync(api: &mut Api, key: &Key, by: &Arc<str>, wish: Option<i64>) {
    let Some(scaler) = api.store.get(kinds::AUTOSCALER, key).cloned() else {
        return;
    };
    if scaler.is_going() || text(&scaler, &["spec", "scaleTargetRef", "kind"]) != "Deployment" {
        return;
    }
    let target = Key::new(
        key.namespace.as_str(),
        text(&scaler, &["spec", "scaleTargetRef", "name"]),
    );
    let stamp = api.clock.stamp();
    let live = api.store.get(kinds::DEPLOYMENT, &target);
    let current = live.and_then(|live| int(live, &["spec", "replicas"]));
    let (status, reason) = match current {
        None => ("False", "FailedGetScale"),
        Some(0) => ("False", "ScalingDisabled"),
        Some(_) => ("True", "ValidMetricFound"),
    };
    let least = int(&scaler, &["spec", "minReplicas"]).unwrap_or(1);
    let most = int(&scaler, &["spec", "maxReplicas"])
        .unwrap_or(least)
        .max(least);
    let current = current.unwrap_or(0);
    let desired = if current == 0 {
        0
    } else {
        wish.unwrap_or(current).clamp(least, most)
    };
    if desired != current {
        api.edit(kinds::DEPLOYMENT, &target, by, "scale", |live| {
            set(live, &["spec", "replicas"], desired);
        });
    }
    api.edit(kinds::AUTOSCALER, key, by, "status", |live| {
        let mut conditions = list(live, &["status", "conditions"]).to_vec();
        let active = Condition {
            kind: "ScalingActive",
            status,
            reason,
            message: String::new(),
        };
        active.put(&mut conditions, &stamp);
        let mut status = json!({
            "conditions": conditions, "currentReplicas": current, "desiredReplicas": desired,
        });
        let when = if desired == current {
            dig(live, &["status", "lastScaleTime"]).clone()
        } else {
            stamp.into()
        };
        if !when.is_null() {
            set(&mut status, &["lastScaleTime"], when);
        }
        set(live, &["status"], status);
    });
}
