//! Canaries, as short as they can be said.

use serde_json::{Value, json};
use slipway_api::Canary;
use slipway_core::plan::{Defaults, Plan};

use super::world::World;

/// A Canary in the making.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) name: String,
    spec: Value,
    annotations: Value,
}

/// The Canary of a Deployment of that name in namespace `test`: Istio, every 10 s, two failed checks, no metrics.
pub(crate) fn canary(name: &str) -> Story {
    let target = json!({"apiVersion": "apps/v1", "kind": "Deployment", "name": name});
    let analysis = json!({"interval": "10s", "threshold": 2});
    let spec = json!({
        "provider": "istio", "targetRef": target, "progressDeadlineSeconds": 60, "service": {"port": 80}, "analysis": analysis
    });
    Story {
        name: name.to_owned(),
        spec,
        annotations: json!({}),
    }
}

impl Story {
    /// The Canary of a spec.
    pub(crate) fn of_spec(name: &str, spec: Value) -> Self {
        Self {
            name: name.to_owned(),
            spec,
            annotations: json!({}),
        }
    }

    fn set(mut self, field: &str, value: Value) -> Self {
        self.spec[field] = value;
        self
    }

    fn analysis(mut self, field: &str, value: Value) -> Self {
        self.spec["analysis"][field] = value;
        self
    }

    /// An annotation of ours on the Canary.
    pub(crate) fn tuned(mut self, key: &str, value: &str) -> Self {
        self.annotations[format!("slipway.dev/{key}")] = json!(value);
        self
    }

    pub(crate) fn provider(self, name: &str) -> Self {
        self.set("provider", json!(name))
    }

    pub(crate) fn steps<const N: usize>(self, weights: [i64; N]) -> Self {
        self.analysis("stepWeights", weights.to_vec().into())
    }

    pub(crate) fn linear(self, step: i64, max: i64) -> Self {
        self.analysis("stepWeight", json!(step))
            .analysis("maxWeight", json!(max))
    }

    pub(crate) fn iterations(self, count: i64) -> Self {
        self.analysis("iterations", json!(count))
    }

    pub(crate) fn ab(self, count: i64) -> Self {
        let header = json!([{"headers": {"x-user": {"exact": "beta"}}}]);
        self.iterations(count).analysis("match", header)
    }

    pub(crate) fn mirror(self) -> Self {
        self.analysis("mirror", json!(true))
    }

    pub(crate) fn threshold(self, failed_checks: i64) -> Self {
        self.analysis("threshold", json!(failed_checks))
    }

    pub(crate) fn interval(self, seconds: i64) -> Self {
        self.analysis("interval", json!(format!("{seconds}s")))
    }

    pub(crate) fn promotion_step(self, weight: i64) -> Self {
        self.analysis("stepWeightPromotion", json!(weight))
    }

    pub(crate) fn deadline(self, seconds: i64) -> Self {
        self.set("progressDeadlineSeconds", json!(seconds))
    }

    pub(crate) fn skip_analysis(self) -> Self {
        self.set("skipAnalysis", json!(true))
    }

    pub(crate) fn suspend(self) -> Self {
        self.set("suspend", json!(true))
    }

    /// One more hook.
    pub(crate) fn hook(mut self, kind: &str, name: &str) -> Self {
        let hook = json!({"type": kind, "name": name, "url": "http://hooks.test/"});
        let hooks = &mut self.spec["analysis"]["webhooks"];
        match hooks.as_array_mut() {
            Some(hooks) => hooks.push(hook),
            None => *hooks = json!([hook]),
        }
        self
    }

    /// One more metric.
    pub(crate) fn metric(mut self, metric: Value) -> Self {
        let metrics = &mut self.spec["analysis"]["metrics"];
        match metrics.as_array_mut() {
            Some(metrics) => metrics.push(metric),
            None => *metrics = json!([metric]),
        }
        self
    }

    /// The success rate must be so many percent.
    pub(crate) fn success_rate(self, min: f64) -> Self {
        self.metric(json!({"name": "request-success-rate", "thresholdRange": {"min": min}}))
    }

    /// The object.
    pub(crate) fn object(&self) -> Canary {
        let metadata =
            json!({"name": self.name, "namespace": "test", "annotations": self.annotations});
        serde_json::from_value(json!({"metadata": metadata, "spec": self.spec})).unwrap()
    }

    /// What is meant by it.
    pub(crate) fn plan(&self) -> Plan {
        Plan::parse(&self.object(), &Defaults::default()).unwrap()
    }

    /// A world in which its target serves at `v1`, before the Canary was ever looked at.
    pub(crate) fn world(self) -> World {
        World::new(self)
    }

    /// A world in which it is initialised.
    pub(crate) fn initialised(self) -> World {
        let mut world = self.world();
        world.run();
        world
    }
}
