//! One look at one Canary: observe, decide, ask, act, record. The shell carries the judgement and has none.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;
use kube::core::DeserializeGuard;
use kube::runtime::controller::Action;
use slipway_api::{Canary, CanaryStatus, Phase};
use slipway_core::analysis;
use slipway_core::decide::{decide, refuse};
use slipway_core::decision::{Decision, Effect, Wake};
use slipway_core::observation::{Observation, Obstacle, ObstacleCondition};
use slipway_core::plan::{Plan, Problem, TargetKind};
use slipway_core::words;
use tracing::{debug, error, info};

use crate::act::ActError;
use crate::error::Class;
use crate::observe::obstacles;
use crate::observe::store::{CanaryKey, Sync};
use crate::observe::targets::canary_key;
use crate::observe::watches::lock;
use crate::observe::{ObserveError, View};
use crate::record::metrics::{DecisionKind, ReleaseLabels};
use crate::shell::Shell;

/// Why a look at a Canary came to nothing.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The world could not be read.
    #[error(transparent)]
    Observe(#[from] ObserveError),
    /// The world could not be written.
    #[error(transparent)]
    Act(#[from] ActError),
    /// Our own mistake, confined to this Canary.
    #[error("internal error: {0}")]
    Panic(String),
}

impl Failure {
    /// What is to be done about it.
    pub(crate) fn class(&self) -> Class {
        match self {
            Self::Observe(error) => error.class(),
            Self::Act(error) => error.class(),
            Self::Panic(_) => Class::Bug,
        }
    }
}

/// Looks at one Canary. A panic is caught, so that the others go on.
pub(crate) async fn reconcile(
    canary: Arc<DeserializeGuard<Canary>>,
    shell: Arc<Shell>,
) -> Result<Action, Failure> {
    let look = AssertUnwindSafe(look(&canary, &shell)).catch_unwind();
    match look.await {
        Ok(done) => done,
        Err(panic) => {
            shell.metrics.panicked();
            let text = panic_text(panic.as_ref());
            shell.show_panic(&canary, &text).await;
            Err(Failure::Panic(text))
        }
    }
}

async fn look(canary: &DeserializeGuard<Canary>, shell: &Shell) -> Result<Action, Failure> {
    let watched = match &canary.0 {
        Ok(watched) => watched,
        Err(invalid) => {
            shell.refuse_undecodable(invalid).await?;
            return Ok(Action::await_change());
        }
    };
    let key = canary_key(watched);
    if let Some(until) = shell.rival_until(watched) {
        shell.tell_of_rival(&key, watched).await;
        return Ok(action(Wake::At(until), shell.clock.now()));
    }
    let canary = shell.memory.newest(&key, watched);
    let status = canary.status.clone().unwrap_or_default();
    shell.tell_again(&key, &canary, &status).await;
    let tuning = shell.target_tuning(&key, &canary);
    let (plan, problems) = match shell.plan(&key, &canary, tuning.as_ref()) {
        Ok(found) => found,
        Err(_) if tuning.is_none() => {
            debug!(canary = %name(&key), "waits for its target to be listed");
            return Ok(Action::await_change());
        }
        Err(problems) => {
            let kind = canary.spec.target_ref.kind.as_str();
            let decision = refuse(
                kind,
                (&status, canary.metadata.generation),
                &problems,
                shell.clock.now(),
            );
            return shell.carry_out(&key, &canary, None, decision).await;
        }
    };
    let Some(mut view) = shell.observe(&key, &plan, &canary).await? else {
        debug!(canary = %name(&key), "waits for its kinds to be listed");
        return Ok(Action::await_change());
    };
    add_problems(&mut view.observation, problems);
    let panic = shell.memory.panic(&key);
    let panic = panic.as_deref().map(obstacles::panicked);
    view.observation.obstacles.extend(panic);
    let now = shell.clock.now();
    let (decision, woken) = shell.ledger.decide(&key, &canary, now, |turn| {
        view.observation.turn = turn;
        decide(&plan, &status, &view.observation, now)
    });
    shell.watches.wake(woken);
    shell.ask(&key, &plan, &canary, &decision.questions);
    let done = shell
        .carry_out(&key, &canary, Some((&plan, &view)), decision)
        .await;
    shell.watches.wake(
        shell
            .ledger
            .wrote(&key, || shell.memory.newest(&key, watched)),
    );
    done
}

impl Shell {
    /// The plan in force, with the mistakes of a newer spec that is not; an error without any good plan.
    fn plan(
        &self,
        key: &CanaryKey,
        canary: &Canary,
        tuning: Option<&BTreeMap<String, String>>,
    ) -> Result<(Arc<Plan>, Vec<Problem>), Vec<Problem>> {
        let Some(tuning) = tuning else {
            // Nothing is decided by this plan: it says which kinds are to be watched.
            let plan = Plan::parse(canary, &self.defaults)?;
            return Ok((Arc::new(plan), Vec::new()));
        };
        match Plan::tuned(canary, tuning, &self.defaults) {
            Ok(plan) => {
                let plan = Arc::new(plan);
                self.memory.remember_plan(key, &plan);
                Ok((plan, Vec::new()))
            }
            Err(problems) => match self.last_good_plan(key, canary) {
                Some(plan) => Ok((plan, problems)),
                None => Err(problems),
            },
        }
    }

    /// The plan of the last spec and annotations without mistakes: as this life remembers it, else as the status does.
    fn last_good_plan(&self, key: &CanaryKey, canary: &Canary) -> Option<Arc<Plan>> {
        self.memory.good_plan(key).or_else(|| {
            let slipway = canary.status.as_ref()?.slipway.as_ref()?;
            let plan = Plan::remembered(canary, &slipway.annotations, &self.defaults);
            plan.ok().map(Arc::new)
        })
    }

    /// The annotations of ours on the target, none where it does not exist; `None` while targets have not been listed.
    fn target_tuning(&self, key: &CanaryKey, canary: &Canary) -> Option<BTreeMap<String, String>> {
        let reference = &canary.spec.target_ref;
        let codec = TargetKind::of(reference).map(slipway_workloads::target);
        let Some(Ok(codec)) = codec else {
            // That there is no such target, or no codec for it, is told elsewhere.
            return Some(BTreeMap::new());
        };
        match self.watches.ensure(codec.kind(), &key.namespace, key) {
            Sync::Coming => return None,
            Sync::Done | Sync::Unavailable(_) => {}
        }
        let target = codec.kind().named(&key.namespace, &reference.name);
        let stored = lock(&self.watches.store).get(&target, key);
        Some(stored.map_or_else(BTreeMap::new, |stored| stored.tuning().clone()))
    }

    /// Does what was decided, in order; the first failure ends the tick.
    async fn carry_out(
        &self,
        key: &CanaryKey,
        canary: &Canary,
        world: Option<(&Plan, &View)>,
        decision: Decision,
    ) -> Result<Action, Failure> {
        let began = Instant::now();
        self.metrics.decision(kind_of(&decision));
        let mut newest = canary.clone();
        for effect in &decision.effects {
            debug!(canary = %name(key), ?effect, "effect");
            // What is not done within the term is another leader's to do (INV-11).
            let work = self.carry_out_one(key, &newest, world, &decision, effect);
            newest = tokio::time::timeout(self.leadership.time_left(), work)
                .await
                .map_err(|_| ActError::NotLeading)??;
        }
        let before = canary.status.clone().unwrap_or_default();
        log_transition(key, &before, &decision.status);
        if let Some((plan, _)) = world {
            self.measure(plan, &before, &decision.status, began.elapsed());
        }
        if !runs(&decision.status) {
            self.memory.forget_counters(key);
        }
        if self.memory.succeed(key) {
            // The panic is over: the next look takes its condition back.
            return Ok(Action::requeue(Duration::from_millis(1)));
        }
        Ok(action(decision.wake, self.clock.now()))
    }

    /// One effect; the Canary as it is afterwards.
    async fn carry_out_one(
        &self,
        key: &CanaryKey,
        canary: &Canary,
        world: Option<(&Plan, &View)>,
        decision: &Decision,
        effect: &Effect,
    ) -> Result<Canary, Failure> {
        match (effect, world) {
            (Effect::Record, _) => return Ok(self.record(canary, &decision.status).await?),
            (Effect::Tell, _) => self.tell(key, canary, &decision.status).await,
            (Effect::AddFinalizer, _) => return Ok(self.add_finalizer(key, canary).await?),
            (Effect::RemoveFinalizer, _) => return Ok(self.remove_finalizer(key, canary).await?),
            (effect, Some((plan, view))) => self.act(plan, canary, view, effect).await?,
            (_, None) => {}
        }
        Ok(canary.clone())
    }

    /// Shows the release in the metrics.
    fn measure(&self, plan: &Plan, before: &CanaryStatus, status: &CanaryStatus, took: Duration) {
        let labels = ReleaseLabels::new(&plan.canary.namespace, &plan.target.name);
        self.metrics.reconciled(took);
        if tick_of(before) != tick_of(status) {
            self.metrics.tick(&labels, took);
        }
        self.metrics.phase(&labels, status.phase);
        self.metrics.expect_outcomes(&labels, &plan.strategy);
        if !matches!(status.phase, Phase::Empty | Phase::Initializing) {
            let routed = status
                .slipway
                .as_ref()
                .and_then(|slipway| slipway.routed_weight);
            let weight = routed.unwrap_or(status.canary_weight);
            self.metrics
                .weight(&labels, slipway_core::weight::Weight::clamped(weight));
        }
        let slipway = status.slipway.as_ref();
        let release = slipway.and_then(|slipway| slipway.release.as_ref());
        if let Some(known) = release.and_then(|release| release.evidence.as_deref()) {
            let worse = analysis::evidence(known, &plan.judge, plan.steps().len());
            let would = known.would.as_deref();
            let rolled_back = would.is_some_and(|would| would.starts_with(words::ROLLED_BACK));
            self.metrics.evidence(&labels, worse, rolled_back);
        }
    }
}

/// Whether a release is judged.
fn runs(status: &CanaryStatus) -> bool {
    matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion)
}

/// The tick that a release has reached.
fn tick_of(status: &CanaryStatus) -> u64 {
    let release = status
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.release.as_ref());
    release.map_or(0, |release| release.tick)
}

fn add_problems(observation: &mut Observation, problems: Vec<Problem>) {
    let obstacles = problems.into_iter().map(|problem| Obstacle {
        condition: ObstacleCondition::InvalidSpec,
        problem,
    });
    observation.obstacles.extend(obstacles);
}

fn kind_of(decision: &Decision) -> DecisionKind {
    if decision.questions.is_empty() {
        DecisionKind::Act
    } else {
        DecisionKind::Ask
    }
}

fn action(wake: Wake, now: DateTime<Utc>) -> Action {
    match wake {
        Wake::OnChange => Action::await_change(),
        Wake::At(at) => {
            // A millisecond late rather than early: an early look would have to look again.
            let wait =
                at.signed_duration_since(now).max(TimeDelta::zero()) + TimeDelta::milliseconds(1);
            Action::requeue(wait.to_std().unwrap_or(Duration::from_millis(1)))
        }
    }
}

/// How long a Canary whose look failed waits for the next one, by how often it failed in a row and by what is to be done about the failure.
pub(crate) fn back_off(failure: &Failure, failures: u32) -> Duration {
    let (first, longest) = match failure.class() {
        Class::Conflict => (Duration::from_millis(20), Duration::from_secs(5)),
        Class::Transient => (Duration::from_millis(250), Duration::from_secs(15)),
        Class::Denied | Class::Invalid | Class::Bug => {
            (Duration::from_secs(2), Duration::from_mins(1))
        }
    };
    first
        .saturating_mul(1_u32.checked_shl(failures.min(16)).unwrap_or(u32::MAX))
        .min(longest)
}

fn log_transition(key: &CanaryKey, before: &CanaryStatus, after: &CanaryStatus) {
    let unchanged = before.phase == after.phase
        && before.canary_weight == after.canary_weight
        && before.failed_checks == after.failed_checks
        && before.iterations == after.iterations;
    if unchanged {
        return;
    }
    let why = after
        .slipway
        .as_ref()
        .and_then(|slipway| slipway.reason.as_deref())
        .unwrap_or_default();
    info!(
        canary = %name(key), phase = %after.phase, from = %before.phase, weight = after.canary_weight,
        iterations = after.iterations, failed_checks = after.failed_checks, why, "transition"
    );
}

/// `test/podinfo`.
pub(crate) fn name(key: &CanaryKey) -> String {
    format!("{}/{}", key.namespace, key.name)
}

/// What a panic said, bounded; it is logged here.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(ToString::to_string);
    let text = text.or_else(|| panic.downcast_ref::<String>().cloned());
    let text = text.unwrap_or_else(|| "a panic without text".to_owned());
    error!(panic = %text, "the work on a Canary panicked");
    text.chars().take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_canary_backs_off_alone_and_never_for_long_after_a_conflict() {
        let conflict = Failure::Act(ActError::Superseded);
        assert_eq!(back_off(&conflict, 0), Duration::from_millis(20));
        assert_eq!(back_off(&conflict, 30), Duration::from_secs(5));
        let bug = Failure::Panic(String::new());
        assert_eq!(back_off(&bug, 0), Duration::from_secs(2));
        assert_eq!(back_off(&bug, 9), Duration::from_mins(1));
    }

    #[test]
    fn a_deadline_is_looked_at_when_it_is_over_and_not_before() {
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        assert_eq!(
            action(Wake::At(now + TimeDelta::seconds(3)), now),
            Action::requeue(Duration::from_millis(3001))
        );
        assert_eq!(
            action(Wake::At(now - TimeDelta::seconds(3)), now),
            Action::requeue(Duration::from_millis(1))
        );
        assert_eq!(action(Wake::OnChange, now), Action::await_change());
    }
}
