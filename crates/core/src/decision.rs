//! What is to be done: the next status, effects in order, questions, and when to wake.

use chrono::{DateTime, Utc};
use slipway_api::{CanaryStatus, Phase};

use crate::blueprint::ApexPods;
use crate::plan::{CanaryReplicas, HookKind};
use crate::weight::Routes;

/// What to do about one release now.
///
/// # The order of effects
/// Effects are idempotent and ordered; the first failure ends the tick, and the next tick decides anew from what is then true.
/// [`Effect::Record`] marks where the status is written:
///
/// | effect | stands | because |
/// | --- | --- | --- |
/// | a step of weight ([`Effect::Route`]) | after `Record` | the weight is remembered before it is routed, so that no step is taken twice |
/// | labels of pods ([`Effect::Route`]) | before the apex selects by them, after it has ceased to | no moment has fewer of the primary's pods, or more of the canary's, than it should |
/// | traffic to the primary on rollback | after `Record`, before any scaling | the failure is remembered; P4 |
/// | scaling the target up | before `Record` | a release that says Progressing has been scaled up, or is scaled up again |
/// | scaling the target down at the end | before `Record` | Succeeded means that it was done |
/// | [`Effect::Promote`] | after `Record` of Promoting | what is promoted is pinned in the status first |
/// | [`Effect::Tell`] | last | what is told has happened; after a crash it is told again from `status.slipway.transition` |
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The status after this decision. It is written where [`Effect::Record`] stands among the effects, and only if it differs.
    pub status: CanaryStatus,
    /// What to do, in this order.
    pub effects: Vec<Effect>,
    /// What the core wants to know to go on. Questions are asked side by side, off the decision path; their answers wake it.
    pub questions: Vec<Question>,
    /// When to look again without being woken.
    pub wake: Wake,
}

/// When to look again without being woken by a watch or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wake {
    /// Never: only a change of the world matters.
    OnChange,
    /// At this time.
    At(DateTime<Utc>),
}

impl Wake {
    /// The earlier of the two.
    pub fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::At(left), Self::At(right)) => Self::At(left.min(right)),
            (Self::At(at), Self::OnChange) | (Self::OnChange, Self::At(at)) => Self::At(at),
            (Self::OnChange, Self::OnChange) => Self::OnChange,
        }
    }
}

/// One idempotent effect on the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Write the status of this decision.
    Record,
    /// Keep the canary's and the primary's Service as they should be, and the apex selecting these pods (`None`: leave the apex alone).
    Services {
        /// Which pods the apex selects.
        apex: Option<ApexPods>,
    },
    /// Create the primary and the copies of its configs from the target if there is none; wait for nothing.
    CreatePrimary {
        /// The revision that the target must still hold when it is copied.
        revision: String,
    },
    /// Make a lost primary again from the record of what was promoted last.
    RestorePrimary,
    /// Copy the target to the primary: record, config copies, template, scaler, and only if the target still holds this revision.
    Promote {
        /// The revision that was judged.
        revision: String,
    },
    /// Make the routing objects agree: weights, mirror, match.
    Route(Routes),
    /// Bring the target to this size; nothing if it has at least as many pods, or if it has any where the least will do.
    ScaleUpTarget(CanaryReplicas),
    /// Scale the target to zero.
    ScaleDownTarget,
    /// Pause the target: what is written to it from now on does not roll out.
    PauseTarget,
    /// Let the target roll out what was written to it meanwhile.
    ResumeTarget,
    /// Make sure that the primary's scaler exists.
    CreatePrimaryScaler,
    /// Keep the primary's scaler from going below so many pods: it has all the traffic back in an instant (FC-012, FC-013).
    HoldPrimaryScaler(i64),
    /// Let the primary's scaler go as far down as it says.
    ReleasePrimaryScaler,
    /// Keep the scaler of the target from scaling it up while it is meant to be at zero.
    PauseScaler,
    /// Let the scaler of the target work again.
    ResumeScaler,
    /// Take away the routing object of the kind that was in force before: the one that is in force now stands.
    RetireRoute,
    /// Give the routing objects and the apex Service back as the user had them.
    RestoreRoutes,
    /// Put our finalizer on the Canary.
    AddFinalizer,
    /// Take our finalizer off the Canary.
    RemoveFinalizer,
    /// Tell people about the transition that stands in `status.slipway.transition`: events, alerts.
    Tell,
    /// Count the end of a release in the metrics.
    Count(Outcome),
}

/// How a release ended, for the counters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Promoted after its analysis.
    Succeeded,
    /// Promoted without analysis.
    Skipped,
    /// Rolled back, or its promotion failed.
    Failed,
}

/// Something that the core wants to know from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// Who is asked what.
    pub subject: Subject,
    /// In which round: a question of a new round is asked again although an answer of an old round is there.
    pub round: Round,
}

/// Who is asked what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A hook of the plan, by its name and type.
    Hook {
        /// `spec.analysis.webhooks[].name`.
        name: String,
        /// Its type.
        kind: HookKind,
        /// The phase that its payload tells.
        phase: Phase,
    },
    /// A metric of the plan, by its place in `spec.analysis.metrics`.
    Metric {
        /// The place, from 0.
        index: usize,
    },
    /// The counters of the requests of both sides.
    Counters,
}

/// Tells one asking of a question from the next: an answer counts only for the round that it was given in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// The revision that is asked about.
    pub revision: String,
    /// When the release started that was running, or the last one before, when this was asked.
    pub epoch: Option<DateTime<Utc>>,
    /// The number of the tick, from 1; 0 for what is asked of no tick: gates before a start, rollback hooks, hooks after the end.
    pub tick: u64,
    /// The time of the answer after which this is asked again.
    pub after: Option<DateTime<Utc>>,
}
