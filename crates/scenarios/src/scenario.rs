//! What can be played: a backend, a strategy, a story and a scaler.
//!
//! A scenario has a name, `istio/canary/breach/hpa`, by which a run is found again.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_sim::{Behaviour, Which};

use crate::objects::{NAMESPACE, canary, deployment};

/// Where traffic is routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Backend {
    /// Plain Services.
    Kubernetes,
    /// `VirtualServices`.
    Istio,
    /// `TrafficSplits`.
    Linkerd,
    /// `HTTPRoutes` of the apex Service.
    GatewayApi,
}

/// How a revision gets its traffic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Strategy {
    /// 20 %, 60 %; without a mesh by annotations, and made of pods.
    Canary,
    /// Three iterations for those who send `x-user: beta`.
    AbTesting,
    /// Two iterations without users.
    BlueGreen,
    /// Two iterations with copies of users' requests.
    Mirrored,
}

/// What happens, and so how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Story {
    /// A good revision is pushed.
    Promotes,
    /// A revision that fails one request in five.
    Breaches,
    /// A revision that answers in a second.
    IsSlow,
    /// A revision whose pods are never ready.
    NeverReady,
    /// A revision whose pods crash under traffic and stay down.
    Dies,
    /// A good revision, replaced by another one half-way.
    IsSuperseded,
    /// A good revision, replaced by another one while it is promoted.
    IsSupersededLate,
    /// A good revision that is taken back half-way.
    IsReverted,
    /// The Canary is deleted at rest.
    IsDeleted,
    /// The Canary is deleted half-way.
    IsDeletedMidway,
    /// The Canary is suspended half-way, for five minutes.
    IsSuspended,
    /// The conformance hook says no.
    FailsTests,
    /// The gate before the promotion is closed for five minutes.
    WaitsAtGate,
    /// Only a tracked `ConfigMap` changes.
    ChangesConfig,
    /// The primary does not come up with the revision that passed.
    BreaksPrimary,
    /// A good revision of a workload with the strategy `Recreate`.
    Recreates,
    /// The same, and the primary does not come up with it.
    RecreatesBroken,
    /// The primary's pods die half-way, and come back after a minute.
    LosesPrimary,
    /// Somebody scales the target to zero half-way.
    IsScaledAway,
    /// Prometheus knows nothing.
    HasNoData,
    /// The Canary says `skipAnalysis`.
    SkipsAnalysis,
}

/// What scales the workload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scaler {
    /// Nothing.
    Fixed,
    /// A `HorizontalPodAutoscaler`.
    Hpa,
}

/// One scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scenario {
    /// Where traffic is routed.
    pub backend: Backend,
    /// How the revision gets its traffic.
    pub strategy: Strategy,
    /// What happens.
    pub story: Story,
    /// What scales the workload.
    pub scaler: Scaler,
}

/// How a scenario ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The phase; `None`: the Canary is gone.
    pub phase: Option<Phase>,
    /// What users are served.
    pub serves: &'static str,
    /// Whether the target is at zero.
    pub target_rests: bool,
}

const BACKENDS: [(Backend, &str); 4] = [
    (Backend::Kubernetes, "kubernetes"),
    (Backend::Istio, "istio"),
    (Backend::Linkerd, "linkerd"),
    (Backend::GatewayApi, "gatewayapi"),
];
const STRATEGIES: [(Strategy, &str); 4] = [
    (Strategy::Canary, "canary"),
    (Strategy::AbTesting, "ab"),
    (Strategy::BlueGreen, "blue-green"),
    (Strategy::Mirrored, "mirrored"),
];
const STORIES: [(Story, &str); 21] = [
    (Story::Promotes, "promotes"),
    (Story::Breaches, "breaches"),
    (Story::IsSlow, "slow"),
    (Story::NeverReady, "never-ready"),
    (Story::Dies, "dies"),
    (Story::IsSuperseded, "superseded"),
    (Story::IsSupersededLate, "superseded-late"),
    (Story::IsReverted, "reverted"),
    (Story::IsDeleted, "deleted"),
    (Story::IsDeletedMidway, "deleted-midway"),
    (Story::IsSuspended, "suspended"),
    (Story::FailsTests, "fails-tests"),
    (Story::WaitsAtGate, "gate"),
    (Story::ChangesConfig, "config"),
    (Story::BreaksPrimary, "breaks-primary"),
    (Story::Recreates, "recreates"),
    (Story::RecreatesBroken, "recreates-broken"),
    (Story::LosesPrimary, "loses-primary"),
    (Story::IsScaledAway, "scaled-away"),
    (Story::HasNoData, "no-data"),
    (Story::SkipsAnalysis, "skips-analysis"),
];
const SCALERS: [(Scaler, &str); 2] = [(Scaler::Fixed, "fixed"), (Scaler::Hpa, "hpa")];

fn word<T: PartialEq>(table: &[(T, &'static str)], of: &T) -> &'static str {
    let found = table.iter().find(|(it, _)| it == of);
    found.map_or("", |(_, word)| word)
}

fn read<T: Copy>(table: &[(T, &'static str)], text: Option<&str>) -> Option<T> {
    let found = table.iter().find(|(_, word)| Some(*word) == text);
    found.map(|(it, _)| *it)
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            backend,
            strategy,
            story,
            scaler,
        } = self;
        let (backend, strategy) = (word(&BACKENDS, backend), word(&STRATEGIES, strategy));
        let (story, scaler) = (word(&STORIES, story), word(&SCALERS, scaler));
        write!(f, "{backend}/{strategy}/{story}/{scaler}")
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut words = text.split('/');
        let mut next = || words.next();
        let scenario = (|| {
            Some(Self {
                backend: read(&BACKENDS, next())?,
                strategy: read(&STRATEGIES, next())?,
                story: read(&STORIES, next())?,
                scaler: read(&SCALERS, next())?,
            })
        })();
        scenario.ok_or_else(|| format!("{text}: no scenario has this name"))
    }
}

/// How long one step takes.
pub const INTERVAL: Duration = Duration::from_secs(10);
/// The revision that serves at first.
pub const V1: &str = "app:v1";
/// The revision that is pushed.
pub const V2: &str = "app:v2";
/// The one that is pushed after it.
pub const V3: &str = "app:v3";

impl Scenario {
    /// Every scenario that makes sense with what is built, the short ones first.
    pub fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for (scaler, _) in SCALERS {
            for (story, _) in STORIES {
                for (backend, strategy) in Self::ways() {
                    all.push(Self {
                        backend,
                        strategy,
                        story,
                        scaler,
                    });
                }
            }
        }
        all
    }

    /// Which strategies each backend has.
    pub fn ways() -> [(Backend, Strategy); 12] {
        [
            (Backend::Kubernetes, Strategy::Canary),
            (Backend::Kubernetes, Strategy::BlueGreen),
            (Backend::Istio, Strategy::Canary),
            (Backend::Istio, Strategy::AbTesting),
            (Backend::Istio, Strategy::BlueGreen),
            (Backend::Istio, Strategy::Mirrored),
            (Backend::Linkerd, Strategy::Canary),
            (Backend::Linkerd, Strategy::BlueGreen),
            (Backend::GatewayApi, Strategy::Canary),
            (Backend::GatewayApi, Strategy::AbTesting),
            (Backend::GatewayApi, Strategy::BlueGreen),
            (Backend::GatewayApi, Strategy::Mirrored),
        ]
    }

    /// The name of its provider.
    pub fn provider(self) -> &'static str {
        match self.backend {
            Backend::GatewayApi => "gatewayapi:v1",
            Backend::Kubernetes | Backend::Istio | Backend::Linkerd => {
                word(&BACKENDS, &self.backend)
            }
        }
    }

    /// Whether weight is made by pods.
    pub fn weighs_by_pods(self) -> bool {
        (self.backend, self.strategy) == (Backend::Kubernetes, Strategy::Canary)
    }

    /// How many pods the workload has: without a mesh enough for the first weight.
    pub fn replicas(self) -> u32 {
        if self.weighs_by_pods() { 4 } else { 2 }
    }

    /// How many its autoscaler wants.
    pub fn autoscaled(self) -> u32 {
        self.replicas().max(3)
    }

    /// The shares of users that the strategy gives to a revision before its promotion, in order.
    pub fn steps(self) -> &'static [f64] {
        match (self.strategy, self.backend) {
            (Strategy::Canary, _) => &[0.2, 0.6],
            (Strategy::AbTesting, _) | (_, Backend::Kubernetes) => &[],
            // The last iteration cuts over.
            (Strategy::BlueGreen | Strategy::Mirrored, _) => &[1.0],
        }
    }

    /// The shortest time that an analysis takes.
    pub fn analysis_time(self) -> Duration {
        match self.strategy {
            Strategy::Canary | Strategy::BlueGreen | Strategy::Mirrored => INTERVAL * 2,
            Strategy::AbTesting => INTERVAL * 3,
        }
    }

    /// Whether what users are served by this image is as it should be.
    pub fn is_good(self, image: &str) -> bool {
        let bad = matches!(
            self.story,
            Story::Breaches
                | Story::IsSlow
                | Story::NeverReady
                | Story::Dies
                | Story::FailsTests
                | Story::IsScaledAway
                | Story::HasNoData
        );
        !(bad && image == V2)
    }

    /// Whether the world takes pods away under traffic: then requests are lost until the next write.
    pub fn loses_pods(self) -> bool {
        matches!(
            self.story,
            Story::Dies | Story::IsScaledAway | Story::LosesPrimary
        )
    }

    /// How it ends, whatever goes wrong on the way.
    pub fn ending(self) -> Ending {
        let ends = |phase, serves, target_rests| Ending {
            phase,
            serves,
            target_rests,
        };
        match self.story {
            Story::Promotes
            | Story::IsSuspended
            | Story::WaitsAtGate
            | Story::Recreates
            | Story::LosesPrimary
            | Story::SkipsAnalysis => ends(Some(Phase::Succeeded), V2, true),
            Story::ChangesConfig => ends(Some(Phase::Succeeded), V1, true),
            Story::IsSuperseded | Story::IsSupersededLate => ends(Some(Phase::Succeeded), V3, true),
            Story::Breaches
            | Story::IsSlow
            | Story::NeverReady
            | Story::Dies
            | Story::IsReverted
            | Story::FailsTests
            | Story::IsScaledAway
            | Story::HasNoData => ends(Some(Phase::Failed), V1, true),
            Story::BreaksPrimary | Story::RecreatesBroken => ends(Some(Phase::Failed), V2, false),
            Story::IsDeleted => ends(None, V1, false),
            Story::IsDeletedMidway => ends(None, V2, false),
        }
    }

    /// How the pods of every image behave.
    pub fn behaviours(self) -> Vec<(Which, Behaviour)> {
        // They go on serving while proxies learn that they go.
        let healthy = Behaviour::healthy().stops_in(Duration::from_secs(8));
        let v2 = if self.story == Story::Breaches {
            healthy.clone().errors(0.2)
        } else if self.story == Story::IsSlow {
            healthy.clone().latency(Duration::from_secs(1))
        } else if self.story == Story::NeverReady {
            healthy.clone().never_ready()
        } else if self.story == Story::Dies {
            healthy.clone().fails_after(Duration::from_secs(15))
        } else {
            healthy.clone()
        };
        let image = Which::image;
        let mut all = vec![
            (image(V1), healthy.clone()),
            (image(V2), v2),
            (image(V3), healthy.clone()),
        ];
        if matches!(self.story, Story::BreaksPrimary | Story::RecreatesBroken) {
            let primary = Which::Named(NAMESPACE.to_owned(), "app-primary".to_owned());
            all.push((primary.and(image(V2)), healthy.never_ready()));
        }
        all
    }

    /// What is applied before the Canary: a workload that serves users.
    pub fn workload(self) -> Vec<Value> {
        let mut app = deployment(V1, self.replicas());
        let keep = json!({"example.com/keep": "mine"});
        set(&mut app, "/metadata", "annotations", keep.clone());
        let mut all = Vec::new();
        if self.story == Story::ChangesConfig {
            set(
                &mut app,
                "/spec/template/spec/containers/0",
                "envFrom",
                json!([{"configMapRef": {"name": "settings"}}]),
            );
            all.push(settings("1"));
        }
        if matches!(self.story, Story::Recreates | Story::RecreatesBroken) {
            set(&mut app, "/spec", "strategy", json!({"type": "Recreate"}));
        }
        if self.scaler == Scaler::Hpa {
            all.push(autoscaler());
        }
        all.push(app);
        all.push(json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "app", "namespace": NAMESPACE, "annotations": keep, "labels": {"example.com/keep": "mine"}},
            "spec": {"selector": {"app": "app"}, "ports": [{"name": "http", "port": 80, "targetPort": "http"}]},
        }));
        all
    }

    /// The Canary, and who is told about it.
    pub fn canary(self) -> Vec<Value> {
        let analysis = match self.strategy {
            Strategy::Canary if self.weighs_by_pods() => json!({}),
            Strategy::Canary => json!({"stepWeights": [20, 60]}),
            Strategy::AbTesting => {
                json!({"iterations": 3, "match": [{"headers": {"x-user": {"exact": "beta"}}}]})
            }
            Strategy::BlueGreen => json!({"iterations": 2}),
            Strategy::Mirrored => json!({"iterations": 2, "mirror": true}),
        };
        let mut object = canary(self.provider(), &analysis);
        if self.weighs_by_pods() {
            let steps = json!({"slipway.dev/step-weights": "20,60"});
            set(&mut object, "/metadata", "annotations", steps);
        }
        if self.backend == Backend::GatewayApi {
            let apex = json!([{"group": "", "kind": "Service", "name": "app", "port": 80}]);
            set(&mut object, "/spec/service", "gatewayRefs", apex);
        }
        let hook = |name: &str, kind: &str| json!({"name": name, "type": kind, "url": format!("http://{name}.hooks/"), "timeout": "5s"});
        let hooks = json!([
            hook("conformance", "pre-rollout"),
            hook("gate", "confirm-promotion"),
            hook("report", "post-rollout"),
        ]);
        set(&mut object, "/spec/analysis", "webhooks", hooks);
        let alerts = json!([{"name": "chat", "severity": "info", "providerRef": {"name": "chat"}}]);
        set(&mut object, "/spec/analysis", "alerts", alerts);
        if self.scaler == Scaler::Hpa {
            let scaler = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "name": "app"});
            set(&mut object, "/spec", "autoscalerRef", scaler);
        }
        if self.story == Story::SkipsAnalysis {
            set(&mut object, "/spec", "skipAnalysis", json!(true));
        }
        let chat = json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "AlertProvider", "metadata": {"name": "chat", "namespace": NAMESPACE},
            "spec": {"type": "slack", "channel": "releases", "username": "slipway", "address": "http://chat.hooks/"},
        });
        vec![chat, object]
    }
}

/// The tracked config.
pub fn settings(value: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings", "namespace": NAMESPACE},
        "data": {"value": value},
    })
}

fn autoscaler() -> Value {
    json!({
        "apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": {"name": "app", "namespace": NAMESPACE},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "app"}, "minReplicas": 2, "maxReplicas": 6,
            "metrics": [{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 80}}}],
        },
    })
}

fn set(object: &mut Value, place: &str, field: &str, value: Value) {
    if let Some(place) = object.pointer_mut(place).and_then(Value::as_object_mut) {
        place.insert(field.to_owned(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scenario_is_found_by_its_name() {
        let all = Scenario::all();
        for scenario in &all {
            assert_eq!(scenario.to_string().parse(), Ok(*scenario));
        }
        assert_eq!(all.len(), 2 * 21 * 12);
    }
}
