//! `VirtualServices` and `DestinationRules`.
//!
//! **Source**: Istio's reference of `networking.istio.io/v1`: the first route that matches, weights in proportion, one destination without weight
//! gets all.

use super::matching::Match;
use super::{Destination, Eye, Plane, Rule, is_host, labels_of, normalise, service_named};
use crate::json::{dig, list, text};
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::Value;

pub(super) fn plane(eye: &Eye<'_>, host: &str, service: Option<&Key>) -> Option<Plane> {
    let routes = eye
        .candidates(kinds::VIRTUAL_SERVICE, service)
        .find(|routes| {
            let hosts = list(routes, &["spec", "hosts"]);
            let mut hosts = hosts.iter().filter_map(Value::as_str);
            hosts.any(|named| is_host(named, routes.namespace(), host, service))
        })?;
    let mut rules = Vec::new();
    for route in list(routes, &["spec", "http"]) {
        rules.extend(rules_of(eye, routes, route));
    }
    Some(Plane {
        rules,
        source: format!("VirtualService {}/{}", routes.namespace(), routes.name()),
    })
}

/// A route, or those of the `VirtualService` that it delegates to.
fn rules_of(eye: &Eye<'_>, routes: &Object, route: &Value) -> Vec<Rule> {
    let delegate = dig(route, &["delegate"]);
    if delegate.is_null() {
        return vec![rule(eye, routes, route)];
    }
    let namespace = match text(delegate, &["namespace"]) {
        "" => routes.namespace(),
        named => named,
    };
    let key = Key::new(namespace, text(delegate, &["name"]));
    let Some(inner) = eye.store.get(kinds::VIRTUAL_SERVICE, &key) else {
        return Vec::new();
    };
    list(inner, &["spec", "http"])
        .iter()
        .map(|route| rule(eye, inner, route))
        .collect()
}

fn rule(eye: &Eye<'_>, routes: &Object, route: &Value) -> Rule {
    let mut destinations: Vec<Destination> = list(route, &["route"])
        .iter()
        .map(|entry| {
            let weight = dig(entry, &["weight"]).as_f64().unwrap_or(0.0);
            destination(
                eye,
                routes.namespace(),
                dig(entry, &["destination"]),
                weight,
            )
        })
        .collect();
    normalise(&mut destinations);
    let percent = dig(route, &["mirrorPercentage", "value"])
        .as_f64()
        .unwrap_or(100.0);
    let mirror = dig(route, &["mirror"]);
    Rule {
        matches: list(route, &["match"])
            .iter()
            .map(Match::of_istio)
            .collect(),
        destinations,
        mirror: mirror
            .is_object()
            .then(|| destination(eye, routes.namespace(), mirror, percent / 100.0)),
    }
}

fn destination(eye: &Eye<'_>, namespace: &str, to: &Value, share: f64) -> Destination {
    let service = service_named(text(to, &["host"]), namespace);
    match text(to, &["subset"]) {
        "" => eye.destination(&service, share, &[]),
        subset => {
            let labels = subset_labels(eye, &service, subset).unwrap_or_default();
            let mut found = eye.destination(&service, share, &labels);
            found.service = format!("{}@{subset}", found.service);
            if labels.is_empty() {
                // Envoy has no cluster for a subset that no rule defines.
                found.backends.clear();
            }
            found
        }
    }
}

fn subset_labels(eye: &Eye<'_>, service: &Key, name: &str) -> Option<Vec<(String, String)>> {
    let rules = eye
        .store
        .in_namespace(kinds::DESTINATION_RULE, &service.namespace);
    rules
        .filter(|rule| service_named(text(rule, &["spec", "host"]), rule.namespace()) == *service)
        .flat_map(|rule| list(rule, &["spec", "subsets"]))
        .find(|subset| text(subset, &["name"]) == name)
        .map(labels_of)
}
