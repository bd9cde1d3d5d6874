//! What the parents of a route say of it, and what is made of that (FC-026).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]
#![expect(dead_code, reason = "each test file uses a part of the support")]

mod support;

use serde_json::{Value, json};
use slipway_core::object::{Key, Kind};
use slipway_core::observation::Standing;
use slipway_core::weight::Routes;
use support::Release;
use support::cluster::{Cluster, USER};

const ROUTE: Kind = Kind {
    api_version: "gateway.networking.k8s.io/v1",
    kind: "HTTPRoute",
    plural: "httproutes",
};
const GATEWAY: Kind = Kind {
    api_version: "gateway.networking.k8s.io/v1",
    kind: "Gateway",
    plural: "gateways",
};

fn release() -> Release {
    let canary = json!({
        "metadata": {"name": "app", "namespace": "test", "uid": "1-2-3"},
        "spec": {
            "provider": "gatewayapi:v1",
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "service": {"port": 80, "mirror": [{"backendRef": {"name": "copies", "namespace": "lab", "port": 80}}], "gatewayRefs": [
                {"name": "public", "namespace": "edge"},
                {"group": "core", "kind": "Service", "name": "app", "port": 80},
            ]},
            "analysis": {"interval": "30s", "stepWeight": 10},
        },
    });
    Release::of(canary).unwrap()
}

fn key() -> Key {
    ROUTE.named("test", "app")
}

/// What one parent says, for the generation that is.
fn says(parent: &Value, conditions: &[(&str, &str, &str, i64)]) -> Value {
    let conditions: Vec<Value> = conditions
        .iter()
        .map(|(type_, status, reason, generation)| {
            json!({"type": type_, "status": status, "reason": reason, "message": "so it is", "observedGeneration": generation})
        })
        .collect();
    json!({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
}

fn public() -> Value {
    json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "public", "namespace": "edge"})
}

fn apex() -> Value {
    json!({"group": "", "kind": "Service", "name": "app", "namespace": "test", "port": 80})
}

/// The standing of a route of generation 3 whose parents say this.
fn standing(parents: &[Value]) -> Standing {
    let release = release();
    let mut cluster = Cluster::default();
    let gateway = json!({"metadata": {"name": "public", "namespace": "edge"}, "spec": {}});
    cluster.create(GATEWAY.named("edge", "public"), USER, &gateway);
    release.route(&mut cluster, Routes::PRIMARY).unwrap();
    let mut route = (*cluster.get(&key()).unwrap()).clone();
    route["metadata"]["generation"] = json!(3);
    route["status"] = json!({"parents": parents});
    let mut seen = release.seen(&cluster);
    seen.insert(key(), route.into());
    release.router().standing(&release.blueprint(), &seen)
}

const WELL: [(&str, &str, &str, i64); 2] = [
    ("Accepted", "True", "Accepted", 3),
    ("ResolvedRefs", "True", "ResolvedRefs", 3),
];

#[test]
fn a_route_stands_when_every_parent_has_accepted_this_generation_of_it() {
    let stands = standing(&[says(&public(), &WELL), says(&apex(), &WELL)]);
    assert_eq!(stands, Standing::Accepted);
}

#[test]
fn a_parent_that_is_silent_or_late_is_awaited_by_name() {
    let stale = [
        ("Accepted", "True", "Accepted", 2),
        ("ResolvedRefs", "True", "ResolvedRefs", 2),
    ];
    let refused_before = [("Accepted", "False", "NotAllowedByListeners", 2)];
    let unknown = [("Accepted", "Unknown", "Pending", 3)];
    let silent = vec![says(&apex(), &WELL)];
    let rows = [
        silent,
        vec![says(&public(), &stale), says(&apex(), &WELL)],
        vec![says(&public(), &refused_before), says(&apex(), &WELL)],
        vec![says(&public(), &unknown), says(&apex(), &WELL)],
        vec![says(&public(), &[]), says(&apex(), &WELL)],
    ];
    for row in rows {
        let awaited = "HTTPRoute test/app to be accepted by Gateway edge/public";
        assert_eq!(standing(&row), Standing::Pending(awaited.into()), "{row:?}");
    }
}

#[test]
fn a_refusal_names_the_parent_what_it_said_and_the_remedy() {
    let rows = [
        (
            ("Accepted", "NotAllowedByListeners"),
            "a listener of Gateway edge/public must allow routes of namespace test",
        ),
        (
            ("Accepted", "NoMatchingListenerHostname"),
            "spec.service.hosts",
        ),
        (
            ("ResolvedRefs", "RefNotPermitted"),
            "create a ReferenceGrant in namespace lab, from HTTPRoute of gateway.networking.k8s.io in namespace test to Service",
        ),
        (("Accepted", "UnsupportedValue"), "cannot do"),
        (("Accepted", "SomethingNew"), "must be True"),
    ];
    for ((type_, reason), remedy) in rows {
        let parents = [
            says(&public(), &[(type_, "False", reason, 3)]),
            says(&apex(), &WELL),
        ];
        let Standing::Refused(problem) = standing(&parents) else {
            panic!("{reason} is no refusal")
        };
        let text = problem.to_string();
        for part in [
            "HTTPRoute test/app",
            "Gateway edge/public",
            type_,
            reason,
            "so it is",
            remedy,
        ] {
            assert!(text.contains(part), "no {part} in {text}");
        }
    }
}

#[test]
fn one_of_several_controllers_is_enough_to_accept() {
    let no = [("Accepted", "False", "NoMatchingParent", 3)];
    let parents = [
        says(&public(), &no),
        says(&public(), &WELL),
        says(&apex(), &WELL),
    ];
    assert_eq!(standing(&parents), Standing::Accepted);
}

#[test]
fn a_gateway_that_does_not_exist_is_named() {
    let release = release();
    let mut cluster = Cluster::default();
    release.route(&mut cluster, Routes::PRIMARY).unwrap();
    let standing = release
        .router()
        .standing(&release.blueprint(), &release.seen(&cluster));
    let Standing::Refused(problem) = standing else {
        panic!("{standing:?}")
    };
    let text = problem.to_string();
    assert!(
        text.contains("spec.service.gatewayRefs[0].name is public"),
        "{text}"
    );
    assert!(text.contains("Gateway edge/public"), "{text}");
}

#[test]
fn what_was_said_of_other_parents_than_the_wanted_ones_does_not_count() {
    let release = release();
    let mut cluster = Cluster::default();
    let gateway = json!({"metadata": {"name": "public", "namespace": "edge"}, "spec": {}});
    cluster.create(GATEWAY.named("edge", "public"), USER, &gateway);
    let mut route = json!({
        "metadata": {"name": "app", "namespace": "test", "generation": 3},
        "spec": {"parentRefs": [{"name": "old"}, apex()]},
    });
    route["status"] = json!({"parents": [says(&json!({"name": "old"}), &[("Accepted", "False", "NoMatchingParent", 3)]), says(&apex(), &WELL)]});
    cluster.create(key(), USER, &route);
    let standing = release
        .router()
        .standing(&release.blueprint(), &release.seen(&cluster));
    assert!(matches!(standing, Standing::Pending(_)), "{standing:?}");
}

#[test]
fn a_route_of_this_name_that_is_about_something_else_is_left_alone() {
    let release = release();
    let intrusion = |backend: &str| {
        let mut cluster = Cluster::default();
        let route = json!({
            "metadata": {"name": "app", "namespace": "test"},
            "spec": {"rules": [{"backendRefs": [{"name": backend, "port": 80}]}]},
        });
        cluster.create(key(), USER, &route);
        let seen = release.seen(&cluster);
        release.router().intrusion(&release.blueprint(), &seen)
    };
    assert_eq!(intrusion("app"), None);
    assert_eq!(intrusion("app-primary"), None);
    let text = intrusion("shop")
        .map(|problem| problem.to_string())
        .unwrap_or_default();
    for part in [
        "HTTPRoute test/app",
        "spec.rules[].backendRefs[].name is shop",
        "must lead to app",
    ] {
        assert!(text.contains(part), "no {part} in {text}");
    }
}
