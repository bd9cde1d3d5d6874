//! `slipway status`: where releases stand, once or live.

#[cfg(test)]
mod tests;
mod view;
pub(crate) mod watch;

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use slipway_api::Phase;
use slipway_core::plan::{MetricCheck, Plan, Strategy, origin};
use slipway_core::words::short;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::{Form, Said, since, span, table};
use crate::record;

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// One release, as canary/NAME or NAME; all of the namespace without
    name: Option<String>,
    /// Releases of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    /// Go on telling, live, until q is pressed; without a terminal as lines, with -o json an object a line
    #[arg(short, long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Tells where one release stands, or all.
pub(crate) async fn run(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let Some(name) = &args.name else {
        let releases = cluster.releases(args.all_namespaces).await?;
        return Ok(Said::well(match args.output {
            Form::Text => list(cluster, &releases, now),
            Form::Json => {
                let all: Vec<Value> = releases.iter().map(|it| facts(cluster, it)).collect();
                serde_json::to_string_pretty(&all)?
            }
        }));
    };
    let release = cluster.release(name).await?;
    Ok(Said::well(match args.output {
        Form::Text => one(cluster, &release, now),
        Form::Json => serde_json::to_string_pretty(&facts(cluster, &release))?,
    }))
}

fn list(cluster: &Cluster, releases: &[Release], now: DateTime<Utc>) -> String {
    if releases.is_empty() {
        return format!(
            "no releases in namespace {}; -A lists all",
            cluster.namespace
        );
    }
    let mut rows = vec![HEAD.map(str::to_owned).to_vec()];
    rows.extend(releases.iter().map(|it| columns(cluster, it, now).to_vec()));
    table(&rows)
}

/// The heads of [`columns`].
const HEAD: [&str; 7] = [
    "CANARY",
    "PHASE",
    "WEIGHT",
    "STEP",
    "FAILED",
    "WAITS FOR",
    "SINCE",
];

/// One release in one line.
fn columns(cluster: &Cluster, release: &Release, now: DateTime<Utc>) -> [String; 7] {
    let plan = cluster.plan(release).ok();
    let (waits, waiting) = match release.waits_for() {
        Some((what, then)) => (what.to_owned(), since(then, now)),
        None => (String::new(), String::new()),
    };
    [
        release.name(),
        phase(release),
        format!("{}%", release.weight()),
        plan.as_ref()
            .and_then(|plan| step(plan, release))
            .unwrap_or_default(),
        failed(release, plan.as_ref()),
        waits,
        waiting,
    ]
}

fn phase(release: &Release) -> String {
    if release.status.phase == Phase::Empty {
        return "not seen yet".to_owned();
    }
    release.status.phase.to_string()
}

fn runs(release: &Release) -> bool {
    matches!(
        release.status.phase,
        Phase::Progressing | Phase::WaitingPromotion
    )
}

fn failed(release: &Release, plan: Option<&Plan>) -> String {
    if !runs(release) {
        return String::new();
    }
    let allowed = plan.map_or_else(String::new, |plan| format!("/{}", plan.threshold));
    format!("{}{allowed}", release.status.failed_checks)
}

/// `2/5`: how many steps of the plan are done, while a release runs.
fn step(plan: &Plan, release: &Release) -> Option<String> {
    if !runs(release) {
        return None;
    }
    Some(match &plan.strategy {
        Strategy::Canary { steps, .. } => {
            let weight = release.status.canary_weight;
            let done = steps.iter().filter(|step| step.percent() <= weight).count();
            format!("{done}/{}", steps.len())
        }
        Strategy::BlueGreen { iterations, .. } | Strategy::AbTesting { iterations } => {
            format!(
                "{}/{iterations}",
                release.status.iterations.min(*iterations)
            )
        }
    })
}

/// One release, line by line.
fn one(cluster: &Cluster, release: &Release, now: DateTime<Utc>) -> String {
    let head = format!("Canary {}", release.name());
    format!("{head}\n{}", table(&lines(cluster, release, now)))
}

/// What there is to tell of one release, each with its name.
fn lines(cluster: &Cluster, release: &Release, now: DateTime<Utc>) -> Vec<Vec<String>> {
    let plan = cluster.plan(release);
    let mut rows = vec![row("phase", phase(release))];
    if let Some(revision) = revision(release) {
        rows.push(row("revision", short(revision)));
    }
    rows.push(row("weight", format!("{}%", release.weight())));
    if let Ok(plan) = &plan {
        rows.extend(step(plan, release).map(|step| row("step", step)));
        if runs(release) {
            rows.push(row("failed", failed(release, Some(plan))));
            rows.extend(next_check(plan, release, now).map(|text| row("next check", text)));
            rows.extend(time_left(plan, release, now).map(|text| row("time left", text)));
        }
        rows.extend(deadline(plan, release, now).map(|text| row("deadline", text)));
    }
    if let Some((what, then)) = release.waits_for() {
        rows.push(row(
            "waits for",
            format!("{what}, since {}", since(then, now)),
        ));
    }
    let released = release.slipway.release.as_ref().filter(|_| runs(release));
    let known = released.and_then(|released| released.evidence.as_deref());
    let says = known.and_then(|known| known.says.as_ref());
    rows.extend(says.map(|says| row("evidence", says)));
    if let Some(paused) = &release.slipway.paused {
        rows.push(row("paused by", &paused.by));
    }
    for given in &release.slipway.approvals {
        rows.push(row(
            "approved",
            format!(
                "{} of {} by {}{}",
                given.gate,
                short(&given.said.revision),
                given.said.by,
                given
                    .said
                    .at
                    .map_or_else(String::new, |at| format!(", {} ago", since(at, now)))
            ),
        ));
    }
    rows.extend(
        release
            .slipway
            .reason
            .as_ref()
            .map(|reason| row("reason", reason)),
    );
    match &plan {
        Ok(plan) => {
            let last = last_values(release);
            for check in &plan.metrics {
                rows.push(row("check", judged(check, last)));
            }
        }
        Err(problems) => {
            for problem in problems {
                rows.push(row("problem", problem.to_string()));
            }
        }
    }
    if let Some(problem) = &release.slipway.problem {
        rows.push(row("problem", problem));
    }
    rows.extend(record::hooks(release).into_iter().map(|it| row("hook", it)));
    rows.extend(
        record::pods(release)
            .into_iter()
            .map(|it| row("not running", it)),
    );
    rows
}

fn row(name: &str, value: impl Into<String>) -> Vec<String> {
    vec![format!("  {name}"), value.into()]
}

/// The revision that is pending, released, or was last.
fn revision(release: &Release) -> Option<&str> {
    let slipway = &release.slipway;
    let released = slipway.release.as_ref().map(|it| it.revision.as_str());
    let pending = slipway.pending_revision.as_deref();
    pending
        .or(released)
        .or(slipway.promoted_revision.as_deref())
}

fn next_check(plan: &Plan, release: &Release, now: DateTime<Utc>) -> Option<String> {
    let step_at = release.slipway.release.as_ref()?.step_at?;
    let left = step_at + plan.interval - now;
    (left > chrono::TimeDelta::zero()).then(|| format!("in {}", span(left)))
}

/// How long the rest of the analysis takes if every check passes.
fn time_left(plan: &Plan, release: &Release, now: DateTime<Utc>) -> Option<String> {
    let left = match &plan.strategy {
        Strategy::Canary { steps, .. } => {
            let weight = release.status.canary_weight;
            steps.iter().filter(|step| step.percent() > weight).count()
        }
        Strategy::BlueGreen { iterations, .. } | Strategy::AbTesting { iterations } => {
            let left = iterations - release.status.iterations;
            usize::try_from(left).unwrap_or(0)
        }
    };
    let after_next = plan.interval * i32::try_from(left).ok()?;
    let step_at = release.slipway.release.as_ref()?.step_at;
    let next = step_at.map(|step_at| step_at + plan.interval - now);
    let next = next.unwrap_or_default().max(chrono::TimeDelta::zero());
    Some(format!(
        "{} if every check passes, then the promotion",
        span(next + after_next)
    ))
}

/// How long the side that is awaited may still take.
fn deadline(plan: &Plan, release: &Release, now: DateTime<Utc>) -> Option<String> {
    let since = release.slipway.unready_since?;
    let left = since + plan.progress_deadline - now;
    (left > chrono::TimeDelta::zero())
        .then(|| format!("in {}, if it is not ready by then", span(left)))
}

/// What the last tick read.
fn last_values(release: &Release) -> Option<&BTreeMap<String, f64>> {
    let ticks = &release.slipway.release.as_ref()?.ticks;
    ticks.last().map(|tick| &tick.values)
}

/// What stands behind a value within its limit, and behind one beyond it.
const PASSES: char = '✓';
const FAILS: char = '✗';

/// A check with its limit and what it read last.
fn judged(check: &MetricCheck, last: Option<&BTreeMap<String, f64>>) -> String {
    let limit = format!("{} {}", check.name, origin::limit(check));
    match last.and_then(|last| last.get(&check.name)) {
        Some(value) => {
            let passes = check.min.is_none_or(|min| *value >= min)
                && check.max.is_none_or(|max| *value <= max);
            let mark = if passes { PASSES } else { FAILS };
            format!("{limit}, last {value:.2} {mark}")
        }
        None => limit,
    }
}

/// One release for programs.
fn facts(cluster: &Cluster, release: &Release) -> Value {
    let plan = cluster.plan(release).ok();
    let checks: Vec<Value> = plan
        .iter()
        .flat_map(|plan| &plan.metrics)
        .map(|check| {
            let last = last_values(release).and_then(|last| last.get(&check.name));
            json!({"name": check.name, "min": check.min, "max": check.max, "last": last})
        })
        .collect();
    let slipway = &release.slipway;
    json!({
        "namespace": release.canary.metadata.namespace,
        "name": release.canary.metadata.name,
        "phase": release.status.phase.as_str(),
        "weight": release.weight(),
        "step": plan.as_ref().and_then(|plan| step(plan, release)),
        "failedChecks": release.status.failed_checks,
        "threshold": plan.as_ref().map(|plan| plan.threshold),
        "revision": revision(release),
        "promotedRevision": slipway.promoted_revision,
        "pendingRevision": slipway.pending_revision,
        "waitsFor": slipway.waiting,
        "paused": slipway.paused,
        "approvals": slipway.approvals,
        "reason": slipway.reason,
        "problem": slipway.problem,
        "checks": checks,
        "hooks": slipway.release.as_ref().map(|it| &it.hooks),
        "pods": slipway.release.as_ref().map(|it| &it.pods),
    })
}
