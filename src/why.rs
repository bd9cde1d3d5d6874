//! `slipway why`: one paragraph on why a release is where it is.

use chrono::{DateTime, Utc};
use serde_json::json;
use slipway_api::{Phase, Side};
use slipway_core::analysis::JudgeMode;
use slipway_core::plan::{Plan, origin};
use slipway_core::words::short;

use crate::cluster::{Cluster, ClusterArgs, Release};
use crate::output::{Form, Said, since, span};
use crate::record;

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as canary/NAME or NAME
    name: String,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Tells why.
pub(crate) async fn run(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let release = cluster.release(&args.name).await?;
    let plan = cluster.plan(&release);
    let mut sentences = vec![position(&release)];
    sentences.extend(wait(&release, now));
    if let Ok(plan) = &plan {
        sentences.extend(judgement(plan, &release, now));
        sentences.extend(evidence(plan, &release));
    }
    if runs(&release) {
        sentences.extend(record::last_sentence(&release));
    }
    sentences.extend(record::promotion_sentence(&release));
    sentences.extend(release.slipway.reason.clone().filter(|_| rests(&release)));
    sentences.extend(record::pods_sentence(&release));
    sentences.extend(record::hooks_sentence(&release));
    sentences.extend(traffic(&release));
    if let Err(problems) = &plan {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        sentences.push(format!("What it says is no plan: {}.", texts.join("; ")));
    } else if let Some(problem) = &release.slipway.problem {
        sentences.push(format!("Something is in the way: {problem}."));
    }
    let why = sentences.join(" ");
    Ok(Said::well(match args.output {
        Form::Text => why,
        Form::Json => serde_json::to_string_pretty(&json!({
            "namespace": release.canary.metadata.namespace,
            "name": release.canary.metadata.name,
            "phase": release.status.phase.as_str(),
            "why": why,
            "reason": release.slipway.reason,
            "waitsFor": release.slipway.waiting,
            "hooks": record::hooks(&release),
            "pods": release.slipway.release.as_ref().map(|it| &it.pods),
            "evidence": release.slipway.release.as_ref().map(|it| &it.evidence),
        }))?,
    }))
}

fn runs(release: &Release) -> bool {
    matches!(
        release.status.phase,
        Phase::Progressing | Phase::WaitingPromotion
    )
}

fn rests(release: &Release) -> bool {
    matches!(release.status.phase, Phase::Succeeded | Phase::Failed)
}

fn position(release: &Release) -> String {
    let name = release.name();
    let released = release.slipway.release.as_ref();
    let revision = released.map_or("", |released| short(&released.revision));
    let pending = release
        .slipway
        .pending_revision
        .as_deref()
        .map_or("", short);
    let weight = release.weight();
    match release.status.phase {
        Phase::Empty => format!("The controller has not looked at {name} yet."),
        Phase::Initializing => format!("{name} is being taken into service for the first time."),
        Phase::Initialized => {
            format!("{name} is in service, and no new revision has come since.")
        }
        Phase::Waiting => format!("Revision {pending} of {name} has not started."),
        Phase::Progressing => {
            format!("Revision {revision} of {name} is judged at weight {weight}%.")
        }
        Phase::WaitingPromotion => format!(
            "Revision {revision} of {name} has passed its checks at weight {weight}% and is not promoted yet."
        ),
        Phase::Promoting => {
            format!("Revision {revision} of {name} has passed, and the primary takes it over.")
        }
        Phase::Finalising => {
            format!(
                "Revision {revision} of {name} is promoted, and traffic settles on the primary."
            )
        }
        Phase::Succeeded => format!("Revision {revision} of {name} was promoted."),
        Phase::Failed => format!("Revision {revision} of {name} was not promoted."),
        Phase::Terminating | Phase::Terminated => {
            format!("{name} is being deleted, and the target takes its traffic back.")
        }
    }
}

fn wait(release: &Release, now: DateTime<Utc>) -> Option<String> {
    let (what, then) = release.waits_for()?;
    Some(format!(
        "It has waited for {what} for {}.",
        since(then, now)
    ))
}

fn judgement(plan: &Plan, release: &Release, now: DateTime<Utc>) -> Option<String> {
    if !runs(release) {
        return None;
    }
    let checks: Vec<String> = plan
        .metrics
        .iter()
        .map(|check| format!("{} {}", check.name, origin::limit(check)))
        .collect();
    let checks = if checks.is_empty() {
        "It has no metric checks".to_owned()
    } else {
        format!("It is checked by {}", checks.join(", "))
    };
    let failed = release.status.failed_checks;
    let due = release
        .slipway
        .release
        .as_ref()
        .and_then(|running| running.step_at)
        .map(|step_at| step_at + plan.interval - now)
        .filter(|left| *left > chrono::TimeDelta::zero())
        .map_or_else(String::new, |left| {
            format!(", the next check is in {}", span(left))
        });
    Some(format!(
        "{checks}; {failed} of {} checks that may fail have failed{due}.",
        plan.threshold
    ))
}

/// What its requests say, while it runs; and what the test would have done that only watches.
fn evidence(plan: &Plan, release: &Release) -> Option<String> {
    let known = release.slipway.release.as_ref()?.evidence.as_deref()?;
    if let Some(would) = &known.would {
        return Some(format!(
            "The sequential test, which only watches, would have {would}."
        ));
    }
    let says = known.says.as_ref().filter(|_| runs(release))?;
    Some(match plan.judge.mode {
        JudgeMode::Off => return None,
        JudgeMode::Shadow => format!("The sequential test only watches: {says}."),
        JudgeMode::Protect | JudgeMode::Full => format!("Judged by evidence: {says}."),
    })
}

fn traffic(release: &Release) -> Option<String> {
    let asked = release.status.canary_weight;
    let slipway = &release.slipway;
    if slipway.pinned_to == Some(Side::Canary) {
        return Some("All traffic is on the canary, which is kept up.".to_owned());
    }
    let reached = slipway.routed_weight.filter(|reached| *reached != asked)?;
    Some(format!(
        "The route gives the canary {reached}% instead of {asked}%: a side has no ready pod."
    ))
}
