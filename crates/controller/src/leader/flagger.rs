//! Is a Flagger at work where we want to work? Two controllers on one Canary are the worst case (A7).

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Container;
use kube::api::{Api, ListParams};
use slipway_api::time;

use super::FLAGGER_LEASE_NAME;
use crate::error::{ApiError, Class, is_not_found};
use crate::settings::Namespaces;

/// What the names of our own candidates begin with: with Flagger's Lease in use, our own hold on it is no Flagger.
pub(super) const OWN_PREFIX: &str = "slipway_";

/// Whether a Flagger is at work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is; which one, for the log and the condition.
    Running(String),
    /// None was found.
    Absent,
    /// It could not be found out.
    Unknown(Doubt),
}

/// Why it could not be found out. Where we may not look ([`Class::Denied`]) nothing is gained by looking again; else it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// What kind of reason.
    pub class: Class,
    text: String,
}

impl fmt::Display for Doubt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl From<ApiError> for Doubt {
    fn from(error: ApiError) -> Self {
        Self {
            class: error.class(),
            text: error.to_string(),
        }
    }
}

/// How long Flagger's Lease is held after a renewal, where it does not say.
const FLAGGER_DURATION: TimeDelta = TimeDelta::seconds(60);
/// The labels by which Flagger's Deployment is found: those of its chart and of its overlays.
const LABELS: [&str; 2] = ["app.kubernetes.io/name=flagger", "app=flagger"];

/// Whether a Flagger holds that Lease and has renewed it lately, by its own clock.
///
/// A Lease that a Slipway holds says nothing about Flagger.
pub fn live_flagger(lease: &Lease, now: DateTime<Utc>) -> bool {
    flagger_holder(lease, now).is_some()
}

fn flagger_holder(lease: &Lease, now: DateTime<Utc>) -> Option<&str> {
    let spec = lease.spec.as_ref()?;
    let holder = spec.holder_identity.as_deref()?;
    if holder.is_empty() || holder.starts_with(OWN_PREFIX) {
        return None;
    }
    let renewed = spec.renew_time.as_ref().and_then(|renewed| {
        time::from_kubernetes(&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            renewed.0,
        ))
    })?;
    let seconds = spec.lease_duration_seconds.map(i64::from);
    let duration = seconds.map_or(FLAGGER_DURATION, |seconds| {
        TimeDelta::try_seconds(seconds).unwrap_or(FLAGGER_DURATION)
    });
    (now.signed_duration_since(renewed) < duration).then_some(holder)
}

/// Looks for a Flagger that works on the namespaces of `scope`: by its Lease in `lease_namespace`, and by Deployments that run its image
/// (without leader election that is all it leaves).
///
/// **Caveats**: a Flagger whose Deployment has neither of its usual labels is not found; a right that we lack is [`Presence::Unknown`].
pub async fn find_flagger(
    client: &kube::Client,
    scope: &Namespaces,
    lease_namespace: &str,
    now: DateTime<Utc>,
) -> Presence {
    let by_lease = by_lease(client, lease_namespace, now).await;
    if let Ok(Some(found)) = by_lease {
        return Presence::Running(found);
    }
    let by_deployment = by_deployment(client, scope).await;
    match (by_lease, by_deployment) {
        (_, Ok(Some(found))) => Presence::Running(found),
        (Ok(_), Ok(None)) => Presence::Absent,
        (Err(why), _) | (_, Err(why)) => Presence::Unknown(why.into()),
    }
}

async fn by_lease(
    client: &kube::Client,
    namespace: &str,
    now: DateTime<Utc>,
) -> Result<Option<String>, ApiError> {
    let leases: Api<Lease> = Api::namespaced(client.clone(), namespace);
    match leases.get(FLAGGER_LEASE_NAME).await {
        Ok(lease) => Ok(flagger_holder(&lease, now)
            .map(|holder| format!("Lease {namespace}/{FLAGGER_LEASE_NAME} held by {holder}"))),
        Err(error) if is_not_found(&error) => Ok(None),
        Err(error) => {
            let object = format!("Lease {namespace}/{FLAGGER_LEASE_NAME}");
            Err(ApiError::new("get", object, error))
        }
    }
}

async fn by_deployment(
    client: &kube::Client,
    scope: &Namespaces,
) -> Result<Option<String>, ApiError> {
    for deployments in scope.apis::<Deployment>(client) {
        for label in LABELS {
            let list = deployments
                .list(&ListParams::default().labels(label))
                .await
                .map_err(|error| ApiError::new("list", "Deployments", error))?;
            let found = list
                .items
                .iter()
                .find(|deployment| is_flagger(deployment, scope));
            if let Some(deployment) = found {
                return Ok(Some(described(deployment)));
            }
        }
    }
    Ok(None)
}

fn described(deployment: &Deployment) -> String {
    let metadata = &deployment.metadata;
    format!(
        "Deployment {}/{}",
        metadata.namespace.as_deref().unwrap_or_default(),
        metadata.name.as_deref().unwrap_or_default()
    )
}

/// Whether it runs Flagger's image, has a pod, and works on a namespace of ours. Labels alone do not tell: Slipway's image in Flagger's
/// chart has them too.
fn is_flagger(deployment: &Deployment, scope: &Namespaces) -> bool {
    let ready = deployment
        .status
        .as_ref()
        .and_then(|status| status.ready_replicas)
        .unwrap_or(0);
    let pod = deployment
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    let mut containers = pod.into_iter().flat_map(|pod| &pod.containers);
    ready > 0 && containers.any(|container| runs_flagger(container) && overlaps(container, scope))
}

fn runs_flagger(container: &Container) -> bool {
    let image = container.image.as_deref().unwrap_or_default();
    let last = image.rsplit('/').next().unwrap_or_default();
    let name = last.split(['@', ':']).next().unwrap_or_default();
    name == "flagger"
}

fn overlaps(container: &Container, scope: &Namespaces) -> bool {
    let words = container
        .command
        .iter()
        .chain(&container.args)
        .flatten()
        .map(String::as_str);
    match namespace_flag(words) {
        Some(namespace) => scope.contains(namespace),
        None => true,
    }
}

/// The value of `-namespace`, unless it is absent or empty.
fn namespace_flag<'a>(words: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let mut words = words;
    let mut found = None;
    while let Some(word) = words.next() {
        let flag = word.strip_prefix("--").or_else(|| word.strip_prefix('-'));
        match flag.map(|flag| flag.split_once('=').unwrap_or((flag, ""))) {
            Some(("namespace", "")) if !word.contains('=') => found = words.next(),
            Some(("namespace", value)) => found = Some(value),
            _ => {}
        }
    }
    found.filter(|namespace| !namespace.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lease(holder: &str, renewed: &str) -> Lease {
        serde_json::from_value(serde_json::json!({
            "metadata": {},
            "spec": {"holderIdentity": holder, "leaseDurationSeconds": 60, "renewTime": renewed},
        }))
        .unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn a_flagger_is_alive_while_its_lease_is() {
        let now = at("2026-11-24T12:00:00Z");
        let rows = [
            ("pod_uuid", "2026-11-24T11:59:30.000000Z", true),
            ("pod_uuid", "2026-11-24T11:58:59.000000Z", false),
            ("", "2026-11-24T11:59:30.000000Z", false),
            ("slipway_pod_0123", "2026-11-24T11:59:30.000000Z", false),
        ];
        for (holder, renewed, expected) in rows {
            let lease = lease(holder, renewed);
            assert_eq!(live_flagger(&lease, now), expected, "{holder} {renewed}");
        }
    }

    fn deployment(image: &str, ready: i32, args: &[&str]) -> Deployment {
        serde_json::from_value(serde_json::json!({
            "metadata": {"name": "flagger", "namespace": "flagger-system"},
            "spec": {"selector": {}, "template": {"spec": {"containers": [
                {"name": "flagger", "image": image, "args": args},
            ]}}},
            "status": {"readyReplicas": ready},
        }))
        .unwrap()
    }

    #[test]
    fn a_deployment_is_a_flagger_by_its_image_not_by_its_name() {
        let all = Namespaces::All;
        let one = Namespaces::parse("test");
        let rows = [
            ("ghcr.io/fluxcd/flagger:1.44.0", 1, vec![], &all, true),
            (
                "registry.local:5000/flagger@sha256:00",
                1,
                vec![],
                &all,
                true,
            ),
            ("flagger", 1, vec![], &all, true),
            ("ghcr.io/fluxcd/flagger:1.44.0", 0, vec![], &all, false),
            ("example.com/slipway:0.1.0", 1, vec![], &all, false),
            (
                "ghcr.io/fluxcd/flagger-loadtester:0.36.0",
                1,
                vec![],
                &all,
                false,
            ),
            ("flagger", 1, vec!["-namespace=test"], &one, true),
            ("flagger", 1, vec!["-namespace=prod"], &one, false),
            ("flagger", 1, vec!["-namespace", "prod"], &one, false),
            ("flagger", 1, vec!["-namespace="], &one, true),
            ("flagger", 1, vec!["-namespace=prod"], &all, true),
        ];
        for (image, ready, args, scope, expected) in rows {
            let found = is_flagger(&deployment(image, ready, &args), scope);
            assert_eq!(found, expected, "{image} {ready} {args:?} {scope:?}");
        }
    }
}
