//! Prometheus with credentials: who is sent them, who is not, and what happens when they are renewed (FC-067).
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "the helpers of tests may fail"
)]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{Phase, SlipwayStatus};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::{Came, Reply};

const HOUR: Duration = Duration::from_hours(1);
const OURS: &str = "https://prometheus.monitoring";
const THEIRS: &str = "https://prometheus.team";

/// The Secret of that namespace, with `U1NTUw==` or the like as its token.
fn secret(namespace: &str, token: &str, meant_for: Option<&str>) -> Value {
    let annotations = meant_for.map_or_else(
        || json!({}),
        |url| json!({"slipway.dev/metrics-server": url}),
    );
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "prom", "namespace": namespace, "annotations": annotations},
        "data": {"token": token},
    })
}

/// A Canary by 20, 40, 60 that is initialised; the controller has credentials of its own. `edit` changes the Canary.
async fn initialised(edit: impl Fn(&mut Value), objects: &[Value]) -> Stage {
    let server = format!("-metrics-server={OURS}");
    let flags = [
        "-mesh-provider=istio",
        &server,
        "--metrics-server-secret=monitoring/prom",
    ];
    let stage = Stage::new(7, &flags);
    let namespace =
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "monitoring"}});
    stage.apply(&[namespace, secret("monitoring", "b3Vycw==", None)]);
    stage.apply(objects);
    let mut canary = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
    edit(&mut canary);
    stage.apply(&[deployment("app:v1", 2), canary]);
    let phase = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(phase, Phase::Initialized);
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    stage
}

fn queries(stage: &Stage, server: &str) -> Vec<Came> {
    let came = stage.outside.came().into_iter();
    came.filter(|came| came.url.starts_with(server) && came.url.contains("/api/v1/query"))
        .collect()
}

fn reason(stage: &Stage) -> String {
    let slipway: SlipwayStatus = stage.status().slipway.unwrap_or_default();
    slipway.reason.unwrap_or_default()
}

fn own_server(canary: &mut Value) {
    canary["spec"]["metricsServer"] = json!(THEIRS);
}

fn own_secret(canary: &mut Value) {
    own_server(canary);
    canary["metadata"]["annotations"] = json!({"slipway.dev/metrics-server-secret": "prom"});
}

#[tokio::test(start_paused = true)]
async fn the_controllers_credentials_go_to_the_controllers_server() {
    let stage = initialised(|_| {}, &[]).await;
    stage.outside.allow("Bearer ours");
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    assert!(!queries(&stage, OURS).is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_controllers_credentials_never_go_to_a_server_that_a_canary_names() {
    let stage = initialised(own_server, &[]).await;
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    let sent = queries(&stage, THEIRS);
    assert!(!sent.is_empty() && queries(&stage, OURS).is_empty());
    assert!(sent.iter().all(|came| came.authorization.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn a_canarys_own_secret_goes_to_the_server_that_the_secret_itself_names() {
    let theirs = secret(NAMESPACE, "dGhlaXJz", Some(THEIRS));
    let stage = initialised(own_secret, &[theirs]).await;
    stage.outside.allow("Bearer theirs");
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_names_no_server_or_another_is_sent_nowhere_and_that_is_said() {
    for meant_for in [None, Some("https://prometheus.other")] {
        let theirs = secret(NAMESPACE, "dGhlaXJz", meant_for);
        let stage = initialised(own_secret, &[theirs]).await;
        assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
        assert!(queries(&stage, THEIRS).is_empty());
        let expected =
            "its annotation slipway.dev/metrics-server must name the server of spec.metricsServer";
        assert!(reason(&stage).contains(expected), "{}", reason(&stage));
    }
}

#[tokio::test(start_paused = true)]
async fn fc_067_credentials_that_are_renewed_during_a_release_are_read_anew() {
    let stage = initialised(|_| {}, &[]).await;
    stage.outside.allow("Bearer ours");
    stage
        .world
        .eventually(HOUR, |_| stage.status().canary_weight == 20)
        .await;
    stage.apply(&[secret("monitoring", "bmV3", None)]);
    stage.outside.allow("Bearer new");
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    assert_eq!(stage.status().failed_checks, 0);
}

#[tokio::test(start_paused = true)]
async fn fc_067_credentials_that_are_refused_are_read_once_more_and_are_then_an_error_of_the_provider()
 {
    let off = |canary: &mut Value| {
        canary["metadata"]["annotations"] = json!({"slipway.dev/analysis-mode": "off"});
    };
    let stage = initialised(off, &[]).await;
    stage.outside.allow("Bearer other");
    assert_eq!(stage.reach(&[Phase::Failed], HOUR).await, Phase::Failed);
    assert!(reason(&stage).contains("401"), "{}", reason(&stage));
    assert!(!reason(&stage).contains("ours"), "{}", reason(&stage));
    // Two failed checks, the first metric of each asked twice.
    assert_eq!(queries(&stage, OURS).len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_wants_a_token_of_oauth2_is_asked_with_one_for_checks_and_for_counters() {
    // The address of tokens, who asks for them, and by what.
    let given = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "prom", "namespace": "monitoring"},
        "data": {
            "oauth2_token_url": "aHR0cHM6Ly9sb2dpbi5leGFtcGxlL3Rva2Vu",
            "oauth2_client_id": "c2xpcHdheQ==", "oauth2_client_secret": "aGlkZGVu",
        },
    });
    let stage = initialised(|_| {}, &[given]).await;
    let token = Reply::Status(200, r#"{"access_token":"fresh"}"#.to_owned());
    stage.outside.reply("login.example", token);
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    let asked = queries(&stage, OURS);
    assert!(
        asked
            .iter()
            .all(|came| came.authorization == "Bearer fresh"),
        "{asked:#?}"
    );
    let counters = asked.iter().filter(|came| came.url.contains("s]"));
    assert!(counters.count() > 0, "{asked:#?}");
    assert!(stage.outside.count("login.example") >= asked.len());
}

/// What changes a Canary.
type Edit = fn(&mut Value);

#[tokio::test(start_paused = true)]
async fn on_the_target_or_without_a_server_the_annotation_is_refused_by_name() {
    let needs_server = |canary: &mut Value| {
        canary["metadata"]["annotations"] = json!({"slipway.dev/metrics-server-secret": "prom"});
    };
    let rows: [(Edit, Value, &str); 2] = [
        (
            needs_server,
            json!({}),
            "needs spec.metricsServer beside it",
        ),
        (
            |_| {},
            json!({"slipway.dev/metrics-server-secret": "prom"}),
            "must stand on the Canary",
        ),
    ];
    for (edit, on_target, expected) in rows {
        let stage = Stage::new(7, &["-mesh-provider=istio"]);
        let mut object = canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}));
        edit(&mut object);
        let mut target = deployment("app:v1", 2);
        target["metadata"]["annotations"] = on_target;
        stage.apply(&[target, object]);
        let said = |stage: &Stage| stage.events().iter().any(|text| text.contains(expected));
        stage.world.eventually(HOUR, |_| said(&stage)).await;
        assert!(said(&stage), "{expected}: {:?}", stage.events());
    }
}

#[tokio::test(start_paused = true)]
async fn a_hook_without_tls_verification_is_asked_so_and_no_other() {
    let with_hooks = |canary: &mut Value| {
        canary["spec"]["analysis"]["webhooks"] = json!([
            {"name": "a", "type": "pre-rollout", "url": "https://a.hooks/", "disableTLS": true},
            {"name": "b", "type": "pre-rollout", "url": "https://b.hooks/"},
        ]);
    };
    let stage = initialised(with_hooks, &[]).await;
    let phase = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(phase, Phase::Succeeded, "{}", reason(&stage));
    let verifies = |url: &str| {
        let came = stage.outside.came();
        let asked = came.iter().filter(|came| came.url.starts_with(url));
        asked.map(|came| came.verifies).collect::<Vec<_>>()
    };
    assert_eq!(verifies("https://a.hooks/"), [false]);
    assert_eq!(verifies("https://b.hooks/"), [true]);
}
