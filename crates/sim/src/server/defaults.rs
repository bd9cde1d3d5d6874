//! What the API server fills in by itself.
//!
//! **Source**: the defaulting of apps/v1, core/v1 and autoscaling/v2, for the fields that a release reads or copies.

use super::kinds::{self, KindId};
use crate::json::{default, dig, place, set, text};
use serde_json::{Value, json};

/// What an object of a kind is before anybody has said anything: the parts that the server's types always have.
///
/// Nobody owns these nodes themselves, whoever creates the object.
pub(crate) fn skeleton(id: KindId) -> Value {
    let workload = |strategy: &str, status: Value| {
        let template = json!({"metadata": {}, "spec": {"containers": null}});
        let mut spec = json!({"selector": null, "template": template});
        set(&mut spec, &[strategy], json!({}));
        json!({"metadata": {}, "spec": spec, "status": status})
    };
    let daemons = json!({
        "currentNumberScheduled": 0, "desiredNumberScheduled": 0, "numberMisscheduled": 0, "numberReady": 0,
    });
    match id {
        kinds::DEPLOYMENT => workload("strategy", json!({})),
        kinds::DAEMON_SET => workload("updateStrategy", daemons),
        kinds::REPLICA_SET => {
            json!({"metadata": {}, "spec": {"selector": null, "template": {"metadata": {}}}, "status": {"replicas": 0}})
        }
        kinds::POD => json!({"metadata": {}, "spec": {"containers": null}, "status": {}}),
        kinds::SERVICE => json!({"metadata": {}, "spec": {}, "status": {"loadBalancer": {}}}),
        kinds::AUTOSCALER => {
            let spec = json!({"scaleTargetRef": {}, "maxReplicas": 0});
            json!({"metadata": {}, "spec": spec, "status": {"currentMetrics": null, "desiredReplicas": 0}})
        }
        kinds::LEASE | kinds::NAMESPACE | kinds::NODE => {
            json!({"metadata": {}, "spec": {}, "status": {}})
        }
        kinds::EVENT => json!({"metadata": {}, "involvedObject": {}, "source": {}}),
        _ => json!({"metadata": {}}),
    }
}

/// Gives a new object the status that the server's types always have.
pub(crate) fn fill_status(id: KindId, object: &mut Value) {
    let status = dig(&skeleton(id), &["status"]).clone();
    if status.is_object()
        && !matches!(
            id,
            kinds::POD | kinds::NAMESPACE | kinds::NODE | kinds::LEASE
        )
    {
        default(object, &["status"], status);
    }
}

/// Maps and lists that the server leaves out when they are empty.
pub(crate) fn drop_empty(object: &mut Value) {
    const LEFT_OUT: [&[&str]; 8] = [
        &["metadata", "labels"],
        &["metadata", "annotations"],
        &["metadata", "finalizers"],
        &["metadata", "ownerReferences"],
        &["data"],
        &["binaryData"],
        &["spec", "template", "metadata", "annotations"],
        &["spec", "template", "spec", "nodeSelector"],
    ];
    for path in LEFT_OUT {
        let found = dig(object, path);
        let is_empty = found.as_object().is_some_and(serde_json::Map::is_empty)
            || found.as_array().is_some_and(Vec::is_empty);
        if is_empty {
            crate::json::take(object, path);
        }
    }
}

/// Fills in the defaults of a built-in kind.
pub(crate) fn fill(id: KindId, object: &mut Value) {
    match id {
        kinds::DEPLOYMENT => deployment(object),
        kinds::DAEMON_SET => daemon_set(object),
        kinds::REPLICA_SET => {
            default(object, &["spec", "replicas"], 1);
            template(place(object, &["spec", "template"]));
        }
        kinds::POD => pod(place(object, &["spec"])),
        kinds::SERVICE => service(place(object, &["spec"])),
        kinds::AUTOSCALER => default(object, &["spec", "minReplicas"], 1),
        kinds::EVENT => default(object, &["source"], json!({})),
        kinds::SECRET => default(object, &["type"], "Opaque"),
        kinds::NAMESPACE => {
            default(object, &["spec", "finalizers"], json!(["kubernetes"]));
            default(object, &["status", "phase"], "Active");
            let name = text(object, &["metadata", "name"]).to_owned();
            default(
                object,
                &["metadata", "labels", "kubernetes.io/metadata.name"],
                name,
            );
        }
        _ => {}
    }
}

fn deployment(object: &mut Value) {
    let spec = place(object, &["spec"]);
    default(spec, &["replicas"], 1);
    default(spec, &["progressDeadlineSeconds"], 600);
    default(spec, &["revisionHistoryLimit"], 10);
    default(spec, &["strategy", "type"], "RollingUpdate");
    if text(spec, &["strategy", "type"]) == "RollingUpdate" {
        default(spec, &["strategy", "rollingUpdate", "maxSurge"], "25%");
        default(
            spec,
            &["strategy", "rollingUpdate", "maxUnavailable"],
            "25%",
        );
    }
    template(place(spec, &["template"]));
}

/// Where a `DaemonSet` counts its templates, for clients of an API that is gone.
const TEMPLATE_GENERATION: [&str; 3] = [
    "metadata",
    "annotations",
    "deprecated.daemonset.template.generation",
];

/// Counts a template that changed; the server alone says the number.
pub(crate) fn count_template(id: KindId, old: &Value, new: &mut Value) {
    if id != kinds::DAEMON_SET {
        return;
    }
    let changed = dig(old, &["spec", "template"]) != dig(new, &["spec", "template"]);
    let known: u64 = text(old, &TEMPLATE_GENERATION).parse().unwrap_or(0);
    set(
        new,
        &TEMPLATE_GENERATION,
        (known + u64::from(changed)).to_string(),
    );
}

fn daemon_set(object: &mut Value) {
    default(object, &TEMPLATE_GENERATION, "1");
    let spec = place(object, &["spec"]);
    default(spec, &["revisionHistoryLimit"], 10);
    default(spec, &["updateStrategy", "type"], "RollingUpdate");
    if text(spec, &["updateStrategy", "type"]) == "RollingUpdate" {
        default(
            spec,
            &["updateStrategy", "rollingUpdate", "maxUnavailable"],
            1,
        );
        default(spec, &["updateStrategy", "rollingUpdate", "maxSurge"], 0);
    }
    template(place(spec, &["template"]));
}

fn template(template: &mut Value) {
    pod(place(template, &["spec"]));
}

fn pod(spec: &mut Value) {
    default(spec, &["dnsPolicy"], "ClusterFirst");
    default(spec, &["restartPolicy"], "Always");
    default(spec, &["schedulerName"], "default-scheduler");
    default(spec, &["securityContext"], json!({}));
    default(spec, &["terminationGracePeriodSeconds"], 30);
    for containers in ["containers", "initContainers"] {
        each(spec, containers, container);
    }
    each(spec, "volumes", |volume| {
        for source in ["configMap", "secret"] {
            if dig(volume, &[source]).is_object() {
                default(volume, &[source, "defaultMode"], 420);
            }
        }
    });
}

fn each(value: &mut Value, field: &str, change: impl Fn(&mut Value)) {
    let items = value.get_mut(field).and_then(Value::as_array_mut);
    items.into_iter().flatten().for_each(change);
}

fn container(container: &mut Value) {
    let image = text(container, &["image"]);
    let tag = image
        .rsplit('/')
        .next()
        .and_then(|last| last.split_once(':'));
    let pull = match tag {
        None | Some((_, "latest")) if !image.contains('@') => "Always",
        _ => "IfNotPresent",
    };
    default(container, &["imagePullPolicy"], pull);
    default(container, &["resources"], json!({}));
    default(
        container,
        &["terminationMessagePath"],
        "/dev/termination-log",
    );
    default(container, &["terminationMessagePolicy"], "File");
    each(container, "ports", |port| {
        default(port, &["protocol"], "TCP");
    });
    each(container, "env", |entry| {
        if dig(entry, &["valueFrom", "fieldRef"]).is_object() {
            default(entry, &["valueFrom", "fieldRef", "apiVersion"], "v1");
        }
    });
    for probe in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if dig(container, &[probe]).is_object() {
            fill_probe(place(container, &[probe]));
        }
    }
}

fn fill_probe(probe: &mut Value) {
    default(probe, &["timeoutSeconds"], 1);
    default(probe, &["periodSeconds"], 10);
    default(probe, &["successThreshold"], 1);
    default(probe, &["failureThreshold"], 3);
    if dig(probe, &["httpGet"]).is_object() {
        default(probe, &["httpGet", "path"], "/");
        default(probe, &["httpGet", "scheme"], "HTTP");
    }
}

fn service(spec: &mut Value) {
    default(spec, &["type"], "ClusterIP");
    default(spec, &["sessionAffinity"], "None");
    each(spec, "ports", |port| {
        default(port, &["protocol"], "TCP");
        let number = dig(port, &["port"]).clone();
        default(port, &["targetPort"], number);
    });
    if text(spec, &["type"]) != "ExternalName" {
        default(spec, &["internalTrafficPolicy"], "Cluster");
    }
}
