//! Istio: a VirtualService of the apex' name, and a DestinationRule for each side.
//!
//! ```text
//!  VirtualService apex ── http or tcp ──► what the user routes elsewhere       kept as it stands
//!                                    └──► what leads to us ──► primary  80 ──► DestinationRule
//!                                                          └─► canary   20 ──► DestinationRule
//! ```
//!
//! `spec.http` is one field to the API server (a list without keys), so writing a weight is writing all routes. Those that do not lead to
//! the apex, the primary or the canary are carried along byte for byte.

mod route;

use serde_json::{Map, Value, json};
use slipway_api::{Canary, CanaryService};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::plan::{Plan, Problem};
use slipway_core::weight::Routes;

use crate::ownership::{Claim, Metadata};
use crate::{Router, problem};
use route::{Protocol, Sides};

/// **Source**: dossier 02 A.6.
pub(crate) struct Istio;

const VIRTUAL_SERVICE: Kind = Kind {
    api_version: "networking.istio.io/v1beta1",
    kind: "VirtualService",
    plural: "virtualservices",
};
const DESTINATION_RULE: Kind = Kind {
    api_version: "networking.istio.io/v1beta1",
    kind: "DestinationRule",
    plural: "destinationrules",
};

/// The gateway that means every sidecar.
const MESH: &str = "mesh";

impl Router for Istio {
    fn kinds(&self, _: &Plan) -> Vec<Kind> {
        vec![VIRTUAL_SERVICE, DESTINATION_RULE]
    }

    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem> {
        let mut problems = Vec::new();
        if Protocol::of(&canary.spec.service) == Protocol::Tcp {
            if problem::is_ab_testing(plan) {
                problems.push(problem::no_match(canary, TCP));
            }
            if problem::is_mirroring(plan) {
                problems.push(problem::no_mirror(TCP));
            }
        }
        problems.extend(delegation(&canary.spec.service));
        problems
    }

    fn needs(&self, blueprint: &Blueprint<'_>, _: &Objects) -> Vec<Key> {
        let [canary, primary] = destination_rules(blueprint.plan);
        vec![canary, primary, virtual_service(blueprint.plan)]
    }

    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        seen: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem> {
        if let Some(problem) = objection(blueprint, want) {
            return Err(problem);
        }
        let rules =
            destination_rules(blueprint.plan).map(|key| destination_rule(blueprint, seen, key));
        let route = claim_route(blueprint, seen);
        let spec = route_spec(blueprint, &route, want);
        Ok(rules.into_iter().chain([route.apply(spec)]).collect())
    }

    fn read(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Option<Routes>, Problem> {
        let route = claim_route(blueprint, seen);
        let protocol = Protocol::of(&blueprint.canary.spec.service);
        let routes = route.live(protocol.field()).and_then(Value::as_array);
        let read =
            Sides::of(blueprint.plan, None).read(protocol, routes.map_or(&[], Vec::as_slice));
        read.map_err(|problem| problem.of(virtual_service(blueprint.plan).to_string()))
    }

    /// The way out of a delegate, A/B or TCP route is the same: the routes as they were. The VirtualService goes first, so that traffic never
    /// leads through it to a rule that is gone.
    fn restore(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem> {
        let sides = Sides::of(blueprint.plan, None);
        let route = claim_route(blueprint, seen).give_back(
            &["hosts", "gateways", "http", "tcp"],
            |spec| {
                sides.lead_home(spec);
            },
        )?;
        let mut writes = Vec::from_iter(route);
        for key in destination_rules(blueprint.plan) {
            let claim = Claim::on(blueprint, seen, key, Metadata::default());
            writes.extend(claim.give_back(&["host", "trafficPolicy"], |_| ())?);
        }
        Ok(writes)
    }
}

const TCP: &str = "a TCP route";

fn virtual_service(plan: &Plan) -> Key {
    VIRTUAL_SERVICE.named(&plan.canary.namespace, &plan.names.apex)
}

/// In Flagger's order: the canary's first.
fn destination_rules(plan: &Plan) -> [Key; 2] {
    [&plan.names.canary_service, &plan.names.primary_service]
        .map(|name| DESTINATION_RULE.named(&plan.canary.namespace, name))
}

fn claim_route<'a>(blueprint: &'a Blueprint<'a>, seen: &'a Objects) -> Claim<'a> {
    Claim::on(
        blueprint,
        seen,
        virtual_service(blueprint.plan),
        Metadata::of_apex(blueprint),
    )
}

/// What keeps these routes from being made; nothing ever keeps all traffic from the primary.
fn objection(blueprint: &Blueprint<'_>, want: Routes) -> Option<Problem> {
    let service = &blueprint.canary.spec.service;
    if Protocol::of(service) == Protocol::Tcp {
        if want.mirrored {
            return Some(problem::no_mirror(TCP));
        }
        if !want.canary.is_zero() && problem::is_ab_testing(blueprint.plan) {
            return Some(problem::no_match(blueprint.canary, TCP));
        }
    }
    if want == Routes::PRIMARY {
        return None;
    }
    delegation(service)
}

/// A delegate has neither hosts nor gateways: those are its root's.
fn delegation(service: &CanaryService) -> Option<Problem> {
    let given = [("hosts", &service.hosts), ("gateways", &service.gateways)];
    let (field, values) = given.into_iter().find(|(_, values)| !values.is_empty())?;
    let allowed =
        "must be absent with spec.service.delegation: those of the root VirtualService hold";
    service
        .delegation
        .then(|| Problem::new(format!("spec.service.{field}"), json!(values), allowed))
}

fn destination_rule(blueprint: &Blueprint<'_>, seen: &Objects, key: Key) -> Write {
    let mut spec = Map::from_iter([("host".into(), json!(key.name))]);
    if let Some(policy) = &blueprint.canary.spec.service.traffic_policy {
        spec.insert("trafficPolicy".into(), policy.clone());
    }
    Claim::on(blueprint, seen, key, Metadata::default()).apply(spec)
}

fn route_spec(blueprint: &Blueprint<'_>, claim: &Claim<'_>, want: Routes) -> Map<String, Value> {
    let service = &blueprint.canary.spec.service;
    let entrance = Entrance::of(blueprint, claim);
    let protocol = Protocol::of(service);
    let stands = claim.live(protocol.field()).and_then(Value::as_array);
    let sides = Sides::of(
        blueprint.plan,
        entrance.needs_port(service).then_some(blueprint.plan.port),
    );
    let routes = sides.routes(blueprint, stands.map_or(&[], Vec::as_slice), want);

    let mut spec = Map::from_iter([("hosts".into(), json!(entrance.hosts))]);
    if let Some(gateways) = entrance.gateways {
        spec.insert("gateways".into(), json!(gateways));
    }
    spec.insert(protocol.field().into(), Value::Array(routes));
    spec
}

/// Where requests come in: the hosts they ask for and the gateways they come through.
struct Entrance {
    hosts: Vec<String>,
    /// `None`: the field is not ours to write.
    gateways: Option<Vec<String>>,
}

impl Entrance {
    /// What the Canary names. Where it names none, what stands in an object of the user stays, and the apex within the mesh joins it.
    ///
    /// **Differs from Flagger**, which then takes the hosts and gateways of the user away, and with them their requests.
    fn of(blueprint: &Blueprint<'_>, claim: &Claim<'_>) -> Self {
        let service = &blueprint.canary.spec.service;
        if service.delegation {
            // Left out, what we wrote goes by itself; what the user wrote has to be emptied (F-17).
            let is_theirs = claim.is_of_the_user() && claim.live("gateways").is_some();
            return Self {
                hosts: Vec::new(),
                gateways: is_theirs.then(Vec::new),
            };
        }
        let sides = Sides::of(blueprint.plan, None);
        let apex = &blueprint.plan.names.apex;
        let mut hosts = service.hosts.clone();
        if hosts.is_empty() {
            hosts = stands(claim, "hosts");
            hosts.retain(|host| !sides.is_apex(host));
        }
        if !hosts.iter().any(|host| host == apex || host == "*") {
            hosts.push(apex.clone());
        }
        let mut gateways = service.gateways.clone();
        if gateways.is_empty() {
            gateways = stands(claim, "gateways");
            if !gateways.iter().any(|gateway| gateway == MESH) {
                gateways.push(MESH.to_owned());
            }
        }
        Self {
            hosts,
            gateways: Some(gateways),
        }
    }

    /// With several ports at the Services, whoever is not within the mesh must be told which.
    fn needs_port(&self, service: &CanaryService) -> bool {
        let first = self.gateways.iter().flatten().next();
        let from_outside = first.is_some_and(|gateway| gateway != MESH);
        service.port_discovery && (service.delegation || from_outside)
    }
}

/// The texts that the user wrote into this list.
fn stands(claim: &Claim<'_>, field: &str) -> Vec<String> {
    if !claim.is_of_the_user() {
        return Vec::new();
    }
    let list = claim.live(field).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
