//! The Deployment controller: one `ReplicaSet` for each template, and the way from one to the next.
//!
//! **Source**: `pkg/controller/deployment` of Kubernetes. Left out: `ReplicaSet` adoption, collision counts, proportional scaling while a roll-out
//! runs (it is there while paused).

use super::conditions::{Condition, Rounding, condition, owned_by, portion, template_hash, wanted};
use super::rollout;
use crate::clock::parse_time;
use crate::json::{dig, int, is_true, set, text};
use crate::server::Api;
use crate::server::kinds;
use crate::server::store::{Key, Object};
use chrono::TimeDelta;
use serde_json::{Value, json};
use std::sync::Arc;
use std::time::Duration;

const HASH: &str = "pod-template-hash";
const REVISION: &str = "deployment.kubernetes.io/revision";

/// A Deployment with its sets, oldest first.
#[derive(Debug)]
pub(super) struct Fleet {
    pub(super) deployment: Arc<Object>,
    pub(super) current: Option<Arc<Object>>,
    pub(super) old: Vec<Arc<Object>>,
}

impl Fleet {
    pub(super) fn read(api: &Api, key: &Key) -> Option<Self> {
        let deployment = Arc::clone(api.store.get(kinds::DEPLOYMENT, key)?);
        let hash = template_hash(dig(&deployment, &["spec", "template"]));
        let sets = api.store.owned(deployment.uid(), kinds::REPLICA_SET);
        let (mut current, mut old): (Vec<_>, Vec<_>) = sets
            .cloned()
            .partition(|set| text(set, &["metadata", "labels", HASH]) == hash);
        old.sort_by_key(|set| (revision(set), set.name().to_owned()));
        Some(Self {
            deployment,
            current: current.pop(),
            old,
        })
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Arc<Object>> {
        self.old.iter().chain(&self.current)
    }

    pub(super) fn wanted(&self) -> i64 {
        wanted(&self.deployment)
    }

    pub(super) fn max_surge(&self) -> i64 {
        let value = dig(
            &self.deployment,
            &["spec", "strategy", "rollingUpdate", "maxSurge"],
        );
        portion(value, self.wanted(), Rounding::Up)
    }

    /// Never zero beside a surge of zero, or nothing could move.
    pub(super) fn max_unavailable(&self) -> i64 {
        if text(&self.deployment, &["spec", "strategy", "type"]) == "Recreate" {
            return 0;
        }
        let value = dig(
            &self.deployment,
            &["spec", "strategy", "rollingUpdate", "maxUnavailable"],
        );
        let unavailable = portion(value, self.wanted(), Rounding::Down).min(self.wanted());
        if unavailable == 0 && self.max_surge() == 0 {
            1
        } else {
            unavailable
        }
    }
}

fn revision(set: &Value) -> i64 {
    text(set, &["metadata", "annotations", REVISION])
        .parse()
        .unwrap_or(0)
}

pub(super) fn sync(api: &mut Api, key: &Key, by: &Arc<str>) -> Option<Duration> {
    let fleet = Fleet::read(api, key)?;
    let is_paused = is_true(&fleet.deployment, &["spec", "paused"]);
    let mut news = None;
    if !fleet.deployment.is_going() {
        if is_paused {
            rollout::scale(api, &fleet, by);
        } else {
            news = rollout::advance(api, &fleet, by);
            clean_up(api, key, by);
        }
    }
    write_status(api, key, by, news)
}

/// Makes the set of the current template.
pub(super) fn make_set(
    api: &mut Api,
    fleet: &Fleet,
    replicas: i64,
    by: &Arc<str>,
) -> Option<Arc<Object>> {
    let deployment = &fleet.deployment;
    let hash = template_hash(dig(deployment, &["spec", "template"]));
    let mut template = dig(deployment, &["spec", "template"]).clone();
    set(&mut template, &["metadata", "labels", HASH], hash.as_str());
    let mut selector = dig(deployment, &["spec", "selector"]).clone();
    set(&mut selector, &["matchLabels", HASH], hash.as_str());
    let next = fleet.old.iter().map(|set| revision(set)).max().unwrap_or(0) + 1;
    let set = json!({
        "metadata": {
            "name": format!("{}-{hash}", deployment.name()), "namespace": deployment.namespace(),
            "labels": dig(&template, &["metadata", "labels"]), "annotations": {REVISION: next.to_string()},
            "ownerReferences": owned_by(deployment),
        },
        "spec": {
            "replicas": replicas, "selector": selector, "template": template,
            "minReadySeconds": int(deployment, &["spec", "minReadySeconds"]).unwrap_or(0),
        },
    });
    api.make(kinds::REPLICA_SET, set, by)
}

/// A set that is current again is the newest revision again.
pub(super) fn renew_revision(api: &mut Api, fleet: &Fleet, by: &Arc<str>) {
    let newest = fleet.old.iter().map(|set| revision(set)).max().unwrap_or(0);
    if let Some(current) = fleet.current.as_ref().filter(|set| revision(set) <= newest) {
        api.edit(kinds::REPLICA_SET, &current.key(), by, "", |live| {
            set(
                live,
                &["metadata", "annotations", REVISION],
                (newest + 1).to_string(),
            );
        });
    }
}

pub(super) fn resize(api: &mut Api, set_of: &Object, replicas: i64, by: &Arc<str>) {
    api.edit(kinds::REPLICA_SET, &set_of.key(), by, "", |live| {
        set(live, &["spec", "replicas"], replicas);
    });
}

/// Takes old sets away that nobody can want back.
fn clean_up(api: &mut Api, key: &Key, by: &Arc<str>) {
    let Some(fleet) = Fleet::read(api, key) else {
        return;
    };
    let limit = int(&fleet.deployment, &["spec", "revisionHistoryLimit"]).unwrap_or(10);
    let unused: Vec<&Arc<Object>> = fleet
        .old
        .iter()
        .filter(|set| {
            wanted(set) == 0
                && int(set, &["status", "replicas"]).unwrap_or(0) == 0
                && !set.is_going()
        })
        .collect();
    let surplus = unused
        .len()
        .saturating_sub(usize::try_from(limit).unwrap_or(0));
    let gone: Vec<Key> = unused.iter().take(surplus).map(|set| set.key()).collect();
    for key in gone {
        api.discard(kinds::REPLICA_SET, &key, by);
    }
}

/// The numbers of a status.
#[derive(Clone, Copy, Debug)]
struct Count {
    replicas: i64,
    updated: i64,
    ready: i64,
    available: i64,
    unavailable: i64,
}

impl Count {
    fn of(fleet: &Fleet) -> Self {
        let sum = |field: &str| {
            fleet
                .all()
                .filter_map(|set| int(set, &["status", field]))
                .sum::<i64>()
        };
        let updated = fleet
            .current
            .as_ref()
            .and_then(|set| int(set, &["status", "replicas"]));
        let asked: i64 = fleet.all().map(|set| wanted(set)).sum();
        let available = sum("availableReplicas");
        Self {
            replicas: sum("replicas"),
            updated: updated.unwrap_or(0),
            ready: sum("readyReplicas"),
            available,
            unavailable: (asked - available).max(0),
        }
    }

    fn before(deployment: &Value) -> Self {
        let field = |name: &str| int(deployment, &["status", name]).unwrap_or(0);
        Self {
            replicas: field("replicas"),
            updated: field("updatedReplicas"),
            ready: field("readyReplicas"),
            available: field("availableReplicas"),
            unavailable: field("unavailableReplicas"),
        }
    }

    fn is_complete(self, fleet: &Fleet) -> bool {
        self.updated == fleet.wanted()
            && self.replicas == fleet.wanted()
            && self.available == fleet.wanted()
    }

    fn is_progress_since(self, before: Self) -> bool {
        self.updated > before.updated
            || self.replicas - self.updated < before.replicas - before.updated
            || self.ready > before.ready
            || self.available > before.available
    }
}

/// What happened to the current set in this look.
#[derive(Clone, Debug)]
pub(super) enum News {
    Made(String),
    Found(String),
}

fn write_status(api: &mut Api, key: &Key, by: &Arc<str>, news: Option<News>) -> Option<Duration> {
    let fleet = Fleet::read(api, key)?;
    let (count, stamp) = (Count::of(&fleet), api.clock.stamp());
    let mut conditions = crate::json::list(&fleet.deployment, &["status", "conditions"]).to_vec();
    available(&fleet, count).put_with_update(&mut conditions, &stamp);
    if let Some(progress) = progressing(api, &fleet, count, news) {
        progress.put_with_update(&mut conditions, &stamp);
    }
    let mut status = json!({"observedGeneration": dig(&fleet.deployment, &["metadata", "generation"]), "conditions": conditions});
    for (field, number) in [
        ("replicas", count.replicas),
        ("updatedReplicas", count.updated),
        ("readyReplicas", count.ready),
        ("availableReplicas", count.available),
        ("unavailableReplicas", count.unavailable),
    ] {
        if number != 0 {
            set(&mut status, &[field], number);
        }
    }
    let revision = fleet.current.as_ref().map(|set| revision(set).to_string());
    let written = api.edit(kinds::DEPLOYMENT, key, by, "status", |live| {
        set(live, &["status"], status);
        if let Some(revision) = revision {
            set(live, &["metadata", "annotations", REVISION], revision);
        }
    })?;
    until_deadline(api, &written)
}

fn available(fleet: &Fleet, count: Count) -> Condition<'static> {
    let least = fleet.wanted() - fleet.max_unavailable();
    let (status, reason, message) = if count.available >= least {
        (
            "True",
            "MinimumReplicasAvailable",
            "Deployment has minimum availability.",
        )
    } else {
        (
            "False",
            "MinimumReplicasUnavailable",
            "Deployment does not have minimum availability.",
        )
    };
    Condition {
        kind: "Available",
        status,
        reason,
        message: message.to_owned(),
    }
}

/// The condition `Progressing` as it is to be, `None` where it stays.
fn progressing(
    api: &Api,
    fleet: &Fleet,
    count: Count,
    news: Option<News>,
) -> Option<Condition<'static>> {
    let known = condition(&fleet.deployment, "Progressing");
    let reason = text(known, &["reason"]);
    let name = fleet.current.as_ref().map_or_else(
        || fleet.deployment.name().to_owned(),
        |set| set.name().to_owned(),
    );
    let say = |status, reason, message: String| {
        Some(Condition {
            kind: "Progressing",
            status,
            reason,
            message,
        })
    };
    let is_paused = is_true(&fleet.deployment, &["spec", "paused"]);
    if is_paused {
        let changes = reason != "DeploymentPaused" && reason != "ProgressDeadlineExceeded";
        return if changes {
            say(
                "Unknown",
                "DeploymentPaused",
                "Deployment is paused".to_owned(),
            )
        } else {
            None
        };
    }
    match news {
        Some(News::Made(set)) => {
            return say(
                "True",
                "NewReplicaSetCreated",
                format!("Created new replica set \"{set}\""),
            );
        }
        Some(News::Found(set)) if known.is_null() => {
            return say(
                "True",
                "FoundNewReplicaSet",
                format!("Found new replica set \"{set}\""),
            );
        }
        Some(News::Found(_)) | None => {}
    }
    if reason == "DeploymentPaused" {
        return say(
            "Unknown",
            "DeploymentResumed",
            "Deployment is resumed".to_owned(),
        );
    }
    let was_complete = count.replicas == count.updated && reason == "NewReplicaSetAvailable";
    if was_complete {
        return None;
    }
    if count.is_complete(fleet) {
        return say(
            "True",
            "NewReplicaSetAvailable",
            format!("ReplicaSet \"{name}\" has successfully progressed."),
        );
    }
    if count.is_progress_since(Count::before(&fleet.deployment)) {
        return say(
            "True",
            "ReplicaSetUpdated",
            format!("ReplicaSet \"{name}\" is progressing."),
        );
    }
    let is_late = until_deadline(api, &fleet.deployment).is_some_and(|rest| rest.is_zero());
    if is_late {
        return say(
            "False",
            "ProgressDeadlineExceeded",
            format!("ReplicaSet \"{name}\" has timed out progressing."),
        );
    }
    None
}

/// How long until a roll-out without progress is too late; `None` where no deadline runs.
fn until_deadline(api: &Api, deployment: &Object) -> Option<Duration> {
    let known = condition(deployment, "Progressing");
    let reason = text(known, &["reason"]);
    if matches!(
        reason,
        "" | "NewReplicaSetAvailable" | "ProgressDeadlineExceeded" | "DeploymentPaused"
    ) {
        return None;
    }
    let limit = int(deployment, &["spec", "progressDeadlineSeconds"])?;
    let since = parse_time(text(known, &["lastUpdateTime"]))?;
    // Strictly after the deadline, and the time in the status is in whole seconds.
    let rest = since + TimeDelta::seconds(limit) - api.clock.now();
    Some(rest.to_std().unwrap_or(Duration::ZERO))
}

impl Condition<'_> {
    /// As [`Self::put`], with the time of update that Deployments keep; equal status and reason leave everything as it was.
    fn put_with_update(&self, conditions: &mut Vec<Value>, now: &str) {
        let known = conditions
            .iter()
            .find(|it| text(it, &["type"]) == self.kind);
        let is_same = known.is_some_and(|known| {
            text(known, &["status"]) == self.status && text(known, &["reason"]) == self.reason
        });
        let is_progress = self.reason == "ReplicaSetUpdated";
        if is_same && !is_progress {
            return;
        }
        self.put(conditions, now);
        if let Some(made) = conditions
            .iter_mut()
            .find(|it| text(it, &["type"]) == self.kind)
        {
            set(made, &["lastUpdateTime"], now);
        }
    }
}
