//! `slipway check` on a simulated cluster. It tells no schemas: whether custom resources keep our status is tried in `e2e/`.

use serde_json::{Value, json};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::NAMESPACE;
use slipway_sim::Reply;

use clap::Parser;

use super::{Args, look};
use crate::cluster::Cluster;
use crate::output::Said;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    args: Args,
}

fn stage() -> Stage {
    Stage::live(3, &[])
}

/// Ada looks, with these flags.
async fn ada(stage: &Stage, flags: &str) -> Said {
    let words = std::iter::once("check").chain(flags.split_whitespace());
    let args = Cli::parse_from(words).args;
    let service = stage.world.client_service("ada");
    let cluster = Cluster::new(kube::Client::new(service, NAMESPACE), "ada");
    let now = stage.world.now();
    look(&cluster, &stage.wire, &args, now).await.unwrap()
}

/// State and detail of what was found about a thing, and the remedy.
async fn found(stage: &Stage, flags: &str, what: &str) -> Vec<[String; 3]> {
    let said = ada(stage, &format!("{flags} -o json")).await;
    let all: Vec<Value> = serde_json::from_str(&said.text).unwrap();
    let of =
        |it: &Value| ["state", "detail", "remedy"].map(|key| it[key].as_str().unwrap().to_owned());
    all.iter().filter(|it| it["what"] == what).map(of).collect()
}

const PROMETHEUS: &str = "--metrics-server http://prometheus:9090";

#[tokio::test(start_paused = true)]
async fn where_everything_is_there_the_check_says_so() {
    let said = ada(&stage(), PROMETHEUS).await;
    assert_eq!(said.code, 0, "{}", said.text);
    assert!(!said.text.contains("missing"), "{}", said.text);
    assert!(said.text.contains("v1.36"), "{}", said.text);
}

#[tokio::test(start_paused = true)]
async fn a_right_that_is_missing_is_named_with_the_rule_that_gives_it() {
    let stage = stage();
    stage
        .world
        .deny("ada", "patch", "apps", "deployments/scale");
    stage.world.deny("ada", "create", "", "events");
    let said = ada(&stage, "").await;
    assert_eq!(said.code, 1);
    let rights = found(&stage, "", "rights").await;
    let expected = [
        [
            "missing",
            "patch deployments/scale of group apps in namespace test",
            "add to the role of Slipway: {apiGroups: [apps], resources: [deployments/scale], verbs: [patch]}",
        ],
        [
            "missing",
            "create events of group \"\" in namespace test",
            "add to the role of Slipway: {apiGroups: [\"\"], resources: [events], verbs: [create]}",
        ],
    ];
    assert_eq!(rights, expected);
}

#[tokio::test(start_paused = true)]
async fn the_rights_of_slipways_own_account_can_be_looked_at() {
    let stage = stage();
    let account = format!("system:serviceaccount:{NAMESPACE}:slipway");
    let api = "networking.istio.io";
    stage.world.deny(&account, "delete", api, "virtualservices");
    assert_eq!(found(&stage, "", "rights").await[0][0], "ok");
    let rights = found(&stage, "--account slipway", "rights").await;
    assert_eq!(rights.len(), 1, "{rights:?}");
    assert!(
        rights[0][1].starts_with("delete virtualservices"),
        "{rights:?}"
    );
    let linkerd = "--account slipway --mesh-provider linkerd";
    let rights = found(&stage, linkerd, "rights").await;
    assert_eq!(rights[0][0], "ok", "another mesh needs another right");
}

#[tokio::test(start_paused = true)]
async fn metrics_that_the_api_server_answers_need_a_right_where_a_template_asks_for_them() {
    let stage = stage();
    let api = "external.metrics.k8s.io";
    stage.world.deny("ada", "list", api, "*");
    assert_eq!(found(&stage, "", "rights").await[0][0], "ok");
    let template = |name: &str, provider: Value| {
        json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {"provider": provider, "query": "queue_length"},
        })
    };
    let elsewhere = json!({"type": "externalmetrics", "address": "https://metrics.example"});
    stage.apply(&[template("elsewhere", elsewhere)]);
    assert_eq!(found(&stage, "", "rights").await[0][0], "ok");
    stage.apply(&[template("here", json!({"type": "externalmetrics"}))]);
    let rights = found(&stage, "", "rights").await;
    assert_eq!(rights.len(), 1, "{rights:?}");
    assert!(rights[0][1].starts_with("list * of group"), "{rights:?}");
}

#[tokio::test(start_paused = true)]
async fn custom_resources_that_are_missing_are_told() {
    let stage = stage();
    stage.world.uninstall("metrictemplates.flagger.app");
    let missing = found(&stage, "", "custom resources").await;
    assert_eq!(missing[0][0], "missing");
    assert!(missing[0][1].contains("metrictemplates"), "{missing:?}");
    assert!(missing[0][2].starts_with("slipway crds |"), "{missing:?}");
}

#[tokio::test(start_paused = true)]
async fn a_mesh_that_is_not_there_is_told() {
    let stage = stage();
    stage.world.uninstall("trafficsplits.split.smi-spec.io");
    let mesh = found(&stage, "--mesh-provider linkerd", "mesh").await;
    assert_eq!(mesh[0][0], "ok", "HTTPRoutes are there: {mesh:?}");
    stage
        .world
        .uninstall("httproutes.gateway.networking.k8s.io");
    stage.world.uninstall("httproutes.policy.linkerd.io");
    let mesh = found(&stage, "--mesh-provider linkerd", "mesh").await;
    assert_eq!(mesh[0][0], "missing");
    assert!(mesh[0][1].contains("trafficsplits"), "{mesh:?}");
    let mesh = found(&stage, "--mesh-provider kubernetes", "mesh").await;
    assert_eq!(mesh[0][0], "ok");
}

#[tokio::test(start_paused = true)]
async fn a_prometheus_that_does_not_answer_is_told() {
    let stage = stage();
    assert_eq!(found(&stage, "", "Prometheus").await[0][0], "unknown");
    stage.world.prometheus().answer("", Reply::status(503));
    let down = found(&stage, PROMETHEUS, "Prometheus").await;
    assert_eq!(down[0][0], "missing");
    assert!(down[0][1].contains("503"), "{down:?}");
    let said = ada(&stage, PROMETHEUS).await;
    assert_eq!(said.code, 1, "{}", said.text);
}

#[tokio::test(start_paused = true)]
async fn a_flagger_that_works_here_is_told() {
    let stage = stage();
    stage.apply(&[json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "flagger", "namespace": NAMESPACE, "labels": {"app": "flagger"}},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "flagger"}}, "template": {
            "metadata": {"labels": {"app": "flagger"}},
            "spec": {"containers": [{"name": "flagger", "image": "ghcr.io/fluxcd/flagger:1.44.0"}]},
        }},
    })]);
    stage
        .world
        .eventually(std::time::Duration::from_mins(5), |world| {
            let flagger = world.get("Deployment", NAMESPACE, "flagger");
            flagger.is_some_and(|it| it["status"]["readyReplicas"] == 1)
        })
        .await;
    let flagger = found(&stage, "", "Flagger").await;
    assert_eq!(flagger[0][0], "missing", "{flagger:?}");
    assert!(flagger[0][1].contains("stands by"), "{flagger:?}");
}
