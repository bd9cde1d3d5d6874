//! Gateway API: one HTTPRoute of the apex' name, for Gateways and, in the form of a mesh, for Services as parents.
//!
//! ```text
//!  parents ── HTTPRoute apex ── rules ──► what the user routes elsewhere      kept as it stands
//!                                    └──► what leads to us ──► primary 80
//!                                                          └─► canary  20
//! ```
//!
//! Every list of a route is one field to the API server, so writing a weight is writing all rules; those that do not lead to the apex, the
//! primary or the canary are carried along byte for byte. Every default that the API server would fill in is written out, so that what is
//! wanted and what stands can be compared.

mod filters;
mod matches;
mod parents;
mod rules;
mod standing;

use serde_json::{Map, Value, json};
use slipway_api::Canary;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::observation::Standing;
use slipway_core::plan::{Plan, Problem, Provider};
use slipway_core::weight::Routes;

use crate::ownership::{Claim, Metadata};
use crate::{Router, found, problem};
use matches::Form;
use rules::Sides;

/// One dialect of route. **Source**: dossier 02 A.8, A.9.
pub(crate) struct GatewayApi {
    dialect: Dialect,
}

/// Whose route, and which parts of it there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dialect {
    /// `gateway.networking.k8s.io/v1`.
    V1,
    /// `gateway.networking.k8s.io/v1beta1`: no timeouts, no CORS, as Flagger has it.
    V1Beta1,
    /// `GRPCRoute` of `gateway.networking.k8s.io/v1`, for services whose protocol is gRPC.
    Grpc,
    /// The standard route, read by Linkerd: its parent is the apex Service where the Canary names none.
    Linkerd,
    /// Linkerd's own, `policy.linkerd.io/v1beta3`, where the standard one is not installed.
    LinkerdPolicy,
}

pub(crate) static V1: GatewayApi = GatewayApi {
    dialect: Dialect::V1,
};
pub(crate) static V1BETA1: GatewayApi = GatewayApi {
    dialect: Dialect::V1Beta1,
};
pub(crate) static GRPC: GatewayApi = GatewayApi {
    dialect: Dialect::Grpc,
};
pub(crate) static LINKERD: GatewayApi = GatewayApi {
    dialect: Dialect::Linkerd,
};
pub(crate) static LINKERD_POLICY: GatewayApi = GatewayApi {
    dialect: Dialect::LinkerdPolicy,
};

/// A place where traffic comes in.
const GATEWAY: Kind = Kind {
    api_version: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    plural: "gateways",
};
const GATEWAY_V1BETA1: Kind = Kind {
    api_version: "gateway.networking.k8s.io/v1beta1",
    kind: "Gateway",
    plural: "gateways",
};

const GRPC_ROUTE: &str = "a GRPCRoute";

/// What Linkerd's proxy does not do with a route.
const LINKERD_ROUTE: &str = "a route that Linkerd reads";

impl Router for GatewayApi {
    fn kinds(&self, _: &Plan) -> Vec<Kind> {
        let mut kinds = vec![self.route_kind()];
        kinds.extend(self.gateway_kind());
        kinds
    }

    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem> {
        let service = &canary.spec.service;
        let mut problems = Vec::new();
        if !has_own_parent(plan) {
            problems.extend(parents::check(service));
        }
        if self.dialect == Dialect::LinkerdPolicy {
            problems.extend(parents::check_services(service));
        }
        problems.extend(matches::check(self.form(), canary));
        if self.has_timeouts() {
            problems.extend(filters::check_timeouts(service));
        }
        if self.form() == Form::Grpc {
            problems.extend(filters::check_calls(service));
            problems.extend(problem::no_affinity(canary, GRPC_ROUTE));
        }
        if self.is_of_linkerd() {
            if problem::is_mirroring(plan) {
                problems.push(problem::no_mirror(LINKERD_ROUTE));
            }
            problems.extend(problem::no_affinity(canary, LINKERD_ROUTE));
        }
        problems
    }

    fn needs(&self, blueprint: &Blueprint<'_>, _: &Objects) -> Vec<Key> {
        let gateways = parents_of(blueprint)
            .into_iter()
            .filter_map(|parent| self.gateway_of(blueprint, &parent));
        let mut needs: Vec<Key> = gateways.collect();
        needs.push(self.key(blueprint.plan));
        needs
    }

    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        seen: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem> {
        if want != Routes::PRIMARY
            && let Some(problem) = self.objection(blueprint, want)
        {
            return Err(problem);
        }
        let claim = self.claim(blueprint, seen);
        let spec = self.spec(blueprint, &claim, want);
        Ok(vec![claim.apply(spec)])
    }

    fn read(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Option<Routes>, Problem> {
        let key = self.key(blueprint.plan);
        let rules = found(seen, &key).and_then(|live| live.get("spec")?.get("rules")?.as_array());
        let read = Sides::of(self.form(), blueprint.plan).read(rules.map_or(&[], Vec::as_slice));
        read.map_err(|problem| problem.of(key.to_string()))
    }

    fn restore(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem> {
        let sides = Sides::of(self.form(), blueprint.plan);
        let given_back = self.claim(blueprint, seen).give_back(
            &["parentRefs", "hostnames", "rules"],
            |spec| {
                sides.lead_home(spec);
            },
        )?;
        Ok(given_back.into_iter().collect())
    }

    fn standing(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Standing {
        let parents = parents_of(blueprint);
        let gateways = parents
            .iter()
            .filter_map(|parent| self.gateway_of(blueprint, parent));
        let missing: Vec<Key> = gateways
            .filter(|gateway| !seen.contains_key(gateway))
            .collect();
        let key = self.key(blueprint.plan);
        standing::standing(blueprint, &key, found(seen, &key), &parents, &missing)
    }

    fn route(&self) -> Option<&'static str> {
        Some(match self.dialect {
            Dialect::V1 | Dialect::V1Beta1 | Dialect::Linkerd => {
                "HTTPRoute.gateway.networking.k8s.io"
            }
            Dialect::Grpc => "GRPCRoute.gateway.networking.k8s.io",
            Dialect::LinkerdPolicy => "HTTPRoute.policy.linkerd.io",
        })
    }

    fn intrusion(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Option<Problem> {
        let claim = self.claim(blueprint, seen);
        let rules = claim.live("rules")?.as_array()?;
        let sides = Sides::of(self.form(), blueprint.plan);
        let is_of_others = claim.is_of_the_user() && !rules.iter().any(|rule| sides.is_ours(rule));
        is_of_others.then(|| sides.leads_elsewhere(rules, &self.key(blueprint.plan)))
    }
}

impl GatewayApi {
    const fn route_kind(&self) -> Kind {
        let api_version = match self.dialect {
            Dialect::V1 | Dialect::Grpc | Dialect::Linkerd => "gateway.networking.k8s.io/v1",
            Dialect::V1Beta1 => "gateway.networking.k8s.io/v1beta1",
            Dialect::LinkerdPolicy => "policy.linkerd.io/v1beta3",
        };
        let (kind, plural) = match self.form() {
            Form::Http => ("HTTPRoute", "httproutes"),
            Form::Grpc => ("GRPCRoute", "grpcroutes"),
        };
        Kind {
            api_version,
            kind,
            plural,
        }
    }

    const fn form(&self) -> Form {
        match self.dialect {
            Dialect::Grpc => Form::Grpc,
            Dialect::V1 | Dialect::V1Beta1 | Dialect::Linkerd | Dialect::LinkerdPolicy => {
                Form::Http
            }
        }
    }

    /// Gateways, of which Linkerd knows nothing: where it is installed alone, so is HTTPRoute.
    const fn gateway_kind(&self) -> Option<Kind> {
        match self.dialect {
            Dialect::V1 | Dialect::Grpc => Some(GATEWAY),
            Dialect::V1Beta1 => Some(GATEWAY_V1BETA1),
            Dialect::Linkerd | Dialect::LinkerdPolicy => None,
        }
    }

    const fn is_of_linkerd(&self) -> bool {
        matches!(self.dialect, Dialect::Linkerd | Dialect::LinkerdPolicy)
    }

    const fn has_timeouts(&self) -> bool {
        !matches!(self.dialect, Dialect::V1Beta1 | Dialect::Grpc)
    }

    fn key(&self, plan: &Plan) -> Key {
        self.route_kind()
            .named(&plan.canary.namespace, &plan.names.apex)
    }

    fn gateway_of(&self, blueprint: &Blueprint<'_>, parent: &Value) -> Option<Key> {
        parents::gateway(self.gateway_kind()?, blueprint, parent)
    }

    fn claim<'a>(&self, blueprint: &'a Blueprint<'a>, seen: &'a Objects) -> Claim<'a> {
        Claim::on(
            blueprint,
            seen,
            self.key(blueprint.plan),
            Metadata::of_apex(blueprint),
        )
    }

    /// What keeps these routes from being made.
    fn objection(&self, blueprint: &Blueprint<'_>, want: Routes) -> Option<Problem> {
        if self.is_of_linkerd() && want.mirrored {
            return Some(problem::no_mirror(LINKERD_ROUTE));
        }
        self.check(blueprint.plan, blueprint.canary)
            .into_iter()
            .next()
    }

    fn spec(
        &self,
        blueprint: &Blueprint<'_>,
        claim: &Claim<'_>,
        want: Routes,
    ) -> Map<String, Value> {
        let hosts = &blueprint.canary.spec.service.hosts;
        let theirs = claim.of_the_user();
        let theirs = |field: &str| theirs.as_ref().and_then(|spec| spec.get(field));
        let mut spec = Map::new();
        let parents = parents::joined(
            parents_of(blueprint),
            theirs("parentRefs"),
            &blueprint.plan.canary.namespace,
        );
        spec.insert("parentRefs".into(), Value::Array(parents));
        let hosts = (!hosts.is_empty()).then(|| json!(hosts));
        if let Some(hosts) = hosts.or_else(|| theirs("hostnames").cloned()) {
            spec.insert("hostnames".into(), hosts);
        }
        let attributes = filters::attributes(
            self.form(),
            &blueprint.canary.spec.service,
            self.has_timeouts(),
        );
        let live = claim.live("rules").and_then(Value::as_array);
        let rules = Sides::of(self.form(), blueprint.plan).rules(
            blueprint,
            &attributes,
            theirs("rules").and_then(Value::as_array),
            live.map_or(&[], Vec::as_slice),
            want,
        );
        spec.insert("rules".into(), Value::Array(rules));
        spec
    }
}

/// Whether the apex Service is the parent where the Canary names none: asked for is a mesh, not an entrance.
fn has_own_parent(plan: &Plan) -> bool {
    plan.provider == Provider::Linkerd
}

/// The parents that the Canary asks for.
fn parents_of(blueprint: &Blueprint<'_>) -> Vec<Value> {
    let named = parents::named(&blueprint.canary.spec.service);
    if named.is_empty() && has_own_parent(blueprint.plan) {
        return vec![parents::apex(blueprint.plan)];
    }
    named
}
