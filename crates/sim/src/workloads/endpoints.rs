//! The `EndpointSlice` controller: the ready pods behind each Service, in one slice.

use super::conditions::{is_ready, owned_by};
use crate::clock::Chance;
use crate::json::{dig, list, pairs, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::{Key, Object};
use serde_json::{Value, json};
use std::sync::Arc;

pub(super) fn sync(api: &mut Api, key: &Key, by: &Arc<str>, chance: &mut Chance) {
    let Some(service) = api.store.get(kinds::SERVICE, key).cloned() else {
        return;
    };
    if pairs(&service, &["spec", "selector"]).next().is_none() {
        return;
    }
    let pods: Vec<Arc<Object>> = api
        .store
        .pods(&key.namespace, dig(&service, &["spec", "selector"]))
        .into_iter()
        .filter(|pod| !text(pod, &["status", "podIP"]).is_empty())
        .cloned()
        .collect();
    let endpoints: Vec<Value> = pods.iter().map(|pod| endpoint(pod)).collect();
    let ports = ports(&service, pods.first().map(|pod| &***pod));
    let known = api
        .store
        .owned(service.uid(), kinds::ENDPOINT_SLICE)
        .next()
        .map(|slice| slice.key());
    if let Some(slice) = known {
        api.edit(kinds::ENDPOINT_SLICE, &slice, by, "", |live| {
            set(live, &["endpoints"], endpoints);
            set(live, &["ports"], ports);
        });
        return;
    }
    let mut labels = dig(&service, &["metadata", "labels"]).clone();
    set(&mut labels, &["kubernetes.io/service-name"], service.name());
    let manager = "endpointslice-controller.k8s.io";
    set(
        &mut labels,
        &["endpointslice.kubernetes.io/managed-by"],
        manager,
    );
    let slice = json!({
        "metadata": {
            "name": format!("{}-{}", service.name(), chance.suffix(5)), "generateName": format!("{}-", service.name()),
            "namespace": service.namespace(), "labels": labels, "ownerReferences": owned_by(&service),
        },
        "addressType": "IPv4", "endpoints": endpoints, "ports": ports,
    });
    api.make(kinds::ENDPOINT_SLICE, slice, by);
}

fn endpoint(pod: &Object) -> Value {
    let (is_ready, is_going) = (is_ready(pod), pod.is_going());
    json!({
        "addresses": [dig(pod, &["status", "podIP"])],
        "conditions": {"ready": is_ready && !is_going, "serving": is_ready, "terminating": is_going},
        "nodeName": dig(pod, &["spec", "nodeName"]),
        "targetRef": {"kind": "Pod", "name": pod.name(), "namespace": pod.namespace(), "uid": pod.uid()},
    })
}

fn ports(service: &Object, pod: Option<&Value>) -> Vec<Value> {
    let resolve = |target: &Value| match target.as_str() {
        None => target.clone(),
        Some(name) => {
            let containers = pod.map_or(&[][..], |pod| list(pod, &["spec", "containers"]));
            let mut ports = containers
                .iter()
                .flat_map(|container| list(container, &["ports"]));
            let port = ports.find(|port| text(port, &["name"]) == name);
            port.map_or(Value::Null, |port| dig(port, &["containerPort"]).clone())
        }
    };
    list(service, &["spec", "ports"])
        .iter()
        .map(|port| {
            json!({
                "name": text(port, &["name"]), "protocol": dig(port, &["protocol"]), "port": resolve(dig(port, &["targetPort"])),
            })
        })
        .collect()
}
