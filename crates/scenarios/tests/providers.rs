//! Providers of metrics that the API server answers, and those that ask in steps.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{Phase, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Reply;

const HOUR: Duration = Duration::from_hours(1);

/// A release that is judged by a MetricTemplate with this provider and query: at most 10 is good.
async fn released(stage: &Stage, provider: &Value, query: &str) -> Phase {
    let template = json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": {"name": "queue", "namespace": NAMESPACE},
        "spec": {"provider": provider, "query": query},
    });
    let check = json!([{
        "name": "queue", "interval": "1m", "templateRef": {"name": "queue"},
        "thresholdRange": {"max": 10},
    }]);
    let analysis = json!({"stepWeight": 50, "maxWeight": 50, "threshold": 1, "metrics": check});
    stage.apply(&[
        template,
        deployment("app:v1", 2),
        canary("istio", &analysis),
    ]);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized, "{}", reason(stage));
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await
}

fn reason(stage: &Stage) -> String {
    let slipway: SlipwayStatus = stage.status().slipway.unwrap_or_default();
    slipway.reason.unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn a_controller_that_is_nobody_to_a_cloud_asks_nobody_and_says_what_it_needs() {
    let stage = Stage::new(7, &["-mesh-provider=istio"]);
    let provider = json!({"type": "cloudwatch", "region": "eu-west-1"});
    let query = r#"[{"Id": "age", "Expression": "1"}]"#;
    let phase = released(&stage, &provider, query).await;
    assert_eq!(phase, Phase::Failed);
    let reason = reason(&stage);
    assert!(reason.contains("AWS_WEB_IDENTITY_TOKEN_FILE"), "{reason}");
    assert_eq!(stage.outside.count("amazonaws"), 0);
}

#[tokio::test(start_paused = true)]
async fn google_is_told_who_the_controller_is_and_answers_a_number() {
    let stage = Stage::new(7, &["-mesh-provider=istio"]);
    // `podinfo-prod`
    stage.apply(&[json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "google", "namespace": NAMESPACE},
        "data": {"project": "cG9kaW5mby1wcm9k"},
    })]);
    let token = r#"{"access_token": "from-the-machine"}"#.to_owned();
    let metadata = "http://metadata.google.internal/";
    stage.outside.reply(metadata, Reply::Status(200, token));
    let answer = r#"{"timeSeriesData": [{"pointData": [{"values": [{"doubleValue": 9.5}]}]}]}"#;
    let monitoring = "https://monitoring.googleapis.com/v3/projects/podinfo-prod/";
    let answer = Reply::Status(200, answer.to_owned());
    stage.outside.reply(monitoring, answer);
    let provider = json!({"type": "stackdriver", "secretRef": {"name": "google"}});
    let phase = released(&stage, &provider, "fetch {{ target }}").await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    let came = stage.outside.came();
    let asked: Vec<_> = came
        .iter()
        .filter(|it| it.url.starts_with(monitoring))
        .collect();
    assert!(!asked.is_empty());
    for one in asked {
        assert_eq!(one.authorization, "Bearer from-the-machine");
        assert_eq!(one.body, r#"{"query":"fetch app"}"#);
    }
}

/// A kind of Keptn's, served.
fn keptn(plural: &str, kind: &str) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.metrics.keptn.sh")},
        "spec": {
            "group": "metrics.keptn.sh", "scope": "Namespaced",
            "names": {"plural": plural, "singular": kind.to_lowercase(), "kind": kind},
            "versions": [{
                "name": "v1beta1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
            }],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn a_metric_of_keptn_judges_a_release() {
    for (value, expected) in [("9.5", Phase::Succeeded), ("10.5", Phase::Failed)] {
        let stage = Stage::new(7, &["-mesh-provider=istio"]);
        stage.apply(&[keptn("keptnmetrics", "KeptnMetric")]);
        stage.apply(&[json!({
            "apiVersion": "metrics.keptn.sh/v1beta1", "kind": "KeptnMetric",
            "metadata": {"name": "queue", "namespace": NAMESPACE},
            "status": {"value": value},
        })]);
        let provider = json!({"type": "keptn"});
        let query = "keptnmetric/{{ namespace }}/queue";
        let phase = released(&stage, &provider, query).await;
        assert_eq!(phase, expected, "{value}: {}", reason(&stage));
    }
}

#[tokio::test(start_paused = true)]
async fn an_analysis_of_keptn_that_nobody_completes_fails_the_check_and_is_taken_away() {
    let stage = Stage::new(7, &["-mesh-provider=istio"]);
    stage.apply(&[keptn("analyses", "Analysis")]);
    let provider = json!({"type": "keptn"});
    let phase = released(&stage, &provider, "analysis/{{ namespace }}/objectives").await;
    assert_eq!(phase, Phase::Failed);
    let reason = reason(&stage);
    assert!(reason.contains("without a state after 10 s"), "{reason}");
    let left = stage.world.list("analyses.metrics.keptn.sh", NAMESPACE);
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test(start_paused = true)]
async fn an_api_that_is_not_served_is_an_error_that_names_the_query() {
    let stage = Stage::new(7, &["-mesh-provider=istio"]);
    let provider = json!({"type": "externalmetrics"});
    let phase = released(&stage, &provider, "{{ namespace }}/queue_length").await;
    assert_eq!(phase, Phase::Failed);
    let reason = reason(&stage);
    assert!(reason.contains("404 Not Found"), "{reason}");
    assert!(reason.contains("asked was test/queue_length"), "{reason}");
}
