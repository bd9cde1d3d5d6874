//! Routes, users and Prometheus: what happens to requests, and what is told about it.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "JSON answers null where a field is absent; helpers of tests may fail as tests do"
)]

use serde_json::{Value, json};
use slipway_sim::{Behaviour, Mesh, Plane, Sampling, Visit, Which, Why, World};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);
const HOST: &str = "podinfo.test";

fn workload(name: &str, image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": image}]},
            },
        },
    })
}

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "test"},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80}]},
    })
}

fn istio(http: &Value) -> Value {
    json!({
        "apiVersion": "networking.istio.io/v1beta1", "kind": "VirtualService", "metadata": {"name": "podinfo", "namespace": "test"},
        "spec": {"hosts": ["podinfo"], "http": http},
    })
}

fn weights(primary: u32, canary: u32) -> Value {
    json!([
        {"destination": {"host": "podinfo-primary"}, "weight": primary},
        {"destination": {"host": "podinfo-canary"}, "weight": canary},
    ])
}

/// A primary with two pods, a canary with one, and the three Services of a release; the apex selects the primary.
async fn release(seed: u64) -> World {
    let world = World::new(seed);
    world.install_all();
    for object in [
        workload("podinfo-primary", "app:v1", 2),
        workload("podinfo", "app:v2", 1),
        service("podinfo", "podinfo-primary"),
        service("podinfo-primary", "podinfo-primary"),
        service("podinfo-canary", "podinfo"),
    ] {
        world.apply(&object).unwrap();
    }
    let all_ready = |world: &World| {
        let backends = |host: &str| world.plane(host).rules[0].destinations[0].backends.len();
        backends(HOST) == 2
            && backends("podinfo-primary.test") == 2
            && backends("podinfo-canary.test") == 1
    };
    assert!(world.eventually(MINUTE, all_ready).await);
    world
}

fn share(plane: &Plane, workload: &str) -> f64 {
    plane
        .shares()
        .into_iter()
        .filter(|(it, _)| it.workload == workload)
        .map(|(_, share)| share)
        .sum()
}

fn near(found: f64, expected: f64) {
    assert!(
        (found - expected).abs() < 0.001 * expected.abs().max(1.0),
        "{found} is not {expected}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_service_shares_requests_over_its_pods() {
    let world = release(1).await;
    let plane = world.plane(HOST);
    assert_eq!(plane.source, "Service test/podinfo");
    near(share(&plane, "podinfo-primary"), 1.0);
    let revision = plane.shares().into_keys().next().unwrap();
    assert_eq!(
        (revision.image.as_str(), revision.namespace.as_str()),
        ("app:v1", "test")
    );
    world
        .patch(
            "service",
            "test",
            "podinfo",
            &json!({"spec": {"selector": null}}),
        )
        .unwrap();
    assert!(world.plane("nobody.test").rules.is_empty());
}

#[tokio::test(start_paused = true)]
async fn weights_of_every_mesh_become_shares() {
    let world = release(1).await;
    let check = |object: &Value, source: &str| {
        world.apply(object).unwrap();
        let plane = world.plane(HOST);
        assert_eq!(plane.source, source);
        near(share(&plane, "podinfo-primary"), 0.9);
        near(share(&plane, "podinfo"), 0.1);
    };
    let split = |version: &str, weights: [Value; 2]| {
        json!({
            "apiVersion": format!("split.smi-spec.io/{version}"), "kind": "TrafficSplit", "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"service": "podinfo", "backends": [
                {"service": "podinfo-primary", "weight": weights[0]}, {"service": "podinfo-canary", "weight": weights[1]},
            ]},
        })
    };
    check(
        &split("v1alpha2", [json!(90), json!(10)]),
        "TrafficSplit test/podinfo",
    );
    check(
        &split("v1alpha1", [json!("900m"), json!("100m")]),
        "TrafficSplit test/podinfo",
    );
    check(
        &json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"parentRefs": [{"kind": "Service", "name": "podinfo"}], "rules": [{"backendRefs": [
                {"name": "podinfo-primary", "port": 80, "weight": 90}, {"name": "podinfo-canary", "port": 80, "weight": 10},
            ]}]},
        }),
        "HTTPRoute test/podinfo",
    );
    check(
        &istio(&json!([{"route": weights(90, 10)}])),
        "VirtualService test/podinfo",
    );
    world.ignore(Mesh::Istio, true);
    world.ignore(Mesh::GatewayApi, true);
    world.ignore(Mesh::Smi, true);
    near(share(&world.plane(HOST), "podinfo-primary"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn a_route_with_a_match_is_for_those_who_match() {
    let world = release(1).await;
    let insiders = json!([{"headers": {"cookie": {"regex": "^(.*?;)?(type=insider)(;.*)?$"}}}]);
    world
        .apply(&istio(
            &json!([{"match": insiders, "route": weights(0, 100)}, {"route": weights(100, 0)}]),
        ))
        .unwrap();
    let plane = world.plane(HOST);
    near(share(&plane, "podinfo-primary"), 1.0);
    let insider = Visit::default().header("cookie", "type=insider");
    let rule = plane.rule(&insider).unwrap();
    assert!(rule.is_conditional());
    assert_eq!(
        rule.shares()
            .into_keys()
            .map(|it| it.workload)
            .collect::<Vec<_>>(),
        ["podinfo"]
    );
    world.users().call(HOST, 10.0);
    world.users().call_as(HOST, 2.0, insider);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = world.users().report();
    near(report.of_workload("test", "podinfo-primary").ok, 100.0);
    near(report.of_workload("test", "podinfo").ok, 20.0);
}

#[tokio::test(start_paused = true)]
async fn a_subset_is_the_pods_with_its_labels() {
    let world = release(1).await;
    let subset =
        |name: &str| json!([{"route": [{"destination": {"host": "podinfo", "subset": name}}]}]);
    world.apply(&istio(&subset("v1"))).unwrap();
    near(world.plane(HOST).rules[0].lost(), 1.0);
    world
        .apply(&json!({
            "apiVersion": "networking.istio.io/v1beta1", "kind": "DestinationRule", "metadata": {"name": "podinfo", "namespace": "test"},
            "spec": {"host": "podinfo", "subsets": [{"name": "v1", "labels": {"app": "podinfo-primary"}}]},
        }))
        .unwrap();
    near(share(&world.plane(HOST), "podinfo-primary"), 1.0);
}

#[tokio::test(start_paused = true)]
async fn mirrored_requests_are_counted_where_they_go_and_harm_nobody() {
    let world = release(1).await;
    world.script(Which::image("app:v2"), Behaviour::healthy().errors(1.0));
    world
        .apply(&istio(&json!([{"route": weights(100, 0), "mirror": {"host": "podinfo-canary"}, "mirrorPercentage": {"value": 50}}])))
        .unwrap();
    world.users().call(HOST, 10.0);
    tokio::time::sleep(MINUTE).await;
    let report = world.users().report();
    near(report.failed(), 0.0);
    near(report.mirrored, 300.0);
    let failures = world.prometheus().query("sum(increase(istio_requests_total{destination_workload=\"podinfo\",response_code=\"500\"}[1m]))");
    near(number(&failures), 300.0);
}

#[tokio::test(start_paused = true)]
async fn requests_to_nothing_are_lost_and_written_down() {
    let world = release(1).await;
    world.users().call(HOST, 10.0);
    world
        .user("kubectl")
        .scale("deployment", "test", "podinfo", 0)
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| world.plane("podinfo-canary.test").rules[0]
                .lost()
                > 0.0)
            .await
    );
    world.users().begin_anew();
    world
        .apply(&istio(&json!([{"route": weights(80, 20)}])))
        .unwrap();
    assert!(world.plane(HOST).rules[0].sends_to_nothing());
    tokio::time::sleep(Duration::from_secs(10)).await;
    world
        .apply(&istio(&json!([{"route": weights(100, 0)}])))
        .unwrap();
    tokio::time::sleep(Duration::from_secs(10)).await;
    let losses = world.users().losses();
    assert_eq!(losses.len(), 1, "{losses:?}");
    assert_eq!(losses[0].why, Why::NoBackend);
    near(losses[0].requests, 20.0);
    let report = world.users().report();
    near(report.sent(), 200.0);
    near(report.unanswered(), 20.0);
}

#[tokio::test(start_paused = true)]
async fn callers_learn_of_a_change_a_lag_later() {
    let world = release(1).await;
    world.set_propagation(Duration::from_secs(3));
    world
        .apply(&istio(&json!([{"route": weights(100, 0)}])))
        .unwrap();
    world.users().call(HOST, 10.0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world
        .apply(&istio(&json!([{"route": weights(0, 100)}])))
        .unwrap();
    near(share(&world.plane(HOST), "podinfo"), 1.0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = world.users().report();
    near(report.of_workload("test", "podinfo-primary").ok, 130.0);
    near(report.of_workload("test", "podinfo").ok, 70.0);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_dies_takes_its_requests_along_until_its_callers_know() {
    let world = release(1).await;
    world.set_propagation(Duration::from_secs(2));
    world.users().call(HOST, 10.0);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.kill_pods("test", |pod| {
        pod["spec"]["containers"][0]["image"] == "app:v1"
    });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let report = world.users().report();
    let dead = report
        .lost
        .get(&Why::DeadBackend)
        .copied()
        .unwrap_or_default();
    assert!((19.0..21.0).contains(&dead), "{report:?}");
    let empty = report
        .lost
        .get(&Why::NoBackend)
        .copied()
        .unwrap_or_default();
    assert!(
        (8.0..14.0).contains(&empty),
        "the new pods take a second to start, and callers two to know: {report:?}"
    );
}

/// A pod that stops serves on: a plain roll-out loses nothing as long as its callers learn in time.
#[tokio::test(start_paused = true)]
async fn a_roll_out_loses_nothing_unless_pods_stop_before_their_callers_know() {
    let lost = async |lag: Duration| {
        let world = release(1).await;
        world.set_propagation(lag);
        world.users().call(HOST, 100.0);
        world
            .set_image("test", "podinfo-primary", "app:v3")
            .unwrap();
        tokio::time::sleep(MINUTE).await;
        let report = world.users().report();
        near(report.sent(), 6000.0);
        report.unanswered()
    };
    near(lost(Duration::from_millis(500)).await, 0.0);
    assert!(lost(Duration::from_secs(5)).await > 100.0);
}

fn success_rate(target: &str) -> String {
    format!(
        " sum( rate( istio_requests_total{{ reporter=\"destination\", destination_workload_namespace=\"test\", destination_workload=~\"{target}\", response_code!~\"5.*\" }}[1m] ) ) / sum( rate( istio_requests_total{{ reporter=\"destination\", destination_workload_namespace=\"test\", destination_workload=~\"{target}\" }}[1m] ) ) * 100"
    )
}

fn number(answer: &Value) -> f64 {
    let text = answer["data"]["result"][0]["value"][1].as_str();
    text.and_then(|text| text.parse().ok())
        .unwrap_or_else(|| panic!("no number in {answer}"))
}

#[tokio::test(start_paused = true)]
async fn the_built_in_queries_of_every_mesh_are_answered_from_the_requests() {
    let world = release(1).await;
    world.script(
        Which::image("app:v2"),
        Behaviour::healthy()
            .errors(0.05)
            .latency(Duration::from_millis(300)),
    );
    world
        .apply(&istio(&json!([{"route": weights(50, 50)}])))
        .unwrap();
    world.users().call(HOST, 20.0);
    tokio::time::sleep(MINUTE * 2).await;
    let prometheus = world.prometheus();
    near(number(&prometheus.query(&success_rate("podinfo"))), 95.0);
    near(
        number(&prometheus.query(&success_rate("podinfo-primary"))),
        100.0,
    );
    let linkerd = "sum(rate(response_total{namespace=\"test\",deployment=~\"podinfo\",classification!=\"failure\",direction=\"inbound\"}[1m])) / sum(rate(response_total{namespace=\"test\",deployment=~\"podinfo\",direction=\"inbound\"}[1m])) * 100";
    near(number(&prometheus.query(linkerd)), 95.0);
    let pods = "kubernetes_namespace=\"test\", kubernetes_pod_name=~\"podinfo-[0-9a-zA-Z]+(-[0-9a-zA-Z]+)\"";
    let http = format!(
        "sum(rate(http_request_duration_seconds_count{{{pods}, status!~\"5.*\"}}[1m])) / sum(rate(http_request_duration_seconds_count{{{pods}}}[1m])) * 100"
    );
    near(number(&prometheus.query(&http)), 95.0);
    let quantile =
        |buckets: &str| format!("histogram_quantile(0.99, sum(rate({buckets}[1m])) by (le))");
    let latency = quantile(
        "istio_request_duration_milliseconds_bucket{reporter=\"destination\",destination_workload=~\"podinfo\"}",
    );
    near(number(&prometheus.query(&latency)), 250.0 + 250.0 * 0.99);
    let latency = quantile(&format!("http_request_duration_seconds_bucket{{{pods}}}"));
    near(number(&prometheus.query(&latency)), 0.25 + 0.25 * 0.99);
    let latency = quantile(
        "response_latency_ms_bucket{namespace=\"test\",deployment=~\"podinfo-primary\",direction=\"inbound\"}",
    );
    near(number(&prometheus.query(&latency)), 10.0 + 10.0 * 0.99);
    near(number(&prometheus.query("vector(1)")), 1.0);
    near(
        number(
            &prometheus.query(
                "sum(increase(istio_requests_total{destination_workload=\"podinfo\"}[30s]))",
            ),
        ),
        300.0,
    );
}

#[tokio::test(start_paused = true)]
async fn without_traffic_there_is_no_data_and_after_it_no_number() {
    let world = release(1).await;
    let prometheus = world.prometheus();
    assert_eq!(
        prometheus.query(&success_rate("podinfo"))["data"]["result"],
        json!([])
    );
    world
        .apply(&istio(&json!([{"route": weights(50, 50)}])))
        .unwrap();
    world.users().call(HOST, 20.0);
    tokio::time::sleep(Duration::from_secs(10)).await;
    world.users().call(HOST, 0.0);
    near(number(&prometheus.query(&success_rate("podinfo"))), 100.0);
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(
        prometheus.query(&success_rate("podinfo"))["data"]["result"][0]["value"][1],
        "NaN"
    );
    world.kill_pods("test", |pod| {
        pod["spec"]["containers"][0]["image"] == "app:v2"
    });
    tokio::time::sleep(MINUTE * 2).await;
    assert_eq!(
        prometheus.query(&success_rate("podinfo"))["data"]["result"],
        json!([])
    );
}

#[tokio::test(start_paused = true)]
async fn a_range_query_has_a_value_for_each_step() {
    let world = release(1).await;
    world.users().call(HOST, 10.0);
    tokio::time::sleep(MINUTE).await;
    let now = 1_767_225_600.0 + world.clock().elapsed().as_secs_f64();
    let answer = world.prometheus().query_range(
        "sum(rate(istio_requests_total[10s])) by (response_code)",
        now - 30.0,
        now,
        10.0,
    );
    let row = &answer["data"]["result"][0];
    assert_eq!(row["metric"], json!({"response_code": "200"}));
    assert_eq!(row["values"].as_array().map(Vec::len), Some(4));
}

#[tokio::test(start_paused = true)]
async fn a_query_that_does_not_parse_is_refused() {
    let world = World::new(1);
    for query in ["sum(rate(x[1m])", "x{a~b}", "rate(x)", "nonsense(x)", ""] {
        assert_eq!(
            world.prometheus().query(query)["status"],
            "error",
            "{query}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn drawn_requests_are_whole_noisy_and_follow_the_seed() {
    let failed = async |seed: u64| {
        let world = release(seed).await;
        world.script(Which::image("app:v1"), Behaviour::healthy().errors(0.1));
        world.users().set_sampling(Sampling::Drawn);
        world.users().call(HOST, 33.3);
        tokio::time::sleep(MINUTE).await;
        let report = world.users().report();
        near(report.sent(), 1998.0);
        near(report.sent().fract(), 0.0);
        report.failed()
    };
    let first = failed(1).await;
    assert!((150.0..250.0).contains(&first), "{first}");
    near(failed(1).await, first);
    assert!((failed(2).await - first).abs() > 0.5);
}

#[tokio::test(start_paused = true)]
async fn errors_can_begin_late() {
    let world = release(1).await;
    world.script(
        Which::image("app:v1"),
        Behaviour::healthy().errors_from(MINUTE * 3, 0.5),
    );
    world.users().call(HOST, 10.0);
    tokio::time::sleep(MINUTE * 2).await;
    near(world.users().report().failed(), 0.0);
    tokio::time::sleep(MINUTE * 3).await;
    assert!(world.users().report().failed() > 500.0);
}
