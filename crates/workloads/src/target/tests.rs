use serde_json::{Value, json};
use slipway_api::{Canary, CanaryService};
use slipway_core::blueprint::{Blueprint, CodecSettings, ExtraPort, PodSelector};
use slipway_core::object::Write;
use slipway_core::plan::{CanaryReplicas, Defaults, Plan, TargetKind};

use super::*;
use crate::configs::{ConfigKind, track};

fn deployment() -> &'static dyn Target {
    target(TargetKind::Deployment).unwrap()
}

/// Calls `then` with the blueprint of a Canary of the Deployment `app`.
fn with_blueprint<T>(settings: &CodecSettings, then: impl FnOnce(&Blueprint<'_>) -> T) -> T {
    let canary: Canary = serde_json::from_value(json!({
        "apiVersion": "flagger.app/v1beta1",
        "kind": "Canary",
        "metadata": {"name": "app", "namespace": "test", "uid": "u1"},
        "spec": {
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "service": {"port": 80},
            "analysis": {"interval": "10s", "threshold": 1, "stepWeight": 50},
        },
    }))
    .unwrap();
    let plan = Plan::parse(&canary, &Defaults::default()).unwrap();
    let selector = PodSelector {
        label: "app".into(),
        value: "app".into(),
    };
    then(&Blueprint {
        plan: &plan,
        canary: &canary,
        selector: &selector,
        ports: &[],
        settings,
    })
}

/// A Deployment `app` with this pod template.
fn app(template: &Value) -> Value {
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "app", "namespace": "test"},
        "spec": {"replicas": 2, "selector": {"matchLabels": {"app": "app"}}, "template": template},
    })
}

fn with_image(image: &str) -> Value {
    app(&json!({
        "metadata": {"labels": {"app": "app"}},
        "spec": {"containers": [{"name": "app", "image": image}]},
    }))
}

fn object(write: &Write) -> &Value {
    match write {
        Write::Apply { object, .. }
        | Write::Create { object, .. }
        | Write::Replace { object, .. } => object,
        Write::Merge { patch, .. } => patch,
        Write::Delete { .. } => &Value::Null,
    }
}

fn primary(target: &Value, live: Option<&Value>, tracked: &[TrackedConfig], id: &str) -> Write {
    with_blueprint(&CodecSettings::default(), |blueprint| {
        deployment()
            .primary(blueprint, target, live, tracked, id)
            .unwrap()
    })
}

/// What the API server stores after a write to an object that was not there.
fn stored(write: &Write) -> Value {
    object(write).clone()
}

#[test]
fn a_kind_without_a_codec_is_refused_and_falls_back_to_none() {
    let refused = target(TargetKind::Knative).err().unwrap();
    assert_eq!(refused, Unsupported::Target(TargetKind::Knative));
    assert_eq!(
        refused.to_string(),
        "targets of kind Service of serving.knative.dev have no codec in this build, it must be Deployment, DaemonSet or Service"
    );
}

#[test]
fn a_deployment_is_reduced_to_what_is_judged() {
    let mut object = with_image("app:v1");
    object["metadata"]["generation"] = json!(3);
    object["metadata"]["annotations"] = json!({"slipway.dev/revision": "given"});
    object["spec"]["strategy"] = json!({"type": "Recreate"});
    object["status"] = json!({
        "observedGeneration": 3, "replicas": 4, "updatedReplicas": 3, "readyReplicas": 2, "availableReplicas": 1,
        "conditions": [
            {"type": "Available", "status": "False", "message": "Deployment does not have minimum availability."},
            {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded", "message": "timed out"},
        ],
    });
    let seen = deployment().observe(&object);
    let expected = Workload {
        revision: slipway_core::revision::revision(&object["spec"]["template"]),
        flagger_hash: slipway_core::revision::flagger_template_hash(&object["spec"]["template"]),
        given_revision: Some("given".into()),
        generation: 3,
        observed_generation: 3,
        replicas: 2,
        existing: 4,
        updated: 3,
        ready: 2,
        available: 1,
        deadline_exceeded: true,
        recreates: true,
        complaint: "timed out".into(),
    };
    assert_eq!(seen, expected);

    object["metadata"]["generation"] = json!(4);
    assert!(
        !deployment().observe(&object).deadline_exceeded,
        "what was exceeded is the deadline of an older generation"
    );
    let quota = json!({"type": "ReplicaFailure", "status": "True", "message": "exceeded quota"});
    object["status"]["conditions"]
        .as_array_mut()
        .unwrap()
        .push(quota);
    assert_eq!(deployment().observe(&object).complaint, "exceeded quota");
    object["status"] = Value::Null;
    object["spec"]["replicas"] = Value::Null;
    let fresh = deployment().observe(&object);
    assert_eq!(
        (fresh.replicas, fresh.ready, fresh.complaint.as_str()),
        (1, 0, "")
    );
}

#[test]
fn the_pods_are_told_apart_by_the_first_of_our_labels_that_the_target_selects_by() {
    let settings = CodecSettings::default();
    for (labels, expected) in [
        (json!({"app": "a"}), Ok(("app", "a"))),
        (
            json!({"app.kubernetes.io/name": "n", "tier": "web"}),
            Ok(("app.kubernetes.io/name", "n")),
        ),
        (json!({"name": "n", "app": "a"}), Ok(("app", "a"))),
        (
            json!({"tier": "web"}),
            Err(
                "Deployment test/app: spec.selector.matchLabels is tier, must contain one of app, name, \
                 app.kubernetes.io/name (-selector-labels)",
            ),
        ),
        (
            Value::Null,
            Err(
                "Deployment test/app: spec.selector.matchLabels must contain one of app, name, \
                 app.kubernetes.io/name (-selector-labels)",
            ),
        ),
    ] {
        let mut object = with_image("app:v1");
        object["spec"]["selector"]["matchLabels"] = labels;
        let expected = expected
            .map(|(label, value)| PodSelector {
                label: label.into(),
                value: value.into(),
            })
            .map_err(str::to_owned);
        let found = deployment()
            .selector(&object, &settings)
            .map_err(|problem| problem.to_string());
        assert_eq!(found, expected);
    }
}

#[test]
fn a_label_that_has_no_room_for_the_suffix_is_refused() {
    let mut object = with_image("app:v1");
    for (letters, fits) in [(55, true), (56, false)] {
        object["spec"]["selector"]["matchLabels"]["app"] = "a".repeat(letters).into();
        let found = deployment().selector(&object, &CodecSettings::default());
        assert_eq!(found.is_ok(), fits, "{letters}");
    }
}

#[test]
fn discovered_ports_are_those_of_the_containers_but_the_main_one() {
    let object = app(&json!({"spec": {"containers": [
        {"name": "app", "ports": [
            {"name": "http", "containerPort": 8080},
            {"name": "metrics", "containerPort": 9090},
            {"containerPort": 53, "protocol": "UDP"},
            {"containerPort": 53},
        ]},
        {"name": "istio-proxy", "ports": [{"name": "admin", "containerPort": 15000}]},
        {"name": "side", "ports": [{"name": "metrics", "containerPort": 9091}, {"name": "http", "containerPort": 8081}]},
    ]}}));
    let all = [
        ("metrics", 9090),
        ("tcp-app-2", 53),
        ("tcp-side-0", 9091),
        ("tcp-side-1", 8081),
    ];
    for (service, expected) in [
        (json!({"port": 8080}), vec![]),
        (json!({"port": 8080, "portDiscovery": true}), all.to_vec()),
        (
            json!({"port": 80, "targetPort": 8080, "portDiscovery": true}),
            all.to_vec(),
        ),
        (
            json!({"port": 80, "targetPort": "http", "portName": "web", "portDiscovery": true}),
            vec![("metrics", 9090), ("tcp-app-2", 53), ("tcp-side-0", 9091)],
        ),
    ] {
        let parsed: CanaryService = serde_json::from_value(service.clone()).unwrap();
        let expected: Vec<ExtraPort> = expected
            .into_iter()
            .map(|(name, port)| ExtraPort {
                name: name.into(),
                port,
            })
            .collect();
        assert_eq!(
            deployment().extra_ports(&object, &parsed),
            expected,
            "{service}"
        );
    }
}

#[test]
fn every_way_to_use_a_config_is_found_once_and_in_order() {
    let object = app(&json!({"spec": {
        "volumes": [
            {"name": "a", "configMap": {"name": "volume"}},
            {"name": "b", "secret": {"secretName": "volume", "optional": true}},
            {"name": "c", "projected": {"sources": [
                {"secret": {"name": "projected"}},
                {"configMap": {"name": "projected", "optional": true}},
            ]}},
            {"name": "d", "csi": {"nodePublishSecretRef": {"name": "untracked"}}},
        ],
        "containers": [{
            "env": [
                {"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k", "optional": true}}},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "volume", "key": "k"}}},
                {"name": "C", "valueFrom": {"configMapKeyRef": {"key": "k"}}},
            ],
            "envFrom": [{"configMapRef": {"name": "envfrom"}}],
        }],
        "initContainers": [{
            "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "env", "key": "k"}}}],
            "envFrom": [{"secretRef": {"name": "init", "optional": true}}],
        }],
        "imagePullSecrets": [{"name": "untracked"}],
    }}));
    let (map, secret) = (ConfigKind::ConfigMap, ConfigKind::Secret);
    // Optional is what every place calls optional.
    let expected = [
        (map, "volume", false),
        (secret, "volume", false),
        (secret, "projected", false),
        (map, "projected", true),
        (map, "env", false),
        (map, "envfrom", false),
        (secret, "init", true),
    ];
    let found = deployment().config_references(&object);
    let found: Vec<(ConfigKind, &str, bool)> = found
        .iter()
        .map(|reference| (reference.kind, reference.name.as_str(), reference.optional))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_primary_is_created_with_the_targets_replicas_and_never_applied_with_any() {
    let mut target = with_image("app:v1");
    for (replicas, expected) in [(json!(3), 3), (json!(0), 1), (Value::Null, 1)] {
        target["spec"]["replicas"] = replicas;
        let created = primary(&target, None, &[], "id");
        assert!(matches!(created, Write::Create { .. }));
        assert_eq!(object(&created)["spec"]["replicas"], json!(expected));
        let applied = primary(&target, Some(&stored(&created)), &[], "id");
        assert!(matches!(applied, Write::Apply { .. }));
        assert_eq!(object(&applied)["spec"].get("replicas"), None);
    }
}

#[test]
fn a_primary_that_holds_the_revision_already_is_not_restarted() {
    let target = with_image("app:v1");
    let id = |write: &Write| {
        object(write)["spec"]["template"]["metadata"]["annotations"]["flagger-id"].clone()
    };
    let config = |value: &str| {
        let reference = ConfigReference {
            kind: ConfigKind::ConfigMap,
            name: "cm".into(),
            optional: false,
        };
        vec![track(&reference, &json!({"data": {"k": value}})).unwrap()]
    };
    let ours = stored(&primary(&target, None, &config("1"), "first"));
    assert_eq!(
        id(&primary(&target, Some(&ours), &config("1"), "second")),
        json!("first")
    );
    // A new config alone does not change the template, and still its pods must see it.
    assert_eq!(
        id(&primary(&target, Some(&ours), &config("2"), "second")),
        json!("second")
    );
    assert_eq!(
        id(&primary(
            &with_image("app:v2"),
            Some(&ours),
            &config("1"),
            "second"
        )),
        json!("second")
    );

    let mut flaggers = stored(&primary(&target, None, &[], "first"));
    flaggers["metadata"]["annotations"] = Value::Null;
    assert_eq!(
        id(&primary(&target, Some(&flaggers), &[], "second")),
        json!("first")
    );
    assert_eq!(
        id(&primary(
            &with_image("app:v2"),
            Some(&flaggers),
            &[],
            "second"
        )),
        json!("second")
    );
    assert_eq!(
        id(&primary(&target, Some(&flaggers), &config("1"), "second")),
        json!("second")
    );
}

#[test]
fn a_primary_keeps_the_selector_it_has_and_its_pods_carry_it() {
    let mut live = stored(&primary(&with_image("app:v1"), None, &[], "id"));
    live["spec"]["selector"] = json!({"matchLabels": {"name": "app-primary"}});
    let applied = primary(&with_image("app:v2"), Some(&live), &[], "id");
    assert_eq!(
        object(&applied)["spec"]["selector"],
        live["spec"]["selector"]
    );
    let labels = &object(&applied)["spec"]["template"]["metadata"]["labels"];
    assert_eq!(
        *labels,
        json!({"app": "app-primary", "name": "app-primary"})
    );
}

#[test]
fn a_primary_of_another_canary_is_refused_and_one_that_was_there_is_not_owned() {
    let owner = |name: &str| json!([{"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "name": name, "uid": "u9", "controller": true}]);
    let mut live = stored(&primary(&with_image("app:v1"), None, &[], "id"));
    live["metadata"]["ownerReferences"] = owner("other");
    let refused = with_blueprint(&CodecSettings::default(), |blueprint| {
        deployment()
            .primary(blueprint, &with_image("app:v1"), Some(&live), &[], "id")
            .unwrap_err()
    });
    assert_eq!(
        refused.to_string(),
        "Deployment test/app-primary: metadata.ownerReferences is Canary other, must not belong to another Canary than app"
    );
    live["metadata"]["ownerReferences"] = json!([]);
    let applied = primary(&with_image("app:v1"), Some(&live), &[], "id");
    assert_eq!(object(&applied)["metadata"].get("ownerReferences"), None);
    // Deleted without its objects and made again: the same Canary with another uid.
    live["metadata"]["ownerReferences"] = owner("app");
    let applied = primary(&with_image("app:v1"), Some(&live), &[], "id");
    assert_eq!(
        object(&applied)["metadata"]["ownerReferences"][0]["uid"],
        json!("u1")
    );
}

#[test]
fn only_labels_and_annotations_with_a_prefix_that_is_included_are_copied() {
    let mut target = with_image("app:v1");
    target["metadata"]["labels"] =
        json!({"app": "app", "team": "x", "kustomize.toolkit.fluxcd.io/name": "k"});
    target["metadata"]["annotations"] = json!({
        "team": "x",
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "deployment.kubernetes.io/revision": "7",
        "slipway.dev/interval": "1s",
    });
    for (prefixes, labels, annotations) in [
        (vec![], json!({"app": "app-primary"}), json!({})),
        (
            vec!["te"],
            json!({"app": "app-primary", "team": "x"}),
            json!({"team": "x"}),
        ),
        (
            vec!["*"],
            json!({"app": "app-primary", "team": "x"}),
            json!({"team": "x"}),
        ),
    ] {
        let settings = CodecSettings {
            include_label_prefixes: prefixes.iter().map(|prefix| (*prefix).to_owned()).collect(),
            ..CodecSettings::default()
        };
        let write = with_blueprint(&settings, |blueprint| {
            deployment()
                .primary(blueprint, &target, None, &[], "id")
                .unwrap()
        });
        let mut metadata = object(&write)["metadata"].clone();
        metadata["annotations"]
            .as_object_mut()
            .unwrap()
            .remove("slipway.dev/revision");
        assert_eq!(
            (&metadata["labels"], &metadata["annotations"]),
            (&labels, &annotations),
            "{prefixes:?}"
        );
    }
}

#[test]
fn a_template_that_names_a_key_twice_is_written_by_a_merge_patch() {
    let container = |field: &str, items: Value| {
        let mut target = with_image("app:v1");
        target["spec"]["template"]["spec"]["containers"][0][field] = items;
        target
    };
    let pod = |field: &str, items: Value| {
        let mut target = with_image("app:v1");
        target["spec"]["template"]["spec"][field] = items;
        target
    };
    let live = stored(&primary(&with_image("app:v0"), None, &[], "id"));
    for (target, repeats) in [
        (
            container(
                "ports",
                json!([{"containerPort": 1}, {"containerPort": 1, "name": "b", "protocol": "TCP"}]),
            ),
            true,
        ),
        (
            container(
                "ports",
                json!([{"containerPort": 1}, {"containerPort": 1, "protocol": "UDP"}]),
            ),
            false,
        ),
        (
            container(
                "env",
                json!([{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]),
            ),
            true,
        ),
        (
            container("env", json!([{"name": "A"}, {"name": "B"}])),
            false,
        ),
        (
            pod("imagePullSecrets", json!([{"name": "a"}, {"name": "a"}])),
            true,
        ),
        (
            pod("hostAliases", json!([{"ip": "::1"}, {"ip": "::1"}])),
            true,
        ),
        (
            pod("hostAliases", json!([{"ip": "::1"}, {"ip": "::2"}])),
            false,
        ),
    ] {
        let write = primary(&target, Some(&live), &[], "id");
        assert_eq!(matches!(write, Write::Merge { .. }), repeats, "{target}");
        assert!(
            !object(&write).to_string().contains("replicas\""),
            "{write:?}"
        );
    }
}

#[test]
fn a_merge_patch_takes_away_what_the_revision_no_longer_has() {
    let mut target = with_image("app:v1");
    target["spec"]["template"]["spec"]["containers"][0]["env"] =
        json!([{"name": "A"}, {"name": "A"}]);
    target["spec"]["template"]["spec"]["nodeSelector"] = json!({"disk": "ssd"});
    let live = stored(&primary(&target, None, &[], "id"));
    target["spec"]["template"]["spec"]
        .as_object_mut()
        .unwrap()
        .remove("nodeSelector");
    let write = primary(&target, Some(&live), &[], "new");
    assert_eq!(
        object(&write)["spec"]["template"]["spec"],
        json!({"nodeSelector": null})
    );
    assert!(matches!(write, Write::Merge { .. }));
}

#[test]
fn the_same_revision_is_told_from_another_whatever_flagger_named_the_configs() {
    let mut target = with_image("app:v1");
    target["spec"]["template"]["spec"]["volumes"] = json!([
        {"name": "a", "configMap": {"name": "a"}},
        {"name": "b", "secret": {"secretName": "b"}},
    ]);
    let same = |target: &Value, primary: &Value| {
        with_blueprint(&CodecSettings::default(), |blueprint| {
            deployment().same_revision(blueprint, target, primary)
        })
    };
    let mut live = stored(&primary(&target, None, &[], "id"));
    assert!(same(&target, &live), "no config was tracked");
    live["spec"]["template"]["spec"]["volumes"][0]["configMap"]["name"] = json!("a-primary");
    assert!(same(&target, &live), "one config was tracked");
    live["spec"]["replicas"] = json!(9);
    live["metadata"]["annotations"] = json!({"deployment.kubernetes.io/revision": "1"});
    live["spec"]["template"]["metadata"]["creationTimestamp"] = Value::Null;
    live["spec"]["template"]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"] =
        json!("now");
    assert!(
        same(&target, &live),
        "what does not make a revision does not count"
    );
    let mut other = live.clone();
    other["spec"]["template"]["spec"]["volumes"][1]["secret"]["secretName"] = json!("c-primary");
    assert!(
        !same(&target, &other),
        "a copy of what the target does not use"
    );
    let mut other = live.clone();
    other["spec"]["template"]["spec"]["containers"][0]["env"] = json!([{"name": "A"}]);
    assert!(!same(&target, &other), "what the target no longer has");
    let mut both = target.clone();
    both["spec"]["template"]["spec"]["volumes"][1] =
        json!({"name": "b", "configMap": {"name": "a-primary"}});
    let mut other = stored(&primary(&both, None, &[], "id"));
    assert!(
        same(&both, &other),
        "a config of the target's own may have the suffix"
    );
    other["spec"]["template"]["spec"]["volumes"][1]["configMap"]["name"] = json!("a");
    assert!(!same(&both, &other), "and is no copy of the one without");
    assert!(!same(
        &with_image("app:v2"),
        &stored(&primary(&with_image("app:v1"), None, &[], "id"))
    ));
}

#[test]
fn a_target_at_zero_is_scaled_to_what_it_its_scaler_or_its_primary_asks_for() {
    let of = |replicas: i64| json!({"spec": {"replicas": replicas}});
    let (minimum, match_primary) = (CanaryReplicas::Minimum, CanaryReplicas::MATCH_PRIMARY);
    for (size, target, primary, least, expected) in [
        (minimum, 5, Some(2), Some(3), None),
        (minimum, 1, Some(2), Some(3), None),
        (minimum, 0, Some(2), None, Some(2)),
        (minimum, 0, Some(0), None, Some(1)),
        (minimum, 0, None, None, Some(1)),
        (minimum, 0, Some(7), Some(3), Some(3)),
        (minimum, 0, Some(7), Some(1), Some(1)),
        (minimum, 0, Some(7), Some(0), Some(1)),
        (match_primary, 0, Some(40), Some(3), Some(40)),
        (match_primary, 3, Some(40), Some(3), Some(40)),
        (match_primary, 50, Some(40), Some(3), None),
        (CanaryReplicas::Share(50), 0, Some(7), None, Some(4)),
        (CanaryReplicas::Share(50), 4, Some(7), None, None),
    ] {
        let primary = primary.map(of);
        let found = deployment().scale_up(&of(target), primary.as_ref(), least, size);
        assert_eq!(
            found,
            expected.map(Resize::Replicas),
            "{target} {primary:?} {least:?}"
        );
    }
}

#[test]
fn a_promotion_brings_a_new_number_of_replicas_and_never_zero() {
    let of = |replicas: i64| json!({"spec": {"replicas": replicas}});
    let (minimum, half) = (CanaryReplicas::Minimum, CanaryReplicas::Share(50));
    for (size, target, primary, scaled, expected) in [
        (minimum, 5, 2, false, Some(5)),
        (minimum, 1, 2, false, Some(1)),
        (minimum, 2, 2, false, None),
        (minimum, 0, 2, false, None),
        (minimum, 5, 2, true, None),
        (half, 1, 2, false, None),
        (half, 5, 2, false, Some(5)),
    ] {
        assert_eq!(
            deployment().resize_primary(&of(target), &of(primary), scaled, size),
            expected.map(Resize::Replicas)
        );
    }
}

#[test]
fn a_lost_primary_comes_back_as_it_was_recorded_and_not_as_the_target_is_now() {
    with_blueprint(&CodecSettings::default(), |blueprint| {
        let codec = deployment();
        let judged = with_image("app:v1");
        let mut live = stored(&codec.primary(blueprint, &judged, None, &[], "id").unwrap());
        live["spec"]["replicas"] = json!(7);
        let writes = codec
            .record(blueprint, &judged, Some(&live), &[], &[])
            .unwrap();
        let record = stored(&writes[0]);
        assert_eq!(
            crate::record::recorded_revision(&record),
            Some(codec.revision(&judged, &[]).as_str())
        );
        let again = codec.primary_from_record(blueprint, &record, "id").unwrap();
        assert_eq!(
            again,
            Write::Create {
                key: again.key().clone(),
                object: live
            }
        );
    });
}

#[test]
fn a_record_is_found_by_what_selects_the_records_of_its_primary() {
    with_blueprint(&CodecSettings::default(), |blueprint| {
        let judged = with_image("app:v1");
        let writes = deployment().record(blueprint, &judged, None, &[], &[]);
        let record = stored(&writes.unwrap()[0]);
        let primary = &blueprint.plan.names.primary;
        for part in crate::record::selector(primary).split(',') {
            let (label, value) = part.split_once('=').unwrap();
            assert_eq!(record["metadata"]["labels"][label], json!(value));
        }
        let of_another = crate::record::selector("other-primary");
        assert_ne!(crate::record::selector(primary), of_another);
    });
}

#[test]
fn there_is_one_record_and_a_new_one_stands_before_the_old_one_goes() {
    with_blueprint(&CodecSettings::default(), |blueprint| {
        let codec = deployment();
        let record = |image: &str, seen: &[&Value]| {
            codec
                .record(blueprint, &with_image(image), None, &[], seen)
                .unwrap()
        };
        let first = stored(&record("app:v1", &[])[0]);
        let mut foreign = first.clone();
        foreign["metadata"]["annotations"]["slipway.dev/primary"] = json!("other-primary");
        foreign["metadata"]["name"] = json!("other-primary-1");
        let writes = record("app:v2", &[&first, &foreign]);
        let (created, deleted) = (&writes[0], &writes[1..]);
        assert_eq!(object(created)["revision"], json!(2));
        assert_eq!(
            deleted
                .iter()
                .map(|write| write.key().name.clone())
                .collect::<Vec<_>>(),
            [first["metadata"]["name"].as_str().unwrap()]
        );
        let second = stored(created);
        assert_eq!(
            crate::record::newest(blueprint, &[&second, &first, &foreign]),
            Some(&second)
        );
        // Again after a crash: the same record, and nothing to delete.
        let again = record("app:v2", &[&second]);
        assert_eq!(again.len(), 1);
        assert_eq!(again[0].key(), created.key());
    });
}

#[test]
fn a_record_without_a_workload_is_a_problem_that_names_it() {
    let refused = with_blueprint(&CodecSettings::default(), |blueprint| {
        let record = json!({"metadata": {"namespace": "test", "name": "r"}, "data": {"spec": {}}});
        deployment()
            .primary_from_record(blueprint, &record, "id")
            .unwrap_err()
    });
    assert_eq!(
        refused.to_string(),
        "ControllerRevision test/r: data.spec.template.spec must be there"
    );
}

#[test]
fn the_name_of_a_record_stays_within_the_limit_and_tells_revisions_and_primaries_apart() {
    with_blueprint(&CodecSettings::default(), |blueprint| {
        let name = |primary: &str, image: &str| {
            let mut plan = blueprint.plan.clone();
            primary.clone_into(&mut plan.names.primary);
            let blueprint = Blueprint {
                plan: &plan,
                ..*blueprint
            };
            let writes = deployment().record(&blueprint, &with_image(image), None, &[], &[]);
            writes.unwrap()[0].key().name.clone()
        };
        let long = "a".repeat(242);
        for primary in [format!("{long}.-{}", "b".repeat(9)), "c".repeat(253)] {
            let (one, two) = (name(&primary, "app:v1"), name(&primary, "app:v2"));
            assert!(one.len() <= 253 && one != two, "{one} {two}");
            assert!(!one.contains(".-") && !one.contains("--"), "{one}");
        }
        let twins = [
            format!("{}x", "d".repeat(252)),
            format!("{}y", "d".repeat(252)),
        ];
        assert_ne!(name(&twins[0], "app:v1"), name(&twins[1], "app:v1"));
        assert_eq!(
            name("app-primary", "app:v1").len(),
            "app-primary-".len() + 10
        );
    });
}

#[test]
fn a_daemon_set_is_judged_by_the_nodes_that_should_have_a_pod_and_is_flaggers_revision_at_zero_too()
{
    let codec = target(TargetKind::DaemonSet).unwrap();
    let template = json!({"metadata": {"labels": {"app": "app"}}, "spec": {"containers": [{"name": "app", "image": "app:v1"}]}});
    let object = |template: &Value| {
        json!({
            "apiVersion": "apps/v1", "kind": "DaemonSet",
            "metadata": {"name": "app", "namespace": "test", "generation": 2},
            "spec": {"selector": {"matchLabels": {"app": "app"}}, "template": template},
            "status": {
                "observedGeneration": 2, "desiredNumberScheduled": 4, "currentNumberScheduled": 3, "numberReady": 2,
                "numberAvailable": 1, "updatedNumberScheduled": 3,
            },
        })
    };
    let mut hashed = template.clone();
    hashed["spec"]["nodeSelector"] = json!({});
    let expected = Workload {
        revision: slipway_core::revision::revision(&template),
        flagger_hash: slipway_core::revision::flagger_template_hash(&hashed),
        generation: 2,
        observed_generation: 2,
        replicas: 4,
        existing: 3,
        updated: 3,
        ready: 2,
        available: 1,
        ..Workload::default()
    };
    assert!(expected.flagger_hash.is_some());
    assert_eq!(codec.observe(&object(&template)), expected);
    let mut at_zero = template;
    at_zero["spec"]["nodeSelector"] = json!({"flagger.app/scale-to-zero": "true"});
    assert_eq!(codec.observe(&object(&at_zero)), expected);
}

#[test]
fn a_daemon_set_that_is_updated_by_hand_is_refused() {
    let codec = target(TargetKind::DaemonSet).unwrap();
    let of = |strategy: Value| json!({"metadata": {"name": "app", "namespace": "test"}, "spec": {"updateStrategy": strategy}});
    assert_eq!(codec.check(&of(json!({}))), None);
    assert_eq!(codec.check(&of(json!({"type": "RollingUpdate"}))), None);
    assert_eq!(
        codec
            .check(&of(json!({"type": "OnDelete"})))
            .unwrap()
            .to_string(),
        "DaemonSet test/app: spec.updateStrategy.type is OnDelete, must be RollingUpdate"
    );
}

/// A Service `app` of a user, with what the API server gives it.
fn user_service(version: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "app", "namespace": "test"},
        "spec": {
            "type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "externalTrafficPolicy": "Local",
            "healthCheckNodePort": 30001, "fieldOfTomorrow": {"a": 1},
            "selector": {"app": "web", "version": version},
            "ports": [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP", "nodePort": 30000}],
        },
    })
}

#[test]
fn a_service_is_another_revision_where_it_leads_elsewhere_and_not_by_its_address() {
    let codec = target(TargetKind::Service).unwrap();
    let revision = |service: &Value| codec.observe(service).revision;
    let mut elsewhere = user_service("v1");
    elsewhere["spec"]["clusterIP"] = json!("10.0.0.2");
    elsewhere["spec"]["ports"][0]["nodePort"] = json!(30009);
    assert_eq!(revision(&user_service("v1")), revision(&elsewhere));
    assert_ne!(revision(&user_service("v1")), revision(&user_service("v2")));
}

#[test]
fn a_service_without_a_selector_is_refused() {
    let codec = target(TargetKind::Service).unwrap();
    assert_eq!(codec.check(&user_service("v1")), None);
    let mut by_hand = user_service("v1");
    by_hand["spec"]["selector"] = json!({});
    let problem = codec.check(&by_hand).unwrap().to_string();
    assert!(
        problem.starts_with("Service test/app: spec.selector"),
        "{problem}"
    );
}
