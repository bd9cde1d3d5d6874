//! Bad input (P10): whatever is wrong, a condition and one event name the object, the field, the value and what is allowed, nothing of the user's is
//! touched, and when it is mended the release goes on at once.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::needless_pass_by_value,
    reason = "a test may fail, and its helpers; objects are written where they are used"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::{CanaryStatus, ConditionStatus, Phase};
use slipway_controller::clock::TokioClock;
use slipway_controller::http::{Http, HttpError, Limits};
use slipway_controller::record::metrics::Metrics;
use slipway_controller::run;
use slipway_controller::settings::{Clients, Settings};
use slipway_scenarios::Stage;
use slipway_scenarios::objects::{NAMESPACE, canary, deployment};
use slipway_scenarios::outside::Outside;
use slipway_sim::Fault;
use tokio_util::sync::CancellationToken;
use tower::Service as _;

/// As long as anything may take that nothing has to be waited for.
const SOON: Duration = Duration::from_secs(2);
const HOUR: Duration = Duration::from_hours(1);

/// The flags of the controllers here.
const FLAGS: [&str; 2] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus:9090",
];

fn stage() -> Stage {
    Stage::new(1, &FLAGS)
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

fn autoscaler() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"},
            "minReplicas": 1, "maxReplicas": 3,
        },
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
    tokio::time::sleep(Duration::from_mins(10)).await;
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
    is_refused_until_it_comes(
        &[
            deployment("app:v1", 1),
            with(json!({"autoscalerRef": reference})),
        ],
        autoscaler(),
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
    let is_up = |_: &_| status_of(&stage, "a-second").phase == Phase::Initialized;
    assert!(
        stage.world.eventually(HOUR, is_up).await,
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
    stage.apply(&[deployment("app:v1", 1), unreadable()]);
    is_refused(&stage, "app", "InvalidSpec", "the Canary cannot be read: ").await;
    stage.apply(&other());
    let is_up = |_: &_| status_of(&stage, "other").phase == Phase::Initialized;
    assert!(stage.world.eventually(HOUR, is_up).await);
    stage.apply(&[good()]);
    goes_on(&stage, "InvalidSpec").await;
}

/// What panics: requests to the API server and to the outside that hold a text, as long as the switch is on.
#[derive(Clone, Debug)]
struct Trap {
    text: &'static str,
    is_set: Arc<AtomicBool>,
}

impl Trap {
    fn spring(&self, request: &str) {
        let springs = self.is_set.load(Ordering::SeqCst) && request.contains(self.text);
        assert!(!springs, "a trap was sprung by {request}");
    }
}

/// The outside behind a trap.
#[derive(Debug)]
struct Trapped {
    trap: Trap,
    outside: Outside,
}

#[async_trait::async_trait]
impl Http for Trapped {
    async fn send(
        &self,
        request: http::Request<Vec<u8>>,
        limits: &Limits,
    ) -> Result<http::Response<Vec<u8>>, HttpError> {
        self.trap.spring(&request.uri().to_string());
        self.outside.send(request, limits).await
    }
}

/// A stage whose controller panics wherever it sends this text.
fn trapped_stage(text: &'static str) -> (Stage, Trap) {
    let stage = Stage::live(1, &FLAGS);
    let trap = Trap {
        text,
        is_set: Arc::new(AtomicBool::new(true)),
    };
    let (service, of_api) = (stage.world.client_service("slipway"), trap.clone());
    let service = tower::service_fn(move |request: http::Request<kube::client::Body>| {
        let (mut service, trap) = (service.clone(), of_api.clone());
        async move {
            trap.spring(&format!("{} {}", request.method(), request.uri()));
            service.call(request).await
        }
    });
    let client = kube::Client::new(service, "default");
    let world = run::World {
        clients: Clients {
            api: client.clone(),
            lease: client.clone(),
            mesh: client,
            mesh_is_elsewhere: false,
        },
        identity: None,
        clock: Arc::new(TokioClock::starting_at(stage.world.now())),
        http: Arc::new(Trapped {
            trap: trap.clone(),
            outside: stage.outside.clone(),
        }),
        listener: None,
        metrics: Metrics::new("istio"),
    };
    let settings = Settings::read(FLAGS.map(OsString::from), &BTreeMap::new()).unwrap();
    tokio::spawn(run::run(settings, world, CancellationToken::new()));
    (stage, trap)
}

/// The Canary `other` of a Deployment `other`.
fn other() -> [Value; 2] {
    let mut target = deployment("app:v1", 1);
    for pointer in [
        "/metadata/name",
        "/spec/selector/matchLabels/app",
        "/spec/template/metadata/labels/app",
    ] {
        *target.pointer_mut(pointer).unwrap() = json!("other");
    }
    [
        target,
        named("other", with(json!({"targetRef": {"name": "other"}}))),
    ]
}

#[tokio::test(start_paused = true)]
async fn fc_117_a_panic_is_confined_to_its_object_and_shown_on_it() {
    let (stage, trap) = trapped_stage("/services/app-primary");
    stage.apply(&[deployment("app:v1", 1), good()]);
    stage.apply(&other());
    let is_up = |_: &_| status_of(&stage, "other").phase == Phase::Initialized;
    assert!(
        stage.world.eventually(HOUR, is_up).await,
        "the other goes on"
    );
    let words = "internal error: a trap was sprung";
    is_refused(&stage, "app", "InternalError", words).await;
    trap.is_set.store(false, Ordering::SeqCst);
    let end = stage.reach(&[Phase::Initialized], HOUR).await;
    assert_eq!(end, Phase::Initialized, "{:#?}", stage.status());
    assert_eq!(shown(&stage, "app", "InternalError"), None);
}

#[tokio::test(start_paused = true)]
async fn fc_117_a_hook_that_makes_us_panic_fails_its_check_and_holds_nothing_for_ever() {
    let (stage, _trap) = trapped_stage("hooks.test/trap");
    let hook = json!({"type": "pre-rollout", "name": "test", "url": "http://hooks.test/trap"});
    stage.apply(&[
        deployment("app:v1", 1),
        with(json!({"analysis": {"webhooks": [hook]}})),
    ]);
    stage.reach(&[Phase::Initialized], HOUR).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    let end = stage.reach(&[Phase::Failed, Phase::Succeeded], HOUR).await;
    assert_eq!(end, Phase::Failed, "{:#?}", stage.status());
    let events = stage.events();
    let told = events
        .iter()
        .any(|event| event.contains("internal error: a trap was sprung"));
    assert!(told, "{events:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_mistake_in_the_middle_of_a_release_is_told_and_the_last_good_plan_ends_it() {
    let stage = stage();
    stage.apply(&[deployment("app:v1", 1), good()]);
    stage.reach(&[Phase::Initialized], HOUR).await;
    stage.world.set_image(NAMESPACE, "app", "app:v2").unwrap();
    stage
        .world
        .eventually(HOUR, |_| stage.status().canary_weight == 20)
        .await;
    stage.apply(&[with(json!({"analysis": {"stepWeight": 150}}))]);
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.status());
    is_refused(
        &stage,
        "app",
        "InvalidSpec",
        "spec.analysis.stepWeight is 150",
    )
    .await;
    // Nothing new is started by a spec with a mistake; once it is mended, the revision that came meanwhile is.
    stage.world.set_image(NAMESPACE, "app", "app:v3").unwrap();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(stage.status().phase, Phase::Succeeded);
    stage.apply(&[good()]);
    stage.reach(&[Phase::Progressing], SOON).await;
    let end = stage.reach(&[Phase::Succeeded, Phase::Failed], HOUR).await;
    assert_eq!(end, Phase::Succeeded, "{:#?}", stage.status());
    assert_eq!(shown(&stage, "app", "InvalidSpec"), None);
}

#[tokio::test(start_paused = true)]
async fn fc_038_the_objects_of_a_canary_may_come_in_any_order() {
    let objects = [
        deployment("app:v1", 1),
        with(json!({
            "autoscalerRef": {"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"},
            "analysis": {
                "metrics": [{"name": "latency", "templateRef": {"name": "latency"}, "thresholdRange": {"max": 500}}],
                "alerts": [{"name": "on-call", "providerRef": {"name": "on-call"}}],
            },
        })),
        json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "on-call", "namespace": NAMESPACE},
            "spec": {"type": "webhook", "secretRef": {"name": "token"}},
        }),
        autoscaler(),
        template("up", json!({"secretRef": {"name": "token"}})),
        secret("token"),
    ];
    for order in orders(objects.len()) {
        let stage = stage();
        for place in &order {
            stage.apply(&objects[*place..=*place]);
            tokio::time::sleep(Duration::from_mins(1)).await;
        }
        let phase = stage.status().phase;
        assert_eq!(
            phase,
            Phase::Initialized,
            "{order:?}: {:#?}",
            stage.status()
        );
        assert_eq!(shown(&stage, "app", "Stalled"), None, "{order:?}");
        assert_eq!(shown(&stage, "app", "SpecNotHeeded"), None, "{order:?}");
    }
}

/// Every order in which each of so many comes last or first, and the rest as they stand or turned round.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let of = |place: usize| {
        let rest: Vec<usize> = (0..count).filter(|other| *other != place).collect();
        let turned: Vec<usize> = rest.iter().rev().copied().collect();
        [
            [vec![place], rest.clone()].concat(),
            [rest, vec![place]].concat(),
            [turned, vec![place]].concat(),
        ]
    };
    (0..count).flat_map(of).collect()
}

#[tokio::test(start_paused = true)]
async fn a_start_takes_nothing_for_missing_that_it_has_not_listed_yet() {
    let mut stage = stage();
    stage.apply(&[
        deployment("app:v1", 1),
        template("up", json!({"secretRef": {"name": "token"}})),
        secret("token"),
        by_template("latency"),
    ]);
    stage.reach(&[Phase::Initialized], HOUR).await;
    // It gives its lease back, so that the next one looks at once.
    stage.stop().await;
    let before = (stage.status(), stage.events());
    // What Canaries name is listed last.
    let late = Fault::Delay(Duration::from_secs(5));
    let faults = stage.world.faults("slipway");
    faults.always(late, |asked| asked.resource == "metrictemplates");
    stage.start();
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!((stage.status(), stage.events()), before);
}
