//! How a Deployment gets from its old sets to the current one.

use super::conditions::wanted;
use super::deployment::{Fleet, News, make_set, renew_revision, resize};
use crate::json::{int, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::Object;
use std::sync::Arc;

/// One move of the strategy.
pub(super) fn advance(api: &mut Api, fleet: &Fleet, by: &Arc<str>) -> Option<News> {
    if text(&fleet.deployment, &["spec", "strategy", "type"]) == "Recreate" {
        recreate(api, fleet, by)
    } else {
        roll(api, fleet, by)
    }
}

/// All old pods go, then the new ones come.
fn recreate(api: &mut Api, fleet: &Fleet, by: &Arc<str>) -> Option<News> {
    let mut is_shrinking = false;
    for set in fleet.old.iter().filter(|set| wanted(set) > 0) {
        resize(api, set, 0, by);
        is_shrinking = true;
    }
    let is_running = |set: &Arc<Object>| {
        let mut pods = api.store.owned(set.uid(), kinds::POD);
        pods.any(|pod| !matches!(text(pod, &["status", "phase"]), "Failed" | "Succeeded"))
    };
    if is_shrinking || fleet.old.iter().any(is_running) {
        return None;
    }
    match &fleet.current {
        None => {
            make_set(api, fleet, fleet.wanted(), by).map(|set| News::Made(set.name().to_owned()))
        }
        Some(current) => {
            renew_revision(api, fleet, by);
            if wanted(current) != fleet.wanted() {
                resize(api, current, fleet.wanted(), by);
            }
            Some(News::Found(current.name().to_owned()))
        }
    }
}

/// New pods within the surge, old pods within what may be unavailable.
fn roll(api: &mut Api, fleet: &Fleet, by: &Arc<str>) -> Option<News> {
    let replicas = fleet.wanted();
    let asked: i64 = fleet.all().map(|set| wanted(set)).sum();
    let room = replicas + fleet.max_surge() - asked;
    let Some(current) = &fleet.current else {
        let first = room.min(replicas).max(0);
        return make_set(api, fleet, first, by).map(|set| News::Made(set.name().to_owned()));
    };
    renew_revision(api, fleet, by);
    let news = Some(News::Found(current.name().to_owned()));
    let has = wanted(current);
    if has > replicas {
        resize(api, current, replicas, by);
        return news;
    }
    if has < replicas && room > 0 {
        resize(api, current, has + room.min(replicas - has), by);
        return news;
    }
    shrink_old(api, fleet, current, by);
    news
}

fn available(set: &Object) -> i64 {
    int(set, &["status", "availableReplicas"]).unwrap_or(0)
}

fn shrink_old(api: &mut Api, fleet: &Fleet, current: &Object, by: &Arc<str>) {
    let asked: i64 = fleet.all().map(|set| wanted(set)).sum();
    let least = fleet.wanted() - fleet.max_unavailable();
    let missing = wanted(current) - available(current);
    let mut surplus = asked - least - missing;
    if surplus <= 0 {
        return;
    }
    // Pods that serve nobody go first: they cost nothing.
    let mut sizes: Vec<(&Arc<Object>, i64)> =
        fleet.old.iter().map(|set| (set, wanted(set))).collect();
    for (set, size) in &mut sizes {
        let useless = (*size - available(set)).clamp(0, surplus);
        *size -= useless;
        surplus -= useless;
    }
    let mut spare = fleet.all().map(|set| available(set)).sum::<i64>() - least;
    for (_, size) in &mut sizes {
        let goes = (*size).min(spare).max(0);
        *size -= goes;
        spare -= goes;
    }
    for (set, size) in sizes {
        if size != wanted(set) {
            resize(api, set, size, by);
        }
    }
}

/// Size without change of template: what a paused Deployment still does.
pub(super) fn scale(api: &mut Api, fleet: &Fleet, by: &Arc<str>) {
    let active: Vec<&Arc<Object>> = fleet.all().filter(|set| wanted(set) > 0).collect();
    match active.as_slice() {
        [] => {
            let newest = fleet.current.as_ref().or_else(|| fleet.old.last());
            if let Some(set) = newest.filter(|set| wanted(set) != fleet.wanted()) {
                resize(api, set, fleet.wanted(), by);
            }
        }
        [only] => {
            if wanted(only) != fleet.wanted() {
                resize(api, only, fleet.wanted(), by);
            }
        }
        several => in_proportion(api, fleet, several, by),
    }
}

fn in_proportion(api: &mut Api, fleet: &Fleet, sets: &[&Arc<Object>], by: &Arc<str>) {
    let has: i64 = sets.iter().map(|set| wanted(set)).sum();
    let room = if fleet.wanted() > 0 {
        fleet.wanted() + fleet.max_surge()
    } else {
        0
    };
    let within = fleet.wanted() <= has && has <= room;
    if within || has == 0 {
        return;
    }
    let goal = if has > room { room } else { fleet.wanted() };
    let mut left = goal;
    for (at, set) in sets.iter().enumerate() {
        let is_last = at + 1 == sets.len();
        let size = if is_last {
            left
        } else {
            (wanted(set) * goal / has).min(left)
        };
        left -= size;
        if size != wanted(set) {
            resize(api, set, size, by);
        }
    }
}
