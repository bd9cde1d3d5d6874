//! What a person does to a release: `slipway approve`, `pause`, `resume`, `promote`, `abort`, `retry`.
//!
//! Each is one small write on the Canary that names the revision it means (an annotation), so that RBAC and the audit log see it, and a late
//! one does nothing. The controller heeds it when it looks next; if it is down, when it is back.

use std::time::Duration;

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use slipway_api::Phase;
use slipway_core::action::{Meant, Verb};
use slipway_core::plan::Gate;
use slipway_core::words::short;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::{Form, Said};

/// The field manager of what people write.
const MANAGER: &str = "slipway-cli";
/// How long it is waited for the controller to heed what was written.
const PATIENCE: Duration = Duration::from_secs(5);

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as canary/NAME or NAME
    name: String,
    /// The revision that is meant, by its first digits; without: the one that the status names now
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// An approval.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ApproveArgs {
    #[command(flatten)]
    pub(crate) common: Args,
    /// The gate: rollout or promotion; without: the one that is waited at
    #[arg(long, value_name = "GATE", value_parser = gate)]
    gate: Option<Gate>,
}

/// A promotion.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct PromoteArgs {
    #[command(flatten)]
    pub(crate) common: Args,
    /// Say that the rest of the analysis is skipped; there is no other promotion by hand
    #[arg(long, required = true)]
    skip_analysis: bool,
}

fn gate(word: &str) -> Result<Gate, String> {
    Gate::parse(word).ok_or_else(|| "must be rollout or promotion".to_owned())
}

/// Opens a gate.
pub(crate) async fn approve(
    cluster: &Cluster,
    args: &ApproveArgs,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    Box::pin(act(cluster, Verb::Approve, &args.common, args.gate, now)).await
}

/// Promotes without further analysis.
pub(crate) async fn promote(
    cluster: &Cluster,
    args: &PromoteArgs,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    Box::pin(act(cluster, Verb::Promote, &args.common, None, now)).await
}

/// Does one of the others.
pub(crate) async fn simple(
    cluster: &Cluster,
    verb: Verb,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    Box::pin(act(cluster, verb, args, None, now)).await
}

async fn act(
    cluster: &Cluster,
    verb: Verb,
    args: &Args,
    gate: Option<Gate>,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let release = cluster.release(&args.name).await?;
    let revision = match &args.revision {
        Some(named) => named.clone(),
        None => meant(verb, &release)?,
    };
    let gate = gate.or_else(|| {
        (verb == Verb::Approve)
            .then(|| next_gate(&release))
            .flatten()
    });
    let meant = Meant {
        revision,
        by: cluster.who().await,
        at: Some(now),
        gate,
    };
    let value = write(cluster, verb, &meant, &release).await?;
    let outcome = heeded(cluster, verb, &value, &args.name).await?;
    told(args.output, verb, &meant, &release.name(), outcome)
}

/// What came of it, in the form that was asked for; `None`: nobody has heeded it yet.
fn told(
    form: Form,
    verb: Verb,
    meant: &Meant,
    canary: &str,
    outcome: Option<String>,
) -> anyhow::Result<Said> {
    let is_heeded = outcome.is_some();
    let said = match outcome {
        Some(outcome) if outcome.contains("has no effect") => Said::failed(outcome, 1),
        Some(outcome) => Said::well(outcome),
        None => Said::well(format!(
            "{} of revision {} is written on Canary {canary}; the controller has not heeded it yet",
            verb.as_str(),
            short(&meant.revision),
        )),
    };
    if form == Form::Text {
        return Ok(said);
    }
    let told = json!({
        "action": verb.as_str(), "canary": canary, "revision": meant.revision, "by": meant.by,
        "heeded": is_heeded, "done": is_heeded && said.code == 0, "outcome": said.text,
    });
    let text = serde_json::to_string_pretty(&told)?;
    Ok(Said { text, ..said })
}

async fn write(
    cluster: &Cluster,
    verb: Verb,
    meant: &Meant,
    release: &Release,
) -> anyhow::Result<String> {
    let value = meant.value();
    let patch = json!({"metadata": {"annotations": {verb.key(): value}}});
    let params = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    let name = release.canary.metadata.name.clone().unwrap_or_default();
    let written = cluster
        .canaries()
        .patch_metadata(&name, &params, &Patch::Merge(&patch))
        .await;
    written.with_context(|| format!("write {} on Canary {}", verb.key(), release.name()))?;
    Ok(value)
}

/// What came of it, as the controller told it; `None` while it has not looked.
async fn heeded(
    cluster: &Cluster,
    verb: Verb,
    value: &str,
    name: &str,
) -> anyhow::Result<Option<String>> {
    let end = tokio::time::Instant::now() + PATIENCE;
    while tokio::time::Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(100)).await;
        let actions = cluster.release(name).await?.slipway.actions;
        if let Some(heeded) = actions.get(verb.as_str()).filter(|it| it.value == value) {
            return Ok(Some(heeded.outcome.clone()));
        }
    }
    Ok(None)
}

/// The revision that an action means where none is said.
fn meant(verb: Verb, release: &Release) -> anyhow::Result<String> {
    let slipway = &release.slipway;
    let phase = release.status.phase;
    let released = slipway.release.as_ref().map(|it| it.revision.clone());
    let runs = matches!(
        phase,
        Phase::Progressing | Phase::WaitingPromotion | Phase::Promoting | Phase::Finalising
    );
    let open = slipway
        .pending_revision
        .clone()
        .or_else(|| released.clone().filter(|_| runs));
    let found = match verb {
        Verb::Approve | Verb::Promote | Verb::Abort => open,
        Verb::Pause => open.or_else(|| slipway.acted_revision.clone()),
        Verb::Resume => slipway
            .paused
            .as_ref()
            .map(|paused| paused.revision.clone()),
        Verb::Retry => released.filter(|_| phase == Phase::Failed),
    };
    match found {
        Some(revision) => Ok(revision),
        None => bail!(
            "there is nothing to {} in Canary {}: its phase is {phase}{}",
            verb.as_str(),
            release.name(),
            match verb {
                Verb::Resume => ", and nobody has paused it",
                Verb::Retry => ", and only a release that failed is tried again",
                Verb::Approve | Verb::Pause | Verb::Promote | Verb::Abort => "",
            }
        ),
    }
}

fn next_gate(release: &Release) -> Option<Gate> {
    match release.status.phase {
        Phase::Waiting => Some(Gate::Rollout),
        Phase::Progressing | Phase::WaitingPromotion => Some(Gate::Promotion),
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Succeeded
        | Phase::Failed
        | Phase::Terminating
        | Phase::Terminated => None,
    }
}
