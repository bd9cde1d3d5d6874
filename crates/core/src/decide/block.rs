//! What stands in the way: shown by a condition, told once, and nothing of the user's is touched (P10, A12).

use chrono::{DateTime, Utc};
use slipway_api::{CanaryStatus, Phase, SLIPWAY_STATUS_VERSION, Transition};

use super::draft::Draft;
use super::order;
use crate::conditions::{self, Hindrance};
use crate::decision::{Decision, Effect, Wake};
use crate::observation::{Obstacle, ObstacleCondition};
use crate::plan::Problem;
use crate::words;

/// Shows the obstacles of this observation; whether they stop everything.
///
/// A mistake of the user's stops the start of a release, never the protection of one that runs.
pub(super) fn block(draft: &mut Draft<'_>) -> bool {
    let seen = &draft.case.seen.obstacles;
    let of_order = order::obstacles(&draft.case);
    let all: Vec<Obstacle> = seen.iter().cloned().chain(of_order).collect();
    let hindrance = hindrance(&all);
    draft.show(hindrance);
    seen.iter()
        .any(|obstacle| stops(obstacle.condition, draft.status.phase))
}

fn stops(condition: ObstacleCondition, phase: Phase) -> bool {
    match condition {
        ObstacleCondition::Stalled
        | ObstacleCondition::UnsupportedProvider
        | ObstacleCondition::ProviderUnavailable => true,
        ObstacleCondition::InvalidSpec => matches!(phase, Phase::Empty | Phase::Initializing),
        // The first holds a start and nothing else, a route that is refused keeps nobody from going back; of the last what panicked may have gone.
        ObstacleCondition::DependencyFailed
        | ObstacleCondition::RoutingIneffective
        | ObstacleCondition::InternalError => false,
    }
}

fn hindrance(obstacles: &[Obstacle]) -> Option<Hindrance> {
    let condition = obstacles.iter().map(|obstacle| obstacle.condition).max()?;
    let message: Vec<String> = obstacles
        .iter()
        .map(|obstacle| obstacle.problem.to_string())
        .collect();
    Some(Hindrance {
        condition,
        message: message.join("; "),
    })
}

/// The decision for a Canary of that status and generation that cannot be planned and has no good plan from before: say what is wrong, and leave everything as it is.
pub fn refuse(
    target_kind: &str,
    (status, generation): (&CanaryStatus, Option<i64>),
    problems: &[Problem],
    now: DateTime<Utc>,
) -> Decision {
    let obstacles: Vec<Obstacle> = problems
        .iter()
        .map(|problem| Obstacle {
            condition: ObstacleCondition::InvalidSpec,
            problem: problem.clone(),
        })
        .collect();
    let hindrance = hindrance(&obstacles);
    let mut next = status.clone();
    let mut effects = Vec::new();
    let message = hindrance
        .as_ref()
        .map(|hindrance| hindrance.message.clone());
    // A status that Flagger wrote is left foreign: it is taken over once there is a plan.
    let told = status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.problem.clone());
    if (status.slipway.is_some() || matches!(status.phase, Phase::Empty | Phase::Initializing))
        && told != message
    {
        let slipway = next.slipway.get_or_insert_default();
        slipway.version = SLIPWAY_STATUS_VERSION;
        slipway.problem.clone_from(&message);
        let number = slipway
            .transition
            .as_ref()
            .map_or(0, |transition| transition.number)
            + 1;
        let notes = message.map(words::warning).into_iter().collect();
        slipway.transition = Some(Transition {
            number,
            at: Some(now),
            notes,
        });
        effects.push(Effect::Tell);
    }
    conditions::update(&mut next, target_kind, hindrance.as_ref(), now);
    if next != *status {
        next.last_transition_time = Some(now);
    }
    next.observed_generation = generation.unwrap_or(next.observed_generation);
    if next != *status {
        effects.insert(0, Effect::Record);
    }
    Decision {
        status: next,
        effects,
        questions: Vec::new(),
        wake: Wake::OnChange,
    }
}
