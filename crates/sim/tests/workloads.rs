//! The controllers of the cluster: what a Deployment, a `DaemonSet`, a Service, an autoscaler and a deletion lead to.

#![expect(
    clippy::indexing_slicing,
    reason = "JSON answers null where a field is absent"
)]

use serde_json::{Value, json};
use slipway_sim::{Behaviour, Object, Which, World};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "test"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "app:v1", "ports": [{"name": "http", "containerPort": 9898}]}]},
            },
        },
    })
}

fn service(name: &str, app: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service", "metadata": {"name": name, "namespace": "test"},
        "spec": {"selector": {"app": app}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
    })
}

fn status(world: &World, field: &str) -> i64 {
    world
        .get("deployment", "test", "app")
        .and_then(|it| it["status"][field].as_i64())
        .unwrap_or(0)
}

fn condition(object: &Object, kind: &str) -> (String, String) {
    let conditions = object["status"]["conditions"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let found = conditions
        .iter()
        .find(|it| it["type"] == kind)
        .cloned()
        .unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    (text("status"), text("reason"))
}

fn progressing(world: &World) -> String {
    world
        .get("deployment", "test", "app")
        .map(|it| condition(&it, "Progressing").1)
        .unwrap_or_default()
}

fn images(world: &World) -> Vec<String> {
    let pods = world.list("pods", "test");
    pods.iter()
        .filter(|pod| !pod.is_going())
        .map(|pod| {
            pod["spec"]["containers"][0]["image"]
                .as_str()
                .unwrap_or_default()
                .to_owned()
        })
        .collect()
}

fn addresses(world: &World, service: &str) -> usize {
    let slices = world.list("endpointslices", "test");
    let slice = slices
        .iter()
        .find(|it| it["metadata"]["labels"]["kubernetes.io/service-name"] == service);
    slice
        .and_then(|it| it["endpoints"].as_array())
        .map_or(0, |all| {
            all.iter()
                .filter(|it| it["conditions"]["ready"] == true)
                .count()
        })
}

async fn settled(world: &World, replicas: i64) {
    let is_so = |world: &World| {
        world.get("deployment", "test", "app").is_some_and(|it| {
            let status = &it["status"];
            status["observedGeneration"] == it["metadata"]["generation"]
                && ["replicas", "updatedReplicas", "availableReplicas"]
                    .iter()
                    .all(|field| status[field].as_i64().unwrap_or(0) == replicas)
        })
    };
    assert!(
        world.eventually(MINUTE * 5, is_so).await,
        "{:?}",
        world.get("deployment", "test", "app")
    );
}

#[tokio::test(start_paused = true)]
async fn a_deployment_gets_its_pods_and_they_become_ready() {
    let world = World::new(1);
    world.apply(&deployment("app", 2)).unwrap();
    settled(&world, 2).await;
    assert!(world.clock().elapsed() > Duration::from_secs(1));
    assert!(
        world.clock().elapsed() < Duration::from_millis(1200),
        "{:?}",
        world.clock().elapsed()
    );
    let live = world.get("deployment", "test", "app").unwrap();
    assert_eq!(
        condition(&live, "Available"),
        ("True".to_owned(), "MinimumReplicasAvailable".to_owned())
    );
    assert_eq!(progressing(&world), "NewReplicaSetAvailable");
    assert_eq!(
        live["metadata"]["generation"], 1,
        "status writes do not count"
    );
    assert_eq!(
        live["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "1"
    );
    let pod = &world.list("pods", "test")[0];
    let set = &world.list("rs", "test")[0];
    assert_eq!(
        pod["metadata"]["labels"]["pod-template-hash"],
        set["metadata"]["labels"]["pod-template-hash"]
    );
    assert_eq!(set["metadata"]["ownerReferences"][0]["name"], "app");
}

#[tokio::test(start_paused = true)]
async fn a_rolling_update_stays_within_surge_and_availability() {
    let world = World::new(1);
    let mut sent = deployment("app", 4);
    sent["spec"]["strategy"] =
        json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 1}});
    world.apply(&sent).unwrap();
    settled(&world, 4).await;
    let extremes = Arc::new(Mutex::new((usize::MAX, 0)));
    let seen = Arc::clone(&extremes);
    world.on_write(move |world, _| {
        let pods = world.list("pods", "test");
        let ready = pods
            .iter()
            .filter(|pod| !pod.is_going() && condition(pod, "Ready").0 == "True")
            .count();
        let asked: i64 = world
            .list("rs", "test")
            .iter()
            .filter_map(|set| set["spec"]["replicas"].as_i64())
            .sum();
        let mut extremes = seen.lock().unwrap();
        *extremes = (extremes.0.min(ready), extremes.1.max(asked));
    });
    world.set_image("test", "app", "app:v2").unwrap();
    settled(&world, 4).await;
    assert_eq!(images(&world), ["app:v2"; 4]);
    assert_eq!(*extremes.lock().unwrap(), (3, 5));
    assert_eq!(
        world.list("rs", "test").len(),
        2,
        "the old set stays for the way back"
    );
}

#[tokio::test(start_paused = true)]
async fn going_back_to_an_old_template_uses_its_old_set() {
    let world = World::new(1);
    world.apply(&deployment("app", 1)).unwrap();
    settled(&world, 1).await;
    for image in ["app:v2", "app:v1"] {
        world.set_image("test", "app", image).unwrap();
        settled(&world, 1).await;
    }
    assert_eq!(world.list("rs", "test").len(), 2);
    let live = world.get("deployment", "test", "app").unwrap();
    assert_eq!(
        live["metadata"]["annotations"]["deployment.kubernetes.io/revision"],
        "3"
    );
}

#[tokio::test(start_paused = true)]
async fn recreate_empties_the_workload_first() {
    let world = World::new(1);
    let mut sent = deployment("app", 2);
    sent["spec"]["strategy"] = json!({"type": "Recreate"});
    world.apply(&sent).unwrap();
    settled(&world, 2).await;
    let mixed = Arc::new(Mutex::new(false));
    let seen = Arc::clone(&mixed);
    world.on_write(move |world, _| {
        let pods = world.list("pods", "test");
        let mut images: Vec<_> = pods
            .iter()
            .map(|pod| pod["spec"]["containers"][0]["image"].clone())
            .collect();
        images.dedup();
        *seen.lock().unwrap() |= images.len() > 1;
    });
    world.set_image("test", "app", "app:v2").unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| world.list("pods", "test").is_empty())
            .await
    );
    settled(&world, 2).await;
    assert!(!*mixed.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let world = World::new(1);
    world.apply(&deployment("app", 1)).unwrap();
    settled(&world, 1).await;
    world
        .patch(
            "deployment",
            "test",
            "app",
            &json!({"spec": {"paused": true}}),
        )
        .unwrap();
    world.set_image("test", "app", "app:v2").unwrap();
    world
        .user("kubectl")
        .scale("deployment", "test", "app", 3)
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| status(world, "availableReplicas") == 3)
            .await
    );
    assert_eq!(images(&world), ["app:v1"; 3]);
    assert_eq!(
        (
            status(&world, "updatedReplicas"),
            progressing(&world).as_str()
        ),
        (0, "DeploymentPaused")
    );
    world
        .patch(
            "deployment",
            "test",
            "app",
            &json!({"spec": {"paused": false}}),
        )
        .unwrap();
    settled(&world, 3).await;
    assert_eq!(images(&world), ["app:v2"; 3]);
}

#[tokio::test(start_paused = true)]
async fn a_roll_out_without_progress_exceeds_its_deadline() {
    let world = World::new(1);
    world.script(Which::image("app:v2"), Behaviour::healthy().never_ready());
    let mut sent = deployment("app", 2);
    sent["spec"]["progressDeadlineSeconds"] = json!(60);
    world.apply(&sent).unwrap();
    settled(&world, 2).await;
    let began = world.clock().elapsed();
    world.set_image("test", "app", "app:v2").unwrap();
    assert!(
        world
            .eventually(MINUTE * 5, |world| progressing(world)
                == "ProgressDeadlineExceeded")
            .await
    );
    let took = world.clock().elapsed().saturating_sub(began);
    assert!(
        (Duration::from_secs(58)..Duration::from_secs(62)).contains(&took),
        "{took:?}"
    );
    assert_eq!(
        status(&world, "availableReplicas"),
        2,
        "the old pods serve on"
    );
    world.script(Which::image("app:v2"), Behaviour::healthy());
    settled(&world, 2).await;
    assert_eq!(progressing(&world), "NewReplicaSetAvailable");
}

/// A template that changed while there were no replicas is a finished roll-out: scaling it up later starts no deadline.
#[tokio::test(start_paused = true)]
async fn scaling_up_from_zero_has_no_deadline() {
    let world = World::new(1);
    world.script(Which::image("app:v2"), Behaviour::healthy().crash_loops());
    let mut sent = deployment("app", 0);
    sent["spec"]["progressDeadlineSeconds"] = json!(60);
    world.apply(&sent).unwrap();
    world.set_image("test", "app", "app:v2").unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| progressing(world)
                == "NewReplicaSetAvailable")
            .await
    );
    world
        .user("kubectl")
        .scale("deployment", "test", "app", 1)
        .unwrap();
    assert!(
        !world
            .eventually(MINUTE * 5, |world| progressing(world)
                == "ProgressDeadlineExceeded")
            .await
    );
    let pod = &world.list("pods", "test")[0];
    let container = &pod["status"]["containerStatuses"][0];
    assert_eq!(container["state"]["waiting"]["reason"], "CrashLoopBackOff");
    assert!(
        container["restartCount"].as_i64().unwrap() >= 4,
        "{container}"
    );
}

#[tokio::test(start_paused = true)]
async fn dead_pods_are_replaced_and_broken_ones_are_not() {
    let world = World::new(1);
    world.apply(&deployment("app", 2)).unwrap();
    settled(&world, 2).await;
    assert_eq!(world.kill_pods("test", |_| true), 2);
    assert!(
        world
            .eventually(MINUTE, |world| status(world, "availableReplicas") == 0)
            .await
    );
    settled(&world, 2).await;
    assert_eq!(world.break_pods("test", |_| true), 2);
    assert!(
        world
            .eventually(MINUTE, |world| status(world, "availableReplicas") == 0)
            .await
    );
    assert_eq!(images(&world).len(), 2);
    world.mend_pods();
    settled(&world, 2).await;
}

#[tokio::test(start_paused = true)]
async fn min_ready_seconds_delay_availability() {
    let world = World::new(1);
    let mut sent = deployment("app", 1);
    sent["spec"]["minReadySeconds"] = json!(10);
    world.apply(&sent).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| status(world, "readyReplicas") == 1)
            .await
    );
    let ready = world.clock().elapsed();
    settled(&world, 1).await;
    let waited = world.clock().elapsed().saturating_sub(ready);
    assert!(
        (Duration::from_secs(9)..Duration::from_secs(11)).contains(&waited),
        "{waited:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn slices_hold_the_ready_pods_of_a_service() {
    let world = World::new(1);
    world.apply(&service("app", "app")).unwrap();
    world.apply(&deployment("app", 2)).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 2)
            .await
    );
    let slice = &world.list("endpointslices", "test")[0];
    assert_eq!(
        slice["ports"],
        json!([{"name": "http", "protocol": "TCP", "port": 9898}])
    );
    world.break_pods("test", |_| true);
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 0)
            .await
    );
    world.mend_pods();
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 2)
            .await
    );
    world
        .patch(
            "service",
            "test",
            "app",
            &json!({"spec": {"selector": {"app": "other"}}}),
        )
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 0)
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn a_stopping_pod_leaves_the_slice_before_it_is_gone() {
    let world = World::new(1);
    world.apply(&service("app", "app")).unwrap();
    world.apply(&deployment("app", 1)).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 1)
            .await
    );
    world
        .user("kubectl")
        .scale("deployment", "test", "app", 0)
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| addresses(world, "app") == 0)
            .await
    );
    assert_eq!(world.list("pods", "test").len(), 1);
    assert!(
        world
            .eventually(Duration::from_secs(2), |world| world
                .list("pods", "test")
                .is_empty())
            .await
    );
}

fn daemons(selector: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": {"name": "agent", "namespace": "test"},
        "spec": {
            "selector": {"matchLabels": {"app": "agent"}},
            "template": {
                "metadata": {"labels": {"app": "agent"}},
                "spec": {"nodeSelector": selector, "containers": [{"name": "app", "image": "app:v1"}]},
            },
        },
    })
}

fn daemon_status(world: &World) -> (i64, i64, i64) {
    let live = world.get("daemonset", "test", "agent");
    let field = |name: &str| {
        live.as_ref()
            .and_then(|it| it["status"][name].as_i64())
            .unwrap_or(0)
    };
    (
        field("desiredNumberScheduled"),
        field("updatedNumberScheduled"),
        field("numberAvailable"),
    )
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_runs_on_the_nodes_that_its_selector_matches() {
    let world = World::new(1);
    world.add_node("node-1", &[("disk", "fast")]);
    world.apply(&daemons(&json!({}))).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| daemon_status(world) == (2, 2, 2))
            .await,
        "{:?}",
        daemon_status(&world)
    );
    world.apply(&daemons(&json!({"disk": "fast"}))).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| daemon_status(world) == (1, 1, 1))
            .await,
        "{:?}",
        daemon_status(&world)
    );
    world
        .apply(&daemons(&json!({"flagger.app/scale-to-zero": "true"})))
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| world.list("pods", "test").is_empty())
            .await
    );
    assert_eq!(daemon_status(&world), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_daemon_set_rolls_one_node_after_the_other() {
    let world = World::new(1);
    world.add_node("node-1", &[]);
    world.apply(&daemons(&json!({}))).unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| daemon_status(world) == (2, 2, 2))
            .await
    );
    world.on_write(|world, _| {
        let pods = world.list("pods", "test");
        assert!(
            pods.iter()
                .filter(|pod| condition(pod, "Ready").0 == "True")
                .count()
                >= 1
        );
    });
    world
        .user("kubectl")
        .set_image("daemonset", "test", "agent", "app:v2")
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| daemon_status(world) == (2, 2, 2)
                && images(world) == ["app:v2"; 2])
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn an_autoscaler_gets_its_wish_within_its_bounds_and_never_from_zero() {
    let world = World::new(1);
    world.apply(&deployment("app", 1)).unwrap();
    let scaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "app", "namespace": "test"},
        "spec": {"minReplicas": 2, "maxReplicas": 4, "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}},
    });
    world.apply(&scaler).unwrap();
    settled(&world, 2).await;
    world.set_autoscaler("test", "app", 9);
    settled(&world, 4).await;
    world
        .user("kubectl")
        .scale("deployment", "test", "app", 0)
        .unwrap();
    settled(&world, 0).await;
    tokio::time::sleep(MINUTE).await;
    assert_eq!(status(&world, "replicas"), 0);
    let live = world.get("hpa", "test", "app").unwrap();
    assert_eq!(
        condition(&live, "ScalingActive"),
        ("False".to_owned(), "ScalingDisabled".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_deleted_object_owned_goes_too() {
    let world = World::new(1);
    world.apply(&service("app", "app")).unwrap();
    world.apply(&deployment("app", 2)).unwrap();
    settled(&world, 2).await;
    world.delete("deployment", "test", "app").unwrap();
    world.delete("service", "test", "app").unwrap();
    let is_empty = |world: &World| {
        ["rs", "pods", "endpointslices"]
            .iter()
            .all(|kind| world.list(kind, "test").is_empty())
    };
    assert!(world.eventually(MINUTE, is_empty).await);
}

#[tokio::test(start_paused = true)]
async fn an_object_of_a_missing_owner_is_collected() {
    let world = World::new(1);
    let owner = json!([{"apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "0000"}]);
    world
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x", "namespace": "test", "ownerReferences": owner}}))
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| world.get("cm", "test", "x").is_none())
            .await
    );
}

#[tokio::test(start_paused = true)]
async fn foreground_and_orphan_deletion_treat_dependents_as_asked() {
    let world = World::new(1);
    let client = kube::Client::new(world.client_service("a"), "test");
    let api: kube::Api<k8s_openapi::api::apps::v1::Deployment> =
        kube::Api::default_namespaced(client);
    for name in ["first", "second"] {
        world.apply(&deployment(name, 1)).unwrap();
    }
    assert!(
        world
            .eventually(MINUTE, |world| world.list("pods", "test").len() == 2)
            .await
    );
    api.delete("first", &kube::api::DeleteParams::foreground())
        .await
        .unwrap();
    assert!(
        world.get("deployment", "test", "first").is_some(),
        "it waits for its dependents"
    );
    assert!(
        world
            .eventually(MINUTE, |world| world
                .get("deployment", "test", "first")
                .is_none())
            .await
    );
    api.delete("second", &kube::api::DeleteParams::orphan())
        .await
        .unwrap();
    assert!(
        world
            .eventually(MINUTE, |world| world
                .get("deployment", "test", "second")
                .is_none())
            .await
    );
    tokio::time::sleep(MINUTE).await;
    let left = world.list("rs", "test");
    assert_eq!(left.len(), 1);
    assert_eq!(left[0]["metadata"].get("ownerReferences"), None);
}

#[tokio::test(start_paused = true)]
async fn a_namespace_that_goes_takes_its_content_along_and_lets_nothing_new_in() {
    let world = World::new(1);
    world.apply(&deployment("app", 1)).unwrap();
    settled(&world, 1).await;
    world.delete("ns", "", "test").unwrap();
    let refused = world
        .user("kubectl")
        .create(&service("app", "app"))
        .unwrap_err();
    assert_eq!(refused.code, 403);
    assert!(
        world
            .eventually(MINUTE, |world| world.get("ns", "", "test").is_none())
            .await
    );
    assert!(world.list("deployment", "test").is_empty());
}

#[tokio::test(start_paused = true)]
async fn equal_seeds_give_equal_worlds() {
    let story = async |seed| {
        let world = World::new(seed);
        let log = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&log);
        world.on_write(move |_, write| {
            seen.lock().unwrap().push(format!(
                "{} {} {}/{}",
                write.at,
                write.kind(),
                write.namespace(),
                write.name()
            ));
        });
        world.apply(&service("app", "app")).unwrap();
        world.apply(&deployment("app", 2)).unwrap();
        settled(&world, 2).await;
        world.set_image("test", "app", "app:v2").unwrap();
        settled(&world, 2).await;
        let log = log.lock().unwrap();
        log.clone()
    };
    let first = story(1).await;
    assert!(first.len() > 20);
    assert_eq!(first, story(1).await);
    assert_ne!(first, story(2).await);
}

#[tokio::test(start_paused = true)]
async fn an_hour_of_a_cluster_at_rest_is_nothing() {
    let world = World::new(1);
    world.apply(&service("app", "app")).unwrap();
    world.apply(&deployment("app", 2)).unwrap();
    settled(&world, 2).await;
    let count = Arc::new(Mutex::new(0));
    let seen = Arc::clone(&count);
    world.on_write(move |_, _| *seen.lock().unwrap() += 1);
    tokio::time::sleep(MINUTE * 60).await;
    assert_eq!(*count.lock().unwrap(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_world_ends_with_its_last_handle() {
    let world = World::new(1);
    world.apply(&deployment("app", 2)).unwrap();
    let watched = Arc::new(());
    let held = Arc::clone(&watched);
    world.on_write(move |_, _| drop(Arc::clone(&held)));
    settled(&world, 2).await;
    drop(world);
    tokio::task::yield_now().await;
    assert_eq!(Arc::strong_count(&watched), 1);
}
