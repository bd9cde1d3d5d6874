//! What a provider lays over a distribution, each over every distribution that it is for.

use std::path::Path;

use serde_json::{Value, json};
use slipway_core::plan::{Gate, Plan, Provider};

use crate::build::{kustomize, named, plans, root, text};

const ALL: &[&str] = &["kubernetes", "istio", "linkerd", "gateway"];

/// The distribution with the overlay, in a kustomization as a provider writes one.
fn laid(overlay: &str, distribution: &str) -> Option<Vec<Value>> {
    let below = Path::new("target/dist").join(format!("{overlay}-{distribution}"));
    let folder = root().join(&below);
    std::fs::create_dir_all(&folder).unwrap();
    let text = json!({
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [format!("../../../dist/app-{distribution}")],
        "components": [format!("../../../dist/overlays/{overlay}")],
        "namespace": "app",
    });
    std::fs::write(folder.join("kustomization.yaml"), text.to_string()).unwrap();
    kustomize(below.to_str().unwrap())
}

/// Every distribution with the overlay: its objects and its plans.
fn each(overlay: &str, distributions: &[&str], check: impl Fn(&str, &[Value], &[Plan])) {
    for name in distributions {
        let from = format!("{overlay} on app-{name}");
        let Some(objects) = laid(overlay, name) else {
            return;
        };
        let plans = plans(&objects, &from);
        assert_eq!(plans.len(), 4, "{from}");
        check(&from, &objects, &plans);
    }
}

#[test]
fn manual_approval_has_a_person_open_both_gates_of_every_release() {
    each("manual-approval", ALL, |from, _, plans| {
        for plan in plans {
            assert_eq!(plan.approve, [Gate::Rollout, Gate::Promotion], "{from}");
        }
    });
}

#[test]
fn a_chat_is_told_of_every_release() {
    for chat in ["slack", "msteams"] {
        each(chat, ALL, |from, objects, plans| {
            for plan in plans {
                let alerts: Vec<_> = plan.alerts.iter().map(|it| &it.provider_ref.name).collect();
                assert_eq!(alerts, [chat], "{from}");
            }
            let provider = named(objects, "AlertProvider", chat);
            assert_eq!(text(provider, "/spec/type"), chat, "{from}");
            assert_eq!(text(provider, "/metadata/namespace"), "app", "{from}");
        });
    }
}

#[test]
fn sizing_changes_resources_autoscaling_and_objectives() {
    each("sizing", ALL, |from, objects, plans| {
        let frontend = plans
            .iter()
            .find(|it| it.canary.name == "frontend")
            .unwrap();
        let limits: Vec<_> = frontend.metrics.iter().map(|it| (it.min, it.max)).collect();
        let expected = [(Some(99.5), None), (None, Some(300.0))];
        assert_eq!(limits, expected, "{from}");
        assert_eq!(frontend.threshold, 3, "{from}");
        let scaler = named(objects, "HorizontalPodAutoscaler", "cache");
        assert_eq!(scaler["spec"]["minReplicas"], 3, "{from}");
        let deployment = named(objects, "Deployment", "cache");
        let limit = text(
            deployment,
            "/spec/template/spec/containers/0/resources/limits/memory",
        );
        assert_eq!(limit, "512Mi", "{from}");
        let slipway = named(objects, "Deployment", "slipway");
        let limit = text(
            slipway,
            "/spec/template/spec/containers/0/resources/limits/memory",
        );
        assert_eq!(
            limit, "256Mi",
            "{from}: Slipway's own size is not the application's"
        );
    });
}

#[test]
fn linkerd_is_routed_by_traffic_splits_where_smi_is_wanted() {
    each("smi", &["linkerd"], |from, objects, plans| {
        for plan in plans {
            assert_eq!(plan.provider, Provider::Linkerd, "{from}");
            let canary = named(objects, "Canary", &plan.canary.name);
            let parents = canary.pointer("/spec/service/gatewayRefs");
            assert_eq!(parents, None, "{from}");
        }
        let rules = &named(objects, "Role", "slipway")["rules"];
        assert!(rules.to_string().contains("trafficsplits"), "{from}");
    });
}

#[test]
fn another_way_in_leaves_the_envoy_inside() {
    let rows = [
        ("istio-gateway", "istio", "Gateway"),
        ("gloo", "linkerd", "VirtualService"),
    ];
    for (overlay, distribution, kind) in rows {
        each(overlay, &[distribution], |from, objects, _| {
            let way_in = named(objects, kind, "app");
            assert_eq!(text(way_in, "/metadata/namespace"), "app", "{from}");
            let ingress = named(objects, "Service", "ingress");
            assert_eq!(text(ingress, "/spec/type"), "ClusterIP", "{from}");
        });
    }
    each("istio-gateway", &["istio"], |from, objects, _| {
        let frontend = named(objects, "Canary", "frontend");
        let gateways = &frontend["spec"]["service"]["gateways"];
        assert_eq!(gateways, &json!(["app", "mesh"]), "{from}");
    });
}
