//! The controllers of gateways and of a mesh: each says in a route's status whether it has accepted the route as it stands.
//!
//! **Source**: the reference of `RouteStatus`. A Gateway that does not exist has nobody who could say anything.

use super::conditions::Condition;
use crate::json::{int, list, set, text};
use crate::server::Api;
use crate::server::kinds::{self, KindId};
use crate::server::store::{Key, Object};
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

/// Who speaks for the parents.
const CONTROLLER: &str = "example.com/gateway-controller";
/// The kinds of route.
pub(super) const ROUTES: [KindId; 3] = [
    kinds::HTTP_ROUTE,
    kinds::LINKERD_HTTP_ROUTE,
    kinds::GRPC_ROUTE,
];

/// What the controllers are made to do.
#[derive(Clone, Debug, Default)]
pub(crate) struct Habits {
    /// How long they take to look at a route.
    pub(crate) lag: Duration,
    /// The condition, reason and message of what they refuse.
    pub(crate) refusal: Option<(String, String, String)>,
}

pub(super) fn sync(api: &mut Api, id: KindId, key: &Key, by: &Arc<str>, habits: &Habits) {
    let Some(route) = api.store.get(id, key).cloned() else {
        return;
    };
    let stamp = api.clock.stamp();
    let before = list(&route, &["status", "parents"]);
    let parents: Vec<Value> = list(&route, &["spec", "parentRefs"])
        .iter()
        .filter_map(|parent| {
            let known = before.iter().find(|it| it.get("parentRef") == Some(parent));
            said(api, &route, parent, known, habits, &stamp)
        })
        .collect();
    api.edit(id, key, by, "status", |live| {
        if !parents.is_empty() || !list(live, &["status", "parents"]).is_empty() {
            set(live, &["status", "parents"], parents);
        }
    });
}

/// What is said for one parent.
fn said(
    api: &Api,
    route: &Object,
    parent: &Value,
    known: Option<&Value>,
    habits: &Habits,
    stamp: &str,
) -> Option<Value> {
    let key = reference(route, parent);
    let is_service = text(parent, &["kind"]) == "Service";
    let kind = if is_service {
        kinds::SERVICE
    } else {
        kinds::GATEWAY
    };
    let found = api.store.get(kind, &key)?;
    let mut accepted = Ok("Accepted".to_owned());
    let mut resolved = missing(api, route);
    if !is_service && !admits(found, route.namespace()) {
        let message = "no listener allows routes of this namespace".to_owned();
        accepted = Err(("NotAllowedByListeners".to_owned(), message));
    }
    if let Some((type_, reason, message)) = &habits.refusal {
        let refusal = Err((reason.clone(), message.clone()));
        match type_.as_str() {
            "ResolvedRefs" => resolved = refusal,
            _ => accepted = refusal,
        }
    }
    let mut conditions = known.map_or_else(Vec::new, |it| list(it, &["conditions"]).to_vec());
    for (type_, outcome) in [("Accepted", accepted), ("ResolvedRefs", resolved)] {
        let (status, reason, message) = match outcome {
            Ok(reason) => ("True", reason, String::new()),
            Err((reason, message)) => ("False", reason, message),
        };
        let condition = Condition {
            kind: type_,
            status,
            reason: &reason,
            message,
        };
        condition.put(&mut conditions, stamp);
    }
    let generation = int(route, &["metadata", "generation"]).unwrap_or(1);
    for condition in &mut conditions {
        set(condition, &["observedGeneration"], generation);
    }
    Some(json!({"parentRef": parent, "controllerName": CONTROLLER, "conditions": conditions}))
}

/// A backend that does not exist.
fn missing(api: &Api, route: &Object) -> Result<String, (String, String)> {
    let rules = list(route, &["spec", "rules"]).iter();
    let mut backends = rules.flat_map(|rule| list(rule, &["backendRefs"]));
    let lost = backends.find(|to| {
        api.store
            .get(kinds::SERVICE, &reference(route, to))
            .is_none()
    });
    match lost {
        None => Ok("ResolvedRefs".to_owned()),
        Some(lost) => {
            let message = format!("Service {} does not exist", text(lost, &["name"]));
            Err(("BackendNotFound".to_owned(), message))
        }
    }
}

fn admits(gateway: &Object, namespace: &str) -> bool {
    list(gateway, &["spec", "listeners"])
        .iter()
        .any(
            |listener| match text(listener, &["allowedRoutes", "namespaces", "from"]) {
                "All" => true,
                _ => gateway.namespace() == namespace,
            },
        )
}

fn reference(route: &Object, to: &Value) -> Key {
    let namespace = match text(to, &["namespace"]) {
        "" => route.namespace(),
        named => named,
    };
    Key::new(namespace, text(to, &["name"]))
}
