//! Which kind of routing object is in force, for providers that have several, and what of it there is.

use std::sync::Arc;

use serde_json::Value;
use slipway_api::{Canary, Phase};
use slipway_core::blueprint::Blueprint;
use slipway_core::object::{Kind, Objects};
use slipway_core::observation::{Instead, RouteChoice};
use slipway_core::plan::Plan;
use slipway_traffic::Router;

use super::Codecs;
use super::store::{CanaryKey, Sync};
use crate::shell::Shell;

impl Shell {
    /// Puts the backend into the codecs whose kinds are installed: a running release keeps the one that it began with, at rest the first of the
    /// provider's is taken. `None` while it is not known what is installed.
    pub(super) fn choose_route(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        canary: &Canary,
        codecs: &mut Codecs,
    ) -> Option<RouteChoice> {
        let Ok((first, others)) = slipway_traffic::backends(&plan.provider) else {
            return Some(RouteChoice::default());
        };
        let (known, phase) = (known_route(canary, first), phase_of(canary));
        let mut choice = RouteChoice::default();
        if let Some(known) = known.filter(|_| is_running(phase)) {
            // Versions and dialects of one kind are one route: the provider says which.
            let all = others.iter().copied().chain([first]);
            let same = all.filter(|router| router.route() == known.route()).last();
            codecs.router = same.unwrap_or(known);
        } else {
            let calls = slipway_traffic::for_grpc(plan, canary).filter(|calls| {
                let is_new = matches!(phase, Phase::Empty | Phase::Initializing);
                is_new || known.is_some_and(|known| known.route() == calls.route())
            });
            (codecs.router, choice.instead) =
                self.first_installed(key, plan, calls, (first, others))?;
        }
        if let Some(known) = known.filter(|known| known.route() != codecs.router.route()) {
            let is_there = match self.state_of(key, plan, known) {
                Sync::Coming => return None,
                Sync::Done => true,
                // Its objects have gone with their kind.
                Sync::Unavailable(_) => false,
            };
            choice.leaves = is_there;
            codecs.former = is_there.then_some(known);
        }
        choice.name = codecs.router.route().map(str::to_owned);
        Some(choice)
    }

    /// The first backend whose kinds are all served, of those for calls, then of the provider's; where none is, the provider's first, of which it is
    /// then told what is missing.
    fn first_installed(
        &self,
        key: &CanaryKey,
        plan: &Plan,
        calls: Option<&'static dyn Router>,
        (first, others): slipway_traffic::Alternatives,
    ) -> Option<(&'static dyn Router, Option<Instead>)> {
        if calls.is_none() && others.is_empty() {
            return Some((first, None));
        }
        let mut missing: Vec<String> = Vec::new();
        for router in calls
            .into_iter()
            .chain([first])
            .chain(others.iter().copied())
        {
            match self.state_of(key, plan, router) {
                Sync::Coming => return None,
                Sync::Done if missing.is_empty() => return Some((router, None)),
                Sync::Done => {
                    let by = router
                        .kinds(plan)
                        .first()
                        .map_or_else(String::new, of_group);
                    let missing = missing.join("; ");
                    return Some((router, Some(Instead { by, missing })));
                }
                Sync::Unavailable(why) => missing.push(why),
            }
        }
        Some((first, None))
    }

    /// Whether all kinds of a backend are there; else what is missing.
    fn state_of(&self, key: &CanaryKey, plan: &Plan, router: &dyn Router) -> Sync {
        let kinds = router.kinds(plan);
        // All of them are begun before the first is waited for.
        let states: Vec<_> = kinds
            .iter()
            .map(|kind| (kind, self.watches.ensure(*kind, &key.namespace, key)))
            .collect();
        for (kind, state) in states {
            match state {
                Sync::Done => {}
                Sync::Coming => return Sync::Coming,
                Sync::Unavailable(why) => {
                    let Kind {
                        plural,
                        api_version,
                        ..
                    } = kind;
                    let text = format!("{plural} of {api_version} cannot be had ({why})");
                    return Sync::Unavailable(text);
                }
            }
        }
        Sync::Done
    }

    /// The objects that a backend needs: asked again with what was found, until it names nothing new; no backend needs more than a few rounds.
    pub(super) fn gather_routes(
        &self,
        key: &CanaryKey,
        router: &dyn Router,
        blueprint: &Blueprint<'_>,
        objects: &mut Objects,
    ) {
        for _ in 0..8 {
            let needed = router.needs(blueprint, objects);
            let before = objects.len();
            let (seen, unseen): (Vec<_>, Vec<_>) = needed
                .into_iter()
                .partition(|object| self.watches.sees(&object.namespace));
            // What stands where we may not look is taken to be there.
            objects.extend(
                unseen
                    .into_iter()
                    .map(|object| (object, Arc::new(Value::Null))),
            );
            self.gather(key, seen, objects);
            if objects.len() == before {
                break;
            }
        }
    }
}

/// The backend whose kind of route is in force: as the status remembers it, else the one that a Flagger has left.
fn known_route(canary: &Canary, first: &'static dyn Router) -> Option<&'static dyn Router> {
    let status = canary.status.as_ref()?;
    let name = status.slipway.as_ref().and_then(|it| it.route.as_deref());
    let is_foreign = slipway_core::decide::is_foreign(status);
    match name {
        Some(name) => slipway_traffic::of_route(name),
        None => is_foreign
            .then_some(first)
            .filter(|it| it.route().is_some()),
    }
}

fn phase_of(canary: &Canary) -> Phase {
    canary
        .status
        .as_ref()
        .map_or(Phase::Empty, |status| status.phase)
}

/// Whether a release runs: it keeps its kind of route until it rests.
fn is_running(phase: Phase) -> bool {
    match phase {
        Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating => true,
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminated => false,
    }
}

fn of_group(kind: &Kind) -> String {
    format!("{} of {}", kind.kind, kind.api_version)
}
