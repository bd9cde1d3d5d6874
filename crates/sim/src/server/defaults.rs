//! What the API server fills in by itself.
//!
//! **Source**: the defaulting of apps/v1, core/v1 and autoscaling/v2, for the fields that a release reads or copies.

use super::kinds::{self, KindId};
use crate::json::{default, dig, place, text};
use serde_json::{Value, json};

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

fn daemon_set(object: &mut Value) {
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
