//! Bad input (P10): whatever is wrong, a condition and one event name the object, the field, the value and what is allowed, nothing of the user's is
//! touched, and when it is mended the release goes on at once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may fail, and its helpers"
)]

use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{CanaryStatus, ConditionStatus, Phase};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};

/// As long as anything may take that nothing has to be waited for.
const SOON: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_secs(3600);

fn stage() -> Stage {
    Stage::new(
        1,
        &[
            "-mesh-provider=istio",
            "-metrics-server=http://prometheus:9090",
        ],
    )
}

/// The Canary `app` as it should be.
fn good() -> Value {
    canary("istio", &json!({"stepWeight": 20, "maxWeight": 60}))
}

/// The Canary `app` with other fields in its spec (a JSON merge patch).
fn with(patch: Value) -> Value {
    let mut object = good();
    json_patch::merge(&mut object, &json!({"spec": patch}));
    object
}

/// The Canary `app` with one metric.
fn judged_by(metric: Value) -> Value {
    with(json!({"analysis": {"metrics": [metric]}}))
}

fn by_template(name: &str) -> Value {
    judged_by(
        json!({"name": "latency", "templateRef": {"name": name}, "thresholdRange": {"max": 500}}),
    )
}

fn template(query: &str, provider: Value) -> Value {
    let mut provider_spec = json!({"type": "prometheus", "address": "http://prometheus:9090"});
    json_patch::merge(&mut provider_spec, &provider);
    json!({
        "apiVersion": "flagger.app/v1beta1", "kind": "MetricTemplate",
        "metadata": {"name": "latency", "namespace": NAMESPACE},
        "spec": {"provider": provider_spec, "query": query},
    })
}

fn secret(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": name, "namespace": NAMESPACE},
        "data": {"username": "c2xpcHdheQ==", "password": "c2xpcHdheQ=="},
    })
}

fn status_of(stage: &Stage, name: &str) -> CanaryStatus {
    let object = stage.object("Canary", name).unwrap_or_default();
    let status = object.get("status").cloned().unwrap_or_default();
    serde_json::from_value(status).unwrap_or_default()
}

/// The message of a condition that is true.
fn shown(stage: &Stage, canary: &str, type_: &str) -> Option<String> {
    let conditions = status_of(stage, canary).conditions;
    let found = conditions
        .into_iter()
        .find(|condition| condition.type_ == type_ && condition.status == ConditionStatus::True);
    found.map(|condition| condition.message)
}

/// That this is shown on the Canary: by a condition of this type, by `Ready` and `Stalled`, by one event that is told once however much time passes.
async fn is_refused(stage: &Stage, canary: &str, type_: &str, words: &str) {
    let said = |stage: &Stage| shown(stage, canary, type_).unwrap_or_default();
    stage
        .world
        .eventually(SOON, |_| said(stage).contains(words))
        .await;
    let message = said(stage);
    assert!(
        message.contains(words),
        "{words:?} is not in the condition {type_}: {:#?}\nevents {:#?}",
        status_of(stage, canary),
        stage.events()
    );
    for (type_, holds) in [
        ("Ready", ConditionStatus::False),
        ("Stalled", ConditionStatus::True),
    ] {
        let conditions = status_of(stage, canary).conditions;
        let found = conditions.iter().find(|found| found.type_ == type_);
        let found = found.unwrap_or_else(|| panic!("no condition {type_}"));
        assert_eq!((&found.status, &found.message), (&holds, &message));
    }
    tokio::time::sleep(SOON).await;
    let asked = stage.world.faults("slipway").asked().len();
    tokio::time::sleep(Duration::from_secs(600)).await;
    let told = stage.events();
    let told = told.iter().filter(|event| event.contains(words));
    assert_eq!(told.count(), 1, "{:#?}", stage.events());
    assert_eq!(writes_since(stage, asked), Vec::<String>::new(), "P9");
}

/// The writes since so many requests had been made, but for those of the lease.
fn writes_since(stage: &Stage, asked: usize) -> Vec<String> {
    let all = stage.world.faults("slipway").asked().into_iter();
    let since = all.skip(asked).filter(|asked| asked.write.is_some());
    since
        .filter(|asked| asked.resource != "leases")
        .map(|asked| asked.summary())
        .collect()
}

/// That the bad Canary `app` is refused in these words and touches nothing; and that it starts at once when the good one is applied.
async fn is_refused_until_mended(bad: Value, type_: &str, words: &str) {
    let stage = stage();
    stage.apply(&[deployment("app:v1", 1), bad]);
    is_refused(&stage, "app", type_, words).await;
    for (kind, name) in [
        ("Deployment", "app-primary"),
        ("Service", "app"),
        ("VirtualService", "app"),
    ] {
        assert_eq!(stage.object(kind, name), None, "nothing is touched");
    }
    stage.apply(&[good()]);
    goes_on(&stage, type_).await;
}

/// That what was wrong is no longer shown, at once, and the Canary comes to its primary.
async fn goes_on(stage: &Stage, type_: &str) {
    let is_over = |_: &_| {
        shown(stage, "app", type_).is_none() && stage.object("Deployment", "app-primary").is_some()
    };
    assert!(
        stage.world.eventually(SOON, is_over).await,
        "it is not taken back: {:#?}",
        stage.status()
    );
    let end = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(end, Phase::Initialized, "{:#?}", stage.status());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_provider_is_named_with_those_that_are_known() {
    is_refused_until_mended(
        with(json!({"provider": "istoi"})),
        "InvalidSpec",
        "spec.provider is istoi, must be one of kubernetes, istio, linkerd",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_known_provider_without_a_backend_is_not_taken_for_another() {
    is_refused_until_mended(
        with(json!({"provider": "appmesh"})),
        "UnsupportedProvider",
        "spec.provider is appmesh, ",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn weights_out_of_range_are_named_with_the_range() {
    let rows = [
        (
            json!({"stepWeight": 150}),
            "spec.analysis.stepWeight is 150, must be a whole number from 0 to 100",
        ),
        (
            json!({"maxWeight": -1}),
            "spec.analysis.maxWeight is -1, must be a whole number from 0 to 100",
        ),
        (
            json!({"stepWeight": null, "stepWeights": [10, 101]}),
            "spec.analysis.stepWeights[1] is 101, must be a whole number from 1 to 100",
        ),
        (
            json!({"stepWeight": null, "stepWeights": [50, 10]}),
            "spec.analysis.stepWeights[1] is 10, must be greater than the weight before it, which is 50",
        ),
        (
            json!({"stepWeightPromotion": 101}),
            "spec.analysis.stepWeightPromotion is 101, must be a whole number from 0 to 100",
        ),
        (
            json!({"stepWeight": null, "maxWeight": null}),
            "spec.analysis must have iterations, stepWeight or stepWeights",
        ),
    ];
    for (analysis, words) in rows {
        is_refused_until_mended(with(json!({"analysis": analysis})), "InvalidSpec", words).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_metric_without_a_threshold_is_named() {
    is_refused_until_mended(
        judged_by(json!({"name": "request-success-rate", "interval": "1m"})),
        "InvalidSpec",
        "spec.analysis.metrics[0].thresholdRange must have a min or a max: request-success-rate is not judged without",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_metric_that_is_neither_built_in_nor_has_a_query_is_named() {
    is_refused_until_mended(
        judged_by(json!({"name": "request-sucess-rate", "thresholdRange": {"min": 99}})),
        "InvalidSpec",
        "spec.analysis.metrics[0].name is request-sucess-rate, must be request-success-rate or request-duration",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_mistakes_are_named_at_once() {
    let bad =
        with(json!({"provider": "istoi", "analysis": {"stepWeight": 150, "interval": "soon"}}));
    let stage = stage();
    stage.apply(&[deployment("app:v1", 1), bad]);
    is_refused(&stage, "app", "InvalidSpec", "spec.provider is istoi").await;
    let message = shown(&stage, "app", "InvalidSpec").unwrap();
    for words in [
        "spec.analysis.stepWeight is 150",
        "spec.analysis.interval is soon",
    ] {
        assert!(message.contains(words), "{message}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_that_grows_too_long_with_its_suffix_is_named_with_its_limit() {
    let long = "a".repeat(56);
    is_refused_until_mended(
        with(json!({"service": {"name": long}})),
        "InvalidSpec",
        &format!("spec.service.name is {long}, must be a DNS label (a-z, 0-9 and -, starting with a letter) of at most 55 characters"),
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_longest_name_that_is_allowed_comes_to_its_primary() {
    let longest = "a".repeat(55);
    let stage = stage();
    stage.apply(&[
        deployment("app:v1", 1),
        with(json!({"service": {"name": longest}})),
    ]);
    let end = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(end, Phase::Initialized, "{:#?}", stage.status());
    assert!(
        stage
            .object("Service", &format!("{longest}-primary"))
            .is_some()
    );
}

/// That a Canary without something that it names is refused in these words, and starts at once when that comes.
async fn is_refused_until_it_comes(there: &[Value], missing: Value, words: &str) {
    let stage = stage();
    stage.apply(there);
    is_refused(&stage, "app", "InvalidSpec", words).await;
    assert_eq!(stage.object("Deployment", "app-primary"), None);
    stage.apply(&[missing]);
    goes_on(&stage, "InvalidSpec").await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_target_is_named_until_it_comes() {
    is_refused_until_it_comes(
        &[good()],
        deployment("app:v1", 1),
        "spec.targetRef.name is app, but there is no Deployment test/app",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_metric_template_is_named_until_it_comes() {
    is_refused_until_it_comes(
        &[deployment("app:v1", 1), by_template("latency")],
        template("up", json!({})),
        "spec.analysis.metrics[0].templateRef.name is latency, but MetricTemplate test/latency does not exist",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_does_not_render_is_named_until_it_does() {
    is_refused_until_it_comes(
        &[
            deployment("app:v1", 1),
            template("up{app=\"{{ traget }}\"}", json!({})),
            by_template("latency"),
        ],
        template("up{app=\"{{ target }}\"}", json!({})),
        "MetricTemplate test/latency: spec.query does not render: ",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_secret_of_a_metric_provider_is_named_until_it_comes() {
    is_refused_until_it_comes(
        &[
            deployment("app:v1", 1),
            template("up", json!({"secretRef": {"name": "token"}})),
            by_template("latency"),
        ],
        secret("token"),
        "MetricTemplate test/latency: spec.provider.secretRef.name is token, but there is no Secret test/token",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_config_of_the_target_is_named_until_it_comes() {
    let mut target = deployment("app:v1", 1);
    target["spec"]["template"]["spec"]["containers"][0]["envFrom"] =
        json!([{"secretRef": {"name": "password"}}]);
    is_refused_until_it_comes(
        &[target, good()],
        secret("password"),
        "Deployment test/app: spec.template.spec is password, but there is no Secret test/password",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_autoscaler_is_named_until_it_comes() {
    let reference =
        json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"});
    let autoscaler = json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "minReplicas": 1, "maxReplicas": 3,
        },
    });
    is_refused_until_it_comes(
        &[
            deployment("app:v1", 1),
            with(json!({"autoscalerRef": reference})),
        ],
        autoscaler,
        "spec.autoscalerRef.name is app, but there is no HorizontalPodAutoscaler test/app",
    )
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_missing_mesh_is_a_condition_and_not_a_crash_until_it_is_installed() {
    let stage = stage();
    stage.world.uninstall("virtualservices.networking.istio.io");
    stage.apply(&[deployment("app:v1", 1), good()]);
    let words =
        "spec.provider is istio, but virtualservices of networking.istio.io/v1beta1 cannot be had";
    is_refused(&stage, "app", "ProviderUnavailable", words).await;
    assert_eq!(stage.object("Deployment", "app-primary"), None);
    stage.world.install("virtualservices.networking.istio.io");
    let end = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(end, Phase::Initialized, "{:#?}", stage.status());
    assert_eq!(shown(&stage, "app", "ProviderUnavailable"), None);
}

fn named(name: &str, mut canary: Value) -> Value {
    json_patch::merge(&mut canary, &json!({"metadata": {"name": name}}));
    canary
}

#[tokio::test(start_paused = true)]
async fn fc_055_of_two_canaries_with_one_target_the_older_works_and_the_newer_is_told() {
    let stage = stage();
    stage.apply(&[deployment("app:v1", 1), good()]);
    stage.reach(&[Phase::Initialized], HOUR).await;
    // A name that comes first in the alphabet, so that age alone counts.
    stage.apply(&[named("a-second", good())]);
    let words = "spec.targetRef.name is app, but the older Canary test/app has this target; a target has one Canary";
    is_refused(&stage, "a-second", "Stalled", words).await;
    let told = status_of(&stage, "a-second");
    assert!(
        told.conditions
            .iter()
            .any(|condition| condition.reason == "Conflict"),
        "{told:#?}"
    );
    assert_eq!(stage.status().phase, Phase::Initialized);
    assert_eq!(
        shown(&stage, "app", "Stalled"),
        None,
        "the older is not disturbed"
    );
    // With the older gone, the newer has the target.
    stage.world.delete("Canary", NAMESPACE, "app").unwrap();
    let works = |_: &_| status_of(&stage, "a-second").phase == Phase::Initialized;
    assert!(
        stage.world.eventually(HOUR, works).await,
        "{:#?}",
        status_of(&stage, "a-second")
    );
}

/// A Canary that no controller can read: a list where a text belongs.
fn unreadable() -> Value {
    with(json!({"service": {"name": ["app"]}}))
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_cannot_be_read_at_all_is_told_so_once_and_disturbs_no_other() {
    let stage = stage();
    let other = json!({"targetRef": {"name": "other"}, "service": {"name": "other"}});
    let mut other = named("other", with(other));
    other["spec"]["targetRef"]["name"] = json!("other");
    stage.apply(&[deployment("app:v1", 1), unreadable()]);
    is_refused(&stage, "app", "InvalidSpec", "the Canary cannot be read: ").await;
    let mut target = deployment("app:v1", 1);
    for pointer in [
        "/metadata/name",
        "/spec/selector/matchLabels/app",
        "/spec/template/metadata/labels/app",
    ] {
        *target.pointer_mut(pointer).unwrap() = json!("other");
    }
    stage.apply(&[target, other]);
    let works = |_: &_| status_of(&stage, "other").phase == Phase::Initialized;
    assert!(stage.world.eventually(HOUR, works).await);
    stage.apply(&[good()]);
    goes_on(&stage, "InvalidSpec").await;
}
