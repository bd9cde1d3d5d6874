//! As much of a Deployment and its controller as a release sees.

use chrono::{DateTime, TimeDelta, Utc};
use slipway_core::observation::Workload;

use super::hash;

/// How long the controller of Deployments takes to notice a change.
const LAG: TimeDelta = TimeDelta::milliseconds(500);

/// One pod: when it is ready, if ever.
#[derive(Clone, Debug)]
struct Pod {
    revision: String,
    ready_at: Option<DateTime<Utc>>,
}

/// A Deployment with its pods.
#[derive(Clone, Debug)]
pub(crate) struct Deployment {
    pub(crate) template: String,
    pub(crate) given: Option<String>,
    pub(crate) replicas: i64,
    pub(crate) recreates: bool,
    pub(crate) gives_up: bool,
    generation: i64,
    observed: i64,
    changed_at: DateTime<Utc>,
    pods: Vec<Pod>,
}

impl Deployment {
    pub(crate) fn new(template: &str, replicas: i64, now: DateTime<Utc>) -> Self {
        Self {
            template: template.to_owned(),
            given: None,
            replicas,
            recreates: false,
            gives_up: false,
            generation: 1,
            observed: 0,
            changed_at: now,
            pods: Vec::new(),
        }
    }

    /// Changes the spec.
    pub(crate) fn change(&mut self, now: DateTime<Utc>, change: impl FnOnce(&mut Self)) {
        change(self);
        self.generation += 1;
        self.changed_at = now;
    }

    /// Ready pods.
    pub(crate) fn ready(&self, now: DateTime<Utc>) -> i64 {
        self.count(|pod| pod.is_ready(now))
    }

    /// The revisions of its ready pods.
    pub(crate) fn answers_with(&self, now: DateTime<Utc>) -> Vec<&str> {
        let ready = self.pods.iter().filter(|pod| pod.is_ready(now));
        ready.map(|pod| pod.revision.as_str()).collect()
    }

    fn count(&self, which: impl Fn(&Pod) -> bool) -> i64 {
        i64::try_from(self.pods.iter().filter(|pod| which(pod)).count()).unwrap()
    }

    /// Every pod that is there stops being ready, and stays so until it is replaced or revived.
    pub(crate) fn kill(&mut self) {
        self.pods.iter_mut().for_each(|pod| pod.ready_at = None);
    }

    /// Every pod becomes ready.
    pub(crate) fn revive(&mut self, now: DateTime<Utc>) {
        let dead = |pod: &&mut Pod| pod.ready_at.is_none();
        let pods = self.pods.iter_mut().filter(dead);
        pods.for_each(|pod| pod.ready_at = Some(now));
    }

    /// What its controller does until now. `startup` tells how long a pod of a revision takes to become ready, if it ever does.
    pub(crate) fn advance(
        &mut self,
        now: DateTime<Utc>,
        startup: impl Fn(&str) -> Option<TimeDelta>,
    ) {
        if now < self.changed_at + LAG {
            return;
        }
        self.observed = self.generation;
        let template = self.template.clone();
        if self.recreates {
            self.pods.retain(|pod| pod.revision == template);
        }
        let new = self.count(|pod| pod.revision == template);
        let ready_at = startup(&template).map(|span| now + span);
        for _ in new..self.replicas {
            self.pods.push(Pod {
                revision: template.clone(),
                ready_at,
            });
        }
        let ready_new = self.count(|pod| pod.revision == template && pod.is_ready(now));
        self.trim(|pod| pod.revision == template, self.replicas);
        self.trim(
            |pod| pod.revision != template,
            (self.replicas - ready_new).max(0),
        );
    }

    /// Removes pods of one kind beyond a number.
    fn trim(&mut self, which: impl Fn(&Pod) -> bool, keep: i64) {
        let mut left = keep;
        self.pods.retain(|pod| {
            left -= i64::from(which(pod));
            !which(pod) || left >= 0
        });
    }

    /// When it will look different without being touched.
    pub(crate) fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let noticed = (self.observed < self.generation).then_some(self.changed_at + LAG);
        let ready = self.pods.iter().filter_map(|pod| pod.ready_at);
        ready.chain(noticed).filter(|time| *time > now).min()
    }

    /// What is seen of it.
    pub(crate) fn seen(&self, now: DateTime<Utc>) -> Workload {
        let existing = self.count(|_| true);
        let lags = self.observed < self.generation;
        let new = self.count(|pod| pod.revision == self.template);
        Workload {
            revision: self.template.clone(),
            flagger_hash: Some(hash(&self.template)),
            given_revision: self.given.clone(),
            generation: self.generation,
            observed_generation: self.observed,
            replicas: self.replicas,
            existing,
            updated: if lags { existing } else { new },
            ready: self.ready(now),
            available: self.ready(now),
            deadline_exceeded: self.gives_up && !lags,
            recreates: self.recreates,
            complaint: String::new(),
        }
    }
}

impl Pod {
    fn is_ready(&self, now: DateTime<Utc>) -> bool {
        self.ready_at.is_some_and(|ready_at| ready_at <= now)
    }
}
