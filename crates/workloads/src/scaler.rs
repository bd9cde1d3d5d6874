//! The `Scaler` seam: what scales the target, and the copy of it that scales the primary.

mod hpa;
mod keda;

use serde_json::{Value, json};
use slipway_api::names::HELD_LEAST;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Write};
use slipway_core::plan::{AutoscalerKind, Problem};

use crate::json::put;

/// A kind of scaler.
pub trait Scaler: Send + Sync {
    /// The kind of the object, of the target's scaler and of the primary's.
    fn kind(&self) -> Kind;

    /// The write that makes the primary's scaler from the target's. `live` is the primary's as it is.
    ///
    /// # Errors
    /// The primary's scaler belongs to another Canary; the target's has no spec; the plan names no scaler.
    fn primary(
        &self,
        blueprint: &Blueprint<'_>,
        scaler: &Value,
        live: Option<&Value>,
    ) -> Result<Write, Problem>;

    /// The write that keeps the target's scaler from scaling it up while it is meant to be at zero; none where zero is enough.
    fn pause(&self, scaler: &Value) -> Option<Write>;

    /// The write that lets the target's scaler work again.
    fn resume(&self, scaler: &Value) -> Option<Write>;

    /// The least number of replicas that the scaler goes to, at least 1.
    fn least(&self, scaler: &Value) -> i64;

    /// The fields of the spec that bound it: the least, the most.
    fn bounds(&self) -> (&'static str, &'static str);

    /// Keeps a primary's scaler from going below so many replicas, at most what it allows; what it says itself is noted on it. Whether it was changed.
    fn hold(&self, scaler: &mut Value, replicas: i64) -> bool {
        let (least, most) = self.bounds();
        let number = |scaler: &Value, field: &str| {
            let found = scaler.pointer(&format!("/spec/{field}"));
            found.and_then(Value::as_i64)
        };
        let most = number(scaler, most).unwrap_or(replicas);
        let (own, bounded) = (number(scaler, least), replicas.min(most));
        if own.unwrap_or(0) >= bounded {
            return false;
        }
        let is_noted = noted(scaler).is_some();
        put(scaler, &["spec", least], bounded);
        if !is_noted {
            let note = own.map_or_else(String::new, |own| own.to_string());
            put(scaler, &["metadata", "annotations", HELD_LEAST], note);
        }
        true
    }

    /// The write that holds a primary's scaler as it is; none where it goes no lower anyway.
    fn held(&self, scaler: &Value, replicas: i64) -> Option<Write> {
        let (least, _) = self.bounds();
        let mut holds = scaler.clone();
        self.hold(&mut holds, replicas).then(|| {
            let bound = holds.pointer(&format!("/spec/{least}"));
            let note = noted(&holds).unwrap_or_default();
            let patch =
                json!({"metadata": {"annotations": {HELD_LEAST: note}}, "spec": {least: bound}});
            let key = key_of(self.kind(), scaler);
            Write::Merge { key, patch }
        })
    }

    /// The write that lets a held one go; none where it is not held.
    fn released(&self, scaler: &Value) -> Option<Write> {
        let (least, _) = self.bounds();
        let own = noted(scaler)?.parse::<i64>().ok();
        let patch = json!({"metadata": {"annotations": {HELD_LEAST: null}}, "spec": {least: own}});
        let key = key_of(self.kind(), scaler);
        Some(Write::Merge { key, patch })
    }
}

/// What a held scaler says itself, as it is noted on it.
fn noted(scaler: &Value) -> Option<&str> {
    let annotations = scaler.pointer("/metadata/annotations")?;
    annotations.get(HELD_LEAST)?.as_str()
}

/// The key of an object of that kind.
fn key_of(kind: Kind, object: &Value) -> Key {
    let text = |pointer: &str| {
        let text = object.pointer(pointer).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    kind.named(&text("/metadata/namespace"), &text("/metadata/name"))
}

/// The codec of a kind of scaler.
pub fn scaler(kind: AutoscalerKind) -> &'static dyn Scaler {
    match kind {
        AutoscalerKind::Hpa => &hpa::Hpa,
        AutoscalerKind::Keda => &keda::Keda,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scaler after a merge patch of its spec and annotations.
    fn patched(scaler: &Value, write: Option<Write>) -> Value {
        let mut scaler = scaler.clone();
        let Some(Write::Merge { patch, .. }) = write else {
            return scaler;
        };
        for path in [["metadata", "annotations"].as_slice(), &["spec"]] {
            let pointer = format!("/{}", path.join("/"));
            let fields = patch.pointer(&pointer).and_then(Value::as_object);
            for (field, value) in fields.into_iter().flatten() {
                put(
                    &mut scaler,
                    &[path, &[field.as_str()]].concat(),
                    value.clone(),
                );
            }
        }
        scaler
    }

    #[test]
    fn a_held_scaler_goes_no_lower_and_says_again_what_it_said() {
        // The fields of the bounds, what it says, how many are held, what it says then.
        let rows = [
            (AutoscalerKind::Hpa, Some(2), 9, 6, 6),
            (AutoscalerKind::Hpa, None, 9, 6, 6),
            (AutoscalerKind::Hpa, Some(2), 4, 6, 4),
            (AutoscalerKind::Hpa, Some(7), 9, 6, 7),
            (AutoscalerKind::Keda, Some(0), 9, 3, 3),
        ];
        for (kind, own, most, replicas, expected) in rows {
            let scaler = scaler(kind);
            let (least, greatest) = scaler.bounds();
            let mut live = json!({"metadata": {"name": "app-primary", "namespace": "test"}, "spec": {greatest: most}});
            if let Some(own) = own {
                put(&mut live, &["spec", least], own);
            }
            let held = patched(&live, scaler.held(&live, replicas));
            let row = format!("{kind:?} {own:?} {most} {replicas}: {held}");
            assert_eq!(held["spec"][least], expected, "{row}");
            assert!(scaler.held(&held, replicas).is_none(), "{row}");
            let again = patched(&held, scaler.released(&held));
            assert_eq!(again["spec"][least], json!(own), "{row}");
            assert!(noted(&again).is_none(), "{row}");
            assert!(scaler.released(&again).is_none(), "{row}");
        }
    }
}
