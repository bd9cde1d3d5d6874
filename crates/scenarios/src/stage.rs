//! A simulated cluster with the real controller on it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use slipway_api::{CanaryStatus, Phase};
use slipway_controller::clock::{Clock, TokioClock};
use slipway_controller::http::Http;
use slipway_controller::record::metrics::Metrics;
use slipway_controller::run;
use slipway_controller::settings::{Clients, Settings};
use slipway_sim::World;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::objects::NAMESPACE;
use crate::outside::Outside;
use crate::wire::Wire;

/// A simulated cluster, the outside world, and a controller on them.
pub struct Stage {
    /// The cluster.
    pub world: World,
    /// Prometheus and hooks, scripted: what a controller made by [`Stage::new`] calls.
    pub outside: Outside,
    /// Prometheus and hooks of the world: what a controller made by [`Stage::live`] calls.
    pub wire: Wire,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    flags: Vec<String>,
    /// How many controllers were started: each is a process of its own.
    starts: u32,
    running: Vec<Running>,
}

struct Running {
    identity: String,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), run::RunError>>,
}

/// The name under which the cluster knows the controller.
pub const SLIPWAY: &str = "slipway";

impl Stage {
    /// A cluster with every kind installed, the namespace of scenarios, and a controller with these flags whose outside is scripted.
    pub fn new(seed: u64, flags: &[&str]) -> Self {
        let outside = Outside::default();
        let mut stage = Self::set(seed, flags, Some(outside));
        stage.start();
        stage
    }

    /// As [`Stage::new`], with the Prometheus and the receivers of the world outside. No controller runs yet.
    pub fn live(seed: u64, flags: &[&str]) -> Self {
        Self::set(seed, flags, None)
    }

    fn set(seed: u64, flags: &[&str], scripted: Option<Outside>) -> Self {
        let world = World::new(seed);
        world.install_all();
        let namespace = serde_json::json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        world.apply(&namespace).unwrap_or_default();
        let clock: Arc<dyn Clock> = Arc::new(TokioClock::starting_at(world.now()));
        let flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let wire = Wire::new(world.clone());
        let http: Arc<dyn Http> = match &scripted {
            Some(outside) => Arc::new(outside.clone()),
            None => Arc::new(wire.clone()),
        };
        Self {
            world,
            outside: scripted.unwrap_or_default(),
            wire,
            http,
            clock,
            flags,
            starts: 0,
            running: Vec::new(),
        }
    }

    /// Starts the controller, as a process that was started anew: it remembers nothing.
    pub fn start(&mut self) {
        self.start_as(SLIPWAY);
    }

    /// Starts one more controller, which the cluster knows by another name.
    ///
    /// # Panics
    /// If its flags are not those of a controller.
    pub fn start_as(&mut self, identity: &str) {
        self.starts += 1;
        let words = self.flags.iter().map(OsString::from);
        let settings = Settings::read(words, &BTreeMap::new());
        assert!(settings.is_ok(), "the flags are refused: {:?}", self.flags);
        let Ok(settings) = settings else { return };
        let client = kube::Client::new(self.world.client_service(identity), "default");
        let world = run::World {
            clients: Clients {
                api: client.clone(),
                lease: client.clone(),
                mesh: client,
                mesh_is_elsewhere: false,
            },
            identity: Some(format!("slipway_{identity}_{}", self.starts)),
            clock: Arc::clone(&self.clock),
            http: Arc::clone(&self.http),
            listener: None,
            metrics: Metrics::new("istio"),
        };
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(run::run(settings, world, shutdown.clone()));
        self.running.push(Running {
            identity: identity.to_owned(),
            shutdown,
            task,
        });
    }

    /// Ends the controller as `kill -9` does.
    pub fn kill(&mut self) {
        self.kill_as(SLIPWAY);
    }

    /// Ends the controller of that name as `kill -9` does.
    pub fn kill_as(&mut self, identity: &str) {
        for running in self.taken(identity) {
            running.task.abort();
        }
    }

    fn taken(&mut self, identity: &str) -> Vec<Running> {
        let all = std::mem::take(&mut self.running);
        let (taken, left) = all.into_iter().partition(|it| it.identity == identity);
        self.running = left;
        taken
    }

    /// Asks the controller to stop, and waits until it has.
    pub async fn stop(&mut self) {
        for running in self.taken(SLIPWAY) {
            running.shutdown.cancel();
            running.task.await.ok();
        }
    }

    /// Applies objects as a user does.
    ///
    /// # Panics
    /// If the cluster refuses one of them.
    pub fn apply(&self, objects: &[Value]) {
        for object in objects {
            let applied = self.world.apply(object);
            assert!(applied.is_ok(), "the cluster refuses {object}: {applied:?}");
        }
    }

    /// The status of the Canary `app`.
    pub fn status(&self) -> CanaryStatus {
        let canary = self.world.get("Canary", NAMESPACE, "app");
        let status = canary.and_then(|canary| canary.get("status").cloned());
        status
            .and_then(|status| serde_json::from_value(status).ok())
            .unwrap_or_default()
    }

    /// Waits for one of these phases.
    pub async fn reach(&self, phases: &[Phase], patience: Duration) -> Phase {
        self.world
            .eventually(patience, |_| phases.contains(&self.status().phase))
            .await;
        self.status().phase
    }

    /// An object of the namespace of scenarios.
    pub fn object(&self, kind: &str, name: &str) -> Option<Value> {
        self.world
            .get(kind, NAMESPACE, name)
            .map(|object| (**object).clone())
    }

    /// The texts of the events so far, in order.
    pub fn events(&self) -> Vec<String> {
        let mut events: Vec<(String, String)> = self
            .world
            .list("Event", NAMESPACE)
            .iter()
            .map(|event| {
                let text = |pointer: &str| {
                    event
                        .pointer(pointer)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                (text("/metadata/resourceVersion"), text("/message"))
            })
            .collect();
        events.sort_by_key(|(version, _)| version.parse::<u64>().unwrap_or(0));
        events.into_iter().map(|(_, text)| text).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for running in &self.running {
            running.task.abort();
        }
    }
}
