//! Whether the parents of a route have accepted it as it stands.
//!
//! ```text
//!  absent, stale ──► pending      Accepted and ResolvedRefs True, for this generation ──► accepted      False ──► refused, and why
//! ```
//!
//! **Source**: FC-026, the reference of `RouteStatus`. **Differs from Flagger**, which does not look at a parent that has said nothing, nor at
//! references, nor at `v1beta1` at all.

use serde_json::Value;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::Key;
use slipway_core::observation::Standing;
use slipway_core::plan::Problem;

use super::parents::{self, text};

/// What one parent has said.
enum Said {
    Yes,
    Nothing,
    No(Problem),
}

pub(super) fn standing(
    blueprint: &Blueprint<'_>,
    key: &Key,
    route: Option<&Value>,
    wanted: &[Value],
    missing: &[Key],
) -> Standing {
    let namespace = &blueprint.plan.canary.namespace;
    if let Some((at, gateway)) = first_missing(blueprint, missing) {
        let allowed = format!("but no {gateway} is known here; create it, or name another");
        let field = format!("spec.service.gatewayRefs[{at}].name");
        return Standing::Refused(Problem::new(field, &gateway.name, allowed));
    }
    let waits_for = |parent: &Value| {
        Standing::Pending(format!(
            "{key} to be accepted by {}",
            parents::name(parent, namespace)
        ))
    };
    let Some(route) = route else {
        return wanted.first().map_or(Standing::Accepted, waits_for);
    };
    let live = route.pointer("/spec/parentRefs").and_then(Value::as_array);
    let is_attached = |parent: &Value| {
        let mut live = live.into_iter().flatten();
        live.any(|it| parents::is_same(it, parent, namespace))
    };
    let mut pending = None;
    for parent in wanted {
        // What stands is not what is wanted yet: nothing that was said of it counts.
        let said = if is_attached(parent) {
            of_parent(route, parent, key, namespace)
        } else {
            Said::Nothing
        };
        match said {
            Said::Yes => {}
            Said::Nothing => pending = pending.or_else(|| Some(waits_for(parent))),
            Said::No(problem) => return Standing::Refused(problem),
        }
    }
    pending.unwrap_or(Standing::Accepted)
}

fn first_missing<'a>(blueprint: &Blueprint<'_>, missing: &'a [Key]) -> Option<(usize, &'a Key)> {
    let gateway = missing.first()?;
    let named = &blueprint.canary.spec.service.gateway_refs;
    let at = named
        .iter()
        .position(|reference| text(reference, "name") == gateway.name);
    Some((at.unwrap_or_default(), gateway))
}

/// Several controllers may speak for one parent: one that accepts is enough.
fn of_parent(route: &Value, parent: &Value, key: &Key, namespace: &str) -> Said {
    let entries = route.pointer("/status/parents").and_then(Value::as_array);
    let of_it = entries.into_iter().flatten().filter(|entry| {
        let reference = entry.get("parentRef");
        reference.is_some_and(|reference| parents::is_same(reference, parent, namespace))
    });
    let generation = route
        .pointer("/metadata/generation")
        .and_then(Value::as_i64);
    let mut found = Said::Nothing;
    for entry in of_it {
        match of_entry(
            entry,
            generation,
            &Seat {
                route,
                key,
                parent: &parents::name(parent, namespace),
                namespace,
            },
        ) {
            Said::Yes => return Said::Yes,
            Said::Nothing => {}
            no @ Said::No(_) => found = no,
        }
    }
    found
}

/// Of which route and which of its parents something is said.
struct Seat<'a> {
    route: &'a Value,
    key: &'a Key,
    parent: &'a str,
    namespace: &'a str,
}

fn of_entry(entry: &Value, generation: Option<i64>, seat: &Seat<'_>) -> Said {
    let mut is_accepted = false;
    for type_ in ["Accepted", "ResolvedRefs"] {
        let Some(condition) = condition(entry, type_) else {
            continue;
        };
        let observed = condition.get("observedGeneration").and_then(Value::as_i64);
        if observed.is_some_and(|observed| Some(observed) < generation) {
            return Said::Nothing;
        }
        match text(condition, "status") {
            "True" => is_accepted |= type_ == "Accepted",
            "False" => return Said::No(seat.refusal(condition, type_)),
            _ => return Said::Nothing,
        }
    }
    if is_accepted {
        Said::Yes
    } else {
        Said::Nothing
    }
}

fn condition<'a>(entry: &'a Value, type_: &str) -> Option<&'a Value> {
    let conditions = entry.get("conditions")?.as_array()?;
    conditions
        .iter()
        .find(|condition| text(condition, "type") == type_)
}

impl Seat<'_> {
    fn refusal(&self, condition: &Value, type_: &str) -> Problem {
        let (reason, message) = (text(condition, "reason"), text(condition, "message"));
        let value = if message.is_empty() {
            format!("False ({reason})")
        } else {
            format!("False ({reason}: {message})")
        };
        let field = format!("status.parents[{}].conditions[{type_}]", self.parent);
        let allowed = format!("must be True{}", self.remedy(reason));
        Problem::new(field, value, allowed).of(self.key.to_string())
    }

    /// What is to be done about a refusal. **Source**: the reasons of `RouteConditionReason`.
    fn remedy(&self, reason: &str) -> String {
        let Self {
            parent, namespace, ..
        } = self;
        match reason {
            "NotAllowedByListeners" => format!(
                ": a listener of {parent} must allow routes of namespace {namespace} (allowedRoutes)"
            ),
            "NoMatchingListenerHostname" => {
                format!(": a listener of {parent} must have one of spec.service.hosts")
            }
            "NoMatchingParent" => {
                format!(": {parent} must have the sectionName and port of spec.service.gatewayRefs")
            }
            "UnsupportedValue" => {
                ": what the Canary asks for, its implementation cannot do".to_owned()
            }
            "RefNotPermitted" => format!(": {}", self.grant()),
            "BackendNotFound" => ": the Services that it names must exist".to_owned(),
            _ => String::new(),
        }
    }

    /// The object that lets the route refer to a Service of another namespace.
    fn grant(&self) -> String {
        let mut namespaces = Vec::new();
        foreign(
            self.route.get("spec").unwrap_or(&Value::Null),
            self.namespace,
            &mut namespaces,
        );
        let place = match namespaces.as_slice() {
            [] => "the namespace of the Service that is referred to".to_owned(),
            known => format!("namespace {}", known.join(" and ")),
        };
        let (kind, own) = (self.key.kind, self.namespace);
        format!(
            "create a ReferenceGrant in {place}, from {kind} of gateway.networking.k8s.io in namespace {own} to Service"
        )
    }
}

/// The other namespaces whose Services a route refers to.
fn foreign<'a>(place: &'a Value, own: &str, found: &mut Vec<&'a str>) {
    match place {
        Value::Array(list) => list.iter().for_each(|it| foreign(it, own, found)),
        Value::Object(fields) => {
            let namespace = text(place, "namespace");
            let is_service = matches!(text(place, "kind"), "" | "Service");
            let is_other = !namespace.is_empty() && namespace != own && is_service;
            if is_other && !found.contains(&namespace) {
                found.push(namespace);
            }
            let below = fields.iter().filter(|(field, _)| *field != "parentRefs");
            below.for_each(|(_, it)| foreign(it, own, found));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
