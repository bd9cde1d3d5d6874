//! What codecs need to render the objects of one release.

use slipway_api::{Canary, Side};

use crate::plan::Plan;

/// The wish of one Canary together with what was found out about its target: the input of every codec of objects.
#[derive(Clone, Copy, Debug)]
pub struct Blueprint<'a> {
    /// What is meant.
    pub plan: &'a Plan,
    /// The Canary itself, for the parts of `spec.service` and `spec.analysis` that are passed on as they are.
    pub canary: &'a Canary,
    /// How pods are told apart.
    pub selector: &'a PodSelector,
    /// Further ports of the target's containers (`service.portDiscovery`).
    pub ports: &'a [ExtraPort],
    /// The controller's own settings.
    pub settings: &'a CodecSettings,
}

/// How the pods of the target are told from others: one label, and the primary's value of it with the suffix `-primary`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodSelector {
    /// The label: the first of the controller's selector labels that the target selects by.
    pub label: String,
    /// Its value at the target.
    pub value: String,
}

impl PodSelector {
    /// The value of the label at the primary's pods.
    pub fn primary_value(&self) -> String {
        format!("{}-primary", self.value)
    }
}

/// The pods that the apex selects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ApexPods {
    /// All of one side.
    Of(Side),
    /// Those that carry our label: all of the primary's, and as many of the canary's as the weight allows.
    Labelled,
}

/// A further port of the Services.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraPort {
    /// The container port's name, or `tcp-CONTAINER-INDEX`.
    pub name: String,
    /// The number, at the Service and at the container.
    pub port: u16,
}

/// Settings of the controller that codecs heed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CodecSettings {
    /// Candidates for the label that tells pods apart; the first that the target selects by is taken.
    pub selector_labels: Vec<String>,
    /// Prefixes of labels and annotations that are copied to the primary; `*` is all, empty is none.
    pub include_label_prefixes: Vec<String>,
    /// Whether routing objects get an owner reference (not when they live in another cluster).
    pub own_routes: bool,
}

impl Default for CodecSettings {
    fn default() -> Self {
        Self {
            selector_labels: ["app", "name", "app.kubernetes.io/name"]
                .map(str::to_owned)
                .to_vec(),
            include_label_prefixes: Vec::new(),
            own_routes: true,
        }
    }
}
