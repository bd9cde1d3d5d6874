//! `HTTPRoutes`, for a host name or for a Service as parent, the standard ones and Linkerd's own. One that its parents refuse routes nothing.
//!
//! **Source**: the Gateway API's reference: weights in proportion with a default of 1, the narrowest match first, then the order of the rules.

use super::matching::Match;
use super::{Destination, Eye, Plane, Rule, is_host, normalise};
use crate::json::{dig, int, list, text};
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::Value;

pub(super) fn plane(eye: &Eye<'_>, host: &str, service: Option<&Key>) -> Option<Plane> {
    let mut routes = [
        kinds::HTTP_ROUTE,
        kinds::LINKERD_HTTP_ROUTE,
        kinds::GRPC_ROUTE,
    ]
    .into_iter()
    .flat_map(|kind| eye.candidates(kind, service));
    let route = routes.find(|route| is_about(route, host, service) && !is_refused(route))?;
    let mut rules: Vec<Rule> = list(route, &["spec", "rules"])
        .iter()
        .map(|it| rule(eye, route, it))
        .collect();
    let narrowness = |rule: &Rule| {
        rule.matches
            .iter()
            .map(Match::narrowness)
            .max()
            .unwrap_or(0)
    };
    rules.sort_by_key(|rule| std::cmp::Reverse(narrowness(rule)));
    Some(Plane {
        rules,
        source: format!(
            "{} {}/{}",
            text(route, &["kind"]),
            route.namespace(),
            route.name()
        ),
    })
}

fn is_about(route: &Object, host: &str, service: Option<&Key>) -> bool {
    let names_host = list(route, &["spec", "hostnames"])
        .iter()
        .filter_map(Value::as_str)
        .any(|named| is_host(named, route.namespace(), host, service));
    let has_parent = list(route, &["spec", "parentRefs"]).iter().any(|parent| {
        text(parent, &["kind"]) == "Service"
            && service.is_some_and(|service| reference(route, parent) == *service)
    });
    names_host || has_parent
}

/// Whether every parent that has spoken of it as it stands has refused it.
fn is_refused(route: &Object) -> bool {
    let generation = int(route, &["metadata", "generation"]);
    let conditions = list(route, &["status", "parents"])
        .iter()
        .flat_map(|parent| list(parent, &["conditions"]));
    let accepted: Vec<&str> = conditions
        .filter(|it| text(it, &["type"]) == "Accepted")
        .filter(|it| int(it, &["observedGeneration"]) == generation)
        .map(|it| text(it, &["status"]))
        .collect();
    !accepted.is_empty() && accepted.iter().all(|status| *status == "False")
}

fn reference(route: &Object, to: &Value) -> Key {
    match text(to, &["namespace"]) {
        "" => Key::new(route.namespace(), text(to, &["name"])),
        namespace => Key::new(namespace, text(to, &["name"])),
    }
}

fn rule(eye: &Eye<'_>, route: &Object, rule: &Value) -> Rule {
    let mut destinations: Vec<Destination> = list(rule, &["backendRefs"])
        .iter()
        .map(|to| {
            let weight = dig(to, &["weight"]).as_f64().unwrap_or(1.0);
            eye.destination(&reference(route, to), weight, &[])
        })
        .collect();
    normalise(&mut destinations);
    let filters = list(rule, &["filters"]).iter();
    let mirror = filters
        .map(|filter| dig(filter, &["requestMirror"]))
        .find(|mirror| mirror.is_object());
    let mut matches: Vec<Match> = list(rule, &["matches"])
        .iter()
        .map(Match::of_gateway)
        .collect();
    if matches.iter().any(|it| it.narrowness() == 0) {
        matches.clear();
    }
    Rule {
        matches,
        destinations,
        mirror: mirror.map(|mirror| {
            let to = reference(route, dig(mirror, &["backendRef"]));
            eye.destination(&to, mirrored(mirror), &[])
        }),
    }
}

fn mirrored(mirror: &Value) -> f64 {
    if let Some(percent) = dig(mirror, &["percent"]).as_f64() {
        return percent / 100.0;
    }
    match (
        dig(mirror, &["fraction", "numerator"]).as_f64(),
        int(mirror, &["fraction", "denominator"]),
    ) {
        (None, _) => 1.0,
        (Some(share), None) => share / 100.0,
        (Some(share), Some(of)) => share / of.to_string().parse::<f64>().unwrap_or(100.0),
    }
}
