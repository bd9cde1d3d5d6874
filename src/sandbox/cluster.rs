//! The cluster of the show: four services as the distribution on Istio has them, their users, and the controller.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow};
use serde_json::{Value, json};
use slipway_controller::clock::TokioClock;
use slipway_controller::record::metrics::Metrics;
use slipway_controller::run::{self, RunError};
use slipway_controller::settings::{Clients, Settings};
use slipway_scenarios::wire::Wire;
use slipway_sim::{Sampling, Visit, World};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The namespace of the application.
pub(super) const NAMESPACE: &str = "app";
/// Every service runs this image, in a version of its own.
const IMAGE: &str = "ghcr.io/stefanprodan/podinfo";
/// The version that everything runs at first.
pub(super) const FIRST_VERSION: &str = "3.1.0";
/// How soon callers know of a change of routes or endpoints.
const PROPAGATION: Duration = Duration::from_millis(500);
/// Requests a second to each service.
pub(super) const RATE: f64 = 50.0;
/// How many of the frontend's requests come from insiders, who try new versions first.
pub(super) const INSIDERS: f64 = 5.0;

/// The controller's flags.
const FLAGS: [&str; 3] = [
    "-mesh-provider=istio",
    "-metrics-server=http://prometheus.istio-system:9090",
    // There is no second one to share the work with.
    "-enable-leader-election=false",
];

/// One of the four services.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Service {
    Frontend,
    Backend,
    Cache,
    Database,
}

impl Service {
    pub(super) const ALL: [Self; 4] = [Self::Frontend, Self::Backend, Self::Cache, Self::Database];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Frontend => "frontend",
            Self::Backend => "backend",
            Self::Cache => "cache",
            Self::Database => "database",
        }
    }

    /// Whom it calls.
    fn calls(self) -> &'static [&'static str] {
        match self {
            Self::Frontend => &["backend:9898/echo", "cache:9898/echo"],
            Self::Backend => &["database:9898/echo"],
            Self::Cache | Self::Database => &[],
        }
    }

    /// How a new version of it is judged.
    fn analysis(self) -> Value {
        let mut analysis = json!({
            "interval": "10s",
            "threshold": 3,
            "metrics": self.metrics(),
            "webhooks": self.hooks(),
        });
        let steps = match self {
            Self::Frontend => json!({"iterations": 10, "match": [
                {"headers": {"user-agent": {"regex": ".*Safari.*"}}},
                {"headers": {"cookie": {"regex": "^(.*?;)?(type=insider)(;.*)?$"}}},
            ]}),
            Self::Backend => json!({"maxWeight": 50, "stepWeight": 10}),
            Self::Cache => json!({"iterations": 5}),
            Self::Database => json!({"iterations": 10, "mirror": true}),
        };
        if let (Some(into), Some(steps)) = (analysis.as_object_mut(), steps.as_object()) {
            into.extend(steps.clone());
        }
        analysis
    }

    fn metrics(self) -> Value {
        let (success, window) = match self {
            Self::Frontend => (70, "1m"),
            Self::Backend | Self::Cache | Self::Database => (99, "30s"),
        };
        json!([
            {"name": "request-success-rate", "thresholdRange": {"min": success}, "interval": "1m"},
            {"name": "request-duration", "thresholdRange": {"max": 500}, "interval": window},
        ])
    }

    fn hooks(self) -> Value {
        let name = self.name();
        let load = match self {
            Self::Frontend => {
                "hey -z 1m -q 5 -c 2 -H 'Cookie: type=insider' http://frontend:9898/".to_owned()
            }
            Self::Backend | Self::Cache | Self::Database => {
                format!("hey -z 1m -q 5 -c 2 http://{name}-canary:9898/")
            }
        };
        json!([
            {
                "name": "acceptance-test", "type": "pre-rollout", "url": "http://tester.app/", "timeout": "30s",
                "metadata": {"type": "bash", "cmd": format!("curl -sd 'test' http://{name}-canary:9898/token | grep token")},
            },
            {
                "name": "load-test", "type": "rollout", "url": "http://tester.app/", "timeout": "5s",
                "metadata": {"type": "cmd", "cmd": load},
            },
        ])
    }

    fn config(self) -> Value {
        let server = if self == Self::Frontend { "1m" } else { "2m" };
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": self.name(), "namespace": NAMESPACE},
            "data": {
                "http-client-timeout": "1m", "http-server-timeout": server, "http-server-shutdown-timeout": "5s",
                "backend-url": self.calls().join(","),
            },
        })
    }

    fn deployment(self) -> Value {
        let name = self.name();
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
            "spec": {
                "replicas": 2, "minReadySeconds": 1, "progressDeadlineSeconds": 60,
                "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "selector": {"matchLabels": {"app": name}},
                "template": {
                    "metadata": {"labels": {"app": name}},
                    "spec": {
                        "containers": [{
                            "name": "app", "image": image(FIRST_VERSION),
                            "ports": [{"name": "http", "containerPort": 9898}],
                            "volumeMounts": [{"name": "config", "mountPath": "/config"}],
                        }],
                        "volumes": [{"name": "config", "configMap": {"name": name}}],
                    },
                },
            },
        })
    }

    fn canary(self) -> Value {
        let name = self.name();
        json!({
            "apiVersion": "flagger.app/v1beta1", "kind": "Canary",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "targetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
                "progressDeadlineSeconds": 60,
                "service": {"port": 9898},
                "analysis": self.analysis(),
            },
        })
    }
}

/// The image of a version.
pub(super) fn image(version: &str) -> String {
    format!("{IMAGE}:{version}")
}

/// The version of an image.
pub(super) fn version(image: &str) -> &str {
    image.rsplit(':').next().unwrap_or(image)
}

/// The cluster with the controller on it. Dropped, it ends both.
pub(super) struct Cluster {
    pub(super) world: World,
    clock: Arc<TokioClock>,
    /// How many controllers were started: each is a process of its own.
    starts: u32,
    controller: Option<JoinHandle<Result<(), RunError>>>,
}

impl Cluster {
    /// A cluster where nothing runs yet but the controller.
    pub(super) fn new(world: World) -> anyhow::Result<Self> {
        world.set_propagation(PROPAGATION);
        for crd in slipway_api::crds() {
            accepted(world.apply(&crd)).context("install the kinds of Slipway")?;
        }
        for kind in [
            "virtualservices.networking.istio.io",
            "destinationrules.networking.istio.io",
        ] {
            world.install(kind);
        }
        let namespace =
            json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}});
        accepted(world.apply(&namespace))?;
        let clock = Arc::new(TokioClock::starting_at(world.now()));
        let mut cluster = Self {
            world,
            clock,
            starts: 0,
            controller: None,
        };
        cluster.start_controller()?;
        Ok(cluster)
    }

    /// Starts the controller as a new process: it remembers nothing.
    pub(super) fn start_controller(&mut self) -> anyhow::Result<()> {
        self.starts += 1;
        let settings = Settings::read(FLAGS.map(OsString::from), &BTreeMap::new())
            .context("read the controller's own flags")?;
        let client = kube::Client::new(self.world.client_service("slipway"), "default");
        let world = run::World {
            clients: Clients {
                api: client.clone(),
                lease: client.clone(),
                mesh: client,
                mesh_is_elsewhere: false,
            },
            identity: Some(format!("slipway_sandbox_{}", self.starts)),
            clock: Arc::<TokioClock>::clone(&self.clock),
            http: Arc::new(Wire::new(self.world.clone())),
            listener: None,
            metrics: Metrics::new("istio"),
        };
        let running = tokio::spawn(run::run(settings, world, CancellationToken::new()));
        self.controller = Some(running);
        Ok(())
    }

    /// Ends the controller as `kill -9` does.
    pub(super) fn kill_controller(&mut self) {
        if let Some(running) = self.controller.take() {
            running.abort();
        }
    }

    /// Installs a service with its Canary.
    pub(super) fn install(&self, service: Service) -> anyhow::Result<()> {
        for object in [service.config(), service.deployment(), service.canary()] {
            accepted(self.world.apply(&object))
                .with_context(|| format!("install {}", service.name()))?;
        }
        Ok(())
    }

    /// Lets users call every service.
    pub(super) fn open(&self) {
        let users = self.world.users();
        users.set_sampling(Sampling::Drawn);
        for service in Service::ALL {
            let host = format!("{}.{NAMESPACE}", service.name());
            if service == Service::Frontend {
                let insider = Visit::default().header("cookie", "type=insider");
                users.call_as(&host, INSIDERS, insider);
                users.call(&host, RATE - INSIDERS);
            } else {
                users.call(&host, RATE);
            }
        }
    }

    /// Gives a service's Deployment another version, as a developer does.
    pub(super) fn push(&self, service: Service, version: &str) -> anyhow::Result<()> {
        let pushed = self
            .world
            .set_image(NAMESPACE, service.name(), &image(version));
        accepted(pushed).with_context(|| format!("push {} {version}", service.name()))
    }
}

fn accepted(answer: Result<Value, slipway_sim::Failure>) -> anyhow::Result<()> {
    // The simulated API server's refusals are values for its clients, not errors of this process.
    answer
        .map(drop)
        .map_err(|refusal| anyhow!("the cluster refuses it: {refusal:?}"))
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.kill_controller();
    }
}
