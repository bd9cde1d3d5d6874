//! Releases that end as they should, whatever goes wrong.
//!
//! A failure prints the command that plays it again and tells its tale: `slipway sandbox --scenario istio/canary/promotes/fixed
//! --fault api:57:crash-before --seed 1`.

use slipway_scenarios::matrix::{Run, play_all, runs, sample, short};
use slipway_scenarios::scenario::Scaler;
use slipway_scenarios::{Ended, Injected, Scenario};

const SEED: u64 = 1;

fn demand_none(failed: &[Ended]) {
    let reports: Vec<String> = failed.iter().take(5).map(Ended::report).collect();
    let names: Vec<String> = failed
        .iter()
        .map(|ended| {
            let first = ended.complaints.first().cloned().unwrap_or_default();
            format!("{}: {first}", ended.command())
        })
        .collect();
    assert!(
        failed.is_empty(),
        "{} runs failed:\n{}\n\n{}",
        failed.len(),
        names.join("\n"),
        reports.join("\n\n")
    );
}

#[test]
fn every_scenario_ends_as_it_should_and_keeps_every_promise() {
    // An autoscaler changes little in most of them: the ignored run plays all.
    let chosen = Scenario::all().into_iter().enumerate();
    let chosen = chosen
        .filter(|(at, scenario)| scenario.scaler == Scaler::Fixed || at % 4 == 0)
        .map(|(_, scenario)| Run {
            scenario,
            fault: Injected::Nothing,
            seed: SEED,
        });
    demand_none(&play_all(&chosen.collect::<Vec<_>>()));
}

#[test]
fn a_release_survives_a_fault_at_any_call() {
    let all = runs(&short(), SEED);
    demand_none(&play_all(&sample(&all, 60, SEED)));
}

/// `MATRIX` names a part (`istio/canary`) and a stride (`istio/canary:10` plays every tenth run).
#[test]
#[ignore = "hours of processor time: cargo test -p slipway-scenarios --test survives -- --ignored"]
fn every_release_survives_every_fault_at_every_call() {
    let chosen = std::env::var("MATRIX").unwrap_or_default();
    let (part, stride) = chosen.split_once(':').unwrap_or((&chosen, "1"));
    let stride: usize = stride.parse().unwrap();
    let scenarios: Vec<Scenario> = Scenario::all()
        .into_iter()
        .filter(|scenario| scenario.to_string().contains(part))
        .collect();
    let unharmed = scenarios.iter().map(|scenario| Run {
        scenario: *scenario,
        fault: Injected::Nothing,
        seed: SEED,
    });
    let harmed = runs(&scenarios, SEED).into_iter();
    let all: Vec<Run> = unharmed.chain(harmed).step_by(stride).collect();
    eprintln!("{} scenarios, {} runs", scenarios.len(), all.len());
    demand_none(&play_all(&all));
}
