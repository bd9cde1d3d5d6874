//! The vendor's application, with Slipway inside.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use slipway_core::plan::{HookKind, MetricSource, Plan, Provider, Strategy};
use slipway_core::weight::Weight;
use slipway_tester::suite::Suite;

use crate::build::{kustomizations, kustomize, named, of_kind, plans, pods, text};

const SERVICES: [&str; 4] = ["frontend", "backend", "cache", "database"];
const DISTRIBUTIONS: [&str; 4] = ["kubernetes", "istio", "linkerd", "gateway"];

fn distribution(name: &str) -> Option<Vec<Value>> {
    kustomize(&format!("dist/app-{name}"))
}

fn plan<'a>(plans: &'a [Plan], service: &str) -> &'a Plan {
    plans.iter().find(|it| it.canary.name == service).unwrap()
}

fn progressive() -> Strategy {
    let steps = [10, 20, 30, 40, 50].map(|percent| Weight::try_new(percent).unwrap());
    Strategy::Canary {
        steps: steps.to_vec(),
        mirror: false,
    }
}

fn blue_green(iterations: i64) -> Strategy {
    Strategy::BlueGreen {
        iterations,
        mirror: false,
    }
}

#[test]
fn each_service_is_released_as_its_distribution_says() {
    let mirrored = Strategy::BlueGreen {
        iterations: 10,
        mirror: true,
    };
    let insiders = Strategy::AbTesting { iterations: 10 };
    let meshed = || [progressive(), progressive(), blue_green(5), blue_green(10)];
    let rows = [
        (
            "kubernetes",
            Provider::Kubernetes,
            [5, 5, 10, 10].map(blue_green),
        ),
        (
            "istio",
            Provider::Istio,
            [insiders, progressive(), blue_green(5), mirrored],
        ),
        ("linkerd", Provider::GatewayApiV1, meshed()),
        ("gateway", Provider::GatewayApiV1, meshed()),
    ];
    for (name, provider, strategies) in rows {
        let Some(objects) = distribution(name) else {
            return;
        };
        let plans = plans(&objects, name);
        assert_eq!(plans.len(), SERVICES.len(), "{name}");
        for (service, strategy) in SERVICES.iter().zip(strategies) {
            let plan = plan(&plans, service);
            assert_eq!(plan.strategy, strategy, "{service} of app-{name}");
            assert_eq!(plan.provider, provider, "{service} of app-{name}");
        }
    }
}

#[test]
fn each_service_has_its_objectives_and_is_tested_before_and_during_its_release() {
    for name in DISTRIBUTIONS {
        let Some(objects) = distribution(name) else {
            return;
        };
        for plan in plans(&objects, name) {
            let service = plan.canary.name.as_str();
            let (least, window) = if service == "frontend" {
                (70.0, "1m")
            } else {
                (99.0, "30s")
            };
            let checks: Vec<_> = plan
                .metrics
                .iter()
                .map(|it| (&it.source, it.interval.as_str(), it.min, it.max))
                .collect();
            let expected = [
                (&MetricSource::SuccessRate, "1m", Some(least), None),
                (&MetricSource::RequestDuration, window, None, Some(500.0)),
            ];
            assert_eq!(checks, expected, "{service} of app-{name}");
            let hooks: Vec<_> = plan
                .hooks
                .iter()
                .map(|it| (it.name.as_str(), it.kind, it.timeout.num_seconds()))
                .collect();
            let expected = [
                ("acceptance-test", HookKind::PreRollout, 30),
                ("load-test", HookKind::Rollout, 5),
            ];
            assert_eq!(hooks, expected, "{service} of app-{name}");
            let pace = (plan.interval.num_seconds(), plan.threshold);
            assert_eq!(pace, (10, 10), "{service} of app-{name}");
        }
    }
}

#[test]
fn a_service_is_released_after_those_that_it_calls() {
    let rows = [
        ("frontend", Some("backend")),
        ("backend", Some("database,cache")),
        ("cache", None),
        ("database", None),
    ];
    for name in DISTRIBUTIONS {
        let Some(objects) = distribution(name) else {
            return;
        };
        for (service, after) in rows {
            let canary = named(&objects, "Canary", service);
            let said = canary["metadata"]["annotations"]["slipway.dev/after"].as_str();
            assert_eq!(said, after, "{service} of app-{name}");
        }
    }
}

/// What a vendor may not bring into a provider's cluster without being asked.
const CLUSTER_WIDE: [&str; 5] = [
    "ClusterRole",
    "ClusterRoleBinding",
    "CustomResourceDefinition",
    "ValidatingWebhookConfiguration",
    "MutatingWebhookConfiguration",
];

#[test]
fn a_distribution_brings_nothing_cluster_wide_but_its_namespace() {
    for name in DISTRIBUTIONS {
        let Some(objects) = distribution(name) else {
            return;
        };
        for object in &objects {
            let (kind, id) = (text(object, "/kind"), text(object, "/metadata/name"));
            assert!(!CLUSTER_WIDE.contains(&kind), "app-{name} has {kind} {id}");
            let namespace = text(object, "/metadata/namespace");
            let is_in_place = kind == "Namespace" || namespace == "app";
            assert!(is_in_place, "app-{name}: {kind} {id} is in {namespace:?}");
        }
    }
}

#[test]
fn slipway_gets_the_rights_of_its_distributions_backend_and_of_no_other() {
    let meshes = BTreeSet::from([
        "networking.istio.io",
        "split.smi-spec.io",
        "gateway.networking.k8s.io",
        "policy.linkerd.io",
        "keda.sh",
    ]);
    let rows = [
        ("kubernetes", &[][..]),
        ("istio", &["networking.istio.io"]),
        ("linkerd", &["gateway.networking.k8s.io"]),
        ("gateway", &["gateway.networking.k8s.io"]),
    ];
    for (name, own) in rows {
        let Some(objects) = distribution(name) else {
            return;
        };
        let rules = named(&objects, "Role", "slipway")["rules"].as_array();
        let groups = rules.unwrap().iter().flat_map(|rule| {
            let groups = rule["apiGroups"].as_array().unwrap();
            groups.iter().filter_map(Value::as_str)
        });
        let held: BTreeSet<_> = groups.filter(|group| meshes.contains(group)).collect();
        assert_eq!(held, own.iter().copied().collect(), "app-{name}");
    }
}

#[test]
fn every_pod_meets_the_restricted_pod_security_standard() {
    let folders = DISTRIBUTIONS.map(|name| format!("dist/app-{name}"));
    let installs = kustomizations("dist/install").into_iter();
    for folder in folders.into_iter().chain(installs) {
        let Some(objects) = kustomize(&folder) else {
            return;
        };
        for (owner, template) in pods(&objects) {
            let spec = &template["spec"];
            let security = &spec["securityContext"];
            assert_eq!(security["runAsNonRoot"], true, "{folder}: {owner}");
            let profile = &security["seccompProfile"]["type"];
            assert_eq!(profile, "RuntimeDefault", "{folder}: {owner}");
            for container in spec["containers"].as_array().unwrap() {
                let own = &container["securityContext"];
                assert_eq!(own["allowPrivilegeEscalation"], false, "{folder}: {owner}");
                let dropped = &own["capabilities"]["drop"];
                assert_eq!(dropped, &json!(["ALL"]), "{folder}: {owner}");
                assert_eq!(own["readOnlyRootFilesystem"], true, "{folder}: {owner}");
                let limit = &container["resources"]["limits"]["memory"];
                assert!(
                    limit.is_string(),
                    "{folder}: {owner} has no limit of memory"
                );
            }
        }
    }
}

#[test]
fn one_tag_names_the_version_of_the_whole_application() {
    for name in DISTRIBUTIONS {
        let Some(objects) = distribution(name) else {
            return;
        };
        let images: BTreeSet<_> = SERVICES
            .iter()
            .map(|service| {
                let deployment = named(&objects, "Deployment", service);
                text(deployment, "/spec/template/spec/containers/0/image")
            })
            .collect();
        assert_eq!(images.len(), 1, "app-{name}: {images:?}");
        let tagged = pods(&objects).into_iter().all(|(_, template)| {
            let containers = template["spec"]["containers"].as_array().unwrap();
            containers.iter().all(|it| text(it, "/image").contains(':'))
        });
        assert!(tagged, "app-{name} has an image without a tag");
    }
}

#[test]
fn the_suites_of_the_tester_are_suites_and_every_hook_names_one_that_is_there() {
    for name in DISTRIBUTIONS {
        let Some(objects) = distribution(name) else {
            return;
        };
        let configs: BTreeMap<_, _> = of_kind(&objects, "ConfigMap")
            .into_iter()
            .filter(|it| text(it, "/metadata/name").starts_with("suites"))
            .flat_map(|it| it["data"].as_object().unwrap())
            .collect();
        for (file, suite) in &configs {
            let parsed = Suite::parse(suite.as_str().unwrap(), file);
            assert!(parsed.is_ok(), "{file}: {:?}", parsed.err());
        }
        for plan in plans(&objects, name) {
            let metadata = plan.hooks.iter().filter_map(|hook| hook.metadata.as_ref());
            for file in metadata.filter_map(|it| it.get("suiteFile")) {
                assert!(configs.contains_key(file), "app-{name}: there is no {file}");
            }
        }
    }
}
