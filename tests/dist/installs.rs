//! The ways to install Slipway itself: kustomizations and the chart.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde_json::Value;
use slipway_controller::settings::Args;

use crate::build::{helm, kustomizations, kustomize, named, of_kind, read, text};

/// Group, resource and verb of every right.
fn rights(rules: &Value) -> BTreeSet<[String; 3]> {
    let texts = |rule: &Value, key: &str| -> Vec<String> {
        let all = rule[key].as_array().unwrap().iter();
        all.map(|it| it.as_str().unwrap().to_owned()).collect()
    };
    let of = |rule: &Value| {
        let mut found = Vec::new();
        for group in texts(rule, "apiGroups") {
            for resource in texts(rule, "resources") {
                for verb in texts(rule, "verbs") {
                    found.push([group.clone(), resource.clone(), verb]);
                }
            }
        }
        found
    };
    rules.as_array().unwrap().iter().flat_map(of).collect()
}

fn role(objects: &[Value]) -> &Value {
    let roles = ["ClusterRole", "Role"].map(|kind| of_kind(objects, kind));
    let mut found = roles.into_iter().flatten();
    let found = found.find(|it| text(it, "/metadata/name") == "slipway");
    &found.unwrap()["rules"]
}

#[test]
fn the_chart_gives_the_rights_that_the_kustomization_of_its_mesh_gives() {
    let rows = [
        ("kubernetes", "kubernetes"),
        ("istio", "istio"),
        ("linkerd", "linkerd"),
        ("smi:v1alpha2", "linkerd"),
        ("gatewayapi:v1", "gateway"),
    ];
    for (provider, folder) in rows {
        let Some(built) = kustomize(&format!("dist/install/{folder}")) else {
            return;
        };
        for namespace in ["", "shop"] {
            let mesh = format!("meshProvider={provider}");
            let scope = format!("namespace={namespace}");
            let Some(chart) = helm(&[&mesh, &scope]) else {
                return;
            };
            let (expected, given) = (rights(role(&built)), rights(role(&chart)));
            assert_eq!(given, expected, "{provider} in {namespace:?}");
            let is_namespaced = of_kind(&chart, "ClusterRole").is_empty();
            assert_eq!(is_namespaced, !namespace.is_empty(), "{provider}");
        }
    }
}

#[test]
fn everything_together_gives_the_rights_of_every_backend() {
    let further = "rbac.backends={linkerd,gateway,keda,externalmetrics,keptn}";
    let (Some(all), Some(chart)) = (
        kustomize("dist/install"),
        helm(&["meshProvider=istio", further]),
    ) else {
        return;
    };
    assert_eq!(rights(role(&all)), rights(role(&chart)));
}

/// The words of Slipway's container.
fn words(objects: &[Value]) -> Vec<String> {
    let deployment = named(objects, "Deployment", "slipway");
    let args = deployment.pointer("/spec/template/spec/containers/0/args");
    let all = args.and_then(Value::as_array).unwrap().iter();
    all.map(|it| it.as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_install_calls_the_controller_with_flags_and_values_that_it_has() {
    let everything = [
        "namespace=shop\\,payment",
        "clusterName=north",
        "selectorLabels=app",
        "includeLabelPrefix=team",
        "ingressClass=contour",
        "ingressAnnotationsPrefix=nginx.ingress.kubernetes.io",
        "kubeconfigQPS=50",
        "kubeconfigBurst=100",
        "slack.channel=releases",
        "slack.user=slipway",
        "policy=strict",
        "annotations=canary",
        "extraArgs={--settle=2s}",
    ];
    let charts = [helm(&[]), helm(&everything)].into_iter().flatten();
    let installs = kustomizations("dist/install").into_iter();
    let apps = kustomizations("dist").into_iter();
    let apps = apps.filter(|it| it.starts_with("dist/app-"));
    let built = installs.chain(apps).filter_map(|folder| kustomize(&folder));
    for objects in charts.chain(built) {
        let words = words(&objects);
        assert_eq!(words[0], "controller", "{words:?}");
        // The kubelet puts the namespace in.
        let typed = words[1..]
            .iter()
            .map(|it| it.replace("$(NAMESPACE)", "shop"));
        let parsed = Args::read(typed.map(OsString::from))
            .unwrap_or_else(|error| panic!("{words:?}: {error}"));
        let settings = parsed.settings(&BTreeMap::new());
        assert!(settings.is_ok(), "{words:?}: {:?}", settings.err());
    }
}

#[test]
fn the_prometheus_of_an_install_is_that_of_a_distribution_for_all_namespaces() {
    let of = |path: &str| -> Vec<String> {
        let lines = read(path);
        let lines = lines.lines().filter(|it| !it.starts_with('#'));
        lines.map(str::to_owned).collect()
    };
    let mut own = of("dist/components/prometheus/prometheus.yml");
    own.retain(|line| !line.contains("own_namespace"));
    assert_eq!(of("dist/install/kubernetes/prometheus.yml"), own);
}
