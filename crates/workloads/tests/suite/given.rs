//! What a case is given, and the blueprint that is made from it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use slipway_api::{Canary, Side};
use slipway_core::blueprint::{ApexPods, Blueprint, CodecSettings};
use slipway_core::object::{Objects, kinds};
use slipway_core::plan::{Defaults, Plan};
use slipway_workloads::{Target, TrackedConfig, configs, target};

/// The file `given.yaml` of a case.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) canary: Canary,
    /// The target.
    pub(crate) target: Value,
    /// The ConfigMaps and Secrets of the namespace.
    #[serde(default)]
    pub(crate) configs: Vec<Value>,
    /// The target's scaler.
    #[serde(default)]
    pub(crate) scaler: Value,
    /// Whatever else is there.
    #[serde(default)]
    pub(crate) live: Vec<Value>,
    /// Which side the apex selects; absent: it is left alone.
    #[serde(default)]
    pub(crate) apex: Option<Side>,
    /// Whether the apex selects the pods that carry our label.
    #[serde(default)]
    pub(crate) labelled: bool,
    #[serde(default)]
    pub(crate) include_label_prefixes: Vec<String>,
}

impl Given {
    pub(crate) fn codec(&self) -> &'static dyn Target {
        let plan = Plan::parse(&self.canary, &Defaults::default()).unwrap();
        target(plan.target.kind).unwrap()
    }

    /// The pods that the apex selects.
    pub(crate) fn apex(&self) -> Option<ApexPods> {
        let labelled = self.labelled.then_some(ApexPods::Labelled);
        labelled.or_else(|| self.apex.map(ApexPods::Of))
    }

    /// Calls `then` with the blueprint.
    pub(crate) fn blueprint<T>(&self, then: impl FnOnce(&Blueprint<'_>) -> T) -> T {
        let plan = Plan::parse(&self.canary, &Defaults::default()).unwrap();
        let settings = CodecSettings {
            include_label_prefixes: self.include_label_prefixes.clone(),
            ..CodecSettings::default()
        };
        let codec = self.codec();
        let selector = codec.selector(&self.target, &settings).unwrap();
        let ports = codec.extra_ports(&self.target, &self.canary.spec.service);
        then(&Blueprint {
            plan: &plan,
            canary: &self.canary,
            selector: &selector,
            ports: &ports,
            settings: &settings,
        })
    }

    /// The object of that kind and name among those that are there.
    pub(crate) fn found(&self, kind: &str, name: &str) -> Option<&Value> {
        self.live
            .iter()
            .find(|object| object["kind"] == kind && object["metadata"]["name"] == name)
    }

    /// The tracked configs of the target with their sources.
    pub(crate) fn tracked(&self) -> Vec<(TrackedConfig, &Value)> {
        let mut tracked = Vec::new();
        for reference in self.codec().config_references(&self.target) {
            let kind = reference.kind.kind().kind;
            let source = self.configs.iter().find(|object| {
                object["kind"] == kind && object["metadata"]["name"] == reference.name.as_str()
            });
            if let Some(source) = source
                && let Some(config) = configs::track(&reference, source)
            {
                tracked.push((config, source));
            }
        }
        tracked
    }

    /// The Services that are there.
    pub(crate) fn services(&self) -> Objects {
        let services = self
            .live
            .iter()
            .chain([&self.target])
            .filter(|object| object["kind"] == "Service");
        services
            .map(|service| {
                let text = |field: &str| service["metadata"][field].as_str().unwrap();
                let key = kinds::SERVICE.named(text("namespace"), text("name"));
                (key, Arc::new(service.clone()))
            })
            .collect()
    }
}
