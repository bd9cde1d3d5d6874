//! The `Scaler` seam: what scales the target, and the copy of it that scales the primary.

mod hpa;
mod keda;

use serde_json::Value;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Kind, Write};
use slipway_core::plan::{AutoscalerKind, Problem};

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
}

/// The codec of a kind of scaler.
pub fn scaler(kind: AutoscalerKind) -> &'static dyn Scaler {
    match kind {
        AutoscalerKind::Hpa => &hpa::Hpa,
        AutoscalerKind::Keda => &keda::Keda,
    }
}
