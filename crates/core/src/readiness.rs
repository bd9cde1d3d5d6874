//! When a workload is ready, still coming, or stuck.

use crate::observation::Workload;
use crate::plan::TargetKind;

/// How far a workload is with its newest revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Rolled out, and enough of it is available.
    Ready,
    /// Not yet: why, in the words that Flagger and kubectl use.
    Waiting(String),
    /// Kubernetes has given it up: why.
    Stuck(String),
}

impl Readiness {
    /// Whether it is [`Readiness::Ready`].
    pub fn is_ready(&self) -> bool {
        *self == Self::Ready
    }
}

/// Whether a workload is rolled out with at least `threshold` percent of the pods that it was asked for available.
///
/// **Shape**: `threshold` is 0 to 100; at least one pod must be available whatever it says.
///
/// **Source**: dossier 01 §13.4, kubectl's `rollout status` for both kinds (FC-093). **Differs from Flagger**: percent are of the pods asked for, not of those
/// that exist, so that a workload at zero is never ready (FC-003, FC-004); Kubernetes' own deadline counts only for the generation that is observed.
pub fn readiness(kind: TargetKind, name: &str, workload: &Workload, threshold: i64) -> Readiness {
    let Workload {
        generation,
        observed_generation,
        replicas,
        existing,
        updated,
        available,
        ..
    } = workload;
    if generation > observed_generation {
        return waiting(&format!(
            "observed {} generation less than desired generation",
            kind.as_str().to_lowercase()
        ));
    }
    let pods = pods(kind);
    let rollout = rollout_gap(pods, *replicas, *existing, *updated)
        .or_else(|| availability_gap(pods, *replicas, *available, threshold));
    match rollout {
        None => Readiness::Ready,
        Some(_) if workload.deadline_exceeded => Readiness::Stuck(with_complaint(
            format!(
                "{} \"{name}\" exceeded its progress deadline",
                kind.as_str().to_lowercase()
            ),
            &workload.complaint,
        )),
        Some(gap) => waiting(&with_complaint(gap, &workload.complaint)),
    }
}

/// Whether at least one pod can answer: ready, and known to the endpoints of its Service where those are known.
pub fn is_alive(workload: Option<&Workload>, endpoints: Option<u32>) -> bool {
    workload.is_some_and(|workload| workload.ready > 0) && endpoints != Some(0)
}

/// What Flagger and kubectl call the pods of that kind.
fn pods(kind: TargetKind) -> &'static str {
    match kind {
        TargetKind::DaemonSet => "pods",
        TargetKind::Deployment | TargetKind::Service | TargetKind::Knative => "replicas",
    }
}

fn rollout_gap(pods: &str, replicas: i64, existing: i64, updated: i64) -> Option<String> {
    if updated < replicas {
        return Some(format!(
            "{updated} out of {replicas} new {pods} have been updated"
        ));
    }
    (existing > updated)
        .then(|| format!("{} old {pods} are pending termination", existing - updated))
}

fn availability_gap(pods: &str, replicas: i64, available: i64, threshold: i64) -> Option<String> {
    let needed = (replicas.saturating_mul(threshold.clamp(0, 100)) + 99)
        .div_euclid(100)
        .max(1);
    (available < needed).then(|| {
        format!(
            "{available} of {needed} (readyThreshold {threshold}%) updated {pods} are available"
        )
    })
}

fn waiting(gap: &str) -> Readiness {
    Readiness::Waiting(format!("waiting for rollout to finish: {gap}"))
}

fn with_complaint(gap: String, complaint: &str) -> String {
    if complaint.is_empty() {
        gap
    } else {
        format!("{gap} ({complaint})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(gap: &str) -> Readiness {
        Readiness::Waiting(format!("waiting for rollout to finish: {gap}"))
    }

    fn deployment(replicas: i64, existing: i64, updated: i64, available: i64) -> Workload {
        Workload {
            replicas,
            existing,
            updated,
            available,
            ready: available,
            ..Workload::default()
        }
    }

    #[test]
    fn readiness_follows_the_rollout() {
        let rows = [
            (deployment(2, 2, 2, 2), 100, Readiness::Ready),
            (
                deployment(2, 2, 1, 2),
                100,
                waits("1 out of 2 new replicas have been updated"),
            ),
            (
                deployment(2, 3, 2, 2),
                100,
                waits("1 old replicas are pending termination"),
            ),
            (
                deployment(2, 2, 2, 1),
                100,
                waits("1 of 2 (readyThreshold 100%) updated replicas are available"),
            ),
            (deployment(2, 2, 2, 1), 50, Readiness::Ready),
            (
                deployment(3, 3, 3, 1),
                50,
                waits("1 of 2 (readyThreshold 50%) updated replicas are available"),
            ),
            (
                deployment(2, 2, 2, 0),
                0,
                waits("0 of 1 (readyThreshold 0%) updated replicas are available"),
            ),
            (
                deployment(0, 0, 0, 0),
                100,
                waits("0 of 1 (readyThreshold 100%) updated replicas are available"),
            ),
            (
                Workload {
                    generation: 3,
                    observed_generation: 2,
                    ..deployment(1, 1, 1, 1)
                },
                100,
                waits("observed deployment generation less than desired generation"),
            ),
        ];
        for (workload, threshold, expected) in rows {
            assert_eq!(
                readiness(TargetKind::Deployment, "app", &workload, threshold),
                expected,
                "{workload:?}"
            );
        }
    }

    #[test]
    fn fc_093_a_daemon_set_is_ready_when_kubectl_rollout_status_says_so() {
        let rows = [
            // Nodes, pods on them, updated, available: kubectl's rows.
            ((3, 3, 3, 3), None),
            ((3, 3, 1, 3), Some("1 out of 3 new pods have been updated")),
            (
                (3, 3, 3, 2),
                Some("2 of 3 (readyThreshold 100%) updated pods are available"),
            ),
            ((3, 2, 2, 2), Some("2 out of 3 new pods have been updated")),
            // No node: kubectl is content, but nobody could answer.
            (
                (0, 0, 0, 0),
                Some("0 of 1 (readyThreshold 100%) updated pods are available"),
            ),
        ];
        for ((nodes, existing, updated, available), gap) in rows {
            let workload = deployment(nodes, existing, updated, available);
            let expected = gap.map_or(Readiness::Ready, waits);
            assert_eq!(
                readiness(TargetKind::DaemonSet, "app", &workload, 100),
                expected,
                "{workload:?}"
            );
        }
        let unseen = Workload {
            generation: 2,
            observed_generation: 1,
            ..deployment(3, 3, 3, 3)
        };
        assert_eq!(
            readiness(TargetKind::DaemonSet, "app", &unseen, 100),
            waits("observed daemonset generation less than desired generation")
        );
    }

    #[test]
    fn a_deadline_of_kubernetes_counts_only_while_something_is_missing() {
        let ready = Workload {
            deadline_exceeded: true,
            ..deployment(1, 1, 1, 1)
        };
        assert_eq!(
            readiness(TargetKind::Deployment, "app", &ready, 100),
            Readiness::Ready
        );
        let stuck = Workload {
            deadline_exceeded: true,
            complaint: "ImagePullBackOff".into(),
            ..deployment(1, 1, 1, 0)
        };
        assert_eq!(
            readiness(TargetKind::Deployment, "app", &stuck, 100),
            Readiness::Stuck(
                "deployment \"app\" exceeded its progress deadline (ImagePullBackOff)".into()
            )
        );
    }

    #[test]
    fn a_workload_without_ready_pods_or_endpoints_is_not_alive() {
        let one = deployment(1, 1, 1, 1);
        assert!(is_alive(Some(&one), None) && is_alive(Some(&one), Some(1)));
        assert!(!is_alive(Some(&one), Some(0)) && !is_alive(None, None));
        assert!(!is_alive(Some(&deployment(1, 1, 1, 0)), Some(1)));
    }
}
