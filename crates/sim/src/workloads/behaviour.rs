//! How pods behave: when they are ready, how they fail, what users get from them.

use crate::json::{list, text};
use crate::server::store::Object;
use std::time::Duration;

/// Which pods a script is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Which {
    /// Pods with a container of this image.
    Image(String),
    /// Pods with this label.
    Label(String, String),
    /// Pods of this namespace whose name begins so: a workload's.
    Named(String, String),
    /// Pods that both are about.
    Both(Box<Self>, Box<Self>),
}

impl Which {
    /// Pods with a container of this image.
    pub fn image(image: impl Into<String>) -> Self {
        Self::Image(image.into())
    }

    /// Pods that another one is about as well.
    pub fn and(self, other: Self) -> Self {
        Self::Both(Box::new(self), Box::new(other))
    }

    pub(super) fn is_about(&self, pod: &Object) -> bool {
        match self {
            Self::Both(one, other) => one.is_about(pod) && other.is_about(pod),
            Self::Image(image) => list(pod, &["spec", "containers"])
                .iter()
                .any(|container| text(container, &["image"]) == image),
            Self::Label(name, value) => text(pod, &["metadata", "labels", name]) == value,
            Self::Named(namespace, prefix) => {
                pod.namespace() == namespace && pod.name().starts_with(prefix.as_str())
            }
        }
    }
}

/// How a pod behaves, from its start to its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Behaviour {
    pub(super) start: Start,
    pub(super) fails_after: Option<Duration>,
    /// How its process ends when it does: the reason and the exit code that the status gives.
    pub(super) exit: (&'static str, i64),
    pub(super) stops_in: Duration,
    /// Shares of requests that fail, each from an age of the pod on; the last one that has begun holds.
    pub(crate) errors: Vec<(Duration, f64)>,
    pub(crate) latency: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    In(Duration),
    Never,
    CrashLoop,
    Waits(&'static str),
}

impl Behaviour {
    /// Ready after a second, stopped after one, every request answered well in 20 ms.
    pub fn healthy() -> Self {
        Self {
            start: Start::In(Duration::from_secs(1)),
            fails_after: None,
            exit: ("Error", 1),
            stops_in: Duration::from_secs(1),
            errors: Vec::new(),
            latency: Duration::from_millis(20),
        }
    }

    /// Ready this long after it was made.
    pub fn starts_in(mut self, delay: Duration) -> Self {
        self.start = Start::In(delay);
        self
    }

    /// Runs, and is never ready.
    pub fn never_ready(mut self) -> Self {
        self.start = Start::Never;
        self
    }

    /// Its process ends again and again, with the kubelet's back-off.
    pub fn crash_loops(mut self) -> Self {
        self.start = Start::CrashLoop;
        self
    }

    /// Its image cannot be had.
    pub fn cannot_pull(self) -> Self {
        self.waits_for("ImagePullBackOff")
    }

    /// Its container waits for ever, for this reason: `CreateContainerConfigError`.
    pub fn waits_for(mut self, reason: &'static str) -> Self {
        self.start = Start::Waits(reason);
        self
    }

    /// Its process, when it ends, was killed for want of memory.
    pub fn runs_out_of_memory(mut self) -> Self {
        self.exit = ("OOMKilled", 137);
        self
    }

    /// Crash-loops from this long after it became ready.
    pub fn fails_after(mut self, delay: Duration) -> Self {
        self.fails_after = Some(delay);
        self
    }

    /// Gone this long after it was asked to stop, or at its grace period's end; it serves until then.
    pub fn stops_in(mut self, delay: Duration) -> Self {
        self.stops_in = delay;
        self
    }

    /// This share of requests fails with 500, from 0 to 1.
    pub fn errors(mut self, share: f64) -> Self {
        self.errors = vec![(Duration::ZERO, share)];
        self
    }

    /// From this age on, another share of requests fails.
    pub fn errors_from(mut self, age: Duration, share: f64) -> Self {
        self.errors.push((age, share));
        self
    }

    /// How long an answer takes.
    pub fn latency(mut self, latency: Duration) -> Self {
        self.latency = latency;
        self
    }

    /// The share of requests that fail at an age.
    pub(crate) fn errors_at(&self, age: Duration) -> f64 {
        let begun = self.errors.iter().rev().find(|(from, _)| *from <= age);
        begun.map_or(0.0, |(_, share)| *share)
    }

    /// What a pod of this age is, and how long it stays so.
    pub(super) fn stage(&self, age: Duration) -> (Stage, Option<Duration>) {
        match self.start {
            Start::Never => (Stage::NotReady, None),
            Start::Waits(reason) => (Stage::Waiting(reason), None),
            Start::CrashLoop => crashing(age),
            Start::In(start) if age < start => (
                Stage::Waiting("ContainerCreating"),
                Some(start.saturating_sub(age)),
            ),
            Start::In(start) => match self.fails_after {
                Some(fails) if age >= start + fails => crashing(age.saturating_sub(start + fails)),
                Some(fails) => (Stage::Ready, Some((start + fails).saturating_sub(age))),
                None => (Stage::Ready, None),
            },
        }
    }
}

/// What a pod is at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Ready,
    NotReady,
    /// Its container waits, with the reason that the status gives.
    Waiting(&'static str),
    /// It has been restarted so often and waits for the next time.
    Crashing(u32),
}

/// The kubelet's back-off: 10 s, doubled up to five minutes.
fn crashing(since: Duration) -> (Stage, Option<Duration>) {
    let mut next = Duration::ZERO;
    let mut pause = Duration::from_secs(10);
    let mut restarts = 0;
    while next + pause <= since {
        next += pause;
        pause = (pause * 2).min(Duration::from_mins(5));
        restarts += 1;
    }
    (
        Stage::Crashing(restarts),
        Some((next + pause).saturating_sub(since)),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_goes_through_its_stages_in_time() {
        let seconds = Duration::from_secs;
        let pod = Behaviour::healthy()
            .starts_in(seconds(2))
            .fails_after(seconds(5));
        let check = |age, stage, rest| {
            assert_eq!(
                pod.stage(seconds(age)),
                (stage, Some(seconds(rest))),
                "at {age}"
            );
        };
        check(0, Stage::Waiting("ContainerCreating"), 2);
        check(2, Stage::Ready, 5);
        check(7, Stage::Crashing(0), 10);
        check(17, Stage::Crashing(1), 20);
        check(40, Stage::Crashing(2), 37);
    }

    #[test]
    fn errors_begin_at_their_age() {
        let pod = Behaviour::healthy()
            .errors(0.1)
            .errors_from(Duration::from_mins(3), 0.5);
        assert!((pod.errors_at(Duration::from_secs(1)) - 0.1).abs() < f64::EPSILON);
        assert!((pod.errors_at(Duration::from_mins(4)) - 0.5).abs() < f64::EPSILON);
    }
}
