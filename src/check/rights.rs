//! The rights that the controller needs, as `dist/install` gives them; a test compares the two.

use slipway_core::plan::Provider;

/// Verbs on a resource of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Right {
    pub(crate) group: &'static str,
    /// With its subresource: `deployments/scale`.
    pub(crate) resource: &'static str,
    pub(crate) verbs: &'static [&'static str],
}

const fn right(
    group: &'static str,
    resource: &'static str,
    verbs: &'static [&'static str],
) -> Right {
    Right {
        group,
        resource,
        verbs,
    }
}

const WORKLOAD: &[&str] = &["get", "list", "watch", "create", "patch"];
const ROUTE: &[&str] = &[
    "get", "list", "watch", "create", "patch", "update", "delete",
];
const CONFIG: &[&str] = &["get", "list", "watch", "create", "patch", "delete"];

/// What every release needs.
pub(crate) const CORE: &[Right] = &[
    right(
        "flagger.app",
        "canaries",
        &["get", "list", "watch", "create", "patch", "delete"],
    ),
    right("flagger.app", "canaries/status", &["patch"]),
    right("flagger.app", "canaries/finalizers", &["update"]),
    right("flagger.app", "metrictemplates", &["list", "watch"]),
    right("flagger.app", "alertproviders", &["list", "watch"]),
    right("apps", "deployments", WORKLOAD),
    right("apps", "daemonsets", WORKLOAD),
    right("apps", "deployments/scale", &["patch"]),
    right("apps", "controllerrevisions", &["list", "create", "delete"]),
    right(
        "",
        "services",
        &["get", "list", "watch", "create", "patch", "update"],
    ),
    right("", "configmaps", CONFIG),
    right("", "secrets", CONFIG),
    right("", "pods", &["list", "watch", "patch"]),
    right("discovery.k8s.io", "endpointslices", &["list", "watch"]),
    right("autoscaling", "horizontalpodautoscalers", WORKLOAD),
    right("", "events", &["create"]),
];

/// What the election needs, where the Lease is.
pub(crate) const LEADER: &[Right] = &[right(
    "coordination.k8s.io",
    "leases",
    &["get", "create", "update"],
)];

const ISTIO: &[Right] = &[
    right("networking.istio.io", "virtualservices", ROUTE),
    right("networking.istio.io", "destinationrules", ROUTE),
];
const SMI: &[Right] = &[right("split.smi-spec.io", "trafficsplits", ROUTE)];
const GATEWAY: &[Right] = &[
    right("gateway.networking.k8s.io", "httproutes", ROUTE),
    right("gateway.networking.k8s.io", "grpcroutes", ROUTE),
    right("gateway.networking.k8s.io", "gateways", &["list", "watch"]),
];
const LINKERD: &[Right] = &[
    right("split.smi-spec.io", "trafficsplits", ROUTE),
    right("gateway.networking.k8s.io", "httproutes", ROUTE),
    right("policy.linkerd.io", "httproutes", ROUTE),
];

const EXTERNAL_METRICS: &[Right] = &[right("external.metrics.k8s.io", "*", &["list"])];
const KEPTN: &[Right] = &[
    right("metrics.keptn.sh", "keptnmetrics", &["get"]),
    right("metrics.keptn.sh", "analyses", &["get", "create", "delete"]),
];

/// What templates of metrics of that type need, where the API server answers them; most are answered by others.
pub(crate) fn of_metrics(kind: &str) -> &'static [Right] {
    match kind {
        "externalmetrics" => EXTERNAL_METRICS,
        "keptn" => KEPTN,
        _ => &[],
    }
}

/// A version of an API, and the resources of it that a mesh obeys.
pub(crate) type Api = (&'static str, &'static [&'static str]);

/// What a backend needs besides, and the APIs of which one must be served; nothing of those that have no backend in this build.
pub(crate) fn of(provider: &Provider) -> (&'static [Right], &'static [Api]) {
    match provider {
        Provider::Istio => (
            ISTIO,
            &[(
                "networking.istio.io/v1beta1",
                &["virtualservices", "destinationrules"],
            )],
        ),
        Provider::Linkerd => (
            LINKERD,
            &[
                ("split.smi-spec.io/v1alpha1", &["trafficsplits"]),
                ("gateway.networking.k8s.io/v1", &["httproutes"]),
                ("policy.linkerd.io/v1beta3", &["httproutes"]),
            ],
        ),
        Provider::Smi { .. } => (SMI, &[("split.smi-spec.io/v1alpha2", &["trafficsplits"])]),
        Provider::GatewayApiV1 => (
            GATEWAY,
            &[("gateway.networking.k8s.io/v1", &["httproutes"])],
        ),
        Provider::GatewayApiV1Beta1 => (
            GATEWAY,
            &[("gateway.networking.k8s.io/v1beta1", &["httproutes"])],
        ),
        Provider::Kubernetes
        | Provider::AppMesh
        | Provider::AppMeshV1Beta2
        | Provider::Contour
        | Provider::Gloo
        | Provider::Nginx
        | Provider::Skipper
        | Provider::Traefik
        | Provider::Apisix
        | Provider::Kuma
        | Provider::Knative => (&[], &[]),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// Group, resource and verb of every rule in a manifest: of one that stands there whole, or of one that a patch adds.
    fn given(manifest: &str, role: &str) -> BTreeSet<String> {
        let file = format!("{}/{manifest}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(file).unwrap();
        let objects: Vec<Value> = serde_saphyr::from_multiple(&text).unwrap();
        let mut rules = Vec::new();
        for object in objects {
            if object["metadata"]["name"] == role
                && let Some(own) = object["rules"].as_array()
            {
                rules.extend(own.clone());
            }
            for patch in object["patches"].as_array().into_iter().flatten() {
                let steps = patch["patch"].as_str().unwrap();
                let steps: Vec<Value> = serde_saphyr::from_str(steps).unwrap();
                rules.extend(steps.into_iter().map(|it| it["value"].clone()));
            }
        }
        let list = |rule: &Value, key: &str| -> Vec<String> {
            let all = rule[key].as_array().unwrap().iter();
            all.map(|it| it.as_str().unwrap().to_owned()).collect()
        };
        let mut found = BTreeSet::new();
        for rule in &rules {
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    for verb in list(rule, "verbs") {
                        found.insert(format!("{verb} {resource}.{group}"));
                    }
                }
            }
        }
        found
    }

    fn wanted(rights: &[Right]) -> BTreeSet<String> {
        let of = |right: &Right| {
            let Right {
                group,
                resource,
                verbs,
            } = *right;
            verbs
                .iter()
                .map(move |verb| format!("{verb} {resource}.{group}"))
        };
        rights.iter().flat_map(of).collect()
    }

    #[test]
    fn the_rights_that_are_looked_at_are_those_that_the_manifests_give() {
        let controller = "dist/install/controller/slipway.yaml";
        assert_eq!(wanted(CORE), given(controller, "slipway"));
        assert_eq!(wanted(LEADER), given(controller, "slipway-leader"));
        let backends = [
            ("istio", ISTIO),
            ("linkerd", LINKERD),
            ("gateway", GATEWAY),
            ("externalmetrics", EXTERNAL_METRICS),
            ("keptn", KEPTN),
        ];
        for (folder, rights) in backends {
            let backend = format!("dist/install/backends/{folder}/kustomization.yaml");
            assert_eq!(wanted(rights), given(&backend, ""), "{folder}");
        }
    }
}
