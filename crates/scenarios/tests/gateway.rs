//! Releases that are routed by `HTTPRoutes`: what the parents say of a route, what is wrong with one, and Linkerd without SMI.
#![expect(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "a test may fail, and its helpers; objects are written where they are used"
)]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{ConditionStatus, Phase};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;

const SOON: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_hours(1);
const SPLITS: &str = "trafficsplits.split.smi-spec.io";
const ROUTES: &str = "httproutes.gateway.networking.k8s.io";
const FLAGS: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

/// The application answers in 50 ms.
fn stage() -> Stage {
    let stage = Stage::new(1, &FLAGS);
    stage
        .outside
        .reply("http_request_duration_seconds_bucket", Reply::Sample(0.05));
    stage
}

fn app() -> Value {
    deployment("app:v1", 2)
}

/// The Canary `app` of that provider with these fields of `spec.service`.
fn of(provider: &str, service: Value) -> Value {
    let mut object = canary(provider, &json!({"stepWeights": [20, 60]}));
    json_patch::merge(&mut object, &json!({"spec": {"service": service}}));
    object
}

/// For the mesh: the apex Service is the parent.
fn of_mesh() -> Value {
    let apex = json!([{"group": "", "kind": "Service", "name": "app", "port": 80}]);
    of("gatewayapi:v1", json!({"gatewayRefs": apex}))
}

/// For a Gateway of another namespace.
fn of_gateway() -> Value {
    let service = json!({"gatewayRefs": [{"name": "public", "namespace": "edge"}], "hosts": ["app.example.com"]});
    of("gatewayapi:v1", service)
}

fn gateway(from: &str) -> Value {
    json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway",
        "metadata": {"name": "public", "namespace": "edge"},
        "spec": {"gatewayClassName": "any", "listeners": [
            {"name": "http", "port": 80, "protocol": "HTTP", "allowedRoutes": {"namespaces": {"from": from}}},
        ]},
    })
}

fn edge() -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "edge"}})
}

/// The message of a condition that holds.
fn shown(stage: &Stage, type_: &str) -> Option<String> {
    let conditions = stage.status().conditions;
    let found = conditions
        .into_iter()
        .find(|it| it.type_ == type_ && it.status == ConditionStatus::True);
    found.map(|it| it.message)
}

/// That a condition of this type and one event say these words.
async fn is_shown(stage: &Stage, type_: &str, words: &[&str]) {
    let says = |message: &str| words.iter().all(|word| message.contains(word));
    let is_so = |_: &_| shown(stage, type_).is_some_and(|message| says(&message));
    assert!(
        stage.world.eventually(HOUR, is_so).await,
        "{words:?} is not in {type_}: {:#?}\n{:#?}",
        stage.status(),
        stage.events()
    );
    tokio::time::sleep(Duration::from_mins(10)).await;
    let told = stage.events();
    let told = told.iter().filter(|event| says(event)).count();
    assert_eq!(told, 1, "{:#?}", stage.events());
}

async fn reaches(stage: &Stage, phase: Phase) {
    let all = [Phase::Initialized, Phase::Succeeded, Phase::Failed];
    let wanted: Vec<Phase> = all.into_iter().filter(|it| *it == phase).collect();
    let reached = stage.reach(&wanted, HOUR).await;
    assert_eq!(
        reached,
        phase,
        "{:#?}\n{:#?}",
        stage.status(),
        stage.events()
    );
}

fn push(stage: &Stage, image: &str) {
    stage.world.set_image(NAMESPACE, "app", image).unwrap();
}

/// The canary's weight in a route.
fn weight(stage: &Stage) -> Option<i64> {
    let route = stage.object("HTTPRoute", "app")?;
    route
        .pointer("/spec/rules/0/backendRefs/1/weight")?
        .as_i64()
}

fn waits_for(stage: &Stage) -> String {
    let slipway = stage.status().slipway.unwrap_or_default();
    slipway.waiting.map_or_else(String::new, |it| it.for_)
}

#[tokio::test(start_paused = true)]
async fn a_release_passes_through_a_gateway_of_another_namespace() {
    let stage = stage();
    stage.apply(&[edge(), gateway("All"), app(), of_gateway()]);
    reaches(&stage, Phase::Initialized).await;
    let route = stage.object("HTTPRoute", "app").unwrap();
    let spec = |at: &str| route.pointer(at).cloned().unwrap_or_default();
    assert_eq!(spec("/spec/hostnames"), json!(["app.example.com"]));
    assert_eq!(spec("/spec/parentRefs/0/namespace"), json!("edge"));
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
    assert_eq!(weight(&stage), Some(0));
    assert_eq!(shown(&stage, "RoutingIneffective"), None);
}

#[tokio::test(start_paused = true)]
async fn fc_026_no_step_is_judged_before_the_parents_have_accepted_it() {
    let stage = stage();
    stage.apply(&[app(), of_mesh()]);
    reaches(&stage, Phase::Initialized).await;
    stage.world.set_route_lag(Duration::from_secs(25));
    push(&stage, "app:v2");
    let is_at_20 = |_: &_| weight(&stage) == Some(20);
    assert!(stage.world.eventually(HOUR, is_at_20).await);
    let asked = stage.outside.count("/api/v1/query");
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(
        waits_for(&stage),
        "HTTPRoute test/app to be accepted by Service test/app"
    );
    tokio::time::sleep(Duration::from_secs(15)).await;
    // It stands, and its interval counts from then on.
    assert_eq!(stage.outside.count("/api/v1/query"), asked);
    assert_eq!(
        (weight(&stage), waits_for(&stage)),
        (Some(20), String::new())
    );
    reaches(&stage, Phase::Succeeded).await;
    assert!(stage.outside.count("/api/v1/query") > asked);
}

#[tokio::test(start_paused = true)]
async fn fc_026_an_acceptance_wakes_the_release_without_a_poll() {
    let stage = stage();
    stage.apply(&[app(), of_mesh()]);
    reaches(&stage, Phase::Initialized).await;
    stage.world.set_route_lag(Duration::from_mins(30));
    push(&stage, "app:v2");
    let waits = |_: &_| waits_for(&stage).contains("to be accepted by");
    assert!(stage.world.eventually(HOUR, waits).await);
    let writes = |stage: &Stage| {
        let all = stage.world.faults("slipway").asked();
        let ours = all.iter().filter(|it| it.write.is_some());
        ours.filter(|it| it.resource != "leases").count()
    };
    let before = writes(&stage);
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(writes(&stage), before);
    let goes_on = |_: &_| weight(&stage) == Some(60);
    assert!(
        stage
            .world
            .eventually(Duration::from_mins(11), goes_on)
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn a_refusal_holds_the_release_says_why_and_lets_it_go_on_when_it_is_mended() {
    let stage = stage();
    stage.apply(&[app(), of_mesh()]);
    reaches(&stage, Phase::Initialized).await;
    push(&stage, "app:v2");
    let is_at_20 = |_: &_| weight(&stage) == Some(20);
    assert!(stage.world.eventually(HOUR, is_at_20).await);
    let refusal = ("ResolvedRefs", "RefNotPermitted", "no grant");
    stage.world.refuse_routes(Some(refusal));
    let words = [
        "HTTPRoute test/app: status.parents[Service test/app].conditions[ResolvedRefs]",
        "False (RefNotPermitted: no grant)",
        "create a ReferenceGrant",
    ];
    is_shown(&stage, "RoutingIneffective", &words).await;
    assert_eq!(stage.status().phase, Phase::Progressing);
    assert_eq!(weight(&stage), Some(20));
    stage.world.refuse_routes(None);
    reaches(&stage, Phase::Succeeded).await;
    assert_eq!(shown(&stage, "RoutingIneffective"), None);
}

#[tokio::test(start_paused = true)]
async fn a_gateway_that_does_not_exist_is_named_and_waited_for() {
    let stage = stage();
    stage.apply(&[edge(), app(), of_gateway()]);
    let words = [
        "spec.service.gatewayRefs[0].name is public",
        "Gateway edge/public",
    ];
    is_shown(&stage, "RoutingIneffective", &words).await;
    assert_ne!(stage.status().phase, Phase::Initialized);
    stage.apply(&[gateway("All")]);
    reaches(&stage, Phase::Initialized).await;
    assert_eq!(shown(&stage, "RoutingIneffective"), None);
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_admits_no_route_of_the_namespace_is_named() {
    let stage = stage();
    stage.apply(&[edge(), gateway("Same"), app(), of_gateway()]);
    let words = [
        "HTTPRoute test/app",
        "conditions[Accepted] is False (NotAllowedByListeners",
        "a listener of Gateway edge/public must allow routes of namespace test",
    ];
    is_shown(&stage, "RoutingIneffective", &words).await;
    stage.apply(&[gateway("All")]);
    reaches(&stage, Phase::Initialized).await;
}

#[tokio::test(start_paused = true)]
async fn a_version_of_the_kinds_that_is_not_served_is_named() {
    let stage = stage();
    for name in [ROUTES, "httproutes.policy.linkerd.io"] {
        stage.world.uninstall(name);
    }
    stage.apply(&[app(), of_mesh()]);
    let words = [
        "spec.provider is gatewayapi:v1",
        "httproutes of gateway.networking.k8s.io/v1",
    ];
    is_shown(&stage, "ProviderUnavailable", &words).await;
    assert_eq!(stage.object("Deployment", "app-primary"), None);
    stage.world.install(ROUTES);
    reaches(&stage, Phase::Initialized).await;
}

#[tokio::test(start_paused = true)]
async fn a_match_that_gateway_api_cannot_say_is_named() {
    let stage = stage();
    let mut bad = of_mesh();
    let selected = json!([{"headers": {"x-user": {"prefix": "beta"}}}]);
    json_patch::merge(
        &mut bad,
        &json!({"spec": {"analysis": {"stepWeights": null, "iterations": 3, "match": selected}}}),
    );
    stage.apply(&[app(), bad]);
    let words = [
        "spec.analysis.match[0].headers.x-user",
        "must be exact or regex",
    ];
    is_shown(&stage, "InvalidSpec", &words).await;
    assert_eq!(stage.object("HTTPRoute", "app"), None);
    stage.apply(&[of_mesh()]);
    reaches(&stage, Phase::Initialized).await;
}

#[tokio::test(start_paused = true)]
async fn a_hand_made_route_of_the_same_name_that_is_about_something_else_is_left_alone() {
    let stage = stage();
    let theirs = json!({
        "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {"rules": [{"backendRefs": [{"name": "shop", "port": 80}]}]},
    });
    stage.apply(&[app(), theirs.clone(), of_mesh()]);
    let words = [
        "HTTPRoute test/app: spec.rules[].backendRefs[].name is shop",
        "must lead to app",
    ];
    is_shown(&stage, "InvalidSpec", &words).await;
    let route = stage.object("HTTPRoute", "app").unwrap();
    assert_eq!(route.get("spec"), theirs.get("spec"));
    assert_eq!(stage.object("Deployment", "app-primary"), None);
    stage.world.delete("httproute", NAMESPACE, "app").unwrap();
    reaches(&stage, Phase::Initialized).await;
}

#[tokio::test(start_paused = true)]
async fn linkerd_without_smi_is_routed_by_an_httproute_of_its_apex_and_a_condition_says_so() {
    let stage = stage();
    stage.world.uninstall(SPLITS);
    stage.apply(&[app(), of("linkerd", json!({}))]);
    let words = [
        "spec.provider is linkerd",
        "HTTPRoute of gateway.networking.k8s.io/v1",
        "trafficsplits of split.smi-spec.io/v1alpha1 cannot be had",
    ];
    is_shown(&stage, "RoutedBy", &words).await;
    reaches(&stage, Phase::Initialized).await;
    let route = stage.object("HTTPRoute", "app").unwrap();
    let parent = route.pointer("/spec/parentRefs/0").cloned();
    let apex = json!({"group": "", "kind": "Service", "name": "app", "port": 80});
    assert_eq!(parent, Some(apex));
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn where_the_standard_route_is_missing_too_linkerds_own_is_taken() {
    let stage = stage();
    for name in [SPLITS, ROUTES] {
        stage.world.uninstall(name);
    }
    stage.apply(&[app(), of("linkerd", json!({}))]);
    let words = ["HTTPRoute of policy.linkerd.io/v1beta3"];
    is_shown(&stage, "RoutedBy", &words).await;
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
    let route = stage.object("HTTPRoute", "app").unwrap();
    assert_eq!(
        route.get("apiVersion"),
        Some(&json!("policy.linkerd.io/v1beta3"))
    );
}

/// For the mesh, with a service whose protocol is gRPC.
fn of_calls(more: Value) -> Value {
    let mut object = of_mesh();
    json_patch::merge(
        &mut object,
        &json!({"spec": {"service": {"appProtocol": "grpc"}}}),
    );
    json_patch::merge(&mut object, &json!({"spec": {"service": more}}));
    object
}

#[tokio::test(start_paused = true)]
async fn a_service_that_speaks_grpc_is_routed_by_a_grpcroute() {
    let stage = stage();
    let methods = json!({"match": [{"uri": {"prefix": "/shop.Cart/"}}]});
    stage.apply(&[app(), of_calls(methods)]);
    reaches(&stage, Phase::Initialized).await;
    let route = stage.object("GRPCRoute", "app").unwrap();
    let method = route.pointer("/spec/rules/0/matches/0/method").cloned();
    assert_eq!(
        method,
        Some(json!({"type": "Exact", "service": "shop.Cart"}))
    );
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
    assert_eq!(stage.object("HTTPRoute", "app"), None);
    assert!(stage.object("GRPCRoute", "app").is_some());
}

#[tokio::test(start_paused = true)]
async fn a_route_for_http_that_serves_calls_is_not_changed_under_them() {
    let stage = stage();
    stage.apply(&[app(), of_mesh()]);
    reaches(&stage, Phase::Initialized).await;
    stage.apply(&[of_calls(json!({}))]);
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
    assert_eq!(stage.object("GRPCRoute", "app"), None);
    assert_eq!(weight(&stage), Some(0));
}

#[tokio::test(start_paused = true)]
async fn what_a_grpcroute_cannot_say_or_where_it_is_missing_an_httproute_routes_calls() {
    let stage = stage();
    stage.apply(&[app(), of_calls(json!({"timeout": "15s"}))]);
    reaches(&stage, Phase::Initialized).await;
    assert!(stage.object("HTTPRoute", "app").is_some());

    let stage = self::stage();
    stage
        .world
        .uninstall("grpcroutes.gateway.networking.k8s.io");
    stage.apply(&[app(), of_calls(json!({}))]);
    let words = [
        "routed by HTTPRoute of gateway.networking.k8s.io/v1",
        "grpcroutes of gateway.networking.k8s.io/v1 cannot be had",
    ];
    is_shown(&stage, "RoutedBy", &words).await;
    assert!(stage.object("HTTPRoute", "app").is_some());
}

/// The canary's weights that the routes ask for, wherever one stands.
fn all_weights(world: &slipway_sim::World) -> Vec<i64> {
    let split = world.get("TrafficSplit", NAMESPACE, "app");
    let route = world.get("HTTPRoute", NAMESPACE, "app");
    let at = |object: &Option<Arc<slipway_sim::Object>>, place: &str| {
        let weight = object.as_ref()?.pointer(place)?;
        weight.as_i64().or_else(|| weight.as_str()?.parse().ok())
    };
    let split = at(&split, "/spec/backends/0/weight");
    let route = at(&route, "/spec/rules/0/backendRefs/1/weight");
    split.into_iter().chain(route).collect()
}

/// Notes, after every write, whether two routes disagree or none is left.
fn watch_routes(stage: &Stage) -> Arc<Mutex<Vec<Vec<i64>>>> {
    let odd: Arc<Mutex<Vec<Vec<i64>>>> = Arc::default();
    let noted = Arc::clone(&odd);
    stage.world.on_write(move |world, _| {
        let weights = all_weights(world);
        if weights.is_empty() || weights.iter().any(|weight| Some(weight) != weights.first()) {
            noted.lock().unwrap().push(weights);
        }
    });
    odd
}

#[tokio::test(start_paused = true)]
async fn a_running_release_keeps_its_kind_of_route_and_changes_it_at_rest() {
    let mut stage = stage();
    stage.world.uninstall(SPLITS);
    stage.apply(&[app(), of("linkerd", json!({}))]);
    reaches(&stage, Phase::Initialized).await;
    let odd = watch_routes(&stage);
    push(&stage, "app:v2");
    let is_at_20 = |_: &_| weight(&stage) == Some(20);
    assert!(stage.world.eventually(HOUR, is_at_20).await);
    stage.world.install(SPLITS);
    stage.kill();
    stage.start();
    let is_at_60 = |_: &_| weight(&stage) == Some(60);
    assert!(stage.world.eventually(HOUR, is_at_60).await);
    assert_eq!(stage.object("TrafficSplit", "app"), None);
    reaches(&stage, Phase::Succeeded).await;
    let moved = |_: &_| stage.object("HTTPRoute", "app").is_none();
    assert!(
        stage.world.eventually(HOUR, moved).await,
        "{:#?}",
        stage.status()
    );
    assert!(stage.object("TrafficSplit", "app").is_some());
    assert_eq!(shown(&stage, "RoutedBy"), None);
    assert_eq!(*odd.lock().unwrap(), Vec::<Vec<i64>>::new());
    push(&stage, "app:v3");
    tokio::time::sleep(SOON).await;
    reaches(&stage, Phase::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn where_smi_is_taken_away_at_rest_an_httproute_takes_its_place() {
    let stage = stage();
    stage.apply(&[app(), of("linkerd", json!({}))]);
    reaches(&stage, Phase::Initialized).await;
    stage.world.uninstall(SPLITS);
    let moved = |_: &_| stage.object("HTTPRoute", "app").is_some();
    assert!(
        stage.world.eventually(Duration::from_mins(6), moved).await,
        "{:#?}",
        stage.status()
    );
    push(&stage, "app:v2");
    reaches(&stage, Phase::Succeeded).await;
}

#[tokio::test(start_paused = true)]
async fn a_release_whose_kind_of_route_is_taken_away_is_held_until_it_is_back() {
    let stage = stage();
    stage.apply(&[app(), of("linkerd", json!({}))]);
    reaches(&stage, Phase::Initialized).await;
    push(&stage, "app:v2");
    let is_at_20 = |world: &slipway_sim::World| all_weights(world) == [20];
    assert!(stage.world.eventually(HOUR, is_at_20).await);
    stage.world.uninstall(SPLITS);
    let words = ["spec.provider is linkerd", "trafficsplits"];
    is_shown(&stage, "ProviderUnavailable", &words).await;
    assert_eq!(stage.object("HTTPRoute", "app"), None);
    stage.world.install(SPLITS);
    reaches(&stage, Phase::Succeeded).await;
    assert!(stage.object("TrafficSplit", "app").is_some());
}

#[tokio::test(start_paused = true)]
async fn whoever_comes_from_smi_is_moved_at_rest_with_both_routes_agreeing() {
    let stage = stage();
    stage.apply(&[app(), of("linkerd", json!({}))]);
    reaches(&stage, Phase::Initialized).await;
    assert!(stage.object("TrafficSplit", "app").is_some());
    let odd = watch_routes(&stage);
    push(&stage, "app:v2");
    let is_at_20 = |world: &slipway_sim::World| all_weights(world) == [20];
    assert!(stage.world.eventually(HOUR, is_at_20).await);
    // In the middle of a release: it goes on by its split.
    stage.apply(&[of_mesh()]);
    let is_at_60 = |world: &slipway_sim::World| all_weights(world) == [60];
    assert!(stage.world.eventually(HOUR, is_at_60).await);
    assert_eq!(stage.object("HTTPRoute", "app"), None);
    reaches(&stage, Phase::Succeeded).await;
    // The split stays until the mesh has accepted the route.
    let moved = |_: &_| stage.object("TrafficSplit", "app").is_none();
    assert!(
        stage.world.eventually(HOUR, moved).await,
        "{:#?}",
        stage.status()
    );
    assert_eq!(weight(&stage), Some(0));
    assert_eq!(*odd.lock().unwrap(), Vec::<Vec<i64>>::new());
    let told = "is routed by HTTPRoute.gateway.networking.k8s.io from now on";
    let events = stage.events();
    assert_eq!(
        events.iter().filter(|it| it.contains(told)).count(),
        1,
        "{events:#?}"
    );
    push(&stage, "app:v3");
    tokio::time::sleep(SOON).await;
    reaches(&stage, Phase::Succeeded).await;
    assert_eq!(stage.object("TrafficSplit", "app"), None);
}
