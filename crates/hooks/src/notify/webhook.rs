//! A receiver of any kind: a plain JSON body, for what no chat is.
//!
//! **Shape**: `{"source": "slipway", "id": …, "severity": "info" | "warn" | "error", "namespace": …, "name": …, "text": …, "facts": {NAME: VALUE}}`.
//! `id` is what stands in the header `Idempotency-Key`: a repeated alert has the same. A token of the Secret is sent as `Authorization: Bearer`.
//!
//! **Differs from Flagger**: it has no such type.

use std::collections::BTreeMap;

use http::Request;
use serde::Serialize;
use slipway_api::AlertLevel;

use super::{Alert, Destination, Notifier, NotifyError, authorised, post};

/// The codec.
pub(super) struct Webhook;

impl Notifier for Webhook {
    fn request(&self, alert: &Alert, to: &Destination) -> Result<Request<Vec<u8>>, NotifyError> {
        authorised(post(to.address()?, alert, to, &Message::new(alert))?, to)
    }
}

/// The body.
#[derive(Serialize)]
struct Message<'a> {
    source: &'static str,
    id: &'a str,
    severity: AlertLevel,
    namespace: &'a str,
    name: &'a str,
    text: String,
    facts: BTreeMap<&'static str, String>,
}

impl<'a> Message<'a> {
    fn new(alert: &'a Alert) -> Self {
        Self {
            source: "slipway",
            id: &alert.key,
            severity: alert.level,
            namespace: &alert.canary.namespace,
            name: &alert.canary.name,
            text: alert.text(),
            facts: alert.facts().collect(),
        }
    }
}
