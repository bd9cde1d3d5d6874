//! `slipway wait`: for pipelines, until a revision is promoted (0), failed (1), or it took too long (2).
//!
//! What the status says of the time before the change is nothing: it counts only when it tells of the very revision that is at the target.

use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_core::action::Verb;
use slipway_core::plan::TargetKind;
use slipway_core::words::short;
use slipway_workloads::configs::track;
use tokio::time::Instant;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::{Form, Said};

/// How long between two looks.
const PACE: Duration = Duration::from_secs(1);

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as canary/NAME or NAME
    name: String,
    /// Wait for the revision with this image; it may not be at the target yet
    #[arg(long, value_name = "IMAGE", conflicts_with = "revision")]
    image: Option<String>,
    /// Wait for this revision, by its first digits
    #[arg(long, value_name = "REVISION")]
    revision: Option<String>,
    /// How long at most, such as 10m
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = duration)]
    timeout: Duration,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

fn duration(text: &str) -> Result<Duration, String> {
    let parsed = slipway_api::go::parse_duration(text).map_err(|error| error.to_string())?;
    parsed.to_std().map_err(|error| error.to_string())
}

/// Exit code of a release that failed, or was replaced by another.
const FAILED: u8 = 1;
/// Exit code of a wait that was too long.
const TIMEOUT: u8 = 2;

/// Waits.
pub(crate) async fn run(cluster: &Cluster, args: &Args) -> anyhow::Result<Said> {
    let said = Box::pin(wait(cluster, args)).await?;
    if args.output == Form::Text {
        return Ok(said);
    }
    let release = cluster.release(&args.name).await?;
    let outcome = match said.code {
        0 => "promoted",
        FAILED => "failed",
        _ => "timeout",
    };
    let told = json!({
        "canary": release.name(), "outcome": outcome, "said": said.text, "phase": release.status.phase.as_str(),
        "promotedRevision": release.slipway.promoted_revision, "reason": release.slipway.reason,
    });
    let text = serde_json::to_string_pretty(&told)?;
    Ok(Said { text, ..said })
}

async fn wait(cluster: &Cluster, args: &Args) -> anyhow::Result<Said> {
    let end = Instant::now() + args.timeout;
    let mut wanted: Option<String> = args.revision.clone();
    loop {
        let release = cluster.release(&args.name).await?;
        let at_target = revision_at_target(cluster, &release).await?;
        if wanted.is_none() {
            wanted = at_target
                .as_ref()
                .filter(|_| has_image(&release, args.image.as_deref()))
                .cloned();
        }
        let told = wanted.as_deref().and_then(|wanted| ended(&release, wanted));
        if let Some(said) =
            told.or_else(|| replaced(&release, wanted.as_deref(), at_target.as_deref(), args))
        {
            return Ok(said);
        }
        if Instant::now() >= end {
            return Ok(too_long(&release, wanted.as_deref(), args));
        }
        tokio::time::sleep_until(end.min(Instant::now() + PACE)).await;
    }
}

/// How the release of this revision ended, if the status tells of it at all.
fn ended(release: &Release, wanted: &str) -> Option<Said> {
    let slipway = &release.slipway;
    let acted = slipway.acted_revision.as_deref()?;
    if !acted.starts_with(wanted) || is_tried_again(release) {
        return None;
    }
    let name = release.name();
    let promoted = slipway.promoted_revision.as_deref();
    match release.status.phase {
        Phase::Initialized | Phase::Succeeded
            if promoted.is_some_and(|promoted| promoted.starts_with(wanted)) =>
        {
            Some(Said::well(format!(
                "{name}: revision {} is promoted",
                short(acted)
            )))
        }
        Phase::Failed => {
            let why = slipway.reason.as_deref().unwrap_or("The release failed.");
            let text = format!("{name}: revision {} is not promoted. {why}", short(acted));
            Some(Said::failed(text, FAILED))
        }
        Phase::Empty
        | Phase::Initializing
        | Phase::Initialized
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Succeeded
        | Phase::Terminating
        | Phase::Terminated => None,
    }
}

/// Whether somebody has it tried again, and the controller has not seen that yet.
fn is_tried_again(release: &Release) -> bool {
    let annotations = release.canary.metadata.annotations.as_ref();
    let Some(value) = annotations.and_then(|all| all.get(Verb::Retry.key())) else {
        return false;
    };
    let heeded = release.slipway.actions.get(Verb::Retry.as_str());
    heeded.is_none_or(|heeded| heeded.value != *value)
}

/// The revision that is waited for was at the target, and is not any more: nothing will become of it.
fn replaced(
    release: &Release,
    wanted: Option<&str>,
    at_target: Option<&str>,
    args: &Args,
) -> Option<Said> {
    let (wanted, at_target) = (wanted?, at_target?);
    // A revision that was named may still have to come.
    if args.revision.is_some() || at_target.starts_with(wanted) {
        return None;
    }
    let text = format!(
        "{}: revision {} was replaced by {} at the target before it was promoted",
        release.name(),
        short(wanted),
        short(at_target)
    );
    Some(Said::failed(text, FAILED))
}

fn too_long(release: &Release, wanted: Option<&str>, args: &Args) -> Said {
    let what = match (wanted, &args.image) {
        (Some(revision), _) => format!("revision {}", short(revision)),
        (None, Some(image)) => format!("image {image}, which is not at the target,"),
        (None, None) => "the revision at the target".to_owned(),
    };
    let waits = release
        .waits_for()
        .map_or_else(String::new, |(what, _)| format!(", it waits for {what}"));
    let text = format!(
        "{}: {what} was not promoted in time: phase {}, weight {}%{waits}",
        release.name(),
        release.status.phase,
        release.weight()
    );
    Said::failed(text, TIMEOUT)
}

/// Whether a container of the target has this image; any target will do where none is asked for.
fn has_image(release: &Release, image: Option<&str>) -> bool {
    let Some(image) = image else { return true };
    let spec = release
        .target
        .as_ref()
        .and_then(|target| target.pointer("/spec/template/spec"));
    let lists = ["containers", "initContainers"];
    let containers = lists
        .iter()
        .filter_map(|list| spec?.get(list)?.as_array())
        .flatten();
    containers
        .filter_map(|container| container.get("image")?.as_str())
        .any(|found| found == image)
}

/// The revision at the target, as the controller tells it: over its template, and its configs where they are tracked.
async fn revision_at_target(
    cluster: &Cluster,
    release: &Release,
) -> anyhow::Result<Option<String>> {
    let Some(target) = &release.target else {
        return Ok(None);
    };
    let kind = TargetKind::of(&release.canary.spec.target_ref);
    let Some(Ok(codec)) = kind.map(slipway_workloads::target) else {
        return Ok(None);
    };
    let mut tracked = Vec::new();
    // Without a list of tracked configs the controller tracks none, or has not looked yet.
    if release.status.tracked_configs.is_some() {
        let namespace = release
            .canary
            .metadata
            .namespace
            .clone()
            .unwrap_or_default();
        for reference in codec.config_references(target) {
            let kind = reference.key(&namespace).kind();
            let object: Option<Value> = cluster
                .get(kind, &namespace, &reference.name)
                .await
                .context("the revision is told by the configs of the target as well; where they may not be read, name it by --revision")?;
            tracked.extend(object.and_then(|object| track(&reference, &object)));
        }
    }
    Ok(Some(codec.revision(target, &tracked)))
}
