//! The objects of scenarios, by the shortest builders that say what matters.

use serde_json::{Value, json};

/// The namespace of scenarios.
pub const NAMESPACE: &str = "test";

/// A Deployment `app` with this image and so many replicas.
pub fn deployment(image: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "app", "namespace": NAMESPACE, "labels": {"app": "app"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "app"}},
            "template": {
                "metadata": {"labels": {"app": "app"}},
                "spec": {"containers": [{"name": "app", "image": image, "ports": [{"name": "http", "containerPort": 8080}]}]},
            },
        },
    })
}

/// A Canary `app` for the Deployment `app`, with this provider and analysis on top of interval 10s, threshold 2 and both built-in checks.
pub fn canary(provider: &str, analysis: &Value) -> Value {
    let mut object = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "provider": provider,
            "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "progressDeadlineSeconds": 60,
            "service": {"port": 80, "targetPort": "http"},
            "analysis": {
                "interval": "10s", "threshold": 2,
                "metrics": [
                    {"name": "request-success-rate", "thresholdRange": {"min": 99}, "interval": "1m"},
                    {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": "1m"},
                ],
            },
        },
    });
    if let (Some(into), Some(from)) = (
        object
            .pointer_mut("/spec/analysis")
            .and_then(Value::as_object_mut),
        analysis.as_object(),
    ) {
        into.extend(from.clone());
    }
    object
}

/// The weights of the destinations of a `VirtualService`'s first route, in percent: the primary's, then the canary's.
pub fn weights(route: &Value) -> Vec<i64> {
    let to = route
        .pointer("/spec/http/0/route")
        .and_then(Value::as_array);
    let weights = to.into_iter().flatten().map(|to| to.pointer("/weight"));
    weights
        .map(|weight| weight.and_then(Value::as_i64).unwrap_or(100))
        .collect()
}

/// The image of a workload's first container; empty where it has none.
pub fn image(workload: &Value) -> &str {
    let image = workload.pointer("/spec/template/spec/containers/0/image");
    image.and_then(Value::as_str).unwrap_or_default()
}
