//! `slipway history`: the record of the release that runs, or of the last one.

use slipway_api::Tick;
use slipway_core::words::short;

use crate::cluster::{Cluster, ClusterArgs};
use crate::output::{Form, Said, table};
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

/// Tells what each tick measured, and what came of it.
pub(crate) async fn run(cluster: &Cluster, args: &Args) -> anyhow::Result<Said> {
    let release = cluster.release(&args.name).await?;
    let Some(last) = &release.slipway.release else {
        if args.output == Form::Json {
            return Ok(Said::well("null"));
        }
        return Ok(Said::well(format!(
            "Canary {} has had no release",
            release.name()
        )));
    };
    if args.output == Form::Json {
        return Ok(Said::well(serde_json::to_string_pretty(last)?));
    }
    let head = format!(
        "Canary {}: revision {}, {}",
        release.name(),
        short(&last.revision),
        release.status.phase
    );
    let columns = ["TIME", "WEIGHT", "MEASURED", "CAME TO"];
    let mut rows = vec![columns.map(str::to_owned).to_vec()];
    rows.extend(last.ticks.iter().map(row));
    let mut lines = vec![head, table(&rows)];
    lines.extend(
        record::hooks(&release)
            .into_iter()
            .map(|it| format!("hook {it}")),
    );
    lines.extend(record::pods(&release));
    lines.extend(release.slipway.reason.clone());
    Ok(Said::well(lines.join("\n")))
}

fn row(tick: &Tick) -> Vec<String> {
    let at = tick.at.map(|at| at.format("%Y-%m-%d %H:%M:%S").to_string());
    let values: Vec<String> = tick
        .values
        .iter()
        .map(|(name, value)| {
            let limit = tick.limits.get(name);
            let limit = limit.map_or_else(String::new, |limit| format!(" ({limit})"));
            format!("{name} {value:.2}{limit}")
        })
        .collect();
    let came_to = tick.failure.clone().unwrap_or_else(|| "passed".to_owned());
    vec![
        at.unwrap_or_default(),
        format!("{}%", tick.weight),
        values.join(", "),
        came_to,
    ]
}
