//! The order of releases of one namespace: how one that goes first stands, as data.

use slipway_api::{CanaryStatus, Phase, Side};

use crate::decide::is_at_newest;
use crate::observation::Observation;

/// A release that another one names to go first, or that such a one names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// How it stands.
    pub standing: Standing,
    /// The releases that go before it.
    pub after: Vec<String>,
}

/// How a release stands for those that wait for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It rests, and its primary serves what its target holds.
    Rests,
    /// A release runs or is about to: its target may hold a revision that nobody has looked at yet.
    Moves,
    /// What its target holds has failed: nothing happens until a person does something.
    Failed,
}

impl Standing {
    /// How the Canary of that status stands, with what is seen of its target and the configs of that.
    ///
    /// The target counts, not what the Canary's own controller has noticed of it: two that one `kubectl apply` changes wait for each other
    /// from the start. A failed revision that was taken back to the promoted one leaves a release that rests.
    pub fn of(status: &CanaryStatus, seen: &Observation) -> Self {
        let slipway = status.slipway.as_ref();
        let acted = slipway.and_then(|slipway| slipway.acted_revision.as_deref());
        let pinned = slipway.and_then(|slipway| slipway.pinned_to) == Some(Side::Canary);
        let revision = seen.revision();
        match status.phase {
            Phase::Initialized | Phase::Succeeded | Phase::Failed
                if !pinned && is_at_newest(status, seen) =>
            {
                Self::Rests
            }
            Phase::Failed if revision.is_some() && revision.as_deref() == acted => Self::Failed,
            Phase::Empty
            | Phase::Initializing
            | Phase::Initialized
            | Phase::Waiting
            | Phase::Progressing
            | Phase::WaitingPromotion
            | Phase::Promoting
            | Phase::Finalising
            | Phase::Succeeded
            | Phase::Failed
            | Phase::Terminating
            | Phase::Terminated => Self::Moves,
        }
    }
}
