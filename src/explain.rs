//! `slipway explain`: the plan in force, and where each value came from.

use serde_json::{Value, json};
use slipway_core::plan::origin;

use crate::cluster::{Cluster, ClusterArgs};
use crate::output::{Form, Said, table};

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

/// Tells the plan, or everything that is wrong with it.
pub(crate) async fn run(cluster: &Cluster, args: &Args) -> anyhow::Result<Said> {
    let release = cluster.release(&args.name).await?;
    let plan = match cluster.plan(&release) {
        Ok(plan) => plan,
        Err(problems) => {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Ok(match args.output {
                Form::Json => Said::failed(json!({"problems": texts}).to_string(), 1),
                Form::Text => Said::failed(
                    format!(
                        "Canary {} is no plan:\n  {}",
                        release.name(),
                        texts.join("\n  ")
                    ),
                    1,
                ),
            });
        }
    };
    let lines = origin::lines(&plan, &release.canary.spec);
    if args.output == Form::Json {
        let all: Vec<Value> = lines
            .iter()
            .map(|line| json!({"name": line.name, "value": line.value, "origin": line.origin}))
            .collect();
        return Ok(Said::well(serde_json::to_string_pretty(&all)?));
    }
    let head = ["VALUE OF", "IS", "FROM"].map(str::to_owned).to_vec();
    let rows = lines
        .into_iter()
        .map(|line| vec![line.name, line.value, line.origin]);
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let warnings = plan
        .warnings
        .iter()
        .map(|warning| format!("warning: {warning}"));
    let lines: Vec<String> = std::iter::once(table(&rows)).chain(warnings).collect();
    Ok(Said::well(lines.join("\n")))
}
