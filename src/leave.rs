//! The way out: `slipway hand-back --to flagger`, and `slipway uninstall`.
//!
//! Both touch Canaries alone, once no Slipway leads any more: workloads, Services and routes stay as they are, and so does the traffic.

#[cfg(test)]
mod tests;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use slipway_api::{Canary, Phase, names};
use slipway_controller::leader::LEASE_NAME;
use slipway_core::object::Kind;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::Said;

/// The field manager of what people write.
const MANAGER: &str = "slipway-cli";
const LEASE: Kind = Kind {
    api_version: "coordination.k8s.io/v1",
    kind: "Lease",
    plural: "leases",
};

/// Whose releases are let go.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Canaries of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Where Slipway's Lease is [default: the namespace, with -A slipway-system]
    #[arg(long, value_name = "NAME")]
    lease_namespace: Option<String>,
    /// Only tell what would be done
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Whom releases are handed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Heir {
    /// Flagger.
    Flagger,
}

/// A hand-over.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct HandBackArgs {
    /// Who goes on
    #[arg(long, value_enum, required = true)]
    to: Heir,
    #[command(flatten)]
    pub(crate) common: Args,
}

/// Leaves Canaries as Flagger would have them, so that it goes on without starting a release.
pub(crate) async fn hand_back(
    cluster: &Cluster,
    args: &HandBackArgs,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let Heir::Flagger = args.to;
    let args = &args.common;
    nobody_leads(cluster, args, now).await?;
    let releases = cluster.releases(args.all_namespaces).await?;
    let running: Vec<String> = releases
        .iter()
        .filter(|it| !is_at_rest(it.status.phase))
        .map(|it| format!("{} ({})", it.name(), it.status.phase))
        .collect();
    if !running.is_empty() {
        bail!(
            "releases run: {}; start Slipway again and wait for their end, or slipway abort them: nothing was done",
            running.join(", ")
        );
    }
    let mut lines = Vec::new();
    for release in &releases {
        if !args.dry_run {
            forget(cluster, release).await?;
            if !release.canary.spec.revert_on_deletion {
                take_finalizer(cluster, release).await?;
            }
        }
        lines.push(format!(
            "{}: {}, as Flagger knows it",
            release.name(),
            release.status.phase
        ));
    }
    lines.push(done(
        args,
        "start Flagger (and apply its custom resources, if you like): no release starts and no weight moves",
    ));
    Ok(Said::well(lines.join("\n")))
}

/// Lets Canaries go, so that they and their namespaces can be deleted without a controller.
pub(crate) async fn uninstall(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    nobody_leads(cluster, args, now).await?;
    let releases = cluster.releases(args.all_namespaces).await?;
    let mut lines = Vec::new();
    for release in &releases {
        if !args.dry_run {
            take_finalizer(cluster, release).await?;
        }
        let serving = match release.weight() {
            0 => "its primary serves".to_owned(),
            weight => format!("{weight}% of its traffic stay on the canary"),
        };
        lines.push(format!(
            "{}: {}, {serving}",
            release.name(),
            release.status.phase
        ));
    }
    lines.push(done(
        args,
        "delete Slipway's Deployment and roles; the custom resources stay until you delete them, and every Canary with them. \
         To have the targets serve again, delete the Canaries while Slipway runs instead",
    ));
    Ok(Said::well(lines.join("\n")))
}

fn done(args: &Args, next: &str) -> String {
    let what = if args.dry_run {
        "nothing was written; once it is:"
    } else {
        "next:"
    };
    format!("{what} {next}")
}

/// Whether Flagger would leave it as it is.
fn is_at_rest(phase: Phase) -> bool {
    matches!(phase, Phase::Initialized | Phase::Succeeded | Phase::Failed)
}

/// A Slipway that leads would take up again what is let go.
async fn nobody_leads(cluster: &Cluster, args: &Args, now: DateTime<Utc>) -> anyhow::Result<()> {
    let namespace = match &args.lease_namespace {
        Some(named) => named.as_str(),
        None if args.all_namespaces => "slipway-system",
        None => cluster.namespace.as_str(),
    };
    let lease = cluster.get(LEASE, namespace, LEASE_NAME).await?;
    if let Some(holder) = lease.as_ref().and_then(|lease| holder(lease, now)) {
        bail!(
            "Slipway leads (Lease {namespace}/{LEASE_NAME}, {holder}): stop it first, kubectl scale deployment slipway --replicas=0"
        );
    }
    Ok(())
}

/// Who holds a Lease that has not expired.
fn holder(lease: &Value, now: DateTime<Utc>) -> Option<&str> {
    let spec = lease.get("spec")?;
    let holder = spec
        .get("holderIdentity")?
        .as_str()
        .filter(|it| !it.is_empty())?;
    let renewed: DateTime<Utc> = spec.get("renewTime")?.as_str()?.parse().ok()?;
    let seconds = spec.get("leaseDurationSeconds").and_then(Value::as_i64);
    let age = now.signed_duration_since(renewed).num_seconds();
    (age < seconds.unwrap_or(15)).then_some(holder)
}

fn params() -> PatchParams {
    PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    }
}

fn api(cluster: &Cluster, release: &Release) -> (Api<Canary>, String) {
    let metadata = &release.canary.metadata;
    let namespace = metadata.namespace.clone().unwrap_or_default();
    let name = metadata.name.clone().unwrap_or_default();
    (Api::namespaced(cluster.client().clone(), &namespace), name)
}

/// Takes what Slipway remembers from the status, and the conditions that Flagger does not know.
async fn forget(cluster: &Cluster, release: &Release) -> anyhow::Result<()> {
    let conditions = release.status.conditions.iter();
    let known: Vec<_> = conditions.filter(|it| it.type_ == "Promoted").collect();
    let patch = json!({"status": {"slipway": null, "conditions": known}});
    let (api, name) = api(cluster, release);
    let written = api
        .patch_status(&name, &params(), &Patch::Merge(&patch))
        .await;
    written.with_context(|| format!("write the status of Canary {}", release.name()))?;
    Ok(())
}

/// Takes our finalizer off; whatever else holds the Canary stays.
async fn take_finalizer(cluster: &Cluster, release: &Release) -> anyhow::Result<()> {
    let all = release.canary.metadata.finalizers.iter().flatten();
    let rest: Vec<_> = all.clone().filter(|it| *it != names::FINALIZER).collect();
    if rest.len() == all.count() {
        return Ok(());
    }
    let patch = json!({"metadata": {"finalizers": rest}});
    let (api, name) = api(cluster, release);
    let written = api
        .patch_metadata(&name, &params(), &Patch::Merge(&patch))
        .await;
    written.with_context(|| format!("take the finalizer off Canary {}", release.name()))?;
    Ok(())
}
