//! SMI's TrafficSplit, for `linkerd`, `osm` and `smi:*`: the smallest backend.
//!
//! One object of the apex' name: a Service and the backends that its traffic is split among.

use serde_json::{Map, Value, json};
use slipway_api::Canary;
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Key, Kind, Objects, Write};
use slipway_core::plan::{Names, Plan, Problem, Provider, SmiVersion};
use slipway_core::weight::{Routes, Weight};

use crate::ownership::{Claim, Metadata};
use crate::share::share;
use crate::{Router, found, problem};

/// One version of TrafficSplit. **Source**: dossier 02 A.7.
pub(crate) struct TrafficSplit {
    version: SmiVersion,
}

pub(crate) static V1ALPHA1: TrafficSplit = TrafficSplit {
    version: SmiVersion::V1Alpha1,
};
static V1ALPHA2: TrafficSplit = TrafficSplit {
    version: SmiVersion::V1Alpha2,
};
static V1ALPHA3: TrafficSplit = TrafficSplit {
    version: SmiVersion::V1Alpha3,
};

const NAME: &str = "a TrafficSplit";
const GATEWAYS: &str = "VirtualService.v1alpha3.networking.istio.io/spec.gateways";

/// The backend of that version.
pub(crate) fn of(version: SmiVersion) -> &'static TrafficSplit {
    match version {
        SmiVersion::V1Alpha1 => &V1ALPHA1,
        SmiVersion::V1Alpha2 => &V1ALPHA2,
        SmiVersion::V1Alpha3 => &V1ALPHA3,
    }
}

impl Router for TrafficSplit {
    fn kinds(&self, _: &Plan) -> Vec<Kind> {
        vec![self.kind()]
    }

    fn check(&self, plan: &Plan, canary: &Canary) -> Vec<Problem> {
        let mut problems = Vec::new();
        if problem::is_ab_testing(plan) {
            problems.push(problem::no_match(canary, NAME));
        }
        if problem::is_mirroring(plan) {
            problems.push(problem::no_mirror(NAME));
        }
        problems.extend(problem::no_affinity(canary, NAME));
        problems
    }

    fn needs(&self, blueprint: &Blueprint<'_>, _: &Objects) -> Vec<Key> {
        vec![self.key(blueprint.plan)]
    }

    fn render(
        &self,
        blueprint: &Blueprint<'_>,
        seen: &Objects,
        want: Routes,
    ) -> Result<Vec<Write>, Problem> {
        if want.mirrored {
            return Err(problem::no_mirror(NAME));
        }
        if !want.canary.is_zero() && problem::is_ab_testing(blueprint.plan) {
            return Err(problem::no_match(blueprint.canary, NAME));
        }
        if !want.canary.is_zero()
            && let Some(problem) = problem::no_affinity(blueprint.canary, NAME)
        {
            return Err(problem);
        }
        Ok(vec![
            self.claim(blueprint, seen)
                .apply(self.spec(blueprint, want)),
        ])
    }

    fn read(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Option<Routes>, Problem> {
        let key = self.key(blueprint.plan);
        let Some(backends) = found(seen, &key).and_then(|live| live.get("spec")?.get("backends"))
        else {
            return Ok(None);
        };
        let names = &blueprint.plan.names;
        let Some(canary) = weight_of(backends, &names.canary_service) else {
            return Ok(None);
        };
        let primary = weight_of(backends, &names.primary_service).unwrap_or_default();
        let Some(canary) = share(primary, canary) else {
            let allowed = "must be more than 0 for the primary or the canary";
            return Err(Problem::new("spec.backends[].weight", 0, allowed).of(key.to_string()));
        };
        Ok(Some(Routes::to_canary(canary)))
    }

    fn route(&self) -> Option<&'static str> {
        Some("TrafficSplit.split.smi-spec.io")
    }

    /// **Differs from Flagger**, which leaves the split of a user leading to Services that are gone (F-5).
    fn restore(&self, blueprint: &Blueprint<'_>, seen: &Objects) -> Result<Vec<Write>, Problem> {
        let names = &blueprint.plan.names;
        let given_back = self
            .claim(blueprint, seen)
            .give_back(&["service", "backends"], |spec| lead_home(spec, names))?;
        Ok(given_back.into_iter().collect())
    }
}

impl TrafficSplit {
    const fn kind(&self) -> Kind {
        let api_version = match self.version {
            SmiVersion::V1Alpha1 => "split.smi-spec.io/v1alpha1",
            SmiVersion::V1Alpha2 => "split.smi-spec.io/v1alpha2",
            SmiVersion::V1Alpha3 => "split.smi-spec.io/v1alpha3",
        };
        Kind {
            api_version,
            kind: "TrafficSplit",
            plural: "trafficsplits",
        }
    }

    fn key(&self, plan: &Plan) -> Key {
        self.kind().named(&plan.canary.namespace, &plan.names.apex)
    }

    fn claim<'a>(&self, blueprint: &'a Blueprint<'a>, seen: &'a Objects) -> Claim<'a> {
        Claim::on(
            blueprint,
            seen,
            self.key(blueprint.plan),
            metadata(blueprint),
        )
    }

    fn spec(&self, blueprint: &Blueprint<'_>, want: Routes) -> Map<String, Value> {
        let names = &blueprint.plan.names;
        let service = blueprint
            .canary
            .spec
            .service
            .hosts
            .first()
            .unwrap_or(&names.apex);
        let backend = |service: &str, weight: Weight| json!({"service": service, "weight": self.weight(weight)});
        let backends = json!([
            backend(&names.canary_service, want.canary),
            backend(&names.primary_service, want.primary()),
        ]);
        Map::from_iter([
            ("service".into(), json!(service)),
            ("backends".into(), backends),
        ])
    }

    /// v1alpha1 has quantities, which are strings.
    fn weight(&self, weight: Weight) -> Value {
        match self.version {
            SmiVersion::V1Alpha1 => json!(weight.to_string()),
            SmiVersion::V1Alpha2 | SmiVersion::V1Alpha3 => json!(weight.percent()),
        }
    }
}

/// None, but for the gateways of an Istio behind SMI.
fn metadata(blueprint: &Blueprint<'_>) -> Metadata {
    let gateways = &blueprint.canary.spec.service.gateways;
    let is_istio =
        matches!(&blueprint.plan.provider, Provider::Smi { mesh, .. } if mesh == "istio");
    let mut metadata = Metadata::default();
    if is_istio && !gateways.is_empty() {
        metadata
            .annotations
            .insert(GATEWAYS.to_owned(), json!(gateways).to_string());
    }
    metadata
}

/// The weight of a backend, whichever version wrote it; `None` when it is not among them.
fn weight_of(backends: &Value, service: &str) -> Option<i64> {
    let backend = backends
        .as_array()?
        .iter()
        .find(|backend| is(backend, service))?;
    let weight = backend.get("weight");
    let number =
        weight.and_then(|weight| weight.as_i64().or_else(|| weight.as_str()?.parse().ok()));
    Some(number.unwrap_or_default())
}

fn is(backend: &Value, service: &str) -> bool {
    backend.get("service").and_then(Value::as_str) == Some(service)
}

/// The shares of the primary and the canary become the apex' own.
fn lead_home(spec: &mut Value, names: &Names) {
    let Some(backends) = spec.get_mut("backends") else {
        return;
    };
    let ours = [
        names.primary_service.as_str(),
        names.canary_service.as_str(),
    ];
    let weights: Vec<i64> = ours
        .iter()
        .filter_map(|service| weight_of(backends, service))
        .collect();
    let Some(list) = backends.as_array_mut().filter(|_| !weights.is_empty()) else {
        return;
    };
    let quantity = list
        .iter()
        .any(|backend| backend.get("weight").is_some_and(Value::is_string));
    let total: i64 = weights.iter().sum();
    let weight = if quantity {
        json!(total.to_string())
    } else {
        json!(total)
    };
    list.retain(|backend| !ours.iter().any(|service| is(backend, service)));
    list.push(json!({"service": names.apex, "weight": weight}));
}
