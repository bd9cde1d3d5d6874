//! The labels of the series: names of living objects, or words of closed sets.

use prometheus_client::encoding::EncodeLabelSet;

/// A release, as the labels name it: by its **target**, not by its Canary.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub struct ReleaseLabels {
    /// The name of the target.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
}

impl ReleaseLabels {
    /// The labels of the release of that target.
    pub fn new(namespace: &str, target: &str) -> Self {
        Self {
            name: target.to_owned(),
            namespace: namespace.to_owned(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct InfoLabels {
    pub(super) version: &'static str,
    pub(super) mesh_provider: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct NamespaceLabels {
    pub(super) namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct WorkloadLabels {
    pub(super) workload: String,
    pub(super) namespace: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ReadingLabels {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) metric: String,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, EncodeLabelSet)]
pub(super) struct OutcomeLabels {
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) deployment_strategy: &'static str,
    pub(super) analysis_status: &'static str,
}

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ApiLabels {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `other`.
    pub verb: &'static str,
    /// The plural name of the kind.
    pub resource: String,
    /// The HTTP status; 0 when no answer came.
    pub code: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct KindLabels {
    pub(super) kind: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ClassLabels {
    pub(super) class: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct ResultLabels {
    pub(super) result: &'static str,
}

/// What a call of `decide` came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DecisionKind {
    /// There was nothing to do.
    Rest,
    /// There were effects.
    Act,
    /// There were questions, and no effects.
    Ask,
}

/// What became of something that people were to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Delivery {
    /// It was delivered.
    Sent,
    /// It was not, after every try.
    Failed,
    /// There was no room for it, or no time.
    Dropped,
    /// It had been delivered before.
    Repeated,
}

impl Delivery {
    pub(super) const ALL: [Self; 4] = [Self::Sent, Self::Failed, Self::Dropped, Self::Repeated];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Dropped => "dropped",
            Self::Repeated => "repeated",
        }
    }
}

impl DecisionKind {
    pub(super) const ALL: [Self; 3] = [Self::Rest, Self::Act, Self::Ask];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Rest => "rest",
            Self::Act => "act",
            Self::Ask => "ask",
        }
    }
}
