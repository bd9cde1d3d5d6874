//! `slipway simulate`: what a plan is to expect, from a model of traffic; no cluster is asked.

use std::io::Write;
use std::process::ExitCode;

use anyhow::ensure;
use chrono::TimeDelta;
use slipway_core::analysis::{Bets, JudgeMode, JudgeSettings, Policy};
use slipway_core::weight::Weight;
use slipway_scenarios::exposure::{Rule, benchmark, forecast};

/// What is simulated.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Print the tables of docs/exposure.md: every rule side by side
    #[arg(long)]
    benchmark: bool,
    /// Requests a second, canary and primary together
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Share of requests that fail at the old revision, in percent
    #[arg(long, default_value_t = 0.1)]
    errors: f64,
    /// The weights, in percent
    #[arg(long, value_delimiter = ',', default_value = "1,5,10,25,50")]
    steps: Vec<i64>,
    /// Greatest chance that a harmless release is rolled back by evidence
    #[arg(long, default_value_t = 0.001)]
    alpha: f64,
    /// Greatest chance that a step is taken although it would do more harm than --max-impact
    #[arg(long, default_value_t = 0.05)]
    beta: f64,
    /// Share of all requests that may fail by a step, in percent
    #[arg(long, default_value_t = 0.25)]
    max_impact: f64,
    /// How many times the odds of a failure may grow without mattering
    #[arg(long, default_value_t = 1.25)]
    tolerance: f64,
    /// Seconds between two ticks
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(i64).range(1..=3600))]
    tick: i64,
    /// Shortest time at a weight, in seconds
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(i64).range(0..=86400))]
    min_step: i64,
    /// Longest time at a weight, in seconds; then it goes on here, where a release would hold
    #[arg(long, default_value_t = 900, value_parser = clap::value_parser!(i64).range(1..=86400))]
    max_step: i64,
    /// Bet on each failure instead of each tick: faster, where failures are independent
    #[arg(long)]
    count: bool,
    /// Seconds between two scrapes
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u64).range(1..=300))]
    scrape: u64,
    /// How many releases stand behind each figure
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    releases: u32,
}

/// Plays the releases, and prints what they came to.
pub(crate) fn run(args: &Args) -> anyhow::Result<ExitCode> {
    let releases = usize::try_from(args.releases)?;
    let text = if args.benchmark {
        benchmark(releases)
    } else {
        let rule = args.rule()?;
        forecast(args.rate, args.errors / 100.0, args.scrape, &rule, releases)
    };
    write!(std::io::stdout(), "{text}")?;
    Ok(ExitCode::SUCCESS)
}

impl Args {
    fn rule(&self) -> anyhow::Result<Rule> {
        let is_share = |value: f64| value > 0.0 && value < 1.0;
        ensure!(
            self.rate > 0.0 && self.rate <= 100_000.0,
            "--rate is {}, it must be above 0 and at most 100000",
            self.rate
        );
        ensure!(
            (0.0..100.0).contains(&self.errors),
            "--errors is {}, it must be a percentage below 100",
            self.errors
        );
        ensure!(
            is_share(self.alpha),
            "--alpha is {}, it must be between 0 and 1",
            self.alpha
        );
        ensure!(
            is_share(self.beta),
            "--beta is {}, it must be between 0 and 1",
            self.beta
        );
        ensure!(
            is_share(self.max_impact / 100.0),
            "--max-impact is {}, it must be a percentage between 0 and 100",
            self.max_impact
        );
        ensure!(
            self.tolerance >= 1.0,
            "--tolerance is {}, it must be 1 or more",
            self.tolerance
        );
        let grow = self.steps.windows(2).all(|pair| pair.first() < pair.last());
        let are_weights = self.steps.iter().all(|step| (1..=100).contains(step));
        ensure!(
            grow && are_weights && !self.steps.is_empty(),
            "--steps must be weights from 1 to 100, each greater than the one before"
        );
        Ok(Rule::Evidence {
            settings: JudgeSettings {
                mode: JudgeMode::Full,
                alpha: self.alpha,
                beta: self.beta,
                max_impact: self.max_impact / 100.0,
                tolerance: self.tolerance,
                tick: TimeDelta::seconds(self.tick),
                min_step: TimeDelta::seconds(self.min_step),
                max_step: TimeDelta::seconds(self.max_step),
                bets: if self.count { Bets::Count } else { Bets::Tick },
                on_insufficient: Policy::Advance,
                ..JudgeSettings::default()
            },
            steps: self.steps.iter().copied().map(Weight::clamped).collect(),
            raises_first: true,
        })
    }
}
