use serde_json::{Value, json};

use super::*;

fn tracked(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(name, checksum)| ((*name).to_owned(), (*checksum).to_owned()))
        .collect()
}

#[test]
fn the_revision_does_not_depend_on_the_order_of_keys_or_on_nulls() {
    let one: Value = serde_json::from_str(r#"{"b":[1,{"y":null,"x":"é\n"}],"a":{}}"#).unwrap();
    let other: Value = serde_json::from_str(r#"{"a":{},"c":null,"b":[1,{"x":"é\n"}]}"#).unwrap();
    assert_eq!(revision(&one), revision(&other));
    // sha256 of the canonical text itself, so that a new version of Slipway knows the revisions of the old one.
    assert_eq!(
        revision(&json!({})),
        "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a"
    );
    assert_ne!(revision(&json!({"a": []})), revision(&json!({"a": [null]})));
}

#[test]
fn a_revision_without_configs_is_that_of_the_template_and_with_them_another() {
    assert_eq!(with_configs("r", ""), "r");
    assert_ne!(with_configs("r", "1"), with_configs("r", "2"));
    assert_ne!(with_configs("r", "1"), with_configs("s", "1"));
}

#[test]
fn recorded_hashes_of_texts_come_out() {
    assert_eq!(flagger_knative_hash(""), "8857b86c7");
    assert_eq!(flagger_knative_hash("podinfo-00001"), "5498f4fcd6");
}

/// The dossiers tell the alphabet in two ways (`0123456789 → 456789bcdf`, and byte mod 27 of Kubernetes' letters): for digits they agree.
#[test]
fn recorded_checksums_of_hooks_come_out() {
    let (none, empty) = (None, Some(tracked(&[])));
    for (configs, last_applied, expected) in [
        // Dossier 01 §3.4.
        (none.clone(), "5454669676", "6657cd9495"),
        (empty.clone(), "5454669676", "57b5dd6774"),
        (
            Some(tracked(&[
                ("configmap/a", "fedcba9876543210"),
                ("secret/b", "0123456789abcdef"),
            ])),
            "5454669676",
            "7759f87d6c",
        ),
        // Dossier 03 A5.
        (none.clone(), "", "758df7c9fc"),
        (none, "4cb74184589", "7c9d467496"),
        (empty.clone(), "4cb74184589", "56966965f5"),
        (
            Some(tracked(&[("test-config-map", "484637c76acaa7c6")])),
            "4cb74184589",
            "569bdb7cb9",
        ),
        (
            Some(tracked(&[
                ("secret/b", "2"),
                ("configmap/a", "1"),
                ("secret/a", "x\"y"),
            ])),
            "7d9b8f",
            "996dffd8f",
        ),
        // Recorded from a running Flagger: the hooks of app:v1 and app:v2.
        (empty.clone(), "66b8cf6845", "6f6469ccfd"),
        (empty, "7f588f4898", "5cd9f588bf"),
    ] {
        assert_eq!(
            flagger_checksum(configs.as_ref(), last_applied),
            expected,
            "{configs:?} {last_applied}"
        );
    }
}

#[test]
fn recorded_checksums_of_configs_come_out() {
    for (data, expected) in [
        (None, "74234e98afe7498f"),
        (Some(json!({})), "44136fa355b3678a"),
        (Some(json!({"color": "red"})), "241889ca0604e333"),
        (Some(json!({"a": "<&>"})), "1fd2922c86d4c57a"),
        // A Secret: k is "v".
        (Some(json!({"k": "dg=="})), "55cb228b342ed33e"),
        // Recorded from a running Flagger: the ConfigMap and the Secret with k = 1, then with k = 2.
        (Some(json!({"k": "1"})), "6ff656377339fd3b"),
        (Some(json!({"k": "2"})), "0ace9500e8133cc2"),
        (Some(json!({"k": "MQ=="})), "f826db84cebd6d55"),
        (Some(json!({"k": "Mg=="})), "00f920cf0c2792f6"),
    ] {
        assert_eq!(flagger_config_checksum(data.as_ref()), expected, "{data:?}");
    }
}

/// A pod template as the API server stores it: with the defaults that the stories of the recordings need.
fn defaulted(mut template: Value) -> Value {
    template["metadata"]["creationTimestamp"] = Value::Null;
    let spec = template["spec"].as_object_mut().unwrap();
    for (key, default) in [
        ("restartPolicy", json!("Always")),
        ("terminationGracePeriodSeconds", json!(30)),
        ("dnsPolicy", json!("ClusterFirst")),
        ("securityContext", json!({})),
        ("schedulerName", json!("default-scheduler")),
    ] {
        spec.entry(key).or_insert(default);
    }
    for container in spec["containers"].as_array_mut().unwrap() {
        let container = container.as_object_mut().unwrap();
        for port in container
            .get_mut("ports")
            .and_then(Value::as_array_mut)
            .into_iter()
            .flatten()
        {
            port["protocol"] = json!("TCP");
        }
        for (key, default) in [
            ("resources", json!({})),
            ("terminationMessagePath", json!("/dev/termination-log")),
            ("terminationMessagePolicy", json!("File")),
            ("imagePullPolicy", json!("IfNotPresent")),
        ] {
            container.entry(key).or_insert(default);
        }
    }
    for volume in spec
        .get_mut("volumes")
        .and_then(Value::as_array_mut)
        .into_iter()
        .flatten()
    {
        for source in ["configMap", "secret", "projected"] {
            if let Some(source) = volume.get_mut(source) {
                source["defaultMode"] = json!(420);
            }
        }
    }
    template
}

/// The Deployment of the stories.
fn app(image: &str) -> Value {
    json!({
        "metadata": {"labels": {"app": "app"}, "annotations": {"prometheus.io/scrape": "true"}},
        "spec": {
            "nodeName": "n0",
            "automountServiceAccountToken": false,
            "containers": [{"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}],
        },
    })
}

#[test]
fn every_hash_that_flagger_recorded_comes_out_of_the_template_as_the_api_server_stores_it() {
    for (image, expected) in [
        ("app:v1", "66b8cf6845"),
        ("app:v2", "7f588f4898"),
        ("app:v3", "dc6d8748c"),
        ("app:broken", "796857d485"),
    ] {
        assert_eq!(
            flagger_template_hash(&defaulted(app(image))).as_deref(),
            Some(expected),
            "{image}"
        );
    }
    let mut with_configs = app("app:v1");
    with_configs["spec"]["containers"][0]["env"] =
        json!([{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "envcm", "key": "k"}}}]);
    with_configs["spec"]["containers"][0]["envFrom"] =
        json!([{"secretRef": {"name": "sec"}}, {"configMapRef": {"name": "optout"}}]);
    with_configs["spec"]["volumes"] = json!([
        {"name": "v", "configMap": {"name": "vol"}},
        {"name": "p", "projected": {"sources": [{"secret": {"name": "sec"}}, {"configMap": {"name": "vol"}}]}},
    ]);
    assert_eq!(
        flagger_template_hash(&defaulted(with_configs)).as_deref(),
        Some("554cbb567f")
    );
}

/// One of nearly everything, its hash recorded from Flagger's own code.
#[test]
fn the_recorded_sample_and_the_empty_template_come_out() {
    let sample = json!({
        "metadata": {"creationTimestamp": null, "labels": {"app": "podinfo", "b": "2 3"}, "annotations": {"z": "1"}},
        "spec": {
            "volumes": [
                {"name": "c", "configMap": {"name": "cfg", "defaultMode": 420}},
                {"name": "p", "projected": {
                    "sources": [{"secret": {"name": "s"}}, {"configMap": {"name": "x", "optional": true}}],
                    "defaultMode": 420,
                }},
                {"name": "e", "emptyDir": {}},
            ],
            "containers": [{
                "name": "podinfod",
                "image": "img:1",
                "command": ["./podinfo", "--port=9898"],
                "ports": [{"name": "http", "containerPort": 9898, "protocol": "TCP"}],
                "env": [
                    {"name": "A", "value": "b"},
                    {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"configMapRef": {"name": "cfg"}}],
                "resources": {
                    "limits": {"cpu": "2", "memory": "512Mi"},
                    "requests": {"cpu": "100m", "memory": "64Mi"},
                },
                "livenessProbe": {
                    "exec": {"command": ["a", "b c"]},
                    "initialDelaySeconds": 5,
                    "timeoutSeconds": 5,
                    "periodSeconds": 10,
                    "successThreshold": 1,
                    "failureThreshold": 3,
                },
                "readinessProbe": {
                    "httpGet": {"path": "/readyz", "port": "http", "scheme": "HTTP"},
                    "timeoutSeconds": 1,
                },
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "IfNotPresent",
                "securityContext": {
                    "runAsUser": 10001,
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                },
            }],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "nodeSelector": {},
            "securityContext": {},
            "affinity": {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [{
                "weight": 100,
                "podAffinityTerm": {
                    "labelSelector": {
                        "matchExpressions": [{"key": "app", "operator": "In", "values": ["podinfo"]}],
                    },
                    "topologyKey": "zone",
                },
            }]}},
            "schedulerName": "default-scheduler",
            "tolerations": [],
            "topologySpreadConstraints": [{
                "maxSkew": 1,
                "topologyKey": "zone",
                "whenUnsatisfiable": "DoNotSchedule",
                "labelSelector": {"matchLabels": {"app": "podinfo"}},
            }],
        },
    });
    assert_eq!(
        flagger_template_hash(&sample).as_deref(),
        Some("7d6b949d6d")
    );
    assert_eq!(
        flagger_template_hash(&json!({})).as_deref(),
        Some("85748b7f68")
    );
}

#[test]
fn a_field_that_flagger_does_not_know_changes_our_revision_and_not_its_hash() {
    let (known, mut newer) = (defaulted(app("app:v1")), defaulted(app("app:v1")));
    newer["spec"]["containers"][0]["fieldOfTomorrow"] = json!({"a": 1});
    assert_eq!(flagger_template_hash(&newer), flagger_template_hash(&known));
    assert_ne!(revision(&newer), revision(&known));
}

#[test]
fn what_is_no_pod_template_has_no_hash() {
    for (field, value) in [
        ("containers", json!({"name": "app"})),
        (
            "containers",
            json!([{"ports": [{"containerPort": "8080"}]}]),
        ),
        (
            "containers",
            json!([{"resources": {"limits": {"cpu": "much"}}}]),
        ),
        ("nodeName", json!(1)),
        ("hostNetwork", json!("true")),
        ("priority", json!(2_147_483_648_i64)),
    ] {
        let mut template = json!({"metadata": {}, "spec": {}});
        template["spec"][field] = value.clone();
        assert_eq!(flagger_template_hash(&template), None, "{field} {value}");
    }
    assert_eq!(
        flagger_template_hash(&json!({"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}})),
        None
    );
}

/// Hashes from the types of `k8s.io/api` v0.36.3, printed by the same printer with the same settings as Flagger's.
#[test]
fn hashes_of_services_are_those_of_the_go_types() {
    for (spec, expected) in [
        (json!({}), "55f5bb485"),
        (
            json!({
                "ports": [
                    {"name": "http", "protocol": "TCP", "port": 80, "targetPort": "http", "nodePort": 30080},
                    {"name": "grpc", "protocol": "TCP", "appProtocol": "grpc", "port": 9000, "targetPort": 9000},
                ],
                "selector": {"app": "podinfo"},
                "clusterIP": "10.96.0.7",
                "clusterIPs": ["10.96.0.7"],
                "type": "NodePort",
                "sessionAffinity": "ClientIP",
                "sessionAffinityConfig": {"clientIP": {"timeoutSeconds": 10800}},
                "ipFamilies": ["IPv4"],
                "ipFamilyPolicy": "SingleStack",
                "externalTrafficPolicy": "Cluster",
                "internalTrafficPolicy": "Cluster",
                "trafficDistribution": "PreferClose",
            }),
            "6bd5b867d4",
        ),
    ] {
        assert_eq!(
            flagger_service_hash(&spec).as_deref(),
            Some(expected),
            "{spec}"
        );
    }
}
