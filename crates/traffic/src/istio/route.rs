//! The routes of a VirtualService: which lead to us, what they look like, and where they stand among others.

use serde_json::{Map, Value, json};
use slipway_api::{CanaryService, GoInt};
use slipway_core::blueprint::Blueprint;
use slipway_core::plan::{Names, Plan, Problem};
use slipway_core::weight::{Routes, Weight};

use crate::affinity::{Affinity, Cookie};
use crate::share::share;

/// Which list of routes is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http,
    Tcp,
}

impl Protocol {
    pub(super) fn of(service: &CanaryService) -> Self {
        let protocol = service.app_protocol.as_deref().unwrap_or_default();
        if protocol.eq_ignore_ascii_case("tcp") {
            Self::Tcp
        } else {
            Self::Http
        }
    }

    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
        }
    }
}

/// The fields of a route that a Canary has words for: they are as it says, and absent where it says nothing. Every other field of a route
/// that leads to us (`name`, `fault`, what is newer than this code) stays as it was found.
const WORDS: [&str; 7] = [
    "match",
    "route",
    "rewrite",
    "timeout",
    "retries",
    "corsPolicy",
    "headers",
];
/// The fields that say where copies of requests go.
const MIRRORS: [&str; 3] = ["mirror", "mirrorPercentage", "mirrors"];

/// The two sides of an apex, as destinations.
pub(super) struct Sides<'a> {
    names: &'a Names,
    namespace: &'a str,
    port: Option<u16>,
}

impl<'a> Sides<'a> {
    /// `port`: the port that destinations name.
    pub(super) fn of(plan: &'a Plan, port: Option<u16>) -> Self {
        Self {
            names: &plan.names,
            namespace: &plan.canary.namespace,
            port,
        }
    }

    /// All routes of the list: those that stand there and lead elsewhere, and ours.
    pub(super) fn routes(
        &self,
        blueprint: &Blueprint<'_>,
        stands: &[Value],
        want: Routes,
    ) -> Vec<Value> {
        let canary = blueprint.canary;
        let ours = stands.iter().rev().find(|route| self.is_ours(route));
        let base = ours
            .map(|route| self.without_words(route))
            .unwrap_or_default();
        let generated = match Protocol::of(&canary.spec.service) {
            Protocol::Http => self.http(blueprint, base, want),
            Protocol::Tcp => vec![self.tcp(&canary.spec.service, base, want)],
        };
        self.among(stands, generated)
    }

    /// A copy that goes elsewhere than to the canary is the user's.
    fn without_words(&self, route: &Value) -> Map<String, Value> {
        let mut fields = route.as_object().cloned().unwrap_or_default();
        let ours: &[&str] = if self.is_mirrored(route) {
            &MIRRORS
        } else {
            &[]
        };
        fields
            .retain(|field, _| !WORDS.contains(&field.as_str()) && !ours.contains(&field.as_str()));
        fields
    }

    fn is_mirrored(&self, route: &Value) -> bool {
        let mirror = route
            .get("mirror")
            .and_then(|mirror| mirror.get("host")?.as_str());
        mirror.is_some_and(|host| self.is(host, &self.names.canary_service))
    }

    /// **Source**: dossier 02 A.6. **Differs from Flagger**: the second route of A/B testing has weight 100, not the primary's share of the
    /// first (F-18: a single destination of weight 0).
    fn http(
        &self,
        blueprint: &Blueprint<'_>,
        base: Map<String, Value>,
        want: Routes,
    ) -> Vec<Value> {
        let service = &blueprint.canary.spec.service;
        let analysis = blueprint.canary.spec.analysis_in_force();
        let selected = analysis.map_or(&[][..], |analysis| &analysis.match_);
        let mut rest = base;
        rest.extend(attributes(service));
        if !service.match_.is_empty() {
            rest.insert("match".into(), json!(service.match_));
        }
        if want.mirrored {
            // On every route of ours: what stands there is the base of the next rendering, where the user's copies are not told from ours.
            rest.retain(|field, _| !MIRRORS.contains(&field.as_str()));
        }
        let mut split = rest.clone();
        split.insert("route".into(), self.split(want));
        if want.mirrored {
            let weight = analysis
                .map(|analysis| analysis.mirror_weight)
                .unwrap_or_default();
            split.extend(self.mirror(weight));
        }
        if let Some(affinity) = Affinity::of(blueprint) {
            return self.kept(&affinity, service, &rest, split, want);
        }
        if selected.is_empty() {
            return vec![Value::Object(split)];
        }
        split.insert(
            "match".into(),
            Value::Array(merged(selected, &service.match_)),
        );
        let for_all = if want.everyone {
            &self.names.canary_service
        } else {
            &self.names.primary_service
        };
        rest.insert(
            "route".into(),
            json!([self.destination(for_all, Weight::FULL)]),
        );
        vec![Value::Object(split), Value::Object(rest)]
    }

    /// The routes of users who were met before, and the weighted one behind them, which gives the cookies out.
    ///
    /// **Differs from Flagger**: the attributes of the service hold on every route; with all traffic on the canary nobody is kept on the primary,
    /// which may be gone (P2); no route stands twice (F-15).
    fn kept(
        &self,
        affinity: &Affinity<'_>,
        service: &CanaryService,
        rest: &Map<String, Value>,
        split: Map<String, Value>,
        want: Routes,
    ) -> Vec<Value> {
        let kept = |cookie: Cookie<'_>, to: Routes| {
            let mut route = rest.clone();
            route.insert("match".into(), carrying(cookie, &service.match_));
            route.insert("route".into(), self.split(to));
            Value::Object(route)
        };
        let mut split = Value::Object(split);
        let mut routes = Vec::new();
        if want.canary.is_zero() {
            if let Some(stale) = affinity.stale() {
                let mut expiring = kept(stale, Routes::PRIMARY);
                set_cookie(&mut expiring, affinity.expire(stale));
                routes.push(expiring);
            }
        } else if let Some(cookie) = affinity.canary() {
            routes.push(kept(cookie, Routes::to_canary(Weight::FULL)));
            let primary = affinity.primary().filter(|_| want.canary != Weight::FULL);
            routes.extend(primary.map(|cookie| kept(cookie, Routes::PRIMARY)));
            let texts = [
                primary.map(|cookie| affinity.set_primary(cookie)),
                Some(affinity.set_canary(cookie)),
            ];
            for (side, text) in texts.into_iter().enumerate() {
                let destination = split.pointer_mut(&format!("/route/{side}"));
                if let (Some(destination), Some(text)) = (destination, text) {
                    set_cookie(destination, text);
                }
            }
        }
        routes.push(split);
        routes
    }

    fn tcp(&self, service: &CanaryService, base: Map<String, Value>, want: Routes) -> Value {
        let mut route = base;
        let port = |entry: &Value| match entry.get("port").and_then(Value::as_i64) {
            Some(port) if port != 0 => json!({"port": port}),
            Some(_) | None => json!({}),
        };
        if !service.match_.is_empty() {
            route.insert("match".into(), service.match_.iter().map(port).collect());
        }
        route.insert("route".into(), self.split(want));
        Value::Object(route)
    }

    fn split(&self, want: Routes) -> Value {
        json!([
            self.destination(&self.names.primary_service, want.primary()),
            self.destination(&self.names.canary_service, want.canary),
        ])
    }

    fn destination(&self, host: &str, weight: Weight) -> Value {
        let mut destination = json!({"host": host});
        if let (Some(port), Some(fields)) = (self.port, destination.as_object_mut()) {
            fields.insert("port".into(), json!({"number": port}));
        }
        json!({"destination": destination, "weight": weight.percent()})
    }

    /// Without a share of its own, every request is copied.
    fn mirror(&self, weight: GoInt) -> Map<String, Value> {
        let mut fields =
            Map::from_iter([("mirror".into(), json!({"host": self.names.canary_service}))]);
        if weight.as_f64() > 0.0 {
            fields.insert("mirrorPercentage".into(), json!({"value": weight}));
        }
        fields
    }

    /// The list with our routes in the place of those that led to us, in the order of the others.
    ///
    /// A route of ours that takes every request must not come to stand before others that it would take the requests of: where it replaces one
    /// that took fewer, it moves behind them, but before another that takes every request.
    fn among(&self, stands: &[Value], generated: Vec<Value>) -> Vec<Value> {
        let takes_all = generated.last().is_some_and(takes_every_request);
        let place = stands
            .iter()
            .rposition(|route| self.is_ours(route))
            .filter(|place| !takes_all || stands.get(*place).is_some_and(takes_every_request));
        let place = place.unwrap_or_else(|| {
            let other = stands
                .iter()
                .position(|route| !self.is_ours(route) && takes_every_request(route));
            other.unwrap_or(stands.len())
        });
        let others = |routes: &[Value]| -> Vec<Value> {
            routes
                .iter()
                .filter(|route| !self.is_ours(route))
                .cloned()
                .collect()
        };
        let (before, after) = stands.split_at(place);
        [others(before), generated, others(after)].concat()
    }

    /// What the last route to the canary says: the routes before it are those of a match.
    ///
    /// # Errors
    /// Both weights are 0.
    pub(super) fn read(
        &self,
        protocol: Protocol,
        routes: &[Value],
    ) -> Result<Option<Routes>, Problem> {
        let canary_service = &self.names.canary_service;
        let leads_to_canary = |route: &&Value| self.weight(route, canary_service).is_some();
        let Some(route) = routes.iter().rev().find(leads_to_canary) else {
            return Ok(None);
        };
        let weight = |service| self.weight(route, service).unwrap_or_default();
        let shares = (weight(&self.names.primary_service), weight(canary_service));
        let Some(canary) = share(shares.0, shares.1) else {
            let allowed = "must be more than 0 for the primary or the canary";
            let field = format!("spec.{}[].route[].weight", protocol.field());
            return Err(Problem::new(field, 0, allowed));
        };
        Ok(Some(Routes {
            canary,
            mirrored: self.is_mirrored(route),
            everyone: false,
        }))
    }

    /// The weight of a side in a route; a lone destination has all of it. `None`: the route does not lead there.
    fn weight(&self, route: &Value, service: &str) -> Option<i64> {
        let list = route.get("route")?.as_array()?;
        let destination = list
            .iter()
            .find(|entry| host(entry).is_some_and(|host| self.is(host, service)))?;
        let weight = destination
            .get("weight")
            .and_then(Value::as_i64)
            .unwrap_or_default();
        Some(if list.len() == 1 { 100 } else { weight })
    }

    /// Whether a route leads to the apex, the primary or the canary.
    fn is_ours(&self, route: &Value) -> bool {
        let Names {
            apex,
            primary_service,
            canary_service,
            primary: _,
        } = self.names;
        self.leads_to(route, &[apex, primary_service, canary_service])
    }

    fn leads_to(&self, route: &Value, services: &[&str]) -> bool {
        let destinations = route.get("route").and_then(Value::as_array);
        let mut hosts = destinations.into_iter().flatten().filter_map(host);
        hosts.any(|host| services.iter().any(|service| self.is(host, service)))
    }

    pub(super) fn is_apex(&self, host: &str) -> bool {
        self.is(host, &self.names.apex)
    }

    /// Whether a host is that Service of ours, by its short name or a longer one.
    fn is(&self, host: &str, service: &str) -> bool {
        let Some(rest) = host.strip_prefix(service) else {
            return false;
        };
        if rest.is_empty() {
            return true;
        }
        let domain = rest
            .strip_prefix('.')
            .and_then(|rest| rest.strip_prefix(self.namespace));
        domain.is_some_and(|domain| {
            domain.is_empty() || domain == ".svc" || domain.starts_with(".svc.")
        })
    }

    /// Turns every route to the primary or the canary towards the apex.
    pub(super) fn lead_home(&self, spec: &mut Value) {
        for protocol in [Protocol::Http, Protocol::Tcp] {
            let routes = spec.get_mut(protocol.field()).and_then(Value::as_array_mut);
            for route in routes.into_iter().flatten() {
                self.lead_route_home(route);
            }
        }
    }

    fn lead_route_home(&self, route: &mut Value) {
        let canary = &self.names.canary_service;
        let is_mirrored = self.is_mirrored(route);
        let is_led_away = self.leads_to(route, &[&self.names.primary_service, canary]);
        let Some(fields) = route.as_object_mut() else {
            return;
        };
        if is_mirrored {
            fields.retain(|field, _| !MIRRORS.contains(&field.as_str()));
        }
        if is_led_away && let Some(list) = fields.get_mut("route").and_then(Value::as_array_mut) {
            let port = list
                .first()
                .and_then(|entry| entry.get("destination")?.get("port"))
                .cloned();
            let mut destination = Map::from_iter([("host".into(), json!(self.names.apex))]);
            destination.extend(port.map(|port| ("port".into(), port)));
            *list = vec![json!({"destination": destination})];
        }
    }
}

/// The conditions of the service, and that a request carries the cookie. **Differs from Flagger**, where the cookie takes the place of the
/// headers that the service asks for (F-9).
fn carrying(cookie: Cookie<'_>, service: &[Value]) -> Value {
    let (header, pattern) = cookie.condition();
    if service.is_empty() {
        return json!([{"headers": {header: pattern}}]);
    }
    let narrowed = service.iter().map(|entry| {
        let mut entry = entry.clone();
        put(&mut entry, &["headers"], header, pattern.clone());
        entry
    });
    narrowed.collect()
}

/// Adds `Set-Cookie` to the answers of a route or a destination; what else it does to headers stays.
fn set_cookie(place: &mut Value, text: String) {
    put(
        place,
        &["headers", "response", "add"],
        "Set-Cookie",
        text.into(),
    );
}

/// Sets one entry of the map at the end of the path, which is made where it is missing.
fn put(place: &mut Value, path: &[&str], key: &str, value: Value) {
    let mut at = place;
    for part in path {
        if !at.get(part).is_some_and(Value::is_object)
            && let Some(fields) = at.as_object_mut()
        {
            fields.insert((*part).to_owned(), json!({}));
        }
        let Some(below) = at.get_mut(part) else {
            return;
        };
        at = below;
    }
    if let Some(entries) = at.as_object_mut() {
        entries.insert(key.to_owned(), value);
    }
}

fn host(entry: &Value) -> Option<&str> {
    entry.get("destination")?.get("host")?.as_str()
}

/// Whether a route has no condition, or one that every request meets.
fn takes_every_request(route: &Value) -> bool {
    let conditions = route.get("match").and_then(Value::as_array);
    let is_none = |entry: &Value| *entry == json!({}) || *entry == json!({"uri": {"prefix": "/"}});
    conditions.is_none_or(|entries| entries.is_empty() || entries.iter().any(is_none))
}

/// What `spec.service` says about every HTTP route.
fn attributes(service: &CanaryService) -> Map<String, Value> {
    let rewrite = service.rewrite.as_ref().and_then(|rewrite| {
        let parts = [("uri", &rewrite.uri), ("authority", &rewrite.authority)];
        let parts = parts
            .into_iter()
            .filter_map(|(part, text)| Some((part.to_owned(), json!(text.as_ref()?))));
        let parts: Map<String, Value> = parts.collect();
        (!parts.is_empty()).then_some(Value::Object(parts))
    });
    let attributes = [
        ("rewrite", rewrite),
        (
            "timeout",
            service.timeout.as_ref().map(|timeout| json!(timeout)),
        ),
        ("retries", service.retries.clone()),
        ("corsPolicy", service.cors_policy.clone()),
        ("headers", service.headers.clone()),
    ];
    attributes
        .into_iter()
        .filter_map(|(field, value)| Some((field.to_owned(), value?)))
        .collect()
}

/// The conditions of those whom the analysis selects, among those whom the service takes.
///
/// **Source**: dossier 02 A.6: headers and source labels of the analysis replace those of the service, nothing else of it is used when the
/// service has conditions of its own (F-9).
fn merged(selected: &[Value], service: &[Value]) -> Vec<Value> {
    if service.is_empty() {
        return selected.to_vec();
    }
    let pairs = selected
        .iter()
        .flat_map(|selected| service.iter().map(move |service| (selected, service)));
    pairs
        .map(|(selected, service)| narrowed(service, selected))
        .collect()
}

fn narrowed(service: &Value, selected: &Value) -> Value {
    let mut entry = service.as_object().cloned().unwrap_or_default();
    for field in ["headers", "sourceLabels"] {
        let condition = selected
            .get(field)
            .filter(|value| value.as_object().is_some_and(|map| !map.is_empty()));
        entry.extend(condition.map(|value| (field.to_owned(), value.clone())));
    }
    Value::Object(entry)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_ours_by_its_short_name_and_by_every_longer_one() {
        let names = Names {
            apex: "app".into(),
            ..Names::default()
        };
        let sides = Sides {
            names: &names,
            namespace: "test",
            port: None,
        };
        let rows = [
            ("app", true),
            ("app.test", true),
            ("app.test.svc", true),
            ("app.test.svc.cluster.local", true),
            ("app.test.svc.corp.example", true),
            ("application", false),
            ("app-primary", false),
            ("app.other", false),
            ("app.test.example.com", false),
            ("app.testing", false),
            ("web.app", false),
            ("*", false),
        ];
        for (host, expected) in rows {
            assert_eq!(sides.is_apex(host), expected, "{host}");
        }
    }
}
