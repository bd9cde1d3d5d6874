//! `TrafficSplits`, as Linkerd reads them: requests for the apex Service are split over its backends.

use super::{Destination, Eye, Plane, Rule, normalise, service_named};
use crate::json::{dig, list, text};
use crate::server::kinds;
use crate::server::store::Key;
use serde_json::Value;

pub(super) fn plane(eye: &Eye<'_>, _: &str, service: Option<&Key>) -> Option<Plane> {
    let service = service?;
    let split = eye
        .candidates(kinds::TRAFFIC_SPLIT, Some(service))
        .find(|split| {
            service_named(text(split, &["spec", "service"]), split.namespace()) == *service
        })?;
    let mut destinations: Vec<Destination> = list(split, &["spec", "backends"])
        .iter()
        .map(|backend| {
            let named = service_named(text(backend, &["service"]), split.namespace());
            eye.destination(&named, quantity(dig(backend, &["weight"])), &[])
        })
        .collect();
    if destinations.iter().all(|it| it.share <= 0.0) {
        // Without any weight, Linkerd sends to the apex itself.
        destinations = vec![eye.destination(service, 1.0, &[])];
    }
    normalise(&mut destinations);
    Some(Plane {
        rules: vec![Rule::to(destinations)],
        source: format!("TrafficSplit {}/{}", split.namespace(), split.name()),
    })
}

/// A number, or a quantity such as `500m` (v1alpha1).
fn quantity(weight: &Value) -> f64 {
    match weight.as_str() {
        None => weight.as_f64().unwrap_or(0.0),
        Some(text) => match text.strip_suffix('m') {
            Some(thousandths) => thousandths.parse::<f64>().unwrap_or(0.0) / 1000.0,
            None => text.parse().unwrap_or(0.0),
        },
    }
}
