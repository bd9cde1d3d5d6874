//! What is read from routes that somebody else wrote: Flagger half-way through a release, or a person.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]
#![expect(dead_code, reason = "each test file uses a part of the support")]

mod support;

use serde_json::{Value, json};
use slipway_core::object::Objects;
use slipway_core::plan::Problem;
use slipway_core::weight::{Routes, Weight};
use support::Release;
use support::cluster::{Cluster, USER};

/// What is read from a routing object of this spec, the last of those that are needed.
fn read(provider: &str, service: &Value, spec: &Value) -> Result<Option<Routes>, Problem> {
    let release = Release::of(json!({
        "metadata": {"name": "app", "namespace": "test"},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "service": service,
            "analysis": {"interval": "30s", "stepWeight": 10},
        },
    }));
    let release = release.unwrap();
    let key = release
        .router()
        .needs(&release.blueprint(), &Objects::new())
        .pop()
        .unwrap();
    let mut cluster = Cluster::default();
    cluster.create(
        key,
        USER,
        &json!({"metadata": {"name": "app"}, "spec": spec}),
    );
    release.read(&cluster)
}

fn to(host: &str, weight: i64) -> Value {
    json!({"destination": {"host": host}, "weight": weight})
}

fn canary(percent: i64) -> Routes {
    Routes::to_canary(Weight::try_new(percent).unwrap())
}

#[test]
fn istio_routes_are_read_whoever_wrote_them() {
    let split =
        |primary, canary| json!({"route": [to("app-primary", primary), to("app-canary", canary)]});
    let sticky = json!({
        "match": [{"headers": {"Cookie": {"regex": ".*side.*x.*"}}}],
        "route": [to("app-primary", 0), to("app-canary", 100)],
    });
    let mirrored = |host: &str| {
        let mut route = split(100, 0);
        route["mirror"] = json!({"host": host});
        route
    };
    let copied = Routes {
        canary: Weight::ZERO,
        mirrored: true,
        everyone: false,
    };
    let rows = [
        (
            "the weighted route stands behind the sticky ones",
            json!([sticky, split(75, 25)]),
            Some(canary(25)),
        ),
        (
            "A/B",
            json!([sticky, {"route": [to("app-primary", 0)]}]),
            Some(canary(100)),
        ),
        (
            "mirrored to the canary",
            json!([mirrored("app-canary.test.svc.cluster.local")]),
            Some(copied),
        ),
        (
            "mirrored elsewhere",
            json!([mirrored("shadow")]),
            Some(canary(0)),
        ),
        (
            "a route of a person behind",
            json!([split(90, 10), {"route": [to("cdn", 100)]}]),
            Some(canary(10)),
        ),
        (
            "by long names",
            json!([{"route": [to("app-canary.test", 30), to("app-primary.test.svc", 70)]}]),
            Some(canary(30)),
        ),
        (
            "weights of another sum",
            json!([split(900, 100)]),
            Some(canary(10)),
        ),
        (
            "a lone destination needs no weight",
            json!([{"route": [{"destination": {"host": "app-canary"}}]}]),
            Some(canary(100)),
        ),
        (
            "not taken over yet",
            json!([{"route": [to("app", 100)]}]),
            None,
        ),
        ("no routes", json!([]), None),
    ];
    for (what, http, expected) in rows {
        assert_eq!(
            read("istio", &json!({"port": 80}), &json!({"http": http})),
            Ok(expected),
            "{what}"
        );
    }
}

#[test]
fn istio_reads_the_list_of_the_protocol() {
    let spec = json!({
        "http": [{"route": [to("app-primary", 10), to("app-canary", 90)]}],
        "tcp": [{"route": [to("app-primary", 60), to("app-canary", 40)]}],
    });
    assert_eq!(
        read("istio", &json!({"port": 80, "appProtocol": "TCP"}), &spec),
        Ok(Some(canary(40)))
    );
    assert_eq!(
        read("istio", &json!({"port": 80}), &spec),
        Ok(Some(canary(90)))
    );
}

#[test]
fn traffic_splits_are_read_in_the_weights_of_every_version() {
    let backends = |primary: Value, canary: Value| json!({"backends": [{"service": "app-canary", "weight": canary}, {"service": "app-primary", "weight": primary}]});
    let rows = [
        (
            "texts",
            backends(json!("75"), json!("25")),
            Some(canary(25)),
        ),
        ("numbers", backends(json!(75), json!(25)), Some(canary(25))),
        (
            "weights of another sum",
            backends(json!("900"), json!("100")),
            Some(canary(10)),
        ),
        (
            "not taken over yet",
            json!({"backends": [{"service": "app", "weight": 1}]}),
            None,
        ),
        ("no backends", json!({"service": "app"}), None),
    ];
    for (what, spec, expected) in rows {
        for provider in ["linkerd", "osm", "smi:v1alpha3"] {
            assert_eq!(
                read(provider, &json!({"port": 80}), &spec),
                Ok(expected),
                "{what}, {provider}"
            );
        }
    }
}

#[test]
fn weights_that_are_all_0_are_a_problem_of_that_object() {
    let http = json!({"http": [{"route": [to("app-primary", 0), to("app-canary", 0)]}]});
    let backends =
        json!({"backends": [{"service": "app-canary", "weight": 0}, {"service": "app-primary"}]});
    for (provider, spec, object) in [
        ("istio", http, "VirtualService test/app"),
        ("linkerd", backends, "TrafficSplit test/app"),
    ] {
        let problem = read(provider, &json!({"port": 80}), &spec).unwrap_err();
        assert_eq!(problem.object.as_deref(), Some(object));
    }
}
