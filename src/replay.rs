//! `slipway replay`: what the sequential test would have said of the last release, by what Prometheus scraped then.

use anyhow::{Context, bail};
use chrono::{DateTime, Utc};
use serde_json::json;
use slipway_api::ReleaseStatus;
use slipway_controller::http::{Http, HttpClient, Limits};
use slipway_core::analysis::{Moment, Past, Verdict, replay};
use slipway_core::plan::Plan;
use slipway_core::weight::Weight;
use slipway_core::words::{cause, evidence_awaited, would_have};
use slipway_metrics::builtin::Telemetry;
use slipway_metrics::counters::{self, LOOK_BACK, Sides};
use slipway_metrics::{Ask, provider};

use crate::cluster::{Cluster, ClusterArgs};
use crate::output::{Form, Said, table};

/// What was asked for.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// The release, as canary/NAME or NAME
    name: String,
    /// The Prometheus that scraped it, as it is reached from here [default: the Canary's own metricsServer]
    #[arg(long, value_name = "URL")]
    metrics_server: Option<String>,
    /// From when on [default: when the canary of the last release got its first users]
    #[arg(long, value_name = "TIME")]
    from: Option<DateTime<Utc>>,
    /// Until when [default: the last check of that release]
    #[arg(long, value_name = "TIME")]
    to: Option<DateTime<Utc>>,
    /// The weight that the canary had, where no record says it, in percent
    #[arg(long, value_name = "PERCENT", value_parser = clap::value_parser!(i64).range(1..=100))]
    weight: Option<i64>,
    /// The form of the output
    #[arg(short, long, value_enum, default_value = "text")]
    output: Form,
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
}

/// Asks a real Prometheus.
pub(crate) async fn run(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
) -> anyhow::Result<Said> {
    let http = HttpClient::try_new().context("make the HTTP client")?;
    with(cluster, args, now, &http).await
}

/// The same over any way to Prometheus.
pub(crate) async fn with(
    cluster: &Cluster,
    args: &Args,
    now: DateTime<Utc>,
    http: &dyn Http,
) -> anyhow::Result<Said> {
    let release = cluster.release(&args.name).await?;
    let plan = cluster.plan(&release).map_err(|problems| {
        let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
        anyhow::anyhow!("the Canary is no plan: {}", texts.join("; "))
    })?;
    if plan.steps().is_empty() {
        bail!("only a release by weight can be compared with its primary");
    }
    let past = past(args, &plan, release.slipway.release.as_ref())?;
    let server = args.metrics_server.clone();
    let server = server.or_else(|| plan.metrics_server.clone());
    let server = server.context("say where Prometheus is: --metrics-server URL")?;
    let telemetry = Telemetry::of(
        args.cluster.mesh_provider(),
        &plan.provider,
        plan.target.kind,
    );
    let sides = [Sides::of(&plan)];
    let begin = past.weights.first().map_or(now, |(since, _)| *since);
    let window = now - begin + LOOK_BACK;
    let query = counters::query(telemetry, &sides, window);
    let query = query.with_context(|| {
        format!(
            "{} does not count the requests of each pod",
            telemetry.as_str()
        )
    })?;
    let (status, body) = ask(http, &server, &query, now).await?;
    let found = counters::read(telemetry, &sides, status, &body).map_err(anyhow::Error::msg)?;
    let moments = replay(&plan.judge, &past, found.first().context("no counters")?);
    Ok(Said::well(match args.output {
        Form::Text => text(&release.name(), &past, &moments),
        Form::Json => {
            serde_json::to_string_pretty(&moments.iter().map(row_json).collect::<Vec<_>>())?
        }
    }))
}

async fn ask(
    http: &dyn Http,
    server: &str,
    query: &str,
    now: DateTime<Utc>,
) -> anyhow::Result<(http::StatusCode, Vec<u8>)> {
    let spec = slipway_metrics::server(server);
    let request = provider(&spec.type_)?.request(&spec, None, &Ask::now(query, "", now))?;
    let answer = http.send(request, &Limits::default()).await;
    let answer = answer.with_context(|| format!("ask {server}"))?;
    Ok((answer.status(), answer.into_body()))
}

/// The weights that a release had, by its record; where there is none, one weight all along.
fn past(args: &Args, plan: &Plan, last: Option<&ReleaseStatus>) -> anyhow::Result<Past> {
    let mut weights: Vec<(DateTime<Utc>, Weight)> = Vec::new();
    let mut since = last.and_then(|last| last.started_at);
    for tick in last.iter().flat_map(|last| &last.ticks) {
        let weight = Weight::clamped(tick.weight);
        if let Some(since) = since
            && !weight.is_zero()
            && weights.last().is_none_or(|(_, before)| *before != weight)
        {
            weights.push((since, weight));
        }
        since = tick.at.or(since);
    }
    let until = args.to.or(since).context("say until when: --to TIME")?;
    if let Some(from) = args.from {
        let had = weights.iter().rev().find(|(since, _)| *since <= from);
        let first = plan.steps().first().copied().unwrap_or_default();
        let weight = args.weight.map(Weight::clamped);
        let weight = weight.or_else(|| had.map(|(_, weight)| *weight));
        weights.retain(|(since, _)| *since > from && *since < until);
        weights.insert(0, (from, weight.unwrap_or(first)));
    }
    if weights.is_empty() {
        bail!("no record says when the canary had users: say it with --from TIME and --to TIME");
    }
    Ok(Past {
        weights,
        until,
        steps: plan.steps().to_vec(),
    })
}

fn text(name: &str, past: &Past, moments: &[Moment]) -> String {
    let of = |at: DateTime<Utc>| at.format("%Y-%m-%d %H:%M:%S").to_string();
    let begin = past.weights.first().map(|(since, _)| of(*since));
    let head = format!(
        "Canary {name}, {} to {}, at the weights that it had",
        begin.unwrap_or_default(),
        of(past.until)
    );
    if moments.is_empty() {
        return format!("{head}: nothing was scraped of it, or Prometheus keeps it no longer");
    }
    let columns = ["TIME", "WEIGHT", "IT WOULD HAVE", "BECAUSE"];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    let mut told: Option<(Verdict, Weight)> = None;
    for moment in moments {
        let this = (moment.verdict, moment.weight);
        if told.replace(this) == Some(this) {
            continue;
        }
        rows.push(vec![
            of(moment.at),
            format!("{}%", moment.weight),
            did(moment, past),
            because(moment),
        ]);
    }
    format!("{head}\n{}", table(&rows))
}

fn did(moment: &Moment, past: &Past) -> String {
    match (would_have(moment.verdict), moment.verdict) {
        (Some(done), _) => done.to_owned(),
        (None, Verdict::Advance) => {
            let mut later = past.steps.iter().filter(|step| **step > moment.weight);
            let next = later.next().copied().unwrap_or(Weight::FULL);
            format!("found {}", evidence_awaited(next))
        }
        (None, _) => "held".to_owned(),
    }
}

fn because(moment: &Moment) -> String {
    match moment.verdict {
        Verdict::RollBack(why) => cause(why, &moment.says),
        Verdict::Hold(_) | Verdict::Advance | Verdict::Retreat => moment.says.clone(),
    }
}

fn row_json(moment: &Moment) -> serde_json::Value {
    let verdict = match moment.verdict {
        Verdict::RollBack(_) => "rollback",
        Verdict::Retreat => "retreat",
        Verdict::Advance => "advance",
        Verdict::Hold(_) => "hold",
    };
    json!({
        "at": moment.at,
        "weight": moment.weight.percent(),
        "verdict": verdict,
        "says": because(moment),
    })
}
