//! The promises, checked at every write.

use chrono::{DateTime, Utc};
use slipway_api::{CanaryStatus, Phase, Side};
use slipway_core::decision::{Decision, Effect};
use slipway_core::observation::Observation;
use slipway_core::plan::{Plan, Strategy};
use slipway_core::weight::Weight;

use super::world::World;
use super::{keeps, slipway};

/// What has to be remembered to judge the next write.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    /// When the last tick of the running release was recorded.
    ticked_at: Option<DateTime<Utc>>,
    /// When traffic last stopped going to the target.
    left_at: Option<DateTime<Utc>>,
    /// Since when all traffic has gone to the target.
    full_since: Option<DateTime<Utc>>,
    share: i64,
    was_edited: bool,
}

impl Oracle {
    /// Steps of the former spec and of this one are both legal from here on.
    pub(crate) fn spec_was_edited(&mut self) {
        self.was_edited = true;
    }

    /// What a decision may say, whatever becomes of it.
    pub(crate) fn decided(world: &World, seen: &Observation, decision: &Decision) {
        let again = slipway_core::decide(&world.plan, &world.stored, seen, world.now);
        assert_eq!(again, *decision, "decide is not a function");
        let records = decision.effects.contains(&Effect::Record);
        assert_eq!(
            records,
            decision.status != world.stored,
            "a status that changed is written, and no other"
        );
        let told = decision.effects.contains(&Effect::Tell);
        let counts = decision
            .effects
            .iter()
            .any(|effect| matches!(effect, Effect::Count(_) | Effect::ScaleDownTarget));
        assert!(
            records || !(told || counts),
            "without a change nothing is told, counted or scaled down: {decision:#?}\n{}",
            world.tale()
        );
    }

    /// What may be written now.
    pub(crate) fn before(&self, world: &World, effect: &Effect) {
        match effect {
            Effect::ScaleDownTarget => self.scale_down(world),
            Effect::Promote { revision } => self.promotes(world, revision),
            Effect::Route(routes) => {
                let only = [Side::Primary, Side::Canary].map(|side| world.is_alive(side));
                // In A/B testing a full weight means those whom the match selects.
                let dead = match only {
                    [true, false] => !routes.canary.is_zero() || routes.mirrored,
                    [false, true] => routes.canary != Weight::FULL,
                    [true, true] | [false, false] => false,
                };
                let is_stale = !world.stale.is_zero();
                assert!(!dead || is_stale, "P2: {routes:?}\n{}", world.tale());
            }
            _ => {}
        }
    }

    fn scale_down(&self, world: &World) {
        let tale = || world.tale();
        assert_eq!(
            world.share_of_canary(),
            0,
            "P4: scaled down under traffic\n{}",
            tale()
        );
        assert!(
            world.is_alive(Side::Primary) || !world.stale.is_zero(),
            "FC-010: the only side that answers\n{}",
            tale()
        );
        if let Some(left_at) = self.left_at {
            assert!(
                world.now - left_at >= world.plan.settle,
                "P4: not settled\n{}",
                tale()
            );
        }
    }

    fn promotes(&self, world: &World, revision: &str) {
        let release = slipway(&world.stored).release.unwrap_or_default();
        let tale = || world.tale();
        assert_eq!(world.phase(), Phase::Promoting, "P3\n{}", tale());
        assert_eq!(release.revision, revision, "P3\n{}", tale());
        let primary = world.primary.as_ref();
        let is_new = primary.is_some_and(|primary| primary.given.as_deref() != Some(revision));
        let recreates = world.target.as_ref().is_some_and(|target| target.recreates);
        if is_new && recreates {
            let since = self.full_since.filter(|_| world.share_of_canary() == 100);
            let settled = since.is_some_and(|since| world.now - since >= world.plan.settle);
            let whole = settled && world.is_alive(Side::Canary);
            assert!(
                whole || self.was_edited || !world.stale.is_zero(),
                "P7: the primary is emptied under traffic\n{}",
                tale()
            );
        }
    }

    /// Takes note of where the traffic goes now.
    pub(crate) fn routed(&mut self, share: i64, now: DateTime<Utc>) {
        if self.share > 0 && share == 0 {
            self.left_at = Some(now);
        }
        if share < 100 {
            self.full_since = None;
        } else if self.full_since.is_none() {
            self.full_since = Some(now);
        }
        self.share = share;
    }

    /// Nothing more is to be done now: traffic goes where it should (P2, INV-2), and the status says where (FC-053).
    pub(crate) fn quiet(&self, world: &World, decision: &Decision) {
        assert!(
            decision.effects.iter().all(is_repeatable),
            "not to be done without a change: {:?}\n{}",
            decision.effects,
            world.tale()
        );
        let leaves_alone = world.plan.suspend || world.deleting || !world.obstacles.is_empty();
        if leaves_alone || !world.stale.is_zero() {
            return;
        }
        let share = world.share_of_canary();
        match [Side::Primary, Side::Canary].map(|side| world.is_alive(side)) {
            [true, false] => assert_eq!(share, 0, "P2\n{}", world.tale()),
            [false, true] => assert_eq!(share, 100, "P2\n{}", world.tale()),
            [true, true] => self.only_judged(world, share),
            [false, false] => {}
        }
    }

    fn only_judged(&self, world: &World, share: i64) {
        let slipway = slipway(&world.stored);
        let (phase, release) = (world.phase(), slipway.release.unwrap_or_default());
        let target = world.observe().revision();
        let released = target.is_none_or(|revision| revision == release.revision);
        let allowed = match phase {
            Phase::Empty | Phase::Initializing => return,
            _ if !released => 0,
            _ if slipway.pinned_to == Some(Side::Canary) => 100,
            Phase::Progressing | Phase::WaitingPromotion => match world.plan.strategy {
                Strategy::AbTesting { .. } if world.stored.iterations > 0 => 100,
                _ => world.stored.canary_weight,
            },
            Phase::Promoting => world.stored.canary_weight,
            _ => 0,
        };
        // Without a mesh only all or nothing can be routed.
        let allowed = if world.plan.splits() || slipway.pinned_to.is_some() {
            world.reached(allowed)
        } else {
            0
        };
        let legal = share == allowed || self.was_edited && share < allowed;
        assert!(legal, "INV-2 in {phase}: {share}\n{}", world.tale());
    }

    /// A status is written: no step early, twice or skipped (P6), no promotion without its steps (P3).
    pub(crate) fn recorded(
        &mut self,
        plan: &Plan,
        old: &CanaryStatus,
        new: &CanaryStatus,
        now: DateTime<Utc>,
    ) {
        let releases = [old, new].map(|status| slipway(status).release.unwrap_or_default());
        let [before, after] = &releases;
        if before.started_at != after.started_at {
            self.ticked_at = None;
            return;
        }
        assert!(
            after.tick == before.tick || after.tick == before.tick + 1,
            "P6: {releases:?}"
        );
        let analyses = |status: &CanaryStatus| {
            matches!(status.phase, Phase::Progressing | Phase::WaitingPromotion)
        };
        let begins = analyses(old) && new.phase == Phase::Promoting;
        let stepped = analyses(old)
            && (new.canary_weight > old.canary_weight || new.iterations > old.iterations)
            || begins && !after.skipped;
        if stepped {
            if let Some(last) = self.ticked_at {
                assert!(
                    now - last >= plan.interval,
                    "P6: early, {} after the last",
                    now - last
                );
            }
            self.is_next_step(plan, old, new);
        }
        if after.tick > before.tick {
            self.ticked_at = Some(now);
        }
    }

    fn is_next_step(&self, plan: &Plan, old: &CanaryStatus, new: &CanaryStatus) {
        let promotes = new.phase == Phase::Promoting;
        let (weight, iterations) = (old.canary_weight, old.iterations);
        let legal = match &plan.strategy {
            Strategy::Canary { steps, .. } => {
                let next = steps.iter().map(|step| step.percent());
                let next = next.filter(|step| *step > weight).min();
                if promotes {
                    next.is_none()
                } else {
                    next == Some(new.canary_weight)
                }
            }
            Strategy::AbTesting { iterations: all } => {
                if promotes {
                    iterations >= *all
                } else {
                    new.iterations == iterations + 1 && new.iterations <= *all
                }
            }
            Strategy::BlueGreen {
                iterations: all, ..
            } => {
                let has_all = if plan.provider.has_mesh() {
                    weight == 100
                } else {
                    iterations > *all
                };
                if promotes {
                    iterations >= *all && has_all
                } else {
                    let cuts_over = new.iterations > *all;
                    let whole = !plan.provider.has_mesh()
                        || new.canary_weight == if cuts_over { 100 } else { weight };
                    new.iterations == iterations + 1 && whole
                }
            }
        };
        assert!(
            legal || self.was_edited,
            "P3, P6: from {old:#?}\nto {new:#?}"
        );
    }
}

/// What may be done again and again while the world does not follow.
fn is_repeatable(effect: &Effect) -> bool {
    let again = matches!(
        effect,
        Effect::CreatePrimary { .. }
            | Effect::RestorePrimary
            | Effect::Promote { .. }
            | Effect::CreatePrimaryScaler
            | Effect::HoldPrimaryScaler(_)
            | Effect::PauseTarget
            | Effect::ResumeScaler
            | Effect::ScaleUpTarget(_)
            | Effect::RestoreRoutes
            | Effect::AddFinalizer
            | Effect::RemoveFinalizer
    );
    again || keeps(effect)
}
