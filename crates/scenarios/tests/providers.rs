//! Providers of metrics that the API server answers, and those that ask in steps.
#![expect(clippy::unwrap_used, reason = "the helpers of tests may fail")]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{Phase, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

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
async fn an_api_that_is_not_served_is_an_error_that_names_the_query() {
    let stage = Stage::new(7, &["-mesh-provider=istio"]);
    let provider = json!({"type": "externalmetrics"});
    let phase = released(&stage, &provider, "{{ namespace }}/queue_length").await;
    assert_eq!(phase, Phase::Failed);
    let reason = reason(&stage);
    assert!(reason.contains("404 Not Found"), "{reason}");
    assert!(reason.contains("asked was test/queue_length"), "{reason}");
}
