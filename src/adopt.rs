//! `slipway adopt --dry-run`: what would happen if Slipway took Flagger's place now.
//!
//! The controller itself is started, on a way to the API server on which nothing that is written stays. What it tries is what it would do.

mod rehearsal;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use http::Method;
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_controller::clock::{Clock, SystemClock};
use slipway_controller::record::metrics::Metrics;
use slipway_controller::run::{self, World};
use slipway_controller::settings::{Clients, Settings};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::{Form, Said, table};
use rehearsal::{Nobody, Notes, Rehearsed, Tried};

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Say that nothing is to be done: what adopts is the controller, once it is started
    #[arg(long, required = true)]
    dry_run: bool,
    /// Canaries of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// How long nothing new must be tried for the rehearsal to be over.
const QUIET: Duration = Duration::from_secs(3);
/// How long it takes at most.
const LONGEST: Duration = Duration::from_mins(1);

/// Rehearses it.
pub(crate) async fn run(cluster: &Cluster, args: &Args) -> anyhow::Result<Said> {
    let rehearsed = Rehearsed::default();
    let notes = rehearsed.notes.clone();
    let config = cluster
        .config()
        .context("the way to the API server is not known")?;
    let client = kube::client::ClientBuilder::try_from(config)?
        .with_layer(&rehearsed)
        .build();
    rehearse(cluster, client, &notes, Arc::new(SystemClock), args).await
}

async fn rehearse(
    cluster: &Cluster,
    client: kube::Client,
    notes: &Notes,
    clock: Arc<dyn Clock>,
    args: &Args,
) -> anyhow::Result<Said> {
    let releases = cluster.releases(args.all_namespaces).await?;
    let shutdown = CancellationToken::new();
    let world = World {
        clients: Clients {
            api: client.clone(),
            lease: client.clone(),
            mesh: client,
            mesh_is_elsewhere: false,
        },
        identity: None,
        clock,
        http: Arc::new(Nobody),
        listener: None,
        metrics: Metrics::new(args.cluster.mesh_provider()),
    };
    let settings = settings(cluster, args)?;
    let controller = tokio::spawn(run::rehearse(settings, world, shutdown.clone()));
    until_quiet(notes).await;
    shutdown.cancel();
    controller.await??;
    said(&releases, &notes.all(), args.output)
}

fn settings(cluster: &Cluster, args: &Args) -> anyhow::Result<Settings> {
    let mut words = vec![
        format!("-mesh-provider={}", args.cluster.mesh_provider()),
        "-enable-leader-election=false".to_owned(),
    ];
    if !args.all_namespaces {
        words.push(format!("-namespace={}", cluster.namespace));
    }
    let words = words.into_iter().map(OsString::from);
    Settings::read(words, &BTreeMap::new())
        .map_err(|error| anyhow!("the controller refuses its flags: {error:?}"))
}

async fn until_quiet(notes: &Notes) {
    let end = tokio::time::Instant::now() + LONGEST;
    let mut before = usize::MAX;
    while notes.count() != before && tokio::time::Instant::now() < end {
        before = notes.count();
        tokio::time::sleep(QUIET).await;
    }
}

/// What would become of one release.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    /// It is taken over as it is, or is Slipway's already.
    Stays,
    /// It goes on where it is.
    GoesOn,
    /// A release starts: the target is not what was promoted.
    Starts,
    /// It is not understood, and is left alone.
    Refused(String),
}

fn said(releases: &[Release], tried: &[Tried], form: Form) -> anyhow::Result<Said> {
    if releases.is_empty() {
        bail!("there is no Canary here; -A looks in all namespaces");
    }
    let all: Vec<_> = releases
        .iter()
        .map(|release| (release, fate(release, tried), writes(release, tried)))
        .collect();
    let is_quiet = all
        .iter()
        .all(|(_, fate, _)| matches!(fate, Fate::Stays | Fate::GoesOn));
    let text = match form {
        Form::Json => {
            let rows = all.iter().map(|(release, fate, writes)| {
                json!({
                    "canary": release.name(), "phase": release.status.phase.as_str(), "weight": release.weight(),
                    "outcome": told(fate), "writes": writes,
                })
            });
            serde_json::to_string_pretty(&rows.collect::<Vec<_>>())?
        }
        Form::Text => {
            let head = [
                "CANARY",
                "PHASE",
                "WEIGHT",
                "WHAT WOULD HAPPEN",
                "FIRST WRITES",
            ];
            let rows = all.iter().map(|(release, fate, writes)| {
                vec![
                    release.name(),
                    release.status.phase.to_string(),
                    format!("{}%", release.weight()),
                    told(fate),
                    writes.join(", "),
                ]
            });
            let head = head.map(str::to_owned).to_vec();
            table(&std::iter::once(head).chain(rows).collect::<Vec<_>>())
        }
    };
    Ok(if is_quiet {
        Said::well(text)
    } else {
        Said::failed(text, 1)
    })
}

fn told(fate: &Fate) -> String {
    match fate {
        Fate::Stays => "stays as it is".to_owned(),
        Fate::GoesOn => "goes on where it is".to_owned(),
        Fate::Starts => "a release starts: the target differs from what was promoted".to_owned(),
        Fate::Refused(why) => format!("is left alone: {why}"),
    }
}

fn fate(release: &Release, tried: &[Tried]) -> Fate {
    let before = release.status.phase;
    let refusal = |status: &Value| {
        let conditions = status.get("conditions")?.as_array()?;
        let stalled = conditions
            .iter()
            .find(|it| it.get("type").and_then(Value::as_str) == Some("Stalled"))?;
        Some(stalled.get("message")?.as_str()?.to_owned())
    };
    let mut starts = false;
    for status in statuses(release, tried) {
        if let Some(why) = refusal(status) {
            return Fate::Refused(why);
        }
        let phase = status.get("phase").and_then(Value::as_str);
        let acted = status
            .pointer("/slipway/actedRevision")
            .and_then(Value::as_str);
        // A change that nobody has acted on is known by a revision that no target has.
        starts |= phase.is_some_and(|it| it != before.as_str()) || acted == Some("unknown");
    }
    match before {
        Phase::Initialized | Phase::Succeeded | Phase::Failed if starts => Fate::Starts,
        Phase::Initialized | Phase::Succeeded | Phase::Failed => Fate::Stays,
        Phase::Empty
        | Phase::Initializing
        | Phase::Waiting
        | Phase::Progressing
        | Phase::WaitingPromotion
        | Phase::Promoting
        | Phase::Finalising
        | Phase::Terminating
        | Phase::Terminated => Fate::GoesOn,
    }
}

/// The path of a release's Canary.
fn path_of(release: &Release) -> String {
    let metadata = &release.canary.metadata;
    let namespace = metadata.namespace.as_deref().unwrap_or_default();
    let name = metadata.name.as_deref().unwrap_or_default();
    format!("/apis/flagger.app/v1beta1/namespaces/{namespace}/canaries/{name}")
}

/// Every status that would be written, in order.
fn statuses<'a>(release: &Release, tried: &'a [Tried]) -> impl Iterator<Item = &'a Value> {
    let path = format!("{}/status", path_of(release));
    let own = tried.iter().filter(move |it| it.path == path);
    own.filter_map(|it| it.body.get("status"))
}

/// What would be written to the Canary and to the objects that bear its names, each once.
fn writes(release: &Release, tried: &[Tried]) -> Vec<String> {
    let namespace = release
        .canary
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    let within = format!("/namespaces/{namespace}/");
    let target = release.canary.spec.target_ref.name.as_str();
    let base = release
        .canary
        .spec
        .service
        .name
        .as_deref()
        .unwrap_or(target);
    let canary = release.canary.metadata.name.as_deref().unwrap_or_default();
    let names = [target, base, canary];
    let is_own = |name: &str| {
        let stem = ["-primary", "-canary"]
            .iter()
            .find_map(|end| name.strip_suffix(end))
            .unwrap_or(name);
        names.contains(&stem)
    };
    let mut found: Vec<String> = Vec::new();
    for one in tried.iter().filter(|it| !it.path.ends_with("/events")) {
        let Some((_, rest)) = one.path.split_once(&within) else {
            continue;
        };
        let mut steps = rest.split('/');
        let (kind, name) = (steps.next().unwrap_or_default(), steps.next());
        let name = name.unwrap_or_else(|| {
            let created = one.body.pointer("/metadata/name");
            created.and_then(Value::as_str).unwrap_or_default()
        });
        let part = steps.next().map_or_else(String::new, |it| format!("/{it}"));
        let verb = match one.method {
            Method::POST => "create",
            Method::DELETE => "delete",
            _ => "write",
        };
        let write = format!("{verb} {kind}{part} {name}");
        if is_own(name) && !found.contains(&write) {
            found.push(write);
        }
    }
    found
}
