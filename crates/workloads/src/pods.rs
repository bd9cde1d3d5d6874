//! Why pods do not run, in their own words; no I/O.
//!
//! **Source**: Kubernetes `PodStatus`: `containerStatuses[].state`, the condition `PodScheduled`, `reason` of a pod that failed as a whole.

use serde_json::Value;
use slipway_api::{PodReason, RECORDED_TEXT, Side};

/// One pod, reduced to what tells why its workload is not ready.
#[derive(Clone, Debug, PartialEq)]
pub struct PodFacts {
    /// Kind of the workload: `Deployment` or `DaemonSet`.
    pub kind: &'static str,
    /// Name of the workload.
    pub workload: String,
    /// What tells pods of one revision of the workload from those of another.
    pub revision: String,
    /// When it was made, as Kubernetes writes times: the later one is the greater text.
    pub made: String,
    /// Why it does not run; empty where it does, comes up as usual, or is going. The side is not told yet: it is always the canary's.
    pub reasons: Vec<PodReason>,
}

impl PodFacts {
    /// What counts of a pod; `None` for one of no Deployment and no `DaemonSet`.
    pub fn of(pod: &Value) -> Option<Self> {
        let (kind, workload, revision) = owner(pod)?;
        let made = text(pod, "/metadata/creationTimestamp").to_owned();
        Some(Self {
            kind,
            workload,
            revision,
            made,
            reasons: reasons(pod),
        })
    }
}

/// The workload behind a pod. The name of a `ReplicaSet` is that of its Deployment with the hash of the template.
fn owner(pod: &Value) -> Option<(&'static str, String, String)> {
    let owners = pod.pointer("/metadata/ownerReferences")?.as_array()?;
    let owner = owners
        .iter()
        .find(|owner| owner.get("controller") == Some(&Value::Bool(true)))?;
    let (kind, name) = (text(owner, "/kind"), text(owner, "/name"));
    let label = |name: &str| {
        let labels = pod.pointer("/metadata/labels")?;
        labels.get(name)?.as_str()
    };
    match kind {
        "ReplicaSet" => {
            let hash = label("pod-template-hash")?;
            let workload = name.strip_suffix(hash)?.strip_suffix('-')?;
            Some(("Deployment", workload.to_owned(), hash.to_owned()))
        }
        "DaemonSet" => {
            let hash = label("controller-revision-hash").unwrap_or_default();
            Some(("DaemonSet", name.to_owned(), hash.to_owned()))
        }
        _ => None,
    }
}

fn reasons(pod: &Value) -> Vec<PodReason> {
    if pod.pointer("/metadata/deletionTimestamp").is_some() {
        return Vec::new();
    }
    let found = [
        as_a_whole(pod),
        containers(pod, "/status/initContainerStatuses"),
        containers(pod, "/status/containerStatuses"),
    ];
    found.into_iter().flatten().collect()
}

fn as_a_whole(pod: &Value) -> Vec<PodReason> {
    let failed = (text(pod, "/status/phase") == "Failed")
        .then(|| (text(pod, "/status/reason"), text(pod, "/status/message")));
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let unscheduled = conditions.into_iter().flatten().find(|condition| {
        text(condition, "/type") == "PodScheduled" && text(condition, "/status") == "False"
    });
    let unscheduled = unscheduled.map(|it| (text(it, "/reason"), text(it, "/message")));
    let both = failed.into_iter().chain(unscheduled);
    both.filter(|(reason, _)| !reason.is_empty())
        .map(|(reason, message)| reason_of(pod, reason, None, None, message))
        .collect()
}

fn containers(pod: &Value, list: &str) -> Vec<PodReason> {
    let list = pod.pointer(list).and_then(Value::as_array);
    list.into_iter()
        .flatten()
        .filter_map(|container| of_container(pod, container))
        .collect()
}

/// What is usual while a pod comes up.
const USUAL: [&str; 2] = ["ContainerCreating", "PodInitializing"];

fn of_container(pod: &Value, container: &Value) -> Option<PodReason> {
    if container.get("ready") == Some(&Value::Bool(true)) {
        return None;
    }
    let waiting = container.pointer("/state/waiting");
    let ended = container
        .pointer("/state/terminated")
        .or_else(|| container.pointer("/lastState/terminated"));
    let exit_code = ended.and_then(|ended| ended.get("exitCode")?.as_i64());
    let how = ended.map_or("", |ended| text(ended, "/reason"));
    let waits = waiting
        .map(|waiting| text(waiting, "/reason"))
        .filter(|reason| !reason.is_empty() && !USUAL.contains(reason));
    let reason = match waits {
        Some("CrashLoopBackOff") if how == "OOMKilled" => how,
        Some(waits) => waits,
        None if exit_code.is_some_and(|code| code != 0) && !how.is_empty() => how,
        None => return None,
    };
    let last_words = ended.map_or("", |ended| text(ended, "/message"));
    // What a back-off says is how long it is, and names the pod: that is no reason.
    let message = match waits {
        Some("CrashLoopBackOff") | None => last_words,
        Some(_) => waiting.map_or("", |waiting| text(waiting, "/message")),
    };
    let name = text(container, "/name");
    Some(reason_of(pod, reason, Some(name), exit_code, message))
}

fn reason_of(
    pod: &Value,
    reason: &str,
    container: Option<&str>,
    exit_code: Option<i64>,
    message: &str,
) -> PodReason {
    PodReason {
        side: Side::Canary,
        reason: bounded(reason),
        container: container.map(str::to_owned),
        exit_code,
        message: bounded(message),
        pod: text(pod, "/metadata/name").to_owned(),
        at: None,
    }
}

fn bounded(text: &str) -> String {
    slipway_core::words::bounded(text, RECORDED_TEXT)
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    let found = object.pointer(pointer).and_then(Value::as_str);
    found.unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: &Value) -> Value {
        json!({
            "metadata": {
                "name": "app-5d-x", "creationTimestamp": "2026-01-01T00:00:00Z", "labels": {"pod-template-hash": "5d"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "app-5d", "controller": true}],
            },
            "status": status,
        })
    }

    fn container(state: &Value, last: &Value) -> Value {
        pod(&json!({"phase": "Running", "containerStatuses": [
            {"name": "app", "ready": false, "restartCount": 1, "state": state, "lastState": last},
        ]}))
    }

    fn told(pod: &Value) -> Vec<(String, Option<i64>, String)> {
        let facts = PodFacts::of(pod).unwrap();
        let told = facts.reasons.into_iter();
        told.map(|it| (it.reason, it.exit_code, it.message))
            .collect()
    }

    #[test]
    fn a_pod_that_does_not_run_says_why() {
        let waits = |reason: &str, message: &str| json!({"waiting": {"reason": reason, "message": message}});
        let ended = |reason: &str, code: i64| json!({"terminated": {"reason": reason, "exitCode": code, "message": "boom"}});
        let none = json!({});
        let running = json!({"running": {}});
        let rows = [
            (
                waits("ImagePullBackOff", "Back-off pulling image \"app:v2\""),
                none.clone(),
                Some((
                    "ImagePullBackOff",
                    None,
                    "Back-off pulling image \"app:v2\"",
                )),
            ),
            (
                waits("ErrImagePull", "not found"),
                none.clone(),
                Some(("ErrImagePull", None, "not found")),
            ),
            (
                waits("CreateContainerConfigError", "secret \"s\" not found"),
                none.clone(),
                Some(("CreateContainerConfigError", None, "secret \"s\" not found")),
            ),
            (
                waits("CrashLoopBackOff", "back-off 10s restarting"),
                ended("Error", 2),
                Some(("CrashLoopBackOff", Some(2), "boom")),
            ),
            (
                waits("CrashLoopBackOff", "back-off 10s restarting"),
                ended("OOMKilled", 137),
                Some(("OOMKilled", Some(137), "boom")),
            ),
            (
                running.clone(),
                ended("Error", 2),
                Some(("Error", Some(2), "boom")),
            ),
            (
                ended("OOMKilled", 137),
                none.clone(),
                Some(("OOMKilled", Some(137), "boom")),
            ),
            (ended("Completed", 0), none.clone(), None),
            (waits("ContainerCreating", ""), none.clone(), None),
            (running, none, None),
        ];
        for (state, last, expected) in rows {
            let expected = expected
                .map(|(reason, code, message)| (reason.to_owned(), code, message.to_owned()));
            let found = told(&container(&state, &last));
            assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{state}");
        }
    }

    #[test]
    fn a_pod_that_fits_nowhere_or_was_evicted_says_so() {
        let unscheduled = json!({"phase": "Pending", "conditions": [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: insufficient cpu"},
        ]});
        let expected = (
            "Unschedulable".to_owned(),
            None,
            "0/3 nodes are available: insufficient cpu".to_owned(),
        );
        assert_eq!(told(&pod(&unscheduled)), [expected]);
        let evicted = json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"});
        let expected = ("Evicted".to_owned(), None, "low on memory".to_owned());
        assert_eq!(told(&pod(&evicted)), [expected]);
    }

    #[test]
    fn a_pod_that_is_ready_or_going_gives_no_reason() {
        let mut object = container(
            &json!({"terminated": {"reason": "Error", "exitCode": 143}}),
            &json!({}),
        );
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:01:00Z");
        assert!(told(&object).is_empty());
        let ready = pod(&json!({"containerStatuses": [
            {"name": "app", "ready": true, "state": {"running": {}}, "lastState": {"terminated": {"reason": "Error", "exitCode": 1}}},
        ]}));
        assert!(told(&ready).is_empty());
    }

    #[test]
    fn pods_are_those_of_a_deployment_or_a_daemon_set_and_no_other() {
        let facts = PodFacts::of(&pod(&json!({}))).unwrap();
        assert_eq!(
            (facts.kind, facts.workload.as_str(), facts.revision.as_str()),
            ("Deployment", "app", "5d")
        );
        let mut daemon = pod(&json!({}));
        daemon["metadata"]["ownerReferences"][0] =
            json!({"kind": "DaemonSet", "name": "app", "controller": true});
        assert_eq!(PodFacts::of(&daemon).map(|it| it.kind), Some("DaemonSet"));
        let mut job = pod(&json!({}));
        job["metadata"]["ownerReferences"][0]["kind"] = json!("Job");
        assert_eq!(PodFacts::of(&job), None);
        assert_eq!(PodFacts::of(&json!({})), None);
    }

    #[test]
    fn texts_are_one_bounded_line() {
        let long = "x\n".repeat(1000);
        let object = container(
            &json!({"waiting": {"reason": "ErrImagePull", "message": long}}),
            &json!({}),
        );
        let [(_, _, message)] = told(&object).try_into().unwrap();
        assert_eq!(message.chars().count(), RECORDED_TEXT);
        assert!(!message.contains('\n'));
    }
}
