//! KEDA's operator: an active `ScaledObject` keeps its workload within its bounds, a paused one at the number it names.
//!
//! Its triggers are always active here: with traffic there is something to scale for.

use crate::json::{dig, int, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::Key;
use std::sync::Arc;

const PAUSED: &str = "autoscaling.keda.sh/paused-replicas";

pub(super) fn sync(api: &mut Api, key: &Key, by: &Arc<str>) {
    let Some(scaler) = api.store.get(kinds::SCALED_OBJECT, key).cloned() else {
        return;
    };
    let target = Key::new(
        key.namespace.as_str(),
        text(&scaler, &["spec", "scaleTargetRef", "name"]),
    );
    let live = api.store.get(kinds::DEPLOYMENT, &target);
    let Some(current) = live.and_then(|live| int(live, &["spec", "replicas"])) else {
        return;
    };
    let paused = dig(&scaler, &["metadata", "annotations", PAUSED]).as_str();
    let least = int(&scaler, &["spec", "minReplicaCount"])
        .unwrap_or(0)
        .max(1);
    let most = int(&scaler, &["spec", "maxReplicaCount"])
        .unwrap_or(100)
        .max(least);
    let desired = match paused {
        Some(replicas) => replicas.parse().unwrap_or(current),
        None => current.clamp(least, most),
    };
    if desired != current && !scaler.is_going() {
        api.edit(kinds::DEPLOYMENT, &target, by, "scale", |live| {
            set(live, &["spec", "replicas"], desired);
        });
    }
}
