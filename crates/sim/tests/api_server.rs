//! The API server through a real `kube::Client`: what a controller relies on.

use futures::{StreamExt, TryStreamExt};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch,
    PatchParams, PostParams, WatchEvent, WatchParams,
};
use kube::core::PartialObjectMeta;
use serde_json::{Value, json};
use slipway_sim::World;
use std::time::Duration;

fn client(world: &World, identity: &str) -> kube::Client {
    kube::Client::new(world.client_service(identity), "default")
}

fn config_map(name: &str) -> ConfigMap {
    serde_json::from_value(
        json!({"metadata": {"name": name, "labels": {"app": name}}, "data": {"a": "1"}}),
    )
    .unwrap_or_default()
}

fn deployment(name: &str) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}},
                "spec": {"containers": [{"name": "app", "image": "app:v1", "ports": [{"name": "http", "containerPort": 80}]}]},
            },
        },
    })
}

fn canaries(client: kube::Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("flagger.app", "v1beta1", "Canary");
    Api::default_namespaced_with(
        client,
        &ApiResource::from_gvk_with_plural(&kind, "canaries"),
    )
}

fn canary(name: &str) -> Value {
    json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": name}, "spec": {"a": {"b": 1, "c": [1, 2]}}})
}

/// Code and reason of a refusal.
fn refusal<T: std::fmt::Debug>(result: kube::Result<T>) -> (u16, String) {
    match result {
        Err(kube::Error::Api(status)) => (status.code, status.reason.clone()),
        other => (0, format!("{other:?}")),
    }
}

fn code<T: std::fmt::Debug>(result: kube::Result<T>) -> u16 {
    refusal(result).0
}

fn managers(object: &Value) -> Vec<(String, String, String)> {
    let text = |entry: &Value, field: &str| {
        entry
            .get(field)
            .and_then(Value::as_str)
            .unwrap_or_default()
            .to_owned()
    };
    let entries = object
        .pointer("/metadata/managedFields")
        .and_then(Value::as_array);
    entries
        .into_iter()
        .flatten()
        .map(|entry| {
            (
                text(entry, "manager"),
                text(entry, "operation"),
                text(entry, "subresource"),
            )
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_created_object_has_what_the_server_gives_it() {
    let world = World::new(1);
    let api: Api<Deployment> = Api::default_namespaced(client(&world, "a"));
    let sent: Deployment = serde_json::from_value(deployment("podinfo")).unwrap();
    let made = api.create(&PostParams::default(), &sent).await.unwrap();
    assert!(made.metadata.uid.is_some());
    assert!(made.metadata.resource_version.is_some());
    assert_eq!(made.metadata.generation, Some(1));
    assert_eq!(
        made.metadata.creation_timestamp.unwrap().0.to_string(),
        "2026-01-01T00:00:00Z"
    );
    let spec = made.spec.unwrap();
    assert_eq!(spec.replicas, Some(1));
    assert_eq!(spec.progress_deadline_seconds, Some(600));
    assert_eq!(
        refusal(api.create(&PostParams::default(), &sent).await),
        (409, "AlreadyExists".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn generated_names_differ_and_follow_the_seed() {
    let names = async |seed| {
        let world = World::new(seed);
        let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
        let mut sent = config_map("x");
        sent.metadata.name = None;
        sent.metadata.generate_name = Some("x-".to_owned());
        let mut names = Vec::new();
        for _ in 0..2 {
            names.push(
                api.create(&PostParams::default(), &sent)
                    .await
                    .unwrap()
                    .metadata
                    .name
                    .unwrap(),
            );
        }
        names
    };
    let first = names(1).await;
    assert_ne!(first[0], first[1]);
    assert_eq!(first, names(1).await);
    assert_ne!(first, names(2).await);
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_not_found() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    assert_eq!(refusal(api.get("x").await), (404, "NotFound".to_owned()));
    assert_eq!(code(api.delete("x", &DeleteParams::default()).await), 404);
    assert_eq!(
        code(
            api.patch("x", &PatchParams::default(), &Patch::Merge(json!({})))
                .await
        ),
        404
    );
    let elsewhere: Api<ConfigMap> = Api::namespaced(client(&world, "a"), "nowhere");
    assert_eq!(
        refusal(
            elsewhere
                .create(&PostParams::default(), &config_map("x"))
                .await
        ),
        (404, "NotFound".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_kind_without_definition_is_a_path_that_nothing_serves() {
    let world = World::new(1);
    let api = canaries(client(&world, "a"));
    assert_eq!(code(api.list(&ListParams::default()).await), 404);
    assert!(world.install("canaries.flagger.app"));
    assert_eq!(
        api.list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
    world.apply(&canary("podinfo")).unwrap();
    world.uninstall("canaries.flagger.app");
    assert_eq!(code(api.get("podinfo").await), 404);
    world.install("canaries.flagger.app");
    assert_eq!(
        api.list(&ListParams::default()).await.unwrap().items.len(),
        0
    );
}

#[tokio::test(start_paused = true)]
async fn an_update_of_an_old_version_is_a_conflict() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let first = api
        .create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let mut newer = first.clone();
    newer.data = Some([("a".to_owned(), "2".to_owned())].into());
    api.replace("x", &PostParams::default(), &newer)
        .await
        .unwrap();
    assert_eq!(
        refusal(api.replace("x", &PostParams::default(), &newer).await),
        (409, "Conflict".to_owned())
    );
    let stale = json!({"metadata": {"resourceVersion": first.metadata.resource_version}, "data": {"a": "3"}});
    assert_eq!(
        code(
            api.patch("x", &PatchParams::default(), &Patch::Merge(stale))
                .await
        ),
        409
    );
}

#[tokio::test(start_paused = true)]
async fn a_custom_object_is_only_updated_with_its_version() {
    let world = World::new(1);
    world.install("canaries.flagger.app");
    world.apply(&canary("x")).unwrap();
    let api = canaries(client(&world, "a"));
    let bare: DynamicObject = serde_json::from_value(canary("x")).unwrap();
    assert_eq!(
        refusal(api.replace("x", &PostParams::default(), &bare).await),
        (422, "Invalid".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_that_changes_nothing_is_no_write() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let first = api
        .create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    tokio::time::advance(Duration::from_secs(5)).await;
    let again = api
        .replace("x", &PostParams::default(), &first)
        .await
        .unwrap();
    assert_eq!(
        first.metadata.resource_version,
        again.metadata.resource_version
    );
    let patched = api
        .patch(
            "x",
            &PatchParams::default(),
            &Patch::Merge(json!({"data": {"a": "1"}})),
        )
        .await
        .unwrap();
    assert_eq!(
        first.metadata.resource_version,
        patched.metadata.resource_version
    );
}

#[tokio::test(start_paused = true)]
async fn status_and_spec_have_their_own_doors() {
    let world = World::new(1);
    world.install("canaries.flagger.app");
    let api = canaries(client(&world, "a"));
    let mut sent: DynamicObject = serde_json::from_value(canary("x")).unwrap();
    sent.data["status"] = json!({"phase": "Succeeded"});
    let made = api.create(&PostParams::default(), &sent).await.unwrap();
    assert_eq!(made.data.get("status"), None, "a new object has no status");
    let both = json!({"spec": {"a": {"b": 2}}, "status": {"phase": "Failed"}});
    let main = api
        .patch("x", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(
        (main.data.get("status"), main.metadata.generation),
        (None, Some(2))
    );
    let both = json!({"metadata": {"labels": {"x": "y"}}, "spec": {"a": {"b": 3}}, "status": {"phase": "Failed"}});
    let status = api
        .patch_status("x", &PatchParams::default(), &Patch::Merge(&both))
        .await
        .unwrap();
    assert_eq!(status.data["status"], json!({"phase": "Failed"}));
    assert_eq!(status.data["spec"]["a"]["b"], 2);
    assert_eq!(
        (status.metadata.generation, status.metadata.labels),
        (Some(2), None)
    );
}

#[tokio::test(start_paused = true)]
async fn generation_grows_with_the_spec_and_for_deployments_with_annotations() {
    let world = World::new(1);
    world.apply(&deployment("x")).unwrap();
    let api: Api<Deployment> = Api::default_namespaced(client(&world, "a"));
    let patch = async |patch: Value| {
        api.patch("x", &PatchParams::default(), &Patch::Merge(patch))
            .await
            .unwrap()
            .metadata
            .generation
    };
    assert_eq!(
        patch(json!({"metadata": {"labels": {"a": "b"}}})).await,
        Some(1)
    );
    assert_eq!(
        patch(json!({"metadata": {"annotations": {"a": "b"}}})).await,
        Some(2)
    );
    assert_eq!(patch(json!({"spec": {"replicas": 3}})).await, Some(3));
}

#[tokio::test(start_paused = true)]
async fn json_patches_apply_as_a_whole_or_not_at_all() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let patch = |ops: Value| Patch::Json::<()>(serde_json::from_value(ops).unwrap());
    let params = PatchParams::default();
    let good = patch(
        json!([{"op": "test", "path": "/data/a", "value": "1"}, {"op": "replace", "path": "/data/a", "value": "2"}]),
    );
    assert_eq!(
        api.patch("x", &params, &good).await.unwrap().data.unwrap()["a"],
        "2"
    );
    assert_eq!(
        refusal(api.patch("x", &params, &good).await),
        (422, "Invalid".to_owned())
    );
    let nothing = patch(json!([{"op": "remove", "path": "/data/absent"}]));
    assert_eq!(code(api.patch("x", &params, &nothing).await), 422);
}

#[tokio::test(start_paused = true)]
async fn a_strategic_patch_merges_containers_by_name() {
    let world = World::new(1);
    world.apply(&deployment("x")).unwrap();
    let made = world.set_image("default", "x", "app:v2").unwrap();
    let container = &made["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(
        (&container["image"], &container["ports"][0]["containerPort"]),
        (&json!("app:v2"), &json!(80))
    );
    world.install("canaries.flagger.app");
    world.apply(&canary("x")).unwrap();
    let strategic = canaries(client(&world, "a"))
        .patch("x", &PatchParams::default(), &Patch::Strategic(json!({})))
        .await;
    assert_eq!(code(strategic), 415, "custom kinds have no strategic merge");
}

#[tokio::test(start_paused = true)]
async fn apply_owns_what_it_sends_and_takes_away_what_it_stops_sending() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let apply = async |manager: &str, data: Value| {
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}, "data": data});
        api.patch("x", &PatchParams::apply(manager), &Patch::Apply(config))
            .await
    };
    apply("one", json!({"a": "1", "b": "1"})).await.unwrap();
    apply("two", json!({"b": "1", "c": "1"})).await.unwrap();
    let data = apply("one", json!({"a": "1"})).await.unwrap().data.unwrap();
    assert_eq!(
        json!(data),
        json!({"a": "1", "b": "1", "c": "1"}),
        "b is also the other's"
    );
    let data = apply("one", json!({})).await.unwrap().data.unwrap();
    assert_eq!(json!(data), json!({"b": "1", "c": "1"}));
}

#[tokio::test(start_paused = true)]
async fn apply_without_force_meets_conflicts_and_with_force_takes_the_field() {
    let world = World::new(1);
    let api: Api<Deployment> = Api::default_namespaced(client(&world, "a"));
    let sent: Deployment = serde_json::from_value(deployment("x")).unwrap();
    api.create(
        &PostParams {
            field_manager: Some("maker".to_owned()),
            ..PostParams::default()
        },
        &sent,
    )
    .await
    .unwrap();
    let config = json!({"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "app:v2"}]}}}});
    let refused = api
        .patch("x", &PatchParams::apply("slipway"), &Patch::Apply(&config))
        .await;
    let Err(kube::Error::Api(status)) = refused else {
        panic!("no conflict: {refused:?}")
    };
    assert_eq!(status.code, 409);
    let expected = "Apply failed with 1 conflict: conflict with \"maker\" using apps/v1: .spec.template.spec.containers[name=\"app\"].image";
    assert_eq!(status.message, expected);
    let cause = &status.details.as_ref().unwrap().causes[0];
    assert_eq!(
        (cause.reason.as_str(), cause.field.as_str()),
        (
            "FieldManagerConflict",
            ".spec.template.spec.containers[name=\"app\"].image"
        )
    );
    let taken = api
        .patch(
            "x",
            &PatchParams::apply("slipway").force(),
            &Patch::Apply(&config),
        )
        .await
        .unwrap();
    let taken = serde_json::to_value(taken).unwrap();
    let owners = managers(&taken);
    assert!(
        owners.contains(&("slipway".to_owned(), "Apply".to_owned(), String::new())),
        "{owners:?}"
    );
    let makers = taken["metadata"]["managedFields"].to_string();
    assert_eq!(
        makers.matches("f:image\"").count(),
        1,
        "the image has one owner: {makers}"
    );
}

/// V4 of the house: what a foreign Update entry owns stays; what an adopted entry owned goes, replicas too.
#[tokio::test(start_paused = true)]
async fn adopting_an_entry_decides_what_a_later_apply_removes() {
    let adopted = async |cut_replicas: bool, adopt: bool| {
        let world = World::new(1);
        let api: Api<Deployment> = Api::default_namespaced(client(&world, "a"));
        let mut sent = deployment("x");
        sent["spec"]["replicas"] = json!(5);
        sent["spec"]["template"]["spec"]["containers"][0]["env"] =
            json!([{"name": "A", "value": "1"}]);
        sent["metadata"]["labels"] = json!({"old": "label"});
        let sent: Deployment = serde_json::from_value(sent).unwrap();
        let made = api
            .create(
                &PostParams {
                    field_manager: Some("flagger".to_owned()),
                    ..PostParams::default()
                },
                &sent,
            )
            .await
            .unwrap();
        if adopt {
            let mut entries = serde_json::to_value(made.metadata.managed_fields.unwrap()).unwrap();
            entries[0]["manager"] = json!("slipway");
            entries[0]["operation"] = json!("Apply");
            if cut_replicas {
                entries[0]["fieldsV1"]["f:spec"]
                    .as_object_mut()
                    .unwrap()
                    .remove("f:replicas");
            }
            let patch = json!({"metadata": {"managedFields": entries, "resourceVersion": made.metadata.resource_version}});
            api.patch("x", &PatchParams::default(), &Patch::Merge(patch))
                .await
                .unwrap();
        }
        let mut config = deployment("x");
        config["metadata"].as_object_mut().unwrap().remove("labels");
        let after = api
            .patch(
                "x",
                &PatchParams::apply("slipway").force(),
                &Patch::Apply(config),
            )
            .await
            .unwrap();
        let spec = after.spec.unwrap();
        let env = spec.template.spec.unwrap().containers[0].env.clone();
        (
            spec.replicas,
            env.is_some_and(|env| !env.is_empty()),
            after
                .metadata
                .labels
                .is_some_and(|labels| !labels.is_empty()),
        )
    };
    assert_eq!(
        adopted(false, false).await,
        (Some(5), true, true),
        "not adopted: everything stays"
    );
    assert_eq!(
        adopted(false, true).await,
        (Some(1), false, false),
        "adopted whole: replicas fall to the default"
    );
    assert_eq!(
        adopted(true, true).await,
        (Some(5), false, false),
        "adopted without replicas"
    );
}

#[tokio::test(start_paused = true)]
async fn applying_the_same_twice_is_one_write() {
    let world = World::new(1);
    let first = world.apply(&deployment("x")).unwrap();
    tokio::time::advance(Duration::from_millis(1)).await;
    let second = world.apply(&deployment("x")).unwrap();
    assert_eq!(
        first["metadata"]["resourceVersion"],
        second["metadata"]["resourceVersion"]
    );
    world.install("canaries.flagger.app");
    let first = world.apply(&canary("x")).unwrap();
    let second = world.apply(&canary("x")).unwrap();
    assert_eq!(
        first["metadata"]["resourceVersion"],
        second["metadata"]["resourceVersion"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_status_is_applied_apart_and_what_is_not_sent_goes() {
    let world = World::new(1);
    world.install("canaries.flagger.app");
    world.apply(&canary("x")).unwrap();
    let api = canaries(client(&world, "a"));
    let apply = async |status: Value| {
        let config = json!({"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "metadata": {"name": "x"}, "status": status});
        api.patch_status(
            "x",
            &PatchParams::apply("slipway").force(),
            &Patch::Apply(config),
        )
        .await
        .unwrap()
    };
    apply(json!({"phase": "Progressing", "canaryWeight": 10})).await;
    let after = apply(json!({"phase": "Failed"})).await;
    assert_eq!(after.data["status"], json!({"phase": "Failed"}));
    assert_eq!(after.data["spec"]["a"]["b"], 1);
    let owners = managers(&serde_json::to_value(after).unwrap());
    assert!(
        owners.contains(&(
            "slipway".to_owned(),
            "Apply".to_owned(),
            "status".to_owned()
        )),
        "{owners:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn service_ports_are_told_apart_by_number_and_protocol() {
    let world = World::new(1);
    let api: Api<Service> = Api::default_namespaced(client(&world, "a"));
    let apply = async |manager: &str, ports: Value| {
        let config = json!({"apiVersion": "v1", "kind": "Service", "spec": {"selector": {"app": manager}, "ports": ports}});
        api.patch(
            "x",
            &PatchParams::apply(manager).force(),
            &Patch::Apply(config),
        )
        .await
        .unwrap()
        .spec
        .unwrap()
    };
    let first = apply("one", json!([{"name": "http", "port": 80}])).await;
    assert!(first.cluster_ip.is_some());
    let both = apply("two", json!([{"name": "grpc", "port": 81}])).await;
    assert_eq!(both.ports.unwrap().len(), 2);
    assert_eq!(
        json!(both.selector),
        json!({"app": "two"}),
        "a selector is one value"
    );
    let left = apply("one", json!([{"name": "admin", "port": 82}]))
        .await
        .ports
        .unwrap();
    let numbers: Vec<i32> = left.iter().map(|port| port.port).collect();
    assert_eq!(numbers, [81, 82], "port 80 was one's alone");
}

#[tokio::test(start_paused = true)]
async fn replicas_through_scale_have_an_owner_of_their_own() {
    let world = World::new(1);
    let mut sent = deployment("x");
    sent["spec"]["replicas"] = json!(2);
    world.apply(&sent).unwrap();
    let api: Api<Deployment> = Api::default_namespaced(client(&world, "scaler"));
    assert_eq!(
        api.get_scale("x").await.unwrap().spec.unwrap().replicas,
        Some(2)
    );
    let scaled = api
        .patch_scale(
            "x",
            &PatchParams::default(),
            &Patch::Merge(json!({"spec": {"replicas": 4}})),
        )
        .await
        .unwrap();
    assert_eq!(scaled.spec.unwrap().replicas, Some(4));
    assert_eq!(scaled.status.unwrap().selector.unwrap(), "app=x");
    let live = api.get("x").await.unwrap();
    assert_eq!(
        (
            live.spec.as_ref().unwrap().replicas,
            live.metadata.generation
        ),
        (Some(4), Some(2))
    );
    let owners = managers(&serde_json::to_value(live).unwrap());
    assert!(
        owners.contains(&("scaler".to_owned(), "Update".to_owned(), "scale".to_owned())),
        "{owners:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn finalizers_hold_an_object_until_they_are_gone() {
    let world = World::new(1);
    world.install("canaries.flagger.app");
    let api = canaries(client(&world, "a"));
    let mut sent: DynamicObject = serde_json::from_value(canary("x")).unwrap();
    sent.metadata.finalizers = Some(vec!["finalizer.flagger.app".to_owned()]);
    api.create(&PostParams::default(), &sent).await.unwrap();
    let going = api
        .delete("x", &DeleteParams::default())
        .await
        .unwrap()
        .left()
        .expect("it waits");
    assert!(going.metadata.deletion_timestamp.is_some());
    assert_eq!(going.metadata.generation, Some(2));
    let more = json!({"metadata": {"finalizers": ["finalizer.flagger.app", "another"]}});
    assert_eq!(
        code(
            api.patch("x", &PatchParams::default(), &Patch::Merge(more))
                .await
        ),
        422
    );
    let none = json!({"metadata": {"finalizers": null}});
    api.patch("x", &PatchParams::default(), &Patch::Merge(none))
        .await
        .unwrap();
    assert_eq!(code(api.get("x").await), 404);
}

#[tokio::test(start_paused = true)]
async fn deletion_obeys_its_preconditions() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let wrong = DeleteParams::default().preconditions(kube::api::Preconditions {
        uid: Some("other".to_owned()),
        resource_version: None,
    });
    assert_eq!(code(api.delete("x", &wrong).await), 409);
    assert!(
        api.delete("x", &DeleteParams::default())
            .await
            .unwrap()
            .right()
            .is_some_and(|status| status.is_success())
    );
}

#[tokio::test(start_paused = true)]
async fn lists_are_paged_over_one_snapshot() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    for name in ["a", "b", "c"] {
        api.create(&PostParams::default(), &config_map(name))
            .await
            .unwrap();
    }
    let first = api.list(&ListParams::default().limit(2)).await.unwrap();
    assert_eq!(
        (first.items.len(), first.metadata.remaining_item_count),
        (2, Some(1))
    );
    api.delete("c", &DeleteParams::default()).await.unwrap();
    let token = first.metadata.continue_.unwrap();
    let rest = api
        .list(&ListParams::default().limit(2).continue_token(&token))
        .await
        .unwrap();
    assert_eq!(rest.items[0].metadata.name.as_deref(), Some("c"));
    assert_eq!(
        first.metadata.resource_version,
        rest.metadata.resource_version
    );
    world.expire_watches("a");
    assert_eq!(
        refusal(
            api.list(&ListParams::default().continue_token(&token))
                .await
        ),
        (410, "Expired".to_owned())
    );
}

#[tokio::test(start_paused = true)]
async fn lists_and_metadata_requests_are_narrowed() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    for name in ["a", "b"] {
        api.create(&PostParams::default(), &config_map(name))
            .await
            .unwrap();
    }
    assert_eq!(
        api.list(&ListParams::default().labels("app=a"))
            .await
            .unwrap()
            .items
            .len(),
        1
    );
    assert_eq!(
        api.list(&ListParams::default().fields("metadata.name!=a"))
            .await
            .unwrap()
            .items[0]
            .metadata
            .name
            .as_deref(),
        Some("b")
    );
    let metadata: Api<PartialObjectMeta<ConfigMap>> = Api::default_namespaced(client(&world, "a"));
    let list = metadata
        .list_metadata(&ListParams::default())
        .await
        .unwrap();
    assert_eq!(list.items.len(), 2);
    assert_eq!(
        metadata
            .get_metadata("a")
            .await
            .unwrap()
            .metadata
            .labels
            .unwrap()["app"],
        "a"
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_replays_from_its_version_and_then_follows() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let version = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    let mut stream = api
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    assert!(
        matches!(stream.try_next().await.unwrap(), Some(WatchEvent::Added(it)) if it.metadata.name.as_deref() == Some("x"))
    );
    api.patch(
        "x",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": "2"}})),
    )
    .await
    .unwrap();
    assert!(
        matches!(stream.try_next().await.unwrap(), Some(WatchEvent::Modified(it)) if it.data.as_ref().unwrap()["a"] == "2")
    );
    api.delete("x", &DeleteParams::default()).await.unwrap();
    assert!(matches!(
        stream.try_next().await.unwrap(),
        Some(WatchEvent::Deleted(_))
    ));
    assert!(
        matches!(
            stream.try_next().await.unwrap(),
            Some(WatchEvent::Bookmark(_))
        ),
        "a minute of silence"
    );
    assert_eq!(world.clock().elapsed(), Duration::from_mins(1));
}

#[tokio::test(start_paused = true)]
async fn an_object_that_leaves_a_selection_is_deleted_for_its_watch() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let mut stream = api
        .watch(&WatchParams::default().labels("app=x"), "0")
        .await
        .unwrap()
        .boxed();
    api.create(&PostParams::default(), &config_map("other"))
        .await
        .unwrap();
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    assert!(
        matches!(stream.try_next().await.unwrap(), Some(WatchEvent::Added(it)) if it.metadata.name.as_deref() == Some("x"))
    );
    api.patch(
        "x",
        &PatchParams::default(),
        &Patch::Merge(json!({"metadata": {"labels": {"app": "y"}}})),
    )
    .await
    .unwrap();
    assert!(matches!(
        stream.try_next().await.unwrap(),
        Some(WatchEvent::Deleted(_))
    ));
}

#[tokio::test(start_paused = true)]
async fn a_watch_from_a_forgotten_version_is_gone() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let version = api
        .list(&ListParams::default())
        .await
        .unwrap()
        .metadata
        .resource_version
        .unwrap();
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    world.expire_watches("a");
    let mut stream = api
        .watch(&WatchParams::default(), &version)
        .await
        .unwrap()
        .boxed();
    assert!(
        matches!(stream.try_next().await, Ok(Some(WatchEvent::Error(status))) if status.code == 410)
    );
}

#[tokio::test(start_paused = true)]
async fn a_watch_ends_at_its_timeout() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let mut stream = api
        .watch(&WatchParams::default().timeout(30), "0")
        .await
        .unwrap()
        .boxed();
    assert!(stream.try_next().await.unwrap().is_none());
    assert_eq!(world.clock().elapsed(), Duration::from_secs(30));
}

#[tokio::test(start_paused = true)]
async fn unknown_fields_survive_where_no_schema_says_otherwise() {
    let world = World::new(1);
    let mut sent = deployment("x");
    sent["spec"]["template"]["spec"]["fieldOfTheFuture"] = json!({"a": [1]});
    world.apply(&sent).unwrap();
    let live = world.set_image("default", "x", "app:v2").unwrap();
    assert_eq!(
        live["spec"]["template"]["spec"]["fieldOfTheFuture"],
        json!({"a": [1]})
    );
}

#[tokio::test(start_paused = true)]
async fn a_schema_prunes_what_it_does_not_name_and_fills_in_defaults() {
    let world = World::new(1);
    world
        .apply(&json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "canaries.flagger.app"},
            "spec": {
                "group": "flagger.app", "scope": "Namespaced", "names": {"kind": "Canary", "plural": "canaries"},
                "versions": [{
                    "name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                        "spec": {"type": "object", "properties": {
                            "a": {"type": "object", "properties": {"b": {"type": "integer"}}},
                            "d": {"type": "string", "default": "x"},
                        }},
                        "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                    }}},
                }],
            },
        }))
        .unwrap();
    let made = world.apply(&canary("x")).unwrap();
    assert_eq!(made["spec"], json!({"a": {"b": 1}, "d": "x"}));
    assert_eq!(made["metadata"]["name"], "x");
    let user = world.user("status");
    let after = user
        .patch_status(
            "canary",
            "default",
            "x",
            &json!({"status": {"phase": "Failed", "slipway": {"a": 1}}}),
        )
        .unwrap();
    assert_eq!(after["status"], json!({"phase": "Failed"}));
}

#[tokio::test(start_paused = true)]
async fn one_custom_object_is_served_in_every_version() {
    let world = World::new(1);
    world.install("canaries.flagger.app");
    world.apply(&canary("x")).unwrap();
    let kind = GroupVersionKind::gvk("flagger.app", "v1alpha3", "Canary");
    let old: Api<DynamicObject> = Api::default_namespaced_with(
        client(&world, "a"),
        &ApiResource::from_gvk_with_plural(&kind, "canaries"),
    );
    let read = old.get("x").await.unwrap();
    assert_eq!(read.types.unwrap().api_version, "flagger.app/v1alpha3");
    assert_eq!(read.data["spec"]["a"]["b"], 1);
}

#[tokio::test(start_paused = true)]
async fn an_event_is_seen_through_both_groups() {
    let world = World::new(1);
    let events: Api<k8s_openapi::api::events::v1::Event> =
        Api::default_namespaced(client(&world, "a"));
    let sent = json!({
        "metadata": {"name": "x.1", "namespace": "default"}, "eventTime": "2026-01-01T00:00:00.000000Z", "type": "Normal",
        "reason": "Synced", "action": "Advance", "note": "weight 5", "reportingController": "slipway.dev/controller", "reportingInstance": "a",
        "regarding": {"kind": "Canary", "name": "x", "namespace": "default"},
    });
    let good: k8s_openapi::api::events::v1::Event = serde_json::from_value(sent.clone()).unwrap();
    events.create(&PostParams::default(), &good).await.unwrap();
    let core: Api<k8s_openapi::api::core::v1::Event> = Api::default_namespaced(client(&world, "a"));
    let read = core
        .list(&ListParams::default().fields("involvedObject.name=x"))
        .await
        .unwrap();
    assert_eq!(read.items[0].message.as_deref(), Some("weight 5"));
    assert_eq!(
        events.get("x.1").await.unwrap().note.as_deref(),
        Some("weight 5")
    );
    let mut long = good;
    long.metadata.name = Some("x.2".to_owned());
    long.note = Some("x".repeat(1025));
    assert_eq!(
        code(events.create(&PostParams::default(), &long).await),
        422
    );
}

#[tokio::test(start_paused = true)]
async fn discovery_tells_which_kinds_are_there() {
    let world = World::new(1);
    let client = client(&world, "a");
    assert_eq!(client.apiserver_version().await.unwrap().major, "1");
    let groups = client.list_api_groups().await.unwrap();
    assert!(groups.groups.iter().any(|group| group.name == "apps"));
    assert_eq!(
        code(client.list_api_group_resources("flagger.app/v1beta1").await),
        404
    );
    world.install("canaries.flagger.app");
    let found = client
        .list_api_group_resources("flagger.app/v1beta1")
        .await
        .unwrap();
    let names: Vec<&str> = found
        .resources
        .iter()
        .map(|resource| resource.name.as_str())
        .collect();
    assert_eq!(names, ["canaries", "canaries/status"]);
}

#[tokio::test(start_paused = true)]
async fn bad_objects_are_invalid_and_say_which_field() {
    let world = World::new(1);
    let mut sent = deployment("x");
    sent["spec"]["template"]["metadata"]["labels"] = json!({"app": "other"});
    let refused = world.apply(&sent).unwrap_err();
    assert_eq!((refused.code, refused.reason), (422, "Invalid"));
    assert!(
        refused.message.contains("spec.template.metadata.labels"),
        "{refused}"
    );
    world.apply(&deployment("x")).unwrap();
    let refused = world
        .patch(
            "deployment",
            "default",
            "x",
            &json!({"spec": {"selector": {"matchLabels": {"b": "c"}}}}),
        )
        .unwrap_err();
    assert_eq!(refused.code, 422);
    let refused = world.apply(&deployment("Not_A_Name")).unwrap_err();
    assert_eq!(refused.code, 422);
}

#[tokio::test(start_paused = true)]
async fn an_admission_webhook_can_refuse() {
    let world = World::new(1);
    world.admit("deny-v2", |review| {
        review
            .object
            .to_string()
            .contains("app:v2")
            .then(|| "no v2 here".to_owned())
    });
    world.apply(&deployment("x")).unwrap();
    let refused = world.set_image("default", "x", "app:v2").unwrap_err();
    assert_eq!(
        (refused.code, refused.message.as_str()),
        (
            403,
            "admission webhook \"deny-v2\" denied the request: no v2 here"
        )
    );
    world.stop_admitting("deny-v2");
    world.set_image("default", "x", "app:v2").unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_changes_nothing() {
    let world = World::new(1);
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    let dry = PostParams {
        dry_run: true,
        ..PostParams::default()
    };
    let shown = api.create(&dry, &config_map("x")).await.unwrap();
    assert_eq!(shown.metadata.resource_version, None);
    assert_eq!(code(api.get("x").await), 404);
}

#[tokio::test(start_paused = true)]
async fn observers_see_every_write_with_what_was_before() {
    let world = World::new(1);
    let (sender, receiver) = std::sync::mpsc::channel();
    world.on_write(move |world, write| {
        let live = world.get("cm", write.namespace(), write.name()).is_some();
        let image = |object: &Option<std::sync::Arc<slipway_sim::Object>>| {
            object.as_ref().map(|it| it["data"]["a"].clone())
        };
        sender
            .send((
                write.by.to_string(),
                image(&write.before),
                image(&write.after),
                live,
            ))
            .unwrap();
    });
    let api: Api<ConfigMap> = Api::default_namespaced(client(&world, "a"));
    api.create(&PostParams::default(), &config_map("x"))
        .await
        .unwrap();
    api.patch(
        "x",
        &PatchParams::default(),
        &Patch::Merge(json!({"data": {"a": "2"}})),
    )
    .await
    .unwrap();
    api.delete("x", &DeleteParams::default()).await.unwrap();
    let seen: Vec<_> = receiver.try_iter().collect();
    let a = || "a".to_owned();
    assert_eq!(
        seen,
        [
            (a(), None, Some(json!("1")), true),
            (a(), Some(json!("1")), Some(json!("2")), true),
            (a(), Some(json!("2")), None, false),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn pods_can_be_listed_through_typed_api() {
    let world = World::new(1);
    let api: Api<Pod> = Api::all(client(&world, "a"));
    assert!(
        api.list(&ListParams::default())
            .await
            .unwrap()
            .items
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_right_that_was_taken_away_is_refused_to_its_user_alone() {
    let world = World::new(1);
    world.deny("a", "create", "", "configmaps");
    let of = |identity| Api::<ConfigMap>::default_namespaced(client(&world, identity));
    let object = config_map("one");
    let refused = of("a").create(&PostParams::default(), &object).await;
    let Err(kube::Error::Api(status)) = refused else {
        panic!("not refused: {refused:?}");
    };
    assert_eq!((status.code, status.reason.as_str()), (403, "Forbidden"));
    let expected = r#"User "a" cannot create resource "configmaps" in API group "" in the namespace "default""#;
    assert!(status.message.ends_with(expected), "{}", status.message);
    assert_eq!(
        code(of("b").create(&PostParams::default(), &object).await),
        0
    );
    assert_eq!(
        code(of("a").get("one").await),
        0,
        "another right is another"
    );
}
